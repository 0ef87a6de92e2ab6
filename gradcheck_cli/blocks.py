"""Large arrays a block at a time: what fits into the cache is fast, and temporaries stay small."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK = 2**15  # entries: a few such arrays fit into a cache of the second level

# The C library gives large arrays back to the system, and every page that comes anew costs more than the arithmetic on
# it; having freed one of 16 MiB (that nobody wrote to), it keeps smaller ones for the next that asks. Without this a
# look at a 32x32 matmul takes 1.6 times as long (`python -m benchmarks.peers --only "matmul 32x32"`).
np.empty(2**21)


def blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Flat parts of several arrays of one size; views where the arrays are contiguous."""
    flat = [x.reshape(-1) for x in arrays]
    for start in range(0, flat[0].size, BLOCK):
        yield tuple(x[start : start + BLOCK] for x in flat)


def largest(x: Array) -> float:
    """The largest |x|; NaN where one is, 0 of nothing."""
    if 0 < x.size <= BLOCK:
        return float(np.abs(x).max())
    return max((float(np.max(np.abs(part))) for (part,) in blocks(x)), default=0.0, key=_nan_first)


def largest_finite(x: Array) -> float:
    """The largest finite |x|: an entry that is infinite says nothing about the others."""
    size = largest(x)
    return size if np.isfinite(size) else float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x)))


def largest_gap(a: Array, b: Array) -> float:
    """The largest |a - b| of two arrays of one shape; NaN where one is, 0 of nothing."""
    if 0 < a.size <= BLOCK:
        return float(np.abs(a - b).max())
    return max((float(np.max(np.abs(p - q))) for p, q in blocks(a, b)), default=0.0, key=_nan_first)


def _nan_first(value: float) -> float:
    return np.inf if value != value else value  # noqa: PLR0124 (NaN is what differs from itself)
