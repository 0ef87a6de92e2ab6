"""Points -> curves t -> f(x + t v): the forward as functions of one variable, ready to be differentiated."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.blocks import BLOCK, blocks
from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.numeric.estimate import ComplexArray, FloatArray, IntArray, Samples
from gradcheck_cli.numeric.points import Function, Points, Stacked, flat

Array = NDArray[Any]
Cells = Callable[[FloatArray], FloatArray]  # (rows, outputs) -> (rows, cells): sums of outputs


class ForwardCurves:
    """The curves of one forward along several directions; `weights` projects the outputs on a cotangent.

    `cells` keeps outputs apart that cannot move together: it sums those of one cell, instead of all. `points` are the
    forward around x where they are at hand. `analytic` is the forward where it may be tried on complex numbers, for the
    complex step.

    Values are relative to f(x): outputs that a direction does not touch then cancel exactly, and neither their
    size nor their rounding reaches the projection.
    """

    def __init__(
        self,
        forward: Function,
        inputs: Sequence[Array],
        directions: Sequence[Direction],
        limits: Sequence[tuple[float, float]],
        weights: FloatArray | None = None,
        analytic: Function | None = None,
        points: Points | None = None,
        cells: Cells | None = None,
    ) -> None:
        self._analytic, self._directions, self._weights = analytic, list(directions), weights
        self._points = points or around(forward, inputs, 1 if weights is None else weights.size)
        self._cells = cells or _total
        inputs, self._base = self._points.inputs, self._points.base
        moving = {inputs[p].dtype for d in self._directions for p, _ in d.moves}
        self.epsilon = max((float(np.finfo(d).eps) for d in {*moving, *self._points.dtypes}), default=2.0**-52)
        self.size = np.array([d.largest(inputs) for d in self._directions])
        self.scale = 2.0 ** np.floor(np.log2(np.maximum(self.size, 1.0)))
        borders = [d.borders(inputs, limits) for d in self._directions]
        self.low = np.array([low for low, _ in borders])
        self.high = np.array([high for _, high in borders])
        self._touched: dict[int, FloatArray] = {}

    def __call__(self, rows: IntArray, t: FloatArray) -> Samples:
        """f(x + t v) - f(x) and the magnitude |f| of the outputs that v touches."""
        width = self._base.size if self._weights is None else 1
        samples = Samples(np.empty(len(rows)), np.empty((len(rows), width)), np.empty((len(rows), width)))
        for part, outputs, moved_by in self._points.at([self._directions[r] for r in rows], t):
            if self._weights is not None and outputs.shape[1] > BLOCK:  # The rough level costs half the passes.
                samples.t[part], samples.value[part], samples.level[part] = self._weighed(rows[part], outputs, moved_by)
                continue
            change = outputs - self._base
            size = np.maximum(np.abs(outputs), np.abs(self._base))
            if not np.all(change):
                size *= np.where(change != 0, 1.0, np.array([self._touched_by(int(row)) for row in rows[part]]))
            samples.t[part] = moved_by
            samples.value[part], samples.level[part] = self._project(change, size)
        return samples

    def glimpse(self, rows: IntArray, t: FloatArray) -> Samples:
        """The same for less: an output that did not move counts as much as it does at x, or not at all.

        Not at all along a single entry, where most outputs have nothing to do with it.
        """
        parts = []
        for part, outputs, moved_by in self._points.at([self._directions[r] for r in rows], t):
            parts.append(self._weighed(rows[part], outputs, moved_by))
        return parts[0] if len(parts) == 1 else Samples(*(np.concatenate(found) for found in zip(*parts, strict=True)))

    def _weighed(self, rows: IntArray, outputs: FloatArray, moved_by: FloatArray) -> Samples:
        """Samples of some rows from their outputs."""
        single = np.array([self._directions[r].entry is not None for r in rows])
        sparse = outputs.shape[1] > BLOCK and len(single) == 1 and bool(single[0])
        value, squares = self._weigh_few(outputs[0]) if sparse else self._weigh(outputs, single)
        return Samples(moved_by, value, np.sqrt(squares))

    def _weigh(self, outputs: FloatArray, single: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        """Sums of w_i c_i, where c is how far the outputs moved, and of (w_i c_i)^2 + (w_i f_i)^2, block by block."""
        assert self._weights is not None
        count = outputs.shape[1]
        step = BLOCK if self._cells is _total else count
        value = squares = np.zeros((1, 1))
        for start in range(0, count, max(step, 1)):
            block = slice(start, start + step)
            change = outputs[:, block] - self._base[block]
            moved = change != 0 if single.any() else None
            change *= self._weights[block]
            value = value + self._cells(change)
            squares = squares + self._cells(np.multiply(change, change, out=change))
            if moved is not None:
                here = np.square(self._weights[block] * self._base[block])
                squares = squares + self._cells(np.where(moved | ~single[:, None], here, 0.0))
        return value, squares if single.any() else squares + self._at_x

    def _weigh_few(self, outputs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same for one row of many outputs, of which few are expected to move."""
        assert self._weights is not None
        moved = np.flatnonzero(outputs != self._base)
        w, f = self._weights[moved], self._base[moved]
        change = w * (outputs[moved] - f)
        here = w * f
        return np.array([[change.sum()]]), np.array([[change @ change + here @ here]])

    @cached_property
    def _at_x(self) -> FloatArray:
        """(1, cells): sums of (w_i f_i)^2."""
        assert self._weights is not None
        if self._cells is not _total:
            return self._cells(np.square(self._weights * self._base)[None])
        parts = (w * f for w, f in blocks(self._weights, self._base))
        return np.array([[sum(float(part @ part) for part in parts)]])

    def along_imaginary(self, rows: IntArray, t: FloatArray) -> tuple[ComplexArray, FloatArray] | None:
        """f(x + i t v) - f(x) and its level, projected as usual; None where forward is not made for complex numbers."""
        if self._analytic is None:
            return None
        changes = []
        for row, step in zip(rows, t, strict=True):
            inputs: list[Array] = list(self._points.inputs)
            for position, move in self._directions[row].moves:
                inputs[position] = inputs[position].astype(np.complex128)
                inputs[position].reshape(-1).imag[move if isinstance(move, int) else slice(None)] += (
                    step if isinstance(move, int) else step * move.reshape(-1)
                )
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")  # numpy only warns when it drops an imaginary part
                    outputs = [np.asarray(y) for y in self._analytic(inputs)]
            except Exception:  # A forward for real numbers alone.
                return None
            joined = np.concatenate([y.reshape(-1) for y in outputs])
            if joined.dtype.kind != "c" or joined.shape != self._base.shape:
                return None
            changes.append(joined - self._base)
        return self._project(np.array(changes), np.tile(np.abs(self._base), (len(changes), 1)))

    def _project(self, change: Array, size: FloatArray) -> tuple[Array, FloatArray]:
        """Rows of <w, change> and the norm of w * size (roundings are independent), or both as they are."""
        if self._weights is None:
            return change, size
        unit = np.max(size, axis=1, keepdims=True, initial=np.finfo(float).tiny)  # or squares would over- or underflow
        norm = unit * np.sqrt(np.square(size / unit) @ np.square(self._weights))[:, None]
        return (change @ self._weights)[:, None], norm

    def _touched_by(self, row: int) -> FloatArray:
        """1 for outputs that a direction touches, felt with a step that is large; 0 for the others.

        An output that a small step leaves as it is may have been rounded to it: tanh(20) is 1 from 19 to 21.
        """
        if row not in self._touched:
            reach = self.scale[row]
            steps = (max(-reach, 0.75 * self.low[row]), min(reach, 0.75 * self.high[row]))
            far = np.array([self._points.evaluate(self._directions[row], float(step))[0] for step in steps])
            touched = np.any(far != self._base, axis=0)  # NaN, from outside the domain, counts as touched
            # Flat as far as one can see, an output may still have a slope of the square of its rounding.
            self._touched[row] = touched.astype(float) if touched.any() else np.full(touched.shape, self.epsilon)
        return self._touched[row]


def around(
    forward: Function,
    inputs: Sequence[Array],
    size: int,
    stacked: Stacked | None = None,
    outputs: Sequence[Array] | None = None,
) -> Points:
    """The points around x, where `outputs` are known or not.

    `size` is how many there are in case a forward that answered before raises now.
    """
    inputs = [np.ascontiguousarray(x) if x.ndim else x for x in inputs]
    try:
        fresh = outputs is None
        outputs = [np.asarray(y) for y in (forward(inputs) if outputs is None else outputs)]
        base = flat(outputs).copy() if fresh else flat(outputs)  # forward may use the same buffer again
    except Exception:
        outputs, base = [], np.full(size, np.nan)
    return Points(forward, inputs, [y.dtype for y in outputs], base, stacked)


def _total(values: FloatArray) -> FloatArray:
    """All outputs in one cell."""
    found: FloatArray = values.sum(axis=1, keepdims=True)
    return found
