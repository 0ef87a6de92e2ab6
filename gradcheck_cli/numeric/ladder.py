"""The ladder: derivatives of many curves at once, each with an error bar and without a tolerance.

Central differences at steps that halve, Richardson extrapolation, and a bar for every entry: what rounding and
measured noise leave, and what truncation leaves. The method and its constants: docs/numerics.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck_cli.numeric.conclude import View, conclude
from gradcheck_cli.numeric.estimate import BoolArray, Curves, Estimates, FloatArray, IntArray, Outcome
from gradcheck_cli.numeric.near import Neighbourhood
from gradcheck_cli.numeric.probe import FEW_LEVELS
from gradcheck_cli.numeric.rungs import Rungs

SECOND_LOOK = 91 / 128  # far from a power of 2: the second ladder shares no step with the first
CHUNK = 4096  # elements analysed at once: the tableau of a chunk stays in the cache
SLOPE_MARGIN = 4.0  # of the probe's slope, which is only asked whether it contradicts
SMALLER, LARGER = 1, 2  # which steps an element still needs
TINY = 2.0**-20  # points or borders nearer to 0 than this (in units of a step) get a ladder of their own size


@dataclass(frozen=True, slots=True)
class Plan:
    """Exponents e of the steps scale * 2^-e."""

    core: tuple[int, ...]
    larger: tuple[int, ...]
    smaller: tuple[int, ...]
    smallest: tuple[int, ...]
    target: float  # bars wider than this many roundings of the slope are worth more rungs


FLOAT64 = Plan(tuple(range(2, 11)), (-1, 0, 1), tuple(range(11, 21)), tuple(range(21, 33)), 2.0**12)
FLOAT32 = Plan(tuple(range(8)), (-3, -2, -1), tuple(range(8, 14)), tuple(range(14, 21)), 2.0**9)


def differentiate(curves: Curves, *, stretch: float = 1.0) -> Estimates:
    """Derivatives at t = 0 of all curves. `stretch` scales every step: SECOND_LOOK for a second opinion."""
    with np.errstate(all="ignore"):
        climb = Climb(curves, stretch)
        climb.ascend()
    return climb.estimates()


class Climb:
    """One run over all curves: what is known of them, and what was concluded."""

    def __init__(self, curves: Curves, stretch: float) -> None:
        self.curves, self.stretch = curves, stretch
        self.plan = FLOAT64 if curves.epsilon < 2.0**-40 else FLOAT32
        self.near = Neighbourhood(curves, stretch)
        self.calls = 0
        shape = self.near.start.shape
        self.result = {name: np.full(shape, np.nan) for name in ("value", "bar", "low", "high")}
        self.outcome = np.full(shape, int(Outcome.OUTSIDE))

    def ascend(self) -> None:
        """Core rungs for all; then only what still needs them, for those who do."""
        row, column = np.nonzero(np.isfinite(self.near.start))
        rungs = Rungs(row, column, self.near.start[row, column])
        unit = self.units(np.maximum(self.curves.high, -self.curves.low))
        needs = self.stage(rungs, unit, self.plan.core, np.ones(row.shape, bool))
        if self.near.widen(rungs, self.plan.core):
            needs = self.conclude(rungs, unit)
        for exponents, bit in (
            (self.plan.larger, LARGER),
            (self.plan.smaller, SMALLER),
            (self.plan.smallest, SMALLER),
        ):
            wants = np.flatnonzero(needs)
            rungs.keep(wants)
            needs = needs[wants]
            if np.any(needs & bit):
                needs = self.stage(rungs, unit, exponents, (needs & bit) > 0)
        rungs.keep(np.flatnonzero(needs & SMALLER))
        self.own_size(rungs)

    def own_size(self, rungs: Rungs) -> None:
        """x = 1e-12 or a border as near is a world of its own: start again with steps of that size."""
        near = np.fmin(self.curves.high, -self.curves.low)
        near = np.where(near > 0, near, np.inf)
        near = np.where(self.curves.size > 0, np.fmin(near, self.curves.size), near)
        rungs.keep(np.flatnonzero((near < TINY * self.curves.scale)[rungs.row]))
        rungs.taken.clear()
        unit = self.units(near)
        for exponents in (self.plan.core, self.plan.smaller):
            if rungs.row.size:
                needs = self.stage(rungs, unit, exponents, np.ones(rungs.row.shape, bool), only_better=True)
                rungs.keep(np.flatnonzero(needs & SMALLER))

    def units(self, room: FloatArray) -> FloatArray:
        """A step's unit: the curve's scale, but such that the first core rung fits into the room."""
        fitting = 2.0 ** (np.floor(np.log2(room)) + self.plan.core[0])
        return np.where(room > 0, np.minimum(self.curves.scale, fitting), self.curves.scale) * self.stretch

    def stage(
        self, rungs: Rungs, unit: FloatArray, exponents: tuple[int, ...], climbing: BoolArray, only_better: bool = False
    ) -> IntArray:
        """Take some rungs and conclude from all there are."""
        rows = np.unique(rungs.row[climbing])
        self.calls += rungs.climb(self.curves, rows, unit, list(exponents), self.near.start.shape[1])
        return self.conclude(rungs, unit, only_better)

    def conclude(self, rungs: Rungs, unit: FloatArray, only_better: bool = False) -> IntArray:
        """Judge all live elements, a chunk at a time; note the results and return which steps would help."""
        needs = np.zeros(len(rungs.row), int)
        for begin in range(0, len(rungs.row), CHUNK):
            chunk = np.arange(begin, min(begin + CHUNK, len(rungs.row)))
            found = conclude(self.view(rungs, unit, chunk))
            at = (rungs.row[chunk], rungs.column[chunk])
            new = np.ones(len(chunk), bool)
            if only_better:
                new = (found.bar < self.result["bar"][at]) | (self.outcome[at] != Outcome.SMOOTH)
            at = (at[0][new], at[1][new])
            for name, array in self.result.items():
                array[at] = getattr(found, name)[new]
            self.outcome[at] = found.outcome[new]
            needs[chunk] = SMALLER * found.smaller + LARGER * found.larger
        return needs

    def view(self, rungs: Rungs, unit: FloatArray, chunk: IntArray) -> View:
        """Everything known about some elements, side by side."""
        row = rungs.row[chunk]
        at = (row, rungs.column[chunk])
        taken = [rungs.taken[e] for e in sorted(rungs.taken)]
        near, first, epsilon = self.near, self.near.first, self.curves.epsilon
        noise, width = near.noise(at), near.width[row]
        return View(
            t=np.array([r.t[:, row] for r in taken]),
            move=np.array([r.move[:, chunk] for r in taken]),
            level=np.maximum([r.level[chunk] for r in taken], near.level[at]),
            level_here=near.level[at],
            noise=noise,
            epsilon=epsilon,
            size=self.curves.size[row],
            unit=unit[row],
            target=self.plan.target,
            macro=macro(rungs, chunk),
            slope=first.slope[at],
            slope_error=SLOPE_MARGIN
            * first.reach[row, 0]
            * np.maximum(noise, epsilon * np.abs(first.slope[at]) * width),
            kinked=first.kinked[at],
            width=width,
            flat=first.levels[at] <= FEW_LEVELS,
            jump=near.jump[at],
            grain=near.grain[at],
            unclear=near.unclear[at],
        )

    def estimates(self) -> Estimates:
        """What was found, for everybody."""
        r = self.result
        bar = np.where(np.isnan(r["bar"]) | np.isnan(r["value"]), np.inf, r["bar"])
        outcome = np.where(self.near.restless, int(Outcome.NONDETERMINISTIC), self.outcome)
        return Estimates(r["value"], bar, r["low"], r["high"], outcome, self.calls + self.near.calls)


def macro(rungs: Rungs, chunk: IntArray) -> FloatArray:
    """The central difference on a large step, for a second candidate."""
    rung = rungs.taken[3]
    t = rung.t[:, rungs.row[chunk]]
    return np.asarray((rung.move[0, chunk] - rung.move[1, chunk]) / (t[0] - t[1]))
