"""Points -> curves t -> f(x + t v): the forward as functions of one variable, ready to be differentiated."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.blocks import blocks
from gradcheck_cli.numeric.direction import Direction, reach
from gradcheck_cli.numeric.estimate import ComplexArray, FloatArray, IntArray, Samples
from gradcheck_cli.numeric.points import LARGE, Function, Points, Stacked, flat

Array = NDArray[Any]


class ForwardCurves:
    """The curves of one forward along several directions; `weights` projects the outputs on a cotangent.

    `points` are the forward around x where they are at hand. `analytic` is the forward where it may be tried on complex
    numbers, for the complex step.

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
    ) -> None:
        self._analytic, self._directions, self._weights = analytic, list(directions), weights
        self._points = points or around(forward, inputs, 1 if weights is None else weights.size)
        self._base = self._points.base
        self.epsilon = self._points.epsilon(self._directions)
        far = reach(self._directions, self._points.inputs, limits, self._points.largest)
        self.size, self.scale, self.low, self.high = far
        self._touched: dict[int, FloatArray] = {}

    def __call__(self, rows: IntArray, t: FloatArray) -> Samples:
        """f(x + t v) - f(x) and the magnitude |f| of the outputs that v touches."""
        width = self._base.size if self._weights is None else 1
        samples = Samples(np.empty(len(rows)), np.empty((len(rows), width)), np.empty((len(rows), width)))
        for part, outputs, moved_by in self._points.at(self._directions, rows, t):
            samples.t[part] = moved_by
            if self._weights is not None and outputs.shape[1] > LARGE:  # The rough level costs half the passes.
                single = self._directions[int(rows[part][0])].entry is not None
                value, squares = _weigh(outputs[0], self._base, self._weights, single)
                samples.value[part], samples.level[part] = value, np.sqrt(squares)
                continue
            change = outputs - self._base
            size = np.maximum(np.abs(outputs), np.abs(self._base))
            if not np.all(change):
                size *= np.where(change != 0, 1.0, np.array([self._touched_by(int(row)) for row in rows[part]]))
            samples.value[part], samples.level[part] = self._project(change, size)
        return samples

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
            far = np.array([self._points.evaluate(self._directions[row], float(step))[0].copy() for step in steps])
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


def _weigh(outputs: FloatArray, base: FloatArray, weights: FloatArray, single: bool) -> tuple[float, float]:
    """Sums of w_i (f_i - f_i(x)) and of (w_i f_i)^2, block by block; of a `single` entry's over what it moves."""
    value = squares = 0.0
    for o, f, w in blocks(outputs, base, weights):
        change, here = o - f, o * w
        value += float(change @ w)
        if single:
            here *= change != 0
        squares += float(here @ here)
    return value, squares
