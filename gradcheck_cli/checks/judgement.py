"""Slopes that backward claims beside slopes that were measured: along each direction, who is right?

For a cotangent w and a direction v, the slope of t -> <w, f(x + t v)> must be <v, backward(w)>.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.checks.oracle import Oracle
from gradcheck_cli.numeric import classic
from gradcheck_cli.numeric.classic import Classic
from gradcheck_cli.numeric.complex_step import sharpen
from gradcheck_cli.numeric.curves import ForwardCurves
from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.numeric.estimate import Estimates, FloatArray, Outcome, concatenate
from gradcheck_cli.numeric.glimpses import Glimpses, Group
from gradcheck_cli.numeric.ladder import SECOND_LOOK, differentiate
from gradcheck_cli.numeric.quick import Plan, look

Array = NDArray[Any]

_WELL_WITHIN, _ROUGH = 3, 1e-6  # halvings of a distance; bars, relative to the largest slope, that are good enough
_WIDE = 1e-9  # of the largest slope: a bar that the complex step should try to narrow
_QUOTIENT = 4.0  # roundings that a plain difference quotient may be off by
_PLACES, _INSIDE = (-0.99, -0.41, 0.05, 0.46, 0.98), 2.0**-12  # where slopes inside are measured, and half how wide
_AT_ONCE = 2**24  # directions times outputs that are differentiated at once
_PER_OUTPUT, _ROWS = 2**18, 16  # values per step, and directions, that a second look takes per output element at once


@dataclass(frozen=True)
class Slopes:
    """Measured slopes, one per direction."""

    value: FloatArray
    bar: FloatArray  # error bar; backward's own rounding included
    low: FloatArray  # one-sided slopes at a kink: anything between them is a subgradient
    high: FloatArray
    outcome: NDArray[np.integer[Any]]

    def take(self, rows: Sequence[int] | NDArray[Any]) -> Slopes:
        """The slopes of some directions."""
        return Slopes(self.value[rows], self.bar[rows], self.low[rows], self.high[rows], self.outcome[rows])

    def put(self, rows: NDArray[np.intp], other: Slopes) -> Slopes:
        """The same with other answers for some directions."""
        merged = []
        for name in ("value", "bar", "low", "high", "outcome"):
            column = np.array(getattr(self, name))
            column[rows] = getattr(other, name)
            merged.append(column)
        return Slopes(*merged)


@dataclass(frozen=True)
class Judgement:
    """Claims and measurements side by side."""

    directions: list[Direction]
    claimed: FloatArray  # <v, backward(w)>
    measured: Slopes

    @property
    def deviation(self) -> FloatArray:
        """Distance of the claimed slope from the interval of right answers."""
        with np.errstate(all="ignore"):
            gap = np.maximum(self.claimed - self.measured.high, self.measured.low - self.claimed)
        return np.where(np.isfinite(gap), np.maximum(gap, 0.0), np.inf)

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Where an answer was possible."""
        answered: NDArray[np.bool_] = np.isin(self.measured.outcome, (Outcome.SMOOTH, Outcome.KINK))
        settled: NDArray[np.bool_] = answered & np.isfinite(self.measured.bar) & ~self._mixed
        return settled

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Where the claimed slope lies outside of the error bar."""
        return self.judged & self._outside

    @property
    def _outside(self) -> NDArray[np.bool_]:
        outside: NDArray[np.bool_] = self.deviation > self.measured.bar
        return outside

    @property
    def _mixed(self) -> NDArray[np.bool_]:
        """Outside of the interval at a kink, along a direction through many entries.

        Several kinks may meet in one output there, and |x| - |y| has subgradients outside of its one-sided slopes.
        """
        dense = np.array([d.entry is None for d in self.directions], dtype=bool)
        mixed: NDArray[np.bool_] = dense & (self.measured.outcome == Outcome.KINK) & self._outside
        return mixed

    def put(self, rows: NDArray[np.intp], slopes: Slopes) -> Judgement:
        """The same with other measurements along some of the directions."""
        return Judgement(self.directions, self.claimed, self.measured.put(rows, slopes))

    def unless_far_off(self, other: Judgement, rows: NDArray[np.intp]) -> Judgement:
        """The same, but as in `other` where no output's noise, step or jump can explain the claim.

        What is worse than a kink decides nothing; but a claim beyond all candidate slopes is wrong whichever was meant.
        """
        hopeless = self._outside[rows] & (self.measured.outcome[rows] > Outcome.KINK)
        return self.put(rows[hopeless], other.measured.take(rows[hopeless]))

    def take(self, rows: Sequence[int]) -> Judgement:
        """The same for some of the directions."""
        return Judgement([self.directions[r] for r in rows], self.claimed[rows], self.measured.take(rows))


def judge(
    oracle: Oracle,
    directions: list[Direction],
    gradients: Mapping[int, Array],
    floors: Mapping[int, Array],
    tolerances: Classic | None,
) -> Judgement:
    """Compare along the directions, and look again where the first look objects.

    `gradients` and `floors` (backward's own rounding) are real arrays by input position.
    """
    if tolerances:
        claimed = np.array([d.dot(gradients) for d in directions])
        estimates = classic.differentiate(_curves(oracle, directions, projected=True), tolerances)
        return Judgement(directions, claimed, _slopes(estimates, np.zeros(len(directions))))
    first = glance(oracle, directions, gradients, floors)
    doubtful = np.flatnonzero(first.wrong | (first.measured.outcome != Outcome.SMOOTH))
    if not doubtful.size:
        return first
    return _look_again(oracle, first, doubtful, _floor(oracle, directions, gradients, floors))


def glance(
    oracle: Oracle, directions: list[Direction], gradients: Mapping[int, Array], floors: Mapping[int, Array]
) -> Judgement:
    """One look along each direction: enough to believe that a slope is right."""
    claimed = np.array([d.dot(gradients) for d in directions])
    floor = _floor(oracle, directions, gradients, floors)
    return Judgement(directions, claimed, _slopes(_differentiate(oracle, directions), floor))


def slopes_along(oracle: Oracle, directions: Sequence[Direction]) -> Slopes:
    """One look along each direction, whatever is claimed."""
    return _slopes(_differentiate(oracle, directions), np.zeros(len(directions)))


def slopes_within(oracle: Oracle, directions: Sequence[Direction], distance: float) -> Slopes:
    """The same of a function that is smooth only so far around, in units of what moves; by few steps where these do."""
    first = -round(math.log2(distance)) + _WELL_WITHIN
    curves = Glimpses(oracle.points, [Group(directions)], oracle.limits, oracle.weights)
    seen = look(curves, Plan((first, first + 1)))
    value = seen.value
    slopes = Slopes(value, seen.bar, value, value, np.zeros(len(directions), int))
    rough = np.flatnonzero(~(seen.bar <= _ROUGH * np.max(np.abs(value), initial=0.0, where=np.isfinite(value))))
    if not rough.size:
        return slopes
    return slopes.put(rough, slopes_along(oracle, [directions[int(row)] for row in rough]))


def unknown(count: int) -> Slopes:
    """Slopes of which nothing is known."""
    nothing = np.full(count, np.nan)
    return Slopes(nothing, np.full(count, np.inf), nothing, nothing, np.full(count, int(Outcome.OUTSIDE)))


def jacobian(oracle: Oracle, directions: Sequence[Direction]) -> FloatArray:
    """(directions, outputs): the slope of every output element; at a kink, the middle of its slopes."""
    return differentiate(_curves(oracle, directions, projected=False)).value


def quotients(
    oracle: Oracle, directions: Sequence[Direction], step: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """One-sided difference quotients over a small step (in units of what moves), and what rounding does to them."""
    curves = _curves(oracle, directions, projected=True)
    rows, t = np.arange(len(directions)), step * curves.scale
    sides = curves(rows, t), curves(rows, -t)
    with np.errstate(all="ignore"):
        ahead, behind = (side.value[:, 0] / side.t for side in sides)
        level = np.maximum(sides[0].level, sides[1].level)[:, 0]
        return ahead, behind, _QUOTIENT * curves.epsilon * level / np.minimum(sides[0].t, -sides[1].t)


def across_and_inside(
    oracle: Oracle, directions: Sequence[Direction], width: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Slopes over [-width, width], in units of what moves: across (K,), at places inside (P, K), and the noise (K,).

    Where a function does not jump it changes by the integral of its slope: that of the whole is a mean of those inside.
    """
    curves = _curves(oracle, directions, projected=True)
    half = width * curves.scale
    ends = np.concatenate([[-1.0, 1.0], *((place - _INSIDE, place + _INSIDE) for place in _PLACES)])
    rows = np.tile(np.arange(len(directions)), len(ends))
    with np.errstate(all="ignore"):
        seen = curves(rows, (ends[:, None] * half).reshape(-1))
        value, t, level = (x.reshape(len(ends) // 2, 2, -1) for x in (seen.value, seen.t, seen.level))
        apart = t[:, 1] - t[:, 0]
        slopes = (value[:, 1] - value[:, 0]) / apart
        noise = _QUOTIENT * curves.epsilon * np.max(level.max(axis=1) / apart, axis=0)
    return slopes[0], slopes[1:], noise


def _floor(
    oracle: Oracle, directions: list[Direction], gradients: Mapping[int, Array], floors: Mapping[int, Array]
) -> FloatArray:
    """What rounding may do to <v, g>: that of backward, of x + t v and of the dot product."""
    return np.array([d.weigh(floors) + oracle.epsilon * d.weigh(gradients) for d in directions])


def _look_again(oracle: Oracle, first: Judgement, doubtful: NDArray[np.intp], floor: FloatArray) -> Judgement:
    """Other steps for what is wrong or not smooth; then, input by input, per output element.

    A gradient is wrong only where two looks say so: a slope that the first look could not judge cannot become wrong.
    """
    again = [first.directions[i] for i in doubtful]
    second = first.put(doubtful, _slopes(_differentiate(oracle, again, SECOND_LOOK), floor[doubtful]))
    alone = second.wrong & ~np.isin(first.measured.outcome, (Outcome.SMOOTH, Outcome.KINK))
    judgement = second.put(np.flatnonzero(alone), first.measured.take(alone))
    by_input: dict[tuple[int, ...], list[int]] = {}
    for row in doubtful[np.lexsort((-judgement.deviation[doubtful], judgement.wrong[doubtful]))]:
        by_input.setdefault(tuple(p for p, _ in first.directions[row].moves), []).append(int(row))
    for rows in by_input.values():  # Kinks and worse come first, then what looks most wrong.
        for batch in _batches(np.array(rows), oracle.weights.size):
            rough, slopes = _per_output(oracle, [first.directions[i] for i in batch], floor[batch])
            judgement = judgement.put(batch[rough], slopes).unless_far_off(judgement, batch[rough])
            if judgement.take(batch.tolist()).wrong.any():
                break  # One confirmed error is enough for an input: the rest is counted by the projected slopes.
    return judgement


def _batches(rows: NDArray[np.intp], width: int) -> Iterator[NDArray[np.intp]]:
    """Rows whose outputs, `width` each, are looked at together; none where even one is too wide."""
    size = min(_PER_OUTPUT // max(width, 1), _ROWS)
    for start in range(0, len(rows) if size else 0, max(size, 1)):
        yield rows[start : start + size]


def _differentiate(oracle: Oracle, directions: Sequence[Direction], stretch: float = 1.0) -> Estimates:
    """The ladder, and the complex step for a second opinion where bars are wide; as many at once as memory allows."""
    if not directions:
        nothing = np.empty((0, 1))
        return Estimates(nothing, nothing, nothing, nothing, nothing.astype(int), 0)
    size = max(_AT_ONCE // max(oracle.weights.size, 1), 1)
    parts = []
    for start in range(0, len(directions), size):
        curves = _curves(oracle, directions[start : start + size], projected=True)
        found = differentiate(curves, stretch=stretch)
        wide = found.bar > _WIDE * np.max(np.abs(found.value), initial=0.0, where=np.isfinite(found.value))
        parts.append(sharpen(found, curves) if wide.any() else found)
    return concatenate(parts)


def _curves(oracle: Oracle, directions: Sequence[Direction], projected: bool) -> ForwardCurves:
    weights = oracle.weights if projected else None
    points = oracle.points
    return ForwardCurves(points.forward, points.inputs, directions, oracle.limits, weights, oracle.analytic, points)


def _slopes(estimates: Estimates, floor: FloatArray) -> Slopes:
    """Projected estimates, with backward's own rounding added to the bars."""
    e = estimates
    return Slopes(e.value[:, 0], e.bar[:, 0] + floor, e.low[:, 0], e.high[:, 0], e.outcome[:, 0])


def _per_output(oracle: Oracle, directions: Sequence[Direction], floor: FloatArray) -> tuple[NDArray[np.intp], Slopes]:
    """Which directions meet a kink or worse in some output element, and sums of intervals w_i [low_i, high_i] for them.

    Projecting on the cotangent first would hide kinks of opposite sign: relu(t) - relu(-t) = t looks smooth; and a sum
    of functions that move in steps looks like one that is merely rough.
    """
    weights = oracle.weights
    e = differentiate(_curves(oracle, directions, projected=False), stretch=SECOND_LOOK)
    worst = np.max(np.where(weights == 0, int(Outcome.SMOOTH), e.outcome), axis=1)
    rows = np.flatnonzero(worst >= Outcome.KINK)
    slope, bar, low, high = (np.nan_to_num(x[rows], nan=0.0) for x in (e.value, e.bar, e.low, e.high))
    ends = weights * low, weights * high
    slopes = Slopes(
        value=slope @ weights,
        bar=np.sum(np.where(weights == 0, 0.0, bar * np.abs(weights)), axis=1) + floor[rows],
        low=np.sum(np.minimum(*ends), axis=1),
        high=np.sum(np.maximum(*ends), axis=1),
        outcome=worst[rows],
    )
    return rows, slopes
