"""A case: one op with concrete inputs, what forward made of them, and a cotangent for every output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.blocks import largest
from gradcheck_cli.foreign import quiet
from gradcheck_cli.op import Op, Outputs
from gradcheck_cli.signature import Binding, Shape, Signature, show
from gradcheck_cli.stream import Stream

Array = NDArray[Any]

LAYOUTS = ("C", "F", "strided", "reversed")  # of random cases, in turn
LAYOUT_NAMES = {
    "F": "Fortran order",
    "strided": "strided",
    "reversed": "negative strides",
    "zero-stride": "zero-stride",
    "read-only": "read-only",
}
# A forward that raises one of these does not support the combination; anything else is a crash.
REFUSALS = (ValueError, TypeError, IndexError)
# By dtype: a name takes NumPy longer than a multiplication.
_WIDER = {np.dtype(np.float32): np.dtype(np.float64), np.dtype(np.complex64): np.dtype(np.complex128)}
_WIDEST = {np.dtype(np.float64): np.dtype(np.longdouble), np.dtype(np.complex128): np.dtype(np.clongdouble)}
_MORE_DIGITS = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps  # not on every machine
_SLOW = 2**12  # entries, beyond which nothing is computed in long doubles: their products know no BLAS
_INFIX = {"matmul": "@", "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**"}


@dataclass(frozen=True, repr=False)
class Case:
    """One op with concrete inputs and params; `outputs` is what forward answered, or `error` what it raised."""

    op: Op
    index: int
    seed: int
    inputs: tuple[Array, ...]
    params: Mapping[str, Any]
    outputs: Outputs | None
    cotangents: tuple[Array, ...]
    layout: str = "C"  # of inputs and cotangents
    edge: str = ""  # what is special about a case that was not drawn at random
    undeclared: str = ""  # "loops" or "dtype", where the case has some that the author may never have meant
    attempt: int = 0
    error: Exception | None = None
    mutated: tuple[str, ...] = ()  # inputs that forward changed; they were put back
    recorded: str = ""  # where a fixture holds this case

    def __repr__(self) -> str:
        return f"<case {self.edge or self.index} of {self.op.name}: {self.name}>"

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Shapes of the inputs."""
        return tuple(x.shape for x in self.inputs)

    @cached_property
    def binding(self) -> Binding:
        """What the shapes say about the signature."""
        return _bound(self.op.gufunc, self.shapes, self.op.names)

    @cached_property
    def natural_slope(self) -> float:
        """|w| |f|: how large a slope of this case would be if nothing cancelled (tanh's, were it not 1 - tanh^2)."""
        assert self.outputs is not None
        outputs = max((largest(y) for y in self.outputs.arrays if y.dtype.kind in "fc"), default=0.0)
        return max(map(largest, self.cotangents), default=0.0) * outputs

    @property
    def name(self) -> str:
        """What a reader tells cases apart by: `(2,3,4,5) @ (3,5,6)`, `(4,3) axis=1`."""
        sign = _INFIX.get(self.op.name) if len(self.inputs) == 2 else None
        operands = (f" {sign} " if sign else " ").join(map(show, self.shapes))
        params = "".join(f" {name}={_brief(value)}" for name, value in self.params.items())
        return operands + params


@lru_cache
def _bound(signature: Signature, shapes: tuple[Shape, ...], names: tuple[str, ...]) -> Binding:
    """What `shapes` bind: many cases of an op have the same."""
    return signature.bind(shapes, names)


def text_of(value: Any) -> str:
    """The repr of a param's value on one line, also where it cannot be had."""
    try:
        return " ".join(repr(value).split())
    except Exception:  # It is somebody's __repr__.
        return f"<{type(value).__name__}>"


def _brief(value: Any) -> str:
    text = text_of(value)
    return text if len(text) <= 40 else text[:37] + "..."


def make_case(
    op: Op,
    inputs: tuple[Array, ...],
    params: Mapping[str, Any],
    *,
    seed: int,
    index: int,
    attempt: int = 0,
    layout: str = "C",
    edge: str = "",
    undeclared: str = "",
    cotangent: str = "random",
    cotangents: tuple[Array, ...] = (),
) -> Case:
    """Run forward once and draw a cotangent for every output (one of COTANGENTS), unless they are given."""
    before = [np.copy(x) for x in inputs]
    outputs, error = None, None
    try:
        with quiet():
            answer = op.run(inputs, params)
            # Outputs may be views of what is about to be restored, or of a buffer that forward uses again.
            outputs = Outputs(tuple(np.copy(y) for y in answer.arrays), answer.several)
    except Exception as raised:  # Whatever a forward raises is a finding, not our crash.
        error = raised
    changed = [i for i, (x, b) in enumerate(zip(inputs, before, strict=True)) if not same(x, b)]
    for i in changed:
        put_back(inputs[i], before[i])
    stream = Stream(op.name, seed, edge or index, attempt, "cotangents")
    drawn = cotangents
    if outputs and not cotangents:
        random = _cotangents(stream, outputs.arrays, inputs)
        drawn = tuple(lay_out(COTANGENTS[cotangent](w, stream), layout) for w in random)
    return Case(
        op=op,
        index=index,
        seed=seed,
        inputs=inputs,
        params=params,
        outputs=outputs,
        cotangents=drawn,
        layout=layout,
        edge=edge,
        undeclared=undeclared,
        attempt=attempt,
        error=error,
        mutated=tuple(op.names[i] for i in changed),
    )


