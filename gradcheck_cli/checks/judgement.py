"""A gradient against the numeric derivative: slopes along directions, side by side, and who is right.

For a cotangent w and a direction v, the slope of t -> <w, f(x + t v)> must be <v, backward(w)>.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.domain import Domain
from gradcheck_cli.numeric import classic
from gradcheck_cli.numeric.classic import Classic
from gradcheck_cli.numeric.curves import Direction, ForwardCurves
from gradcheck_cli.numeric.difference import differentiate
from gradcheck_cli.numeric.estimate import Estimates, FloatArray, Outcome
from gradcheck_cli.sample import Case
from gradcheck_cli.stream import Stream

Array = NDArray[Any]
Columns = tuple[FloatArray, FloatArray, FloatArray, FloatArray, NDArray[np.integer[Any]]]

PROBES = 3  # random directions through a large input
SPREAD = 16  # and single coordinates of it
_SECOND_LOOK = 91 / 128  # other steps for a gradient that looks wrong: no power of two relates them to the first


@dataclass(frozen=True)
class Judgement:
    """Slopes of one input along its directions, side by side."""

    directions: list[Direction]
    claimed: FloatArray  # <v, backward(w)>
    numeric: FloatArray
    bar: FloatArray  # of the numeric slope, plus backward's own rounding
    low: FloatArray  # one-sided slopes: anything between them is a subgradient
    high: FloatArray
    outcome: NDArray[np.integer[Any]]

    @property
    def deviation(self) -> FloatArray:
        """Distance of the claimed slope from the interval of right answers."""
        with np.errstate(all="ignore"):
            gap = np.maximum(self.claimed - self.high, self.low - self.claimed)
        return np.where(np.isfinite(gap), np.maximum(gap, 0.0), np.inf)

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Where an answer was possible."""
        answered: NDArray[np.bool_] = np.isin(self.outcome, (Outcome.SMOOTH, Outcome.KINK)) & np.isfinite(self.bar)
        return answered

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Where the claimed slope lies outside of the error bar."""
        outside: NDArray[np.bool_] = self.judged & (self.deviation > self.bar)
        return outside

    def revised(self, rows: NDArray[np.intp], columns: Columns) -> Judgement:
        """The same with another look at some of the directions."""
        merged = [np.array(column) for column in (self.numeric, self.bar, self.low, self.high, self.outcome)]
        for column, update in zip(merged, columns, strict=True):
            column[rows] = update
        return Judgement(self.directions, self.claimed, *merged)


def judge(
    case: Case,
    position: int,
    gradient: Array,
    floor: Array,
    directions: list[Direction],
    tolerances: Classic | None,
) -> Judgement:
    """Compare along the directions, and look again where the first look objects."""
    forward, inputs = _oracle(case)
    weights = np.concatenate([np.asarray(w, np.float64).reshape(-1) for w in case.cotangents])
    limits = [d.limits for d in case.op.domains]

    def curves(rows: Sequence[Direction], projected: bool) -> ForwardCurves:
        return ForwardCurves(forward, inputs, rows, limits, weights if projected else None)

    claimed = np.array([d.dot({position: gradient}) for d in directions])
    floors = np.array([d.weigh({position: floor}) for d in directions])
    if tolerances:
        first = classic.differentiate(curves(directions, projected=True), tolerances)
    else:
        first = differentiate(curves(directions, projected=True))
    judgement = Judgement(directions, claimed, *_columns(first, floors))
    doubtful = np.flatnonzero(judgement.wrong | (judgement.outcome != Outcome.SMOOTH))
    if tolerances or not doubtful.size:
        return judgement
    rows = [directions[i] for i in doubtful]
    again = differentiate(curves(rows, projected=True), stretch=_SECOND_LOOK)
    per_output = _project(curves(rows, projected=False), weights, floors[doubtful])
    return judgement.revised(doubtful, _merge(_columns(again, floors[doubtful]), per_output))


def _columns(estimates: Estimates, floors: FloatArray) -> Columns:
    """Numeric slope, bar, low, high and outcome of projected estimates."""
    e = estimates
    return e.value[:, 0], e.bar[:, 0] + floors, e.low[:, 0], e.high[:, 0], e.outcome[:, 0]


def _project(curves: ForwardCurves, weights: FloatArray, floors: FloatArray) -> Columns:
    """Slopes per output element, projected on the cotangent afterwards, as sums of intervals w_i [low_i, high_i].

    Projecting first would hide kinks of opposite sign: relu(t) - relu(-t) = t looks smooth.
    """
    columns: list[list[float]] = [[], [], [], [], []]
    for row, floor in enumerate(floors):
        e = differentiate(curves.only(row), stretch=_SECOND_LOOK)
        with np.errstate(all="ignore"):
            ends = weights * e.low[0], weights * e.high[0]
            sums = (
                np.sum(weights * e.value[0]),
                np.sum(np.abs(weights) * e.bar[0]) + floor,
                np.sum(np.minimum(*ends)),
                np.sum(np.maximum(*ends)),
                np.max(e.outcome[0]),
            )
        for column, entry in zip(columns, sums, strict=True):
            column.append(float(entry))
    value, bar, low, high, outcome = map(np.array, columns)
    return value, bar, low, high, outcome.astype(np.int8)


def _merge(smooth: Columns, per_output: Columns) -> Columns:
    """The projected slope, whose bar is narrower; the sum of intervals where an output has a kink on the way."""
    is_kink = per_output[4] == Outcome.KINK
    value, bar, low, high, outcome = (np.where(is_kink, k, s) for k, s in zip(per_output, smooth, strict=True))
    return value, bar, low, high, outcome


def _oracle(case: Case) -> tuple[Callable[[Sequence[Array]], Sequence[Array]], list[Array]]:
    """Forward and inputs to differentiate: in float64 where forward computes in it, else in the case's dtype.

    A float32 forward rounds at 1e-7 and its slopes at 1e-5; the same function in float64 judges a float32 gradient
    far more finely.
    """
    op, params = case.op, case.params

    def forward(inputs: Sequence[Array]) -> Sequence[Array]:
        return op.run([x.copy() for x in inputs] if case.mutated else inputs, params).arrays

    inputs = list(case.inputs)
    if not any(x.dtype == np.float32 for x in inputs):
        return forward, inputs
    wide = [x.astype(np.float64) if x.dtype == np.float32 else x for x in inputs]
    try:
        outputs = forward(wide)
    except Exception:  # A forward for float32 alone.
        return forward, inputs
    assert case.outputs is not None
    same_shapes = [y.shape for y in outputs] == [y.shape for y in case.outputs.arrays]
    return (forward, wide) if same_shapes and all(y.dtype == np.float64 for y in outputs) else (forward, inputs)


def coordinates(case: Case, position: int, entries: Sequence[int] | None = None) -> Iterator[Direction]:
    """One direction per entry, projected into the domain."""
    x, domain = case.inputs[position], case.op.domains[position]
    free = type(domain).project is Domain.project
    for entry in range(x.size) if entries is None else entries:
        if free:
            yield Direction(((position, entry),))
        else:
            unit = np.zeros(x.shape)
            unit.reshape(-1)[entry] = 1.0
            yield Direction(((position, domain.project(unit)),))


def probes(case: Case, position: int) -> Iterator[Direction]:
    """Random signed directions through all entries, and single entries spread over the input."""
    x, domain = case.inputs[position], case.op.domains[position]
    stream = Stream(case.op.name, case.seed, case.index, "direction", position)
    for _ in range(PROBES):
        yield Direction(((position, domain.project(stream.dyadic(x.shape))),))
    starts = np.linspace(0, x.size, SPREAD, endpoint=False).astype(int)
    width = x.size // SPREAD
    yield from coordinates(case, position, [int(s) + stream.one(width) for s in starts])


def scale_of(case: Case, gradient: Array, judgement: Judgement) -> float:
    """The largest entry of the gradient, which deviations and resolutions are relative to.

    A gradient of zero to within its error bar has no largest entry; the natural size of a slope, |w| |f| / |x|,
    stands in for it.
    """
    units = [isinstance(step, int) for d in judgement.directions for _, step in d.moves]
    slopes = [s for s, unit in zip(judgement.numeric, units, strict=True) if unit and np.isfinite(s)]
    largest = float(max(np.max(np.abs(gradient)), np.max(np.abs(slopes), initial=0.0)))
    finite = judgement.bar[np.isfinite(judgement.bar)]
    if largest > np.max(finite, initial=0.0):
        return largest
    assert case.outputs is not None
    outputs = max(float(np.max(np.abs(y), initial=0.0)) for y in case.outputs.arrays)
    inputs = max(float(np.max(np.abs(x), initial=1.0)) for x in case.inputs if x.dtype.kind == "f")
    weights = max(float(np.max(np.abs(w), initial=0.0)) for w in case.cotangents)
    return max(largest, weights * outputs / inputs) or 1.0


def resolution_of(judgement: Judgement) -> float:
    """The smallest error of a single entry that would have been caught."""
    along = [bar for bar, d in zip(judgement.bar, judgement.directions, strict=True) if not is_unit(d)]
    # Along a random direction an entry's error is multiplied by |v| >= 1/2; every probe sees every entry.
    return float(2 * min(along) if along else np.max(judgement.bar))


def is_unit(direction: Direction) -> bool:
    """Whether a direction moves single entries by one."""
    return all(isinstance(step, int) for _, step in direction.moves)
