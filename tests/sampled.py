"""Curves for tests: one coordinate of an elementwise function, or random directions through any function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck_cli.numeric.estimate import Estimates, FloatArray, IntArray, Outcome, Samples
from gradcheck_cli.numeric.ladder import differentiate

SHORT = (-1.5, -1.25, -1.0, -0.75, 0.75, 1.0, 1.25, 1.5)  # dyadic, signed


class Points:
    """K points of an elementwise function: K curves with one output each."""

    def __init__(
        self, f: Callable[[Any], Any], x: Any, dtype: type = np.float64, low: float = -np.inf, high: float = np.inf
    ) -> None:
        self.f: Callable[[Any], Any] = f
        self.x: Any = np.asarray(x, dtype)
        self.size = np.abs(self.x).astype(float)
        self.scale = 2.0 ** np.floor(np.log2(np.maximum(self.size, 1)))
        self.epsilon = float(np.finfo(dtype).eps)
        self.low, self.high = low - self.x.astype(float), high - self.x.astype(float)
        self.asked: list[float] = []  # every t, for tests that look at what was sampled

    def __call__(self, rows: IntArray, t: FloatArray) -> Samples:
        x = self.x[rows]
        moved = x + t.astype(x.dtype)
        self.asked.extend(t)
        with np.errstate(all="ignore"):
            value = np.asarray(self.f(moved), float)[:, None]
        return Samples(moved.astype(float) - x.astype(float), value, np.abs(value))


class Directions:
    """<w, f(x + t v) - f(x)> for K random dyadic v and w."""

    def __init__(self, f: Callable[[Any], Any], x: Any, k: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.f, self.x, self.start = f, x, f(x)
        self.v = rng.choice(SHORT, (k, *x.shape))
        self.w = rng.choice(SHORT, (k, *np.shape(self.start)))
        self.size = np.full(k, np.abs(x).max())
        self.scale = 2.0 ** np.floor(np.log2(np.maximum(self.size, 1)))
        self.epsilon = float(np.finfo(x.dtype).eps)
        self.low, self.high = np.full(k, -np.inf), np.full(k, np.inf)

    def __call__(self, rows: IntArray, t: FloatArray) -> Samples:
        value, level = np.zeros((2, len(rows), 1))
        for i, (row, step) in enumerate(zip(rows, t, strict=True)):
            out = self.f(self.x + self.x.dtype.type(step) * self.v[row].astype(self.x.dtype))
            change = (out - self.start).astype(float)
            value[i] = np.sum(self.w[row] * change)
            level[i] = np.linalg.norm((self.w[row] * out)[change != 0])
        return Samples(t, value, level)


def slope_of(f: Callable[[Any], Any], x: Any, **options: Any) -> Estimates:
    """The ladder at some points."""
    return differentiate(Points(f, np.atleast_1d(x), **options))


def one(estimates: Estimates) -> tuple[float, float, Outcome]:
    """(value, bar, outcome) of a single element."""
    return float(estimates.value[0, 0]), float(estimates.bar[0, 0]), Outcome(estimates.outcome[0, 0])


def inside(estimates: Estimates, truth: Any) -> bool:
    """Whether every bar holds its truth, or nothing was claimed."""
    claimed = estimates.outcome == Outcome.SMOOTH
    off = np.abs(estimates.value - np.reshape(truth, estimates.value.shape))
    return bool(np.all((off <= estimates.bar) | ~claimed))
