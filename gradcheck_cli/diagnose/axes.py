"""Hypotheses about what was multiplied, summed or cut along the wrong axis, or taken for something else.

Backward is called again with an operand transposed, two inputs exchanged, another axis: if that is right, what it lacks
is known.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gradcheck_cli.diagnose.evidence import Array, Cause, Evidence

_NOTHING = 1e-9  # of the largest slope: as good as none


def transposed(e: Evidence) -> Cause | None:
    """The gradient itself, an operand or the cotangent with its last two axes exchanged."""
    if not e.complete:
        return None
    own = None if e.gradient is None or e.x.ndim < 2 else np.swapaxes(e.gradient, -1, -2).copy()
    if agreement := e.agreement(own):
        return Cause("not_transposed", f"Transposed, the gradient {agreement}.", f"np.swapaxes(grad_{e.name}, -1, -2)")
    for position, other in enumerate(e.case.inputs):
        if other.ndim > 1:
            inputs = list(e.case.inputs)
            inputs[position] = np.swapaxes(other, -1, -2)
            if (agreement := e.agreement(e.again(inputs=inputs))) and _matters(e, position, inputs):
                name = e.case.op.names[position]
                why = f"With {name} transposed, backward {agreement}: it multiplies by {name} where it needs {name}^T."
                return Cause("not_transposed", why, f"np.swapaxes({name}, -1, -2)")
    for outputs in _one_transposed(e.case.outputs.arrays if e.case.outputs else ()):
        if agreement := e.agreement(e.again(outputs=outputs)):
            why = f"With out transposed, backward {agreement}: it multiplies by out where it needs out^T."
            return Cause("not_transposed", why, "np.swapaxes(out, -1, -2)")
    for cotangents in _one_transposed(e.case.cotangents):
        if agreement := e.agreement(e.again(cotangents=cotangents)):
            why = f"With the upstream gradient transposed, backward {agreement}."
            return Cause("not_transposed", why, "np.swapaxes(grad, -1, -2)")
    return None


def _one_transposed(arrays: Sequence[Array]) -> Iterator[list[Array]]:
    """The same arrays, each of the matrices among them transposed in turn."""
    for number, x in enumerate(arrays):
        if x.ndim > 1:
            yield [*arrays[:number], np.swapaxes(x, -1, -2), *arrays[number + 1 :]]


def _matters(e: Evidence, position: int, inputs: list[Array]) -> bool:
    """Whether an operand's numbers are used: where only its shape is, nothing is multiplied by it."""
    others = list(inputs)
    others[position] = others[position][..., ::-1, :] * 2 + 1
    before, after = e.again(inputs=inputs), e.again(inputs=others)
    return before is None or after is None or not np.array_equal(before, after, equal_nan=True)


def swapped_inputs(e: Evidence) -> Cause | None:
    """Another input's gradient, or the one that backward gives when two inputs are exchanged."""
    for position, gradient in e.gradients.items():
        if position != e.position and gradient.shape == e.x.shape and (agreement := e.agreement(gradient)):
            other = e.case.op.names[position]
            why = f"What is returned for {other} {agreement} with the slope of {e.name}."
            names = ", ".join(f"grad_{e.case.op.names[p]}" for p in e.case.op.differentiated)
            return Cause("swapped_inputs", why, f"return {names}, in the order of the inputs")
    for position, x in enumerate(e.case.inputs):
        if position != e.position and x.shape == e.x.shape and x.dtype == e.x.dtype:
            inputs = list(e.case.inputs)
            inputs[position], inputs[e.position] = e.x, x
            answers = e.other(inputs=inputs)
            # With f(a, b) = f(b, a), the right gradient of one is that of the other when both are exchanged.
            for place in (e.position,) if _symmetric(e, inputs) else (e.position, position):
                if place in answers and (agreement := e.agreement(answers[place])):
                    other = e.case.op.names[position]
                    why = f"With {e.name} and {other} exchanged, backward {agreement}."
                    return Cause("swapped_inputs", why, f"{e.name} and {other} have each other's place in backward")
    return None


def _symmetric(e: Evidence, inputs: list[Array]) -> bool:
    """Whether forward gives the same, but for the sign, when two inputs are exchanged."""
    elsewhere = e.elsewhere(inputs)
    if elsewhere is None or elsewhere.outputs is None or e.case.outputs is None:
        return False
    pairs = list(zip(elsewhere.outputs.arrays, e.case.outputs.arrays, strict=True))
    return all(y.shape == z.shape and np.allclose(np.abs(y), np.abs(z), rtol=1e-5, atol=0) for y, z in pairs)


_MOST_AXES = 8  # of which every subset is tried


def wrong_axis_of_sum(e: Evidence) -> Cause | None:
    """The sum over the uses of a broadcast input, along other axes than those it was broadcast along."""
    spread = _uses(e)
    g = e.returned
    if spread is None or g is None or g.size == 0 or spread.ndim > _MOST_AXES:
        return None
    sums = {axes: spread.sum(axis=axes) for n in range(spread.ndim + 1) for axes in _choose(spread.ndim, n)}
    fitting = [axes for axes, total in sums.items() if total.size == e.x.size and e.agreement(total)]
    # An axis of length 1 in front is broadcast along, too.
    right = next((axes for axes in fitting if sums[axes].shape == e.x.shape), fitting[0] if fitting else None)
    for axes, total in sums.items():
        if right is not None and axes != right and total.size == g.size and _near(e, total.reshape(g.shape), g):
            if _near(e, total.reshape(-1), sums[right].reshape(-1)):
                continue  # The same by accident: an axis of length 1.
            why = (
                f"{e.name} was broadcast along {_axes(right)}; its gradient is summed over {_axes(axes)}: "
                "so summed, the numeric derivative gives what is returned."
            )
            return Cause(
                "wrong_unbroadcast_axis", why, f"sum over {_axes(right)}: unbroadcast(grad_{e.name}, {e.name})"
            )
    return None


