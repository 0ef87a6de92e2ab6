"""Differences f(x + t v) - f(x) on the rungs of the ladder, for the elements that still need them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import numpy as np

from gradcheck_cli.numeric.estimate import Curves, FloatArray, IntArray, Samples

LARGEST_BATCH = 2**22  # values asked for in one call of the curves: 32 MiB


@dataclass(slots=True)
class Rung:
    """One step h = unit * 2^-e both ways, index 0 ahead and 1 behind; NaN where it was not taken."""

    t: FloatArray  # (2, K) how far the input really moved
    move: FloatArray  # (2, N) f(x + t v) - f(x)
    level: FloatArray  # (N,) the larger magnitude of the two values


@dataclass(slots=True)
class Rungs:
    """N elements (row, column) of K curves in R^E, and what was sampled of them so far."""

    row: IntArray
    column: IntArray
    start: FloatArray  # (N,) f(x)
    taken: dict[int, Rung] = field(default_factory=dict)

    def keep(self, where: IntArray) -> None:
        """Forget all elements but some: most finish early, and the rest should not carry them along."""
        self.row, self.column, self.start = self.row[where], self.column[where], self.start[where]
        for rung in self.taken.values():
            rung.move, rung.level = rung.move[:, where], rung.level[where]

    def climb(self, curves: Curves, rows: IntArray, unit: FloatArray, exponents: list[int], width: int) -> int:
        """Take rungs for some rows, as far as the domain has room for them; return the evaluations spent."""
        calls = 0
        batch: list[tuple[int, int, IntArray]] = []
        for e, side in product(exponents, (0, 1)):
            self.taken.setdefault(e, self.blank(len(curves.scale)))
            step = unit[rows] * 2.0**-e
            fits = rows[step < (-curves.low[rows] if side else curves.high[rows])]
            batch.append((e, side, fits))
            if sum(len(part) for _, _, part in batch) * width > LARGEST_BATCH:
                calls += self.fetch(curves, unit, batch)
                batch = []
        return calls + self.fetch(curves, unit, batch)

    def blank(self, k: int) -> Rung:
        """A rung that nobody has set foot on."""
        n = len(self.row)
        return Rung(np.full((2, k), np.nan), np.full((2, n), np.nan), np.zeros(n))

    def fetch(self, curves: Curves, unit: FloatArray, batch: list[tuple[int, int, IntArray]]) -> int:
        """One call of the curves for all parts of a batch."""
        rows = np.concatenate([part for _, _, part in batch]) if batch else np.zeros(0, int)
        if not rows.size:
            return 0
        t = np.concatenate([unit[part] * (-1) ** side * 2.0**-e for e, side, part in batch])
        samples = curves(rows, t)
        begin = 0
        for e, side, part in batch:
            end = begin + len(part)
            self.store(self.taken[e], side, part, Samples(*(a[begin:end] for a in samples)))
            begin = end
        return rows.size

    def store(self, rung: Rung, side: int, rows: IntArray, samples: Samples) -> None:
        """Copy the live elements of some rows out of what the curves returned."""
        rung.t[side, rows] = samples.t
        place = np.full(rung.t.shape[1], -1)
        place[rows] = np.arange(len(rows))
        live = np.flatnonzero(place[self.row] >= 0)
        at = (place[self.row[live]], self.column[live])
        value = samples.value[at]
        finite = np.isfinite(value)
        rung.move[side, live] = np.where(finite, value - self.start[live], np.nan)
        rung.level[live] = np.fmax(rung.level[live], np.where(finite, samples.level[at], 0))
