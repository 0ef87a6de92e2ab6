"""Case -> curves t -> f(x + t v): the forward as functions of one variable, ready to be differentiated."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.numeric.complex_step import ComplexArray
from gradcheck_cli.numeric.estimate import FloatArray, IntArray, Samples

Array = NDArray[Any]
Function = Callable[[Sequence[Array]], Sequence[Array]]

_CHUNK = 2**17  # values that are worked on at once: 1 MiB, which stays in the cache


@dataclass(frozen=True, slots=True)
class Direction:
    """A direction in input space: for each input that moves, a flat coordinate or an array of the input's shape."""

    moves: tuple[tuple[int, int | Array], ...]
    entry: int | None = None  # which single entry it asks about, if it does (a domain may move others along)
    random: bool = False  # signs drawn at random: independent of whatever they are multiplied with

    def dot(self, gradients: Mapping[int, Array]) -> float:
        """<v, g>, where `gradients` has an array for each input that moves."""
        total = 0.0
        for position, step in self.moves:
            gradient = gradients[position]
            with np.errstate(all="ignore"):
                part = gradient.reshape(-1)[step] if isinstance(step, int) else np.sum(gradient * step)
            total += float(part)
        return total

    def weigh(self, sizes: Mapping[int, Array]) -> float:
        """How far errors of that size may move <v, g>: sum |v_i| |size_i|, or their norm where v is random.

        Whatever errors have in common, random signs add them up like a walk.
        """
        power = 2 if self.random else 1
        weighed = Direction(tuple((p, s if isinstance(s, int) else np.abs(s) ** power) for p, s in self.moves))
        total = weighed.dot({position: np.abs(size) ** power for position, size in sizes.items()})
        return float(total ** (1 / power))


