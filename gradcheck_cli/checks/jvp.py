"""GC602: where an op has a jvp, does it fit backward? <w, Jv> = <J'w, v> for every v and w, to rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.case import Case
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.checks.oracle import oracle_of
from gradcheck_cli.errors import describe
from gradcheck_cli.foreign import call
from gradcheck_cli.numeric.curves import ForwardCurves
from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.numeric.estimate import Estimates, Outcome
from gradcheck_cli.numeric.ladder import differentiate
from gradcheck_cli.pairs import as_real
from gradcheck_cli.signature import show
from gradcheck_cli.source import name_of, place_of, raised_at
from gradcheck_cli.stream import Stream

Array = NDArray[Any]
Arrays = Mapping[int, Array]

_ULPS = 4.0  # that everything is moved by, to see what jvp rounds
_ROUNDINGS = 64.0  # of the terms of both products, that nothing is held to


def check_jvp(case: Case, gradients: Arrays, floors: Callable[[], Arrays]) -> Iterator[Finding]:
    """At most one finding: along a tangent of each input alone (None for the others), then of all of them.

    `floors` (backward's own rounding) is asked only where the two do not agree at once.
    """
    whole = gradients.keys() == set(case.op.differentiated) and all(np.all(np.isfinite(g)) for g in gradients.values())
    if case.op.jvp is None or not whole:
        return
    stream = Stream(case.op.name, case.seed, case.edge or case.index, "tangents")
    tangents = {p: np.asarray(_like(stream, case.inputs[p]), case.inputs[p].dtype) for p in gradients}
    alone = [{p: v} for p, v in tangents.items()]
    for moving in alone if len(alone) == 1 else [*alone, tangents]:
        finding = _contradiction(case, moving, gradients, floors)
        if finding is not None:
            yield finding
            return


def _like(stream: Stream, x: Array) -> Array:
    return stream.dyadic(x.shape) + 1j * stream.dyadic(x.shape) if x.dtype.kind == "c" else stream.dyadic(x.shape)


def _contradiction(case: Case, moving: Arrays, gradients: Arrays, floors: Callable[[], Arrays]) -> Finding | None:
    """What is wrong with jvp along these tangents."""
    assert case.op.jvp is not None
    assert case.outputs is not None
    name = place_of(case.op.jvp) or name_of(case.op.jvp)
    try:
        pushed = _push(case, moving, case.inputs, case.outputs.arrays)
    except Exception as error:  # It is somebody's jvp.
        place = raised_at(error)
        return _finding(case, moving, f"{name} raises {describe(error)}" + (f" at {place}" if place else ""))
    wanted = [y.shape for y in case.outputs.arrays]
    if [y.shape for y in pushed] != wanted:
        shapes = " ".join(show(y.shape) for y in pushed)
        return _finding(case, moving, f"{name} returns {shapes}; the output has shape {' '.join(map(show, wanted))}")
    cotangents = [as_real(w) for w in case.cotangents]
    terms = np.concatenate([(w * as_real(t)).reshape(-1) for w, t in zip(cotangents, pushed, strict=True)])
    direction = Direction(tuple((p, as_real(v)) for p, v in moving.items()))
    forwards, backwards = float(np.sum(terms)), direction.dot(gradients)
    epsilon = oracle_of(case).epsilon
    size = float(np.sum(np.abs(terms))) + direction.weigh(gradients)
    gap = abs(forwards - backwards) - _ROUNDINGS * epsilon * size
    if gap <= 0 or gap <= 2 * direction.weigh(floors()) + _rounding(case, moving, cotangents, forwards):
        return None
    along = _slopes(case, direction)
    if along is None:
        return None
    entries = np.concatenate([as_real(t).reshape(-1) for t in pushed])
    worst = int(np.argmax(np.abs(entries - along.value[0])))
    names = " and ".join(case.op.names[p] for p in moving)
    message = (
        f"along a random tangent of {names}, <w, Jv> is {forwards:.6g} by jvp and <J'w, v> is {backwards:.6g} by "
        f"backward. Entry {worst} of what {name} returns is {entries[worst]:.6g}; the numeric derivative is "
        f"{along.value[0, worst]:.6g} +- {along.bar[0, worst]:.1g}"
    )
    return _finding(case, moving, message, {"jvp": forwards, "vjp": backwards})


def _push(case: Case, moving: Arrays, inputs: Sequence[Array], outputs: Sequence[Array]) -> list[Array]:
    """Jv by the op's jvp; an output of integers has no slope, whatever stands there."""
    assert case.op.jvp is not None
    assert case.outputs is not None
    tangents = tuple(moving.get(p) for p in range(len(inputs)))
    answer = call(case.op.jvp, tangents, case.outputs.pack(outputs), *inputs, **case.params)
    pushed = [np.asarray(t) for t in (answer if isinstance(answer, (tuple, list)) else (answer,))]
    if len(pushed) != len(outputs):
        return pushed
    return [t if y.dtype.kind in "fc" else np.zeros(y.shape) for t, y in zip(pushed, outputs, strict=True)]


def _rounding(case: Case, moving: Arrays, cotangents: Sequence[Array], exact: float) -> float:
    """How far <w, Jv> moves when everything that jvp gets moves by a few ulps."""
    assert case.outputs is not None
    total, spread = exact, 0.0
    for turn in (1, -1):
        inputs, outputs = ([_moved(x, turn) for x in arrays] for arrays in (case.inputs, case.outputs.arrays))
        with suppress(Exception):  # Beside the edge of its domain it may raise anything.
            pushed = _push(case, moving, inputs, outputs)
            total = sum(float(np.sum(w * as_real(t))) for w, t in zip(cotangents, pushed, strict=True))
        spread = max(spread, abs(total - exact))
    return spread


def _moved(x: Array, turn: int) -> Array:
    if x.dtype.kind not in "fc" or not x.size:
        return x
    signs = np.where(np.arange(x.size) % 2, turn, -turn).reshape(x.shape)
    return np.asarray(x * (1 + _ULPS * np.finfo(x.dtype).eps * signs), x.dtype)


def _slopes(case: Case, direction: Direction) -> Estimates | None:
    """The slope of every output along a direction; None at a kink or worse, where two subgradients may differ."""
    oracle = oracle_of(case)
    curves = ForwardCurves(oracle.forward, oracle.inputs, [direction], oracle.limits)
    found = differentiate(curves)
    return found if np.all(found.outcome == Outcome.SMOOTH) else None


def _finding(case: Case, moving: Arrays, message: str, evidence: Mapping[str, object] | None = None) -> Finding:
    name = case.op.names[next(iter(moving))] if len(moving) == 1 else None
    advice = "derive jvp from the formula of backward: it is the same Jacobian"
    return Finding("GC602", "wrong_jvp", Severity.FAILURE, case, message, advice, name, evidence or {})
