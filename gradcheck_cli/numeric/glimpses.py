"""Points -> differences: how a forward changes from x - t v to x + t v, for a few t, projected on a cotangent.

What the curves of the ladder are to it, this is to a first look: less is measured, along many directions at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.blocks import blocks
from gradcheck_cli.numeric.direction import Direction, reach
from gradcheck_cli.numeric.estimate import FloatArray
from gradcheck_cli.numeric.points import LARGE, Points

Array = NDArray[Any]
Cells = Callable[[FloatArray], FloatArray]  # (rows, outputs) -> (rows, cells): sums of outputs


class Group(NamedTuple):
    """Directions whose outputs are summed alike: all of them, or those of each cell, which cannot move together."""

    directions: Sequence[Direction]
    cells: Cells | None = None


class Differences(NamedTuple):
    """S steps along K directions, each seen in one or more of C columns."""

    change: FloatArray  # (S, C) f(x + t v) - f(x - t v), or - f(x) where one side is asked for
    width: FloatArray  # (S, K) how far these are apart
    level: FloatArray  # (C,) the norm of w_i f_i at the first step, over what moves where a direction is one entry
    bend: FloatArray  # (C,) f(x + t v) + f(x - t v) - 2 f(x) over the first step, for random directions
    columns: list[int]  # how many columns each direction has


class _Part(NamedTuple):
    """The same of some directions of one group, in (K, cells) columns."""

    change: FloatArray  # (S, columns)
    squares: FloatArray  # (K, cells) of levels
    bend: FloatArray  # (K, cells)


class Glimpses:
    """The differences of one forward; its directions are those of all groups, one after the other."""

    def __init__(
        self,
        points: Points,
        groups: Sequence[Group],
        limits: Sequence[tuple[float, float]],
        weights: FloatArray,
        insisting: bool = False,
    ) -> None:
        self.points, self.groups, self.weights, self._insisting = points, groups, weights, insisting
        self.directions = [d for group in groups for d in group.directions]
        self.epsilon = points.epsilon(self.directions)
        _, self.scale, self.low, self.high = reach(self.directions, points.inputs, limits, points.largest)
        self._reuses = False  # whether outputs are views of what is moved, or of a buffer that forward uses again

    def __call__(
        self, unit: FloatArray, steps: Sequence[int], one_sided: bool = False, alone: bool = False
    ) -> Differences:
        """Differences over t = unit * 2^-step, the largest first; `unit` has one for every direction.

        `alone`, they are all that is asked: level and bend of large outputs may be left 0.
        """
        sides = np.array([[2.0**-step, -(2.0**-step)][: 1 if one_sided else 2] for step in steps])
        t = sides[:, :, None] * unit
        moved = np.empty(t.shape)
        parts: list[_Part] = []
        per = max(self.points.at_once // sides.size, 1)
        for start in range(0, len(unit), per):
            here = slice(start, min(start + per, len(unit)))
            if self.weights.size > LARGE:
                parts += self._of_one(here, t[:, :, here], moved[:, :, here], alone)
            else:
                parts += self._of_many(here, t[:, :, here], moved[:, :, here])
        return Differences(
            np.concatenate([part.change for part in parts], axis=1) if len(parts) > 1 else parts[0].change,
            moved[:, 0] if one_sided else moved[:, 0] - moved[:, 1],
            np.sqrt(np.concatenate([part.squares.reshape(-1) for part in parts])),
            np.concatenate([part.bend.reshape(-1) for part in parts]),
            [part.bend.shape[1] for part in parts for _ in range(len(part.bend))],
        )

    def _of_many(self, here: slice, t: FloatArray, moved: FloatArray) -> Iterator[_Part]:
        """What is seen along the directions of each group; t and `moved` are (S, sides, K)."""
        rows = np.empty(t.shape, int)
        rows[...] = np.arange(here.start, here.stop)
        outputs, by = self.points.outputs(
            self.directions, rows.reshape(-1), t.reshape(-1), trusting=True, insisting=self._insisting
        )
        moved[...] = by.reshape(t.shape)
        outputs = outputs.reshape(*t.shape, -1)
        for group, part in self._groups(here):
            seen = outputs[:, :, part]
            moves = seen - self.points.base
            value = self._weighed(moves, group.cells)
            # What moved furthest shows how large the numbers are that were rounded.
            level = seen[0] * self.weights
            single = np.array([d.entry is not None for d in self.directions[here][part]])
            if single.any():  # Most outputs have nothing to do with one entry.
                level *= moves[0] != 0 if single.all() else (moves[0] != 0) | ~single[:, None]
            ahead, behind = value[:, 0], value[:, 1] if t.shape[1] == 2 else 0.0
            change, bend = ahead - behind, value[0].sum(axis=0)
            level *= level
            yield _Part(change.reshape(len(t), -1), _summed(level, group.cells).sum(axis=0), bend)

    def _of_one(self, here: slice, t: FloatArray, moved: FloatArray, alone: bool) -> Iterator[_Part]:
        """The same for one direction and so many outputs that points are looked at two by two."""
        direction, (group, _) = self.directions[here.start], next(self._groups(here))
        changes: list[FloatArray] = []
        squares: FloatArray = np.zeros((1, 1))
        bend = squares
        for place, steps in enumerate(t[:, :, 0].tolist()):
            first, second, moved[place, :, 0] = self._ends(direction, steps)
            if group.cells:
                seen = self._in_cells(first, second, group.cells)
            else:
                single, value_only = direction.entry is not None, alone or place > 0
                seen = self._in_blocks(first, second, single, value_only)
            changes.append(seen.change)
            if place == 0:
                _, squares, bend = seen
            del first, second  # Or there would be three of them.
        yield _Part(np.concatenate(changes), squares, bend)

    def _ends(self, direction: Direction, steps: Sequence[float]) -> tuple[FloatArray, FloatArray, list[float]]:
        """f at two steps, or at one and at x; and how far x really moved."""
        first, ahead = self.points.evaluate(direction, steps[0])
        if len(steps) == 1:
            return first, self.points.base, [ahead]
        first = first.copy() if self._reuses else first
        second, behind = self.points.evaluate(direction, steps[1])
        if np.may_share_memory(first, second):
            self._reuses, second = True, second.copy()
            first, _ = self.points.evaluate(direction, steps[0])
        return first, second, [ahead, behind]

    def _weighed(self, change: FloatArray, cells: Cells | None) -> FloatArray:
        """Sums of w_i c_i over outputs, the last axis: all, or those of each cell."""
        if cells is None:
            found: FloatArray = (change.reshape(-1, self.weights.size) @ self.weights).reshape(*change.shape[:-1], 1)
            return found
        change *= self.weights
        return _summed(change, cells)

    def _in_cells(self, first: FloatArray, second: FloatArray, cells: Cells) -> _Part:
        """What is seen at two points: sums of w (a - b), of (w a)^2 and (w b)^2, of w (a + b - 2 f)."""
        squares = np.square(first * self.weights) + np.square(second * self.weights)
        bend = self._weighed((first + second - 2 * self.points.base)[None], cells)
        return _Part(self._weighed((first - second)[None], cells), _summed(squares[None], cells), bend)

    def _in_blocks(self, first: FloatArray, second: FloatArray, single: bool, value_only: bool) -> _Part:
        """The same over all outputs, block by block; along a `single` entry over what that moves, and unbent."""
        change = squares = bend = 0.0
        for w, a, b, f in blocks(self.weights, first, second, self.points.base):
            # Most outputs have nothing to do with one entry.
            at = np.flatnonzero(a != b) if single else slice(None)
            weights, ahead, behind = w[at], a[at], b[at]
            change += float((ahead - behind) @ weights)
            if value_only:
                continue
            for outputs in (ahead, behind):
                weighed = outputs * weights
                squares += float(weighed @ weighed)
            if not single:
                bend += float((a + b - 2 * f) @ w)
        return _Part(*(np.array([[total]]) for total in (change, squares, bend)))

    def _groups(self, here: slice) -> Iterator[tuple[Group, slice]]:
        """Which groups some directions belong to, and which of these each has."""
        start = 0
        for group in self.groups:
            stop = start + len(group.directions)
            first, last = max(start, here.start), min(stop, here.stop)
            if first < last:
                yield group, slice(first - here.start, last - here.start)
            start = stop


def _summed(values: FloatArray, cells: Cells | None) -> FloatArray:
    """Sums over the last axis: all, or those of each cell."""
    if cells is None:
        return np.asarray(values.sum(axis=-1, keepdims=True))
    return cells(values.reshape(-1, values.shape[-1])).reshape(*values.shape[:-1], -1)