class ForwardCurves:
    """The curves of one forward along several directions; `weights` projects the outputs on a cotangent.

    `analytic` is the forward where it may be tried on complex numbers, for the complex step.

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
    ) -> None:
        self._forward, self._analytic = forward, analytic
        self._inputs = [np.ascontiguousarray(x) if x.ndim else x for x in inputs]
        self._directions = list(directions)
        self._limits = limits
        self._weights = weights
        outputs, self._base = self._start(1 if weights is None else weights.size)
        moving = [self._inputs[p] for d in self._directions for p, _ in d.moves]
        self.epsilon = max((float(np.finfo(x.dtype).eps) for x in (*moving, *outputs)), default=2.0**-52)
        self.size = np.array([_largest(d, self._inputs) for d in self._directions])
        self.scale = 2.0 ** np.floor(np.log2(np.maximum(self.size, 1.0)))
        borders = [self._borders(d) for d in self._directions]
        self.low = np.array([low for low, _ in borders])
        self.high = np.array([high for _, high in borders])
        self._touched: dict[int, FloatArray] = {}

    def _start(self, size: int) -> tuple[list[Array], FloatArray]:
        """The outputs at x, and flat; NaN where a forward that answered before raises now."""
        try:
            outputs = [np.asarray(y) for y in self._forward(self._inputs)]
            return outputs, _flat(outputs).copy()  # forward may use the same buffer again
        except Exception:
            return [], np.full(size, np.nan)

    def __call__(self, rows: IntArray, t: FloatArray) -> Samples:
        width = self._base.size if self._weights is None else 1
        samples = Samples(np.empty(len(rows)), np.empty((len(rows), width)), np.empty((len(rows), width)))
        step = max(_CHUNK // max(self._base.size, 1), 1)
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            for whole, found in zip(samples, self._sample(rows[part], t[part]), strict=True):
                whole[part] = found
        return samples

    def _sample(self, rows: IntArray, t: FloatArray) -> Samples:
        """f(x + t v) - f(x) and the magnitude |f| of the outputs that v touches, for rows that fit into the cache."""
        moved_by, outputs = np.empty(len(rows)), np.empty((len(rows), self._base.size))
        for r, (row, step) in enumerate(zip(rows, t, strict=True)):
            outputs[r], moved_by[r] = self._evaluate(int(row), float(step))
        change = outputs - self._base
        share = np.where(change != 0, 1.0, np.array([self._touched_by(int(row)) for row in rows]))
        value, level = self._project(change, share * np.maximum(np.abs(outputs), np.abs(self._base)))
        return Samples(moved_by, value, level)

    def along_imaginary(self, rows: IntArray, t: FloatArray) -> tuple[ComplexArray, FloatArray] | None:
        """f(x + i t v) - f(x) and its level, projected as usual; None where forward is not made for complex numbers."""
        if self._analytic is None:
            return None
        changes = []
        for row, step in zip(rows, t, strict=True):
            inputs: list[Array] = list(self._inputs)
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
            flat = np.concatenate([y.reshape(-1) for y in outputs])
            if flat.dtype.kind != "c" or flat.shape != self._base.shape:
                return None
            changes.append(flat - self._base)
        return self._project(np.array(changes), np.tile(np.abs(self._base), (len(changes), 1)))

    def _move(self, direction: Direction, t: float) -> tuple[list[Array], float]:
        """x + t v, and the displacement that remains of t after rounding (known exactly for one coordinate)."""
        inputs = list(self._inputs)
        actual = t
        for position, step in direction.moves:
            x = inputs[position]
            if isinstance(step, int):
                moved = x.copy()
                flat = moved.reshape(-1)
                flat[step] += t
                if len(direction.moves) == 1:
                    actual = float(flat[step]) - float(x.reshape(-1)[step])
            else:
                moved = x + np.asarray(t * step, x.dtype)
            inputs[position] = moved
        return inputs, actual

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
            far = np.array([self._evaluate(row, float(step))[0] for step in steps])
            touched = np.any(far != self._base, axis=0)  # NaN, from outside the domain, counts as touched
            # Flat as far as one can see, an output may still have a slope of the square of its rounding.
            self._touched[row] = touched.astype(float) if touched.any() else np.full(touched.shape, self.epsilon)
        return self._touched[row]

    def _evaluate(self, row: int, t: float) -> tuple[FloatArray, float]:
        """All outputs at x + t v, NaN where forward fails; and how far x really moved."""
        inputs, moved_by = self._move(self._directions[row], t)
        try:
            outputs = _flat([np.asarray(y) for y in self._forward(inputs)])
        except Exception:  # Outside its domain a forward may raise anything.
            outputs = np.full(self._base.shape, np.nan)
        return outputs if outputs.shape == self._base.shape else np.full(self._base.shape, np.nan), moved_by

    def _borders(self, direction: Direction) -> tuple[float, float]:
        """The range of t in which every moving input stays inside its domain."""
        low, high = -np.inf, np.inf
        for position, step in direction.moves:
            least, most = self._limits[position]
            x = self._inputs[position].reshape(-1)
            v = np.ones(1) if isinstance(step, int) else np.asarray(step, np.float64).reshape(-1)
            x = x[step : step + 1] if isinstance(step, int) else x
            with np.errstate(all="ignore"):
                down, up = (least - x) / v, (most - x) / v
            down, up = np.minimum(down, up)[v != 0], np.maximum(down, up)[v != 0]
            low, high = max(low, float(np.max(down, initial=-np.inf))), min(high, float(np.min(up, initial=np.inf)))
        return low, high


def _flat(outputs: Sequence[Array]) -> FloatArray:
    """All outputs in one flat float64 array."""
    parts = [y.astype(np.float64, copy=False).reshape(-1) for y in outputs]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _largest(direction: Direction, inputs: Sequence[Array]) -> float:
    """The largest |x| over the entries that move."""
    largest = 0.0
    for position, step in direction.moves:
        x = inputs[position].reshape(-1)
        moving = x[step : step + 1] if isinstance(step, int) else x
        largest = max(largest, float(np.max(np.abs(moving), initial=0.0)))
    return largest
