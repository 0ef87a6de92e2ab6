"""Large arrays a block at a time: what fits into the cache is fast, and temporaries stay small."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK = 2**17  # entries: a few MiB stay in a cache, and Python is not what takes the time
_FEW = 2**12  # entries up to which it costs less to write |x| down than to look at x twice

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
    if not x.size:
        return 0.0
    if x.size <= _FEW or x.dtype.kind != "f":
        return float(np.abs(x).max())
    return float(np.maximum(x.max(), -x.min()))


def largest_finite(x: Array) -> float:
    """The largest finite |x|: an entry that is infinite says nothing about the others."""
    size = largest(x)
    return size if np.isfinite(size) else float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x)))


def largest_gap(a: Array, b: Array) -> float:
    """The largest |a - b| of two arrays of one shape; NaN where one is, 0 of nothing."""
    if a.size <= BLOCK:
        return float(np.abs(a - b).max(initial=0.0))
    return float(np.max([largest(p - q) for p, q in blocks(a, b)]))
