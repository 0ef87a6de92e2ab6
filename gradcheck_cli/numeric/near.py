"""What is known of the function next to the point: its value, its noise, and whether it moves in steps.

A probe of a few million ulps sees rounding, but not the steps of a function that rounds more coarsely inside
(float16 in float64, a table, a large number added and taken away again): it is flat there, while the ladder
moves. Then wider probes tell. Both stories are kept where they cannot: `unclear`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradcheck_cli.numeric.estimate import BoolArray, Curves, FloatArray, IntArray
from gradcheck_cli.numeric.probe import (
    FEW_LEVELS,
    JUMP_FACTOR,
    JUMP_ULPS,
    LARGEST_GRAIN,
    MANY_LEVELS,
    Probe,
    lattice,
    probe,
    window,
)
from gradcheck_cli.numeric.rungs import Rungs

SIGMAS = 6.0  # the scatter of nine values about a fit may understate the noise several times
WIDER, MOST_WIDENINGS, WIDEST = 64.0, 4, 2.0**-6


class Neighbourhood:
    """f(x) twice, one probe of all curves, and wider ones where asked for. Arrays are (K, E)."""

    def __init__(self, curves: Curves, stretch: float) -> None:
        self.curves, self.stretch = curves, stretch
        rows = np.arange(len(curves.scale))
        once, again = curves(rows, np.zeros(len(rows))), curves(rows, np.zeros(len(rows)))
        self.calls = 2 * len(rows)
        self.start = once.value
        same = (once.value == again.value) | (np.isnan(once.value) & np.isnan(again.value))
        self.restless = ~same
        width, _ = window(curves)
        self.first = self.look(rows, width)
        self.width = self.first.width[:, 0]
        self.level = np.maximum(np.nan_to_num(once.level, posinf=0.0), self.first.level)
        self.jump = self.first.jump.copy()
        self.grain = np.zeros(self.start.shape)  # spacing or scatter of the steps that only a wider look shows
        self.unclear = np.zeros(self.start.shape, bool)  # flat in the small, moving in the large, no steps found

    def look(self, rows: IntArray, width: FloatArray) -> Probe:
        """Probe some rows, within the room that they have."""
        room = np.maximum(self.curves.high[rows], -self.curves.low[rows])
        width = np.where(room > 0, np.minimum(width, room), width)
        seen, calls = probe(self.curves, rows, width, self.start[rows], self.stretch)
        self.calls += calls
        return seen

    def noise(self, at: tuple[IntArray, IntArray]) -> FloatArray:
        """What a value near the point may be off by: rounding, scatter, steps."""
        rounding = self.curves.epsilon * self.level[at]
        return np.asarray(np.maximum(np.maximum(rounding, SIGMAS * self.first.sigma[at]), self.grain[at]))

    def widen(self, rungs: Rungs, core: Sequence[int]) -> bool:
        """Look wider where the probe was (almost) flat but the ladder moves, or saw a step; whether it did."""
        at = (rungs.row, rungs.column)
        floor = self.curves.epsilon * self.level[at]
        few = self.first.levels[at] <= FEW_LEVELS
        both = few & both_sides_move(rungs, (2, 3, 4))
        flat = few & (steepest(rungs, core) * self.width[rungs.row] > 16 * floor) | both
        open_ = np.flatnonzero(flat | (self.first.jump[at] > JUMP_ULPS * floor))
        touched = bool(open_.size)
        width = self.width
        self.unclear[at] = flat & both
        for _ in range(MOST_WIDENINGS):
            if not open_.size:
                break
            rows, place = np.unique(rungs.row[open_], return_inverse=True)
            width = np.maximum(WIDER * width, self.curves.epsilon * 2.0**27 * self.curves.scale)
            width = np.minimum(width, WIDEST * self.curves.scale)  # beyond, steps may be the function's own
            seen = self.look(rows, width[rows])
            there = (rungs.row[open_], rungs.column[open_])
            open_ = open_[self.learn(seen, (place, there[1]), there)]
        self.read_lattice(rungs, core, open_)
        return touched

    def learn(self, wide: Probe, here: tuple[IntArray, IntArray], there: tuple[IntArray, IntArray]) -> BoolArray:
        """Take over what a wider look saw of some elements; which are still undecided?"""
        first, jump = self.first, self.jump[there]
        # One jump stays one jump; a quantised function has more steps the wider one looks.
        smooth_part = 2 * first.third[there] * wide.width[here[0], 0] / self.width[there[0]]
        alone = (first.jump[there] > 0) & (wide.third[here] <= np.maximum(jump / JUMP_FACTOR, smooth_part))
        self.jump[there] = np.where(alone, jump, 0)
        many = wide.levels[here] >= MANY_LEVELS
        quantum = lattice(wide.values[:, here[0], here[1]])
        self.grain[there] = np.maximum(quantum, np.where(many & (quantum == 0), 8 * wide.sigma[here], 0))
        self.unclear[there] &= self.grain[there] == 0
        return np.asarray(~many)

    def read_lattice(self, rungs: Rungs, core: Sequence[int], where: IntArray) -> None:
        """Steps too coarse for any window: the rungs themselves show them, if all moves are multiples of one."""
        if not where.size:
            return
        moves = np.concatenate([rungs.taken[e].move[:, where] for e in core])
        level = np.max([rungs.taken[e].level[where] for e in core], axis=0)
        quantum = lattice(np.nan_to_num(moves))
        at = (rungs.row[where], rungs.column[where])
        # Coarser than any format's rounding, steps are the function's own: round, sign, floor.
        rounding = (quantum > 0) & (quantum < LARGEST_GRAIN * level)
        # A relu's moves are multiples too, of the dyadic steps themselves; but not on both sides.
        sides = [np.any([rungs.taken[e].move[side, where] for e in core], axis=0) for side in (0, 1)]
        rounding &= sides[0] & sides[1]
        self.grain[at] = np.where(rounding, np.maximum(quantum, self.grain[at]), self.grain[at])
        self.unclear[at] &= ~rounding


def steepest(rungs: Rungs, core: Sequence[int]) -> FloatArray:
    """The largest |slope| on the smaller half of the core."""
    half = [rungs.taken[e] for e in core[len(core) // 2 :]]
    slopes = [np.abs(r.move / r.t[:, rungs.row]) for r in half]
    return np.asarray(np.nan_to_num(np.fmax.reduce(slopes, axis=(0, 1))))


def both_sides_move(rungs: Rungs, exponents: tuple[int, ...]) -> BoolArray:
    """Whether large steps move the function ahead and behind: it is no relu or step with its flat side here."""
    moves = np.abs([rungs.taken[e].move for e in exponents])
    return np.asarray(np.min(moves, axis=(0, 1)) > 0)