def _cotangents(stream: Stream, outputs: Sequence[Array], inputs: Sequence[Array]) -> tuple[Array, ...]:
    """Random and signed, of each output's dtype; zeros beside an output of integers, which has no slope."""
    drawn = []
    for y in outputs:
        if y.dtype.kind == "c":
            drawn.append(np.asarray(stream.dyadic(y.shape) + 1j * stream.dyadic(y.shape), y.dtype))
        elif y.dtype.kind == "f":
            drawn.append(np.asarray(stream.dyadic(y.shape), y.dtype))
        else:
            drawn.append(np.zeros(y.shape, next((x.dtype for x in inputs if x.dtype.kind in "fc"), np.float64)))
    return tuple(drawn)


def with_inputs(case: Case, inputs: tuple[Array, ...], params: Mapping[str, Any] | None = None) -> Case:
    """The same case at another point, with the same cotangents where forward's outputs keep their shapes."""
    moved = make_case(
        case.op,
        tuple(lay_out(x, case.layout) for x in inputs),
        case.params if params is None else params,
        seed=case.seed,
        index=case.index,
        attempt=case.attempt,
        layout=case.layout,
        edge=case.edge,
        undeclared=case.undeclared,
    )
    if [w.shape for w in moved.cotangents] != [w.shape for w in case.cotangents]:
        return moved
    return replace(moved, cotangents=tuple(lay_out(np.array(w, order="C"), case.layout) for w in case.cotangents))


def _one_hot(cotangent: Array, stream: Stream) -> Array:
    """One entry as it is, the others zero."""
    hot = np.zeros_like(cotangent)
    if hot.size:
        entry = stream.one(hot.size)
        hot.reshape(-1)[entry] = cotangent.reshape(-1)[entry]
    return hot


# What may stand in a cotangent -> from the random one. A backward that looks at it, or divides by it, shows here.
COTANGENTS: dict[str, Callable[[Array, Stream], Array]] = {
    "random": lambda w, _: w,
    "zero": lambda w, _: np.zeros_like(w),
    "ones": lambda w, _: np.where(w == 0, w, np.ones_like(w)),  # beside an output of integers it stays zero
    "one-hot": _one_hot,
}


def widened(case: Case) -> Case | None:
    """A single-precision case in double precision, if forward then answers in double precision; None otherwise."""
    return _in_wider(case, _WIDER)


def extended(case: Case) -> Case | None:
    """A small double-precision case in long doubles, if they have more digits here and forward answers in them."""
    if not _MORE_DIGITS or case.outputs is None:
        return None
    if sum(x.size for x in (*case.inputs, *case.outputs.arrays)) > _SLOW:
        return None
    return _in_wider(case, _WIDEST)


def _in_wider(case: Case, wider: Mapping[np.dtype[Any], np.dtype[Any]]) -> Case | None:
    if case.outputs is None or not any(x.dtype in wider for x in case.inputs):
        return None

    def widen(x: Array) -> Array:
        return x.astype(wider.get(x.dtype, x.dtype))

    inputs = tuple(lay_out(widen(x), case.layout) for x in case.inputs)
    try:
        with quiet():
            answer = case.op.run([x.copy() for x in inputs], case.params)
    except Exception:  # A forward for its own precision alone.
        return None
    same_shapes = [y.shape for y in answer.arrays] == [y.shape for y in case.outputs.arrays]
    if not same_shapes or any(y.dtype.kind in "fc" and y.dtype not in wider.values() for y in answer.arrays):
        return None
    cotangents = tuple(lay_out(widen(w), case.layout) for w in case.cotangents)
    return replace(case, inputs=inputs, outputs=answer, cotangents=cotangents)


def lay_out(values: Array, layout: str) -> Array:
    """The same values in another memory layout; "zero-stride" repeats the first entry along the first axis."""
    if layout == "F":
        return np.asfortranarray(values) if values.ndim else values
    if layout == "strided" and values.ndim:
        return _every_second(values)
    if layout == "reversed" and values.ndim:
        turned = (slice(None, None, -1),) * values.ndim
        return np.ascontiguousarray(values[turned])[turned]
    if layout == "zero-stride" and values.ndim and values.shape[0]:
        return np.broadcast_to(values[:1], values.shape)
    if layout == "read-only":
        values = np.array(values)
        values.flags.writeable = False
    return values


def same(a: Array, b: Array) -> bool:
    """Whether two arrays hold the same values, NaN equal to NaN."""
    if a.shape != b.shape:
        return False
    # Where there is no NaN, as nearly always, one comparison is all it takes.
    return bool((a == b).all()) or (a.dtype.kind in "fc" and bool(np.array_equal(a, b, equal_nan=True)))


def put_back(x: Array, before: Array) -> None:
    """Undo a change, also in an array that was made read-only after it; what cannot be written to stays."""
    with suppress(ValueError):
        x.flags.writeable = True
        x[...] = before


def _every_second(values: Array) -> Array:
    room = np.zeros((*values.shape[:-1], 2 * values.shape[-1]), values.dtype)
    view: Array = room[..., ::2]
    view[...] = values
    return view
