"""A forward at displaced points x + t v: one call for each, or one for many where that was proven to be the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.numeric.estimate import FloatArray

Array = NDArray[Any]
Function = Callable[[Sequence[Array]], Sequence[Array]]
# Inputs with one more axis in front where they differ from point to point, and how many points -> (points, outputs).
Stacked = Callable[[Sequence[Array], Sequence[bool], int], FloatArray]

_CHUNK = 2**15  # values that are worked on at once: 256 KiB, which stay in the cache
_ROUNDINGS = 16.0
_FEW = 2**13  # the same of outputs, where nothing is gained by more
_SMALL = 2**13  # values of one point beyond which a call of its own costs next to nothing


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
    scratch: dict[int, Array] = field(default_factory=dict)  # where large inputs are displaced, again and again

    def at(self, directions: Sequence[Direction], t: FloatArray) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
        """Chunks of x + t[r] v[r]: which rows, all their outputs (r, outputs), and how far x really moved (r,)."""
        small = self.stacks
        step = max(_CHUNK // max(self._size, 1), 1) if small else max(_FEW // max(self.base.size, 1), 1)
        for start in range(0, len(t), step):
            part = slice(start, min(start + step, len(t)))
            rows = directions[part]
            found = self._together(rows, t[part]) if self.stacks and len(rows) > 1 else None
            yield part, *(found if found is not None else self._one_by_one(rows, t[part]))

    @property
    def stacks(self) -> bool:
        """Whether many points are one call: where that costs less, and gave the same whenever it was tried."""
        return self.stacked is not None and self._size <= _SMALL and all(self.proven.values())

    @property
    def _size(self) -> int:
        return self.base.size + sum(x.size for x in self.inputs)

    def _one_by_one(self, directions: Sequence[Direction], t: FloatArray) -> tuple[FloatArray, FloatArray]:
        if len(t) == 1:
            outputs, moved_by = self.evaluate(directions[0], float(t[0]))
            return outputs[None], np.array([moved_by])
        found, moved = np.empty((len(t), self.base.size)), np.empty(len(t))
        for r, (direction, step) in enumerate(zip(directions, t.tolist(), strict=True)):
            found[r], moved[r] = self.evaluate(direction, step)
        return found, moved

    def evaluate(self, direction: Direction, t: float) -> tuple[FloatArray, float]:
        """All outputs at x + t v, NaN where forward fails; and how far x really moved."""
        inputs, moved_by = self._move(direction, t)
        try:
            outputs = flat(self.forward(inputs))
        except Exception:  # Outside its domain a forward may raise anything.
            outputs = np.full(self.base.shape, np.nan)
        return outputs if outputs.shape == self.base.shape else np.full(self.base.shape, np.nan), moved_by

    def _move(self, direction: Direction, t: float) -> tuple[list[Array], float]:
        """x + t v, and the displacement that remains of t after rounding (known exactly for one coordinate)."""
        inputs = list(self.inputs)
        actual = t
        for position, step in direction.moves:
            x = inputs[position]
            if x.size > _SMALL and x.dtype == np.float64:
                if position not in self.scratch:
                    self.scratch[position] = np.empty_like(x)
                moved = self.scratch[position].view()
            else:
                moved = np.empty_like(x)
            if isinstance(step, int):
                moved[...] = x
                entries = moved.reshape(-1)
                entries[step] += t
                if len(direction.moves) == 1:
                    actual = float(entries[step]) - float(x.reshape(-1)[step])
            else:
                np.multiply(step, t, out=moved, casting="same_kind")
                moved += x
            inputs[position] = moved
        return inputs, actual

    def _together(self, directions: Sequence[Direction], t: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """The same for all rows in one call; None where that raises: one of the points may be outside the domain."""
        assert self.stacked is not None
        moved_by = t.copy()
        inputs = list(self.inputs)
        for position, x in enumerate(self.inputs):
            rows = [(r, s) for r, d in enumerate(directions) for p, s in d.moves if p == position]
            if rows:
                inputs[position] = _displaced(x, rows, t, moved_by)
        moved = tuple(a is not b for a, b in zip(inputs, self.inputs, strict=True))
        try:
            found = self.stacked(inputs, moved, len(t))
        except Exception:
            return None
        if found.shape != (len(t), self.base.size):
            self.proven[moved] = False
        elif moved not in self.proven:
            ends = (0, len(t) - 1)
            self.proven[moved] = all(_same(found[r], self.evaluate(directions[r], float(t[r]))[0]) for r in ends)
        return (found, moved_by) if self.proven[moved] else None


def _displaced(x: Array, rows: list[tuple[int, int | Array]], t: FloatArray, moved_by: FloatArray) -> Array:
    """One copy of x for each t, those in `rows` displaced; notes in `moved_by` what rounding left of single steps."""
    copies = np.empty((len(t), x.size), x.dtype)
    copies[:] = x.reshape(-1)
    single = [(r, s) for r, s in rows if isinstance(s, int)]
    if single:
        at = tuple(np.array(single).T)
        before = copies[at].astype(np.float64)
        copies[at] += t[at[0]].astype(x.dtype)
        moved_by[at[0]] = copies[at] - before
    dense = [(r, s) for r, s in rows if not isinstance(s, int)]
    if dense:
        at_rows = np.array([r for r, _ in dense])
        steps = np.array([s.reshape(-1) for _, s in dense])
        steps *= t[at_rows, None]
        copies[at_rows] += steps.astype(x.dtype, copy=False)
    return copies.reshape(len(t), *x.shape)


def _same(stacked: FloatArray, plain: FloatArray) -> bool:
    """Equal but for rounding: a sum may be done in another order."""
    with np.errstate(all="ignore"):
        close = np.abs(stacked - plain) <= _ROUNDINGS * 2.0**-52 * np.abs(plain)
    return bool(np.all(close | np.isnan(plain) & np.isnan(stacked)))


def flat(outputs: Sequence[Array]) -> FloatArray:
    """All outputs in one flat float64 array."""
    parts = [np.asarray(y, np.float64).reshape(-1) for y in outputs]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
