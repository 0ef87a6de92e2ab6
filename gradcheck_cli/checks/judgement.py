"""Slopes that backward claims beside slopes that were measured: along each direction, who is right?

For a cotangent w and a direction v, the slope of t -> <w, f(x + t v)> must be <v, backward(w)>.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.checks.oracle import Oracle
from gradcheck_cli.numeric import classic
from gradcheck_cli.numeric.classic import Classic
from gradcheck_cli.numeric.complex_step import sharpen
from gradcheck_cli.numeric.curves import Direction, ForwardCurves
from gradcheck_cli.numeric.estimate import Estimates, FloatArray, Outcome
from gradcheck_cli.numeric.ladder import SECOND_LOOK, differentiate

Array = NDArray[Any]

_WIDE = 1e-9  # of the largest slope: a bar that the complex step should try to narrow
_PER_OUTPUT, _ROWS = 2**20, 16  # values per step, and directions, that a second look takes per output element at once


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
        dense = np.array([not d.is_unit for d in self.directions], dtype=bool)
        mixed: NDArray[np.bool_] = dense & (self.measured.outcome == Outcome.KINK) & self._outside
        return mixed

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
    claimed = np.array([d.dot(gradients) for d in directions])
    curves = _curves(oracle, directions, projected=True)
    # x + t v is rounded, and so is the dot product: by an ulp of every term.
    floor = np.array([d.weigh(floors) + curves.epsilon * d.weigh(gradients) for d in directions])
    if tolerances:
        return Judgement(directions, claimed, _slopes(classic.differentiate(curves, tolerances), floor))
    first = Judgement(directions, claimed, _slopes(_differentiate(curves), floor))
    # Kinks and worse come first, then what looks most wrong.
    doubtful = np.flatnonzero(first.wrong | (first.measured.outcome != Outcome.SMOOTH))
    doubtful = doubtful[np.lexsort((-first.deviation[doubtful], first.wrong[doubtful]))]
    if not doubtful.size:
        return first
    again = [directions[i] for i in doubtful]
    second = _slopes(_differentiate(_curves(oracle, again, projected=True), SECOND_LOOK), floor[doubtful])
    judgement = Judgement(directions, claimed, first.measured.put(doubtful, second))
    for rows in _batches(doubtful, oracle.weights.size):
        kinks, slopes = _per_output(oracle, [directions[i] for i in rows], floor[rows])
        judgement = Judgement(directions, claimed, judgement.measured.put(rows[kinks], slopes))
        if judgement.take(rows.tolist()).wrong.any():
            break  # One confirmed error is enough: the rest is counted by the projected slopes.
    return judgement


def _batches(rows: NDArray[np.intp], width: int) -> Iterator[NDArray[np.intp]]:
    """Rows whose outputs, `width` each, are looked at together; none where even one is too wide."""
    size = min(_PER_OUTPUT // max(width, 1), _ROWS)
    for start in range(0, len(rows) if size else 0, max(size, 1)):
        yield rows[start : start + size]


def _differentiate(curves: ForwardCurves, stretch: float = 1.0) -> Estimates:
    """The ladder; where its bars are wide, the complex step may have a second opinion."""
    found = differentiate(curves, stretch=stretch)
    wide = found.bar > _WIDE * np.max(np.abs(found.value), initial=0.0, where=np.isfinite(found.value))
    return sharpen(found, curves) if wide.any() else found


def _curves(oracle: Oracle, directions: Sequence[Direction], projected: bool) -> ForwardCurves:
    weights = oracle.weights if projected else None
    return ForwardCurves(oracle.forward, oracle.inputs, directions, oracle.limits, weights, oracle.analytic)


def _slopes(estimates: Estimates, floor: FloatArray) -> Slopes:
    """Projected estimates, with backward's own rounding added to the bars."""
    e = estimates
    return Slopes(e.value[:, 0], e.bar[:, 0] + floor, e.low[:, 0], e.high[:, 0], e.outcome[:, 0])


def _per_output(oracle: Oracle, directions: Sequence[Direction], floor: FloatArray) -> tuple[NDArray[np.intp], Slopes]:
    """Which directions meet a kink in some output element, and their slopes: sums of intervals w_i [low_i, high_i].

    Projecting on the cotangent first would hide kinks of opposite sign: relu(t) - relu(-t) = t looks smooth.
    """
    weights = oracle.weights
    e = differentiate(_curves(oracle, directions, projected=False), stretch=SECOND_LOOK)
    # All smooth is no news, and something worse than a kink no help.
    rows = np.flatnonzero(np.max(e.outcome, axis=1) == Outcome.KINK)
    ends = weights * e.low[rows], weights * e.high[rows]
    slopes = Slopes(
        value=e.value[rows] @ weights,
        bar=e.bar[rows] @ np.abs(weights) + floor[rows],
        low=np.sum(np.minimum(*ends), axis=1),
        high=np.sum(np.maximum(*ends), axis=1),
        outcome=np.full(len(rows), int(Outcome.KINK)),
    )
    return rows, slopes