def _choose(rank: int, count: int) -> Iterator[tuple[int, ...]]:
    return itertools.combinations(range(rank), count)


def _uses(e: Evidence) -> Array | None:
    """The gradient of a broadcast input before it is summed: one number for each output entry; None if it was not."""
    parts = e.contributions
    outputs = e.case.outputs.arrays if e.case.outputs else ()
    if parts is None or len(outputs) != 1 or outputs[0].size < e.x.size:
        return None
    if np.any(np.count_nonzero(np.abs(parts) > 1e-12 * e.largest, axis=1) > 1):
        return None  # an output that several entries move: no broadcast
    return np.asarray(parts.sum(axis=1).reshape(outputs[0].shape))


def _near(e: Evidence, a: Array, b: Array) -> bool:
    if a.shape != b.shape:
        return False
    return bool(np.all(np.abs(a - b) <= 4 * float(np.max(e.tolerance, initial=0.0)) * max(a.size, 1)))


def wrong_axis(e: Evidence) -> Cause | None:
    """Right along another axis: by its param, with two axes of all arrays exchanged, or as the cotangent spreads."""
    if e.gradient is None or not e.complete:
        return None
    for name, value in e.case.params.items():
        for other in _other_axes(value, e.x.ndim):
            params = {**e.case.params, name: other}
            if agreement := e.agreement(e.again(params=params)):
                why = f"Called with {name}={other!r}, backward {agreement}; the case has {name}={value!r}."
                return Cause("wrong_axis", why, f"use {name} as forward does, negative ones too")
            if _is_gradient_of(e, params):
                why = f"What is returned is the gradient for {name}={other!r}; the case has {name}={value!r}."
                return Cause("wrong_axis", why, f"use {name} as forward does, negative ones too")
    for first, second in itertools.combinations(range(e.x.ndim), 2):
        if agreement := e.agreement(_with_axes_exchanged(e, first, second)):
            why = f"With axes {first} and {second} of all arrays exchanged, backward {agreement}."
            return Cause("wrong_axis", why, f"one of the two works along axis {first}, the other along axis {second}")
    return _spread_along(e)


def _other_axes(value: Any, rank: int) -> Iterator[Any]:
    """Other values of a param that may be an axis."""
    if isinstance(value, tuple) and all(isinstance(v, int) for v in value):
        yield from (axes for axes in itertools.combinations(range(rank), len(value)) if axes != value)
    if value is None or isinstance(value, tuple) or (isinstance(value, int) and not isinstance(value, bool)):
        yield from (axis for axis in range(rank) if axis != value)
        if value is not None:
            yield None


def _is_gradient_of(e: Evidence, params: dict[str, Any]) -> bool:
    """Whether the gradient is right for other params, where these give outputs of the same shape."""
    elsewhere = e.elsewhere(e.case.inputs, params)
    if elsewhere is None or elsewhere.outputs is None or e.case.outputs is None or e.gradient is None:
        return False
    if [y.shape for y in elsewhere.outputs.arrays] != [y.shape for y in e.case.outputs.arrays]:
        return False
    if all(np.array_equal(y, z) for y, z in zip(elsewhere.outputs.arrays, e.case.outputs.arrays, strict=True)):
        return False  # The same axis by another name.
    return Evidence(elsewhere, e.position).agreement(e.gradient) is not None


def _with_axes_exchanged(e: Evidence, first: int, second: int) -> Array | None:
    """Backward, asked about the same arrays with two axes exchanged, and its answer exchanged back."""
    case, rank = e.case, e.x.ndim
    if case.outputs is None or any(y.ndim not in (rank, 0) for y in case.outputs.arrays):
        return None

    def exchange(x: Array) -> Array:
        return np.swapaxes(x, first, second).copy() if x.ndim == rank else x

    answer = e.exchanged(exchange)
    return None if answer is None or answer.ndim != rank else exchange(answer)


def _spread_along(e: Evidence) -> Cause | None:
    """A cotangent of lower rank, repeated along another axis than the one that was summed."""
    if e.gradient is None or np.any(np.abs(e.numeric) <= _NOTHING * e.largest):
        return None  # What is summed counts everywhere; a diagonal is not spread along any axis.
    for w in e.case.cotangents:
        for axes in itertools.combinations(range(e.x.ndim), e.x.ndim - w.ndim) if 0 < w.ndim < e.x.ndim else ():
            try:
                spread = np.broadcast_to(np.expand_dims(w, axes), e.x.shape)
            except ValueError:
                continue
            ratio = np.divide(e.gradient, spread, out=np.zeros(e.x.shape), where=spread != 0)
            if np.all(spread != 0) and np.ptp(ratio) <= 1e-12 * np.max(np.abs(ratio)) and np.max(np.abs(ratio)) > 0:
                why = f"The upstream gradient is repeated along {_axes(axes)}; the slopes vary otherwise."
                return Cause("wrong_axis", why, "put back the axes that forward summed: np.expand_dims(grad, axis)")
    return None


def _axes(axes: tuple[int, ...]) -> str:
    return f"ax{'is' if len(axes) == 1 else 'es'} {' and '.join(map(str, axes))}" if axes else "no axis"
