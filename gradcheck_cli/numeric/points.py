"""A forward at displaced points x + t v: one call for each, or one for many where that was proven to be the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.blocks import blocks, largest
from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.numeric.estimate import FloatArray, IntArray

Array = NDArray[Any]
Function = Callable[[Sequence[Array]], Sequence[Array]]
# Inputs with one more axis in front where they differ from point to point, and how many points -> (points, outputs).
Stacked = Callable[[Sequence[Array], Sequence[bool], int], FloatArray]

_CHUNK = 2**17  # values that are worked on at once: 1 MiB, which stays in the cache
_ROUNDINGS = 16.0
LARGE = 2**15  # the same of outputs, where nothing is gained by more; of as many, few points are kept at a time
_SMALL = 2**13  # values of one point beyond which a call of its own costs next to nothing


class Unstacked(Exception):  # noqa: N818 (said to whoever may ask in another way, not an error)
    """Many points in one call were not answered as one by one."""


@dataclass(frozen=True)
class Points:
    """A forward around x; `base` is f(x), flat.

    `stacked` answers for many points at once. `dtypes` are those of f(x); none where forward raised.
    """

    forward: Function
    inputs: Sequence[Array]
    dtypes: Sequence[np.dtype[Any]]
    base: FloatArray
    stacked: Stacked | None = None
    # Whether a stacked call reproduced plain ones, by which inputs moved in it: others may be handled otherwise.
    proven: dict[tuple[bool, ...], bool] = field(default_factory=dict)
    # Where large inputs are displaced again and again, and which entry is off there: None where all are.
    scratch: dict[int, tuple[Array, int | None]] = field(default_factory=dict)
    sizes: dict[int, float] = field(default_factory=dict)  # what `largest` found

    @property
    def stacks(self) -> bool:
        """Whether many points are one call: where that costs less, and gave the same whenever it was tried."""
        return self.stacked is not None and self._size <= _SMALL and all(self.proven.values())

    @property
    def at_once(self) -> int:
        """How many points are best asked for at a time."""
        return max(_CHUNK // max(self._size, 1) if self.stacks else LARGE // max(self.base.size, 1), 1)

    def largest(self, position: int) -> float:
        """The largest |x| of one input."""
        if position not in self.sizes:
            self.sizes[position] = largest(self.inputs[position])
        return self.sizes[position]

    def epsilon(self, directions: Sequence[Direction]) -> float:
        """Spacing of 1.0 in the coarsest dtype of what moves and of what comes out."""
        dtypes = {*(self.inputs[p].dtype for d in directions for p, _ in d.moves), *self.dtypes}
        return max((float(np.finfo(dtype).eps) for dtype in dtypes), default=2.0**-52)

    @cached_property
    def _size(self) -> int:
        return self.base.size + sum(x.size for x in self.inputs)

    def at(
        self, directions: Sequence[Direction], rows: IntArray, t: FloatArray
    ) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
        """Chunks of x + t[r] v[rows[r]]: which r, all their outputs (r, outputs), and how far x really moved (r,)."""
        step = self.at_once
        for start in range(0, len(t), step):
            part = slice(start, min(start + step, len(t)))
            yield part, *self.outputs(directions, rows[part], t[part])

    def outputs(
        self,
        directions: Sequence[Direction],
        rows: IntArray,
        t: FloatArray,
        trusting: bool = False,
        insisting: bool = False,
    ) -> tuple[FloatArray, FloatArray]:
        """All of these points: outputs (R, outputs), NaN where forward fails, and how far x really moved (R,).

        `trusting`, a stacked call that reproduces f(x) among the others will do: what agrees with a gradient has
        proven itself. `insisting`, Unstacked is raised where there is none, instead of many calls.
        """
        if self.stacks and len(t) > 1:
            if found := self._together(directions, rows, t, trusting):
                return found
            if insisting:
                raise Unstacked
        return self._one_by_one(directions, rows, t)

    def evaluate(self, direction: Direction, t: float) -> tuple[FloatArray, float]:
        """One point, the same; until the next call, since a forward may return views of what it gets."""
        inputs, moved_by = self._move(direction, t)
        try:
            outputs = flat(self.forward(inputs))
        except Exception:  # Outside its domain a forward may raise anything.
            outputs = np.full(self.base.shape, np.nan)
        return outputs if outputs.shape == self.base.shape else np.full(self.base.shape, np.nan), moved_by

    def _one_by_one(
        self, directions: Sequence[Direction], rows: IntArray, t: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        if len(t) == 1:
            outputs, moved_by = self.evaluate(directions[int(rows[0])], float(t[0]))
            return outputs[None], np.array([moved_by])
        found, moved = np.empty((len(t), self.base.size)), np.empty(len(t))
        for r, (row, step) in enumerate(zip(rows.tolist(), t.tolist(), strict=True)):
            found[r], moved[r] = self.evaluate(directions[row], step)
        return found, moved

    def _move(self, direction: Direction, t: float) -> tuple[list[Array], float]:
        """x + t v, and the displacement that remains of t after rounding (known exactly for one coordinate)."""
        inputs, actual = list(self.inputs), t
        for position, step in direction.moves:
            x = inputs[position]
            if not isinstance(step, int):
                moved = self._room(position)
                for to, v, start in blocks(moved, step, x) if x.size > _SMALL else ((moved, step, x),):
                    np.multiply(v, t, out=to, casting="same_kind")
                    np.add(to, start, out=to)
            else:
                moved = self._copy(position, step)
                before = moved.item(step)
                moved.reshape(-1)[step] = before + t
                if len(direction.moves) == 1:
                    actual = moved.item(step) - before
            inputs[position] = moved
        return inputs, actual

    def _room(self, position: int) -> Array:
        """Where an input may be displaced as a whole: memory that was used before is faster."""
        x = self.inputs[position]
        if x.size <= _SMALL:
            return np.empty_like(x)
        moved = self.scratch[position][0] if position in self.scratch else np.empty_like(x)
        self.scratch[position] = moved, None
        return moved.view()

    def _copy(self, position: int, entry: int) -> Array:
        """A copy of an input of which one entry is about to change.

        A large one is the copy of before, mended where that was changed: a forward leaves its inputs alone, or else the
        oracle copies them.
        """
        x = self.inputs[position]
        if x.size <= _SMALL:
            return x.copy()
        if position not in self.scratch:
            self.scratch[position] = np.empty_like(x), None
        moved, off = self.scratch[position]
        if off is None:
            moved[...] = x
        else:
            moved.reshape(-1)[off] = x.item(off)
        self.scratch[position] = moved, entry
        return moved.view()

    def _together(
        self, directions: Sequence[Direction], rows: IntArray, t: FloatArray, trusting: bool
    ) -> tuple[FloatArray, FloatArray] | None:
        """All points in one call, f(x) behind them; None where that raises: one may be outside the domain."""
        assert self.stacked is not None
        first = int(rows.min())
        near, place = directions[first : int(rows.max()) + 1], rows - first
        moved_by, inputs = t.copy(), list(self.inputs)
        for position, x in enumerate(self.inputs):
            moves = [(k, step) for k, d in enumerate(near) for p, step in d.moves if p == position]
            if moves:
                inputs[position] = _displaced(x, moves, len(near), place, t, moved_by)
        moved = tuple(a is not b for a, b in zip(inputs, self.inputs, strict=True))
        try:
            found = self.stacked(inputs, moved, len(t) + 1)
        except Exception:
            return None
        if found.shape != (len(t) + 1, self.base.size) or not _same(found[-1], self.base):
            self.proven[moved] = False
        elif not trusting and moved not in self.proven and t.any():
            # x itself proves nothing: whatever is done to each of many equal numbers is done to all of them.
            ends = {int(np.argmax(np.abs(t))), *np.flatnonzero(t)[[0, -1]].tolist()}
            plain = {r: self.evaluate(near[int(place[r])], float(t[r]))[0].copy() for r in ends}
            self.proven[moved] = all(_same(found[r], outputs) for r, outputs in plain.items())
        return (found[:-1], moved_by) if self.proven.get(moved, True) else None


def _displaced(
    x: Array, moves: list[tuple[int, int | Array]], count: int, rows: IntArray, t: FloatArray, moved_by: FloatArray
) -> Array:
    """Copies of x, each displaced by t[r] along direction rows[r] of `count`, and x itself behind them.

    `moves` are the directions that move x at all. Notes in `moved_by` what rounding left of single steps.
    """
    copies = np.empty((len(t) + 1, x.size), x.dtype)
    copies[:] = x.reshape(-1)
    dense = [(k, step.reshape(-1)) for k, step in moves if not isinstance(step, int)]
    if dense:
        steps = np.array([step for _, step in dense])
        at, which = _places([k for k, _ in dense], count, rows)
        change = t[at, None] * steps[which]
        copies[at] += change.astype(x.dtype, copy=False)
    single = [(k, step) for k, step in moves if isinstance(step, int)]
    if single:
        at, which = _places([k for k, _ in single], count, rows)
        entries = np.array([step for _, step in single])[which]
        at = np.arange(len(t))[at]
        copies[at, entries] += t[at].astype(x.dtype, copy=False)
        moved_by[at] = copies[at, entries] - x.reshape(-1)[entries].astype(np.float64)
    return copies.reshape(len(t) + 1, *x.shape)


def _places(chosen: list[int], count: int, rows: IntArray) -> tuple[IntArray | slice, IntArray]:
    """Which rows belong to some chosen ones of `count` directions, and to which of them: all rows as a slice."""
    if len(chosen) == count:
        return slice(0, len(rows)), rows
    number = np.full(count, -1)
    number[chosen] = range(len(chosen))
    at = np.flatnonzero(number[rows] >= 0)
    return at, number[rows[at]]


def _same(stacked: FloatArray, plain: FloatArray) -> bool:
    """Equal but for rounding: a sum may be done in another order."""
    if (stacked == plain).all():
        return True
    with np.errstate(all="ignore"):
        close = np.abs(stacked - plain) <= _ROUNDINGS * 2.0**-52 * np.abs(plain)
    return bool(np.all(close | np.isnan(plain) & np.isnan(stacked)))


def flat(outputs: Sequence[Array]) -> FloatArray:
    """All outputs in one flat float64 array."""
    parts = [np.asarray(y, np.float64).reshape(-1) for y in outputs]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
