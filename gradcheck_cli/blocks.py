"""Large arrays a block at a time: what fits into the cache is fast, and temporaries stay small."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK = 2**15  # entries: a few such arrays fit into a cache of the second level


def blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Flat parts of several arrays of one size; views where the arrays are contiguous."""
    flat = [x.reshape(-1) for x in arrays]
    for start in range(0, flat[0].size, BLOCK):
        yield tuple(x[start : start + BLOCK] for x in flat)


def largest(x: Array) -> float:
    """The largest |x|; NaN where one is, 0 of nothing."""
    return max((float(np.max(np.abs(part))) for (part,) in blocks(x)), default=0.0, key=_nan_first)


def largest_gap(a: Array, b: Array) -> float:
    """The largest |a - b| of two arrays of one shape; NaN where one is, 0 of nothing."""
    return max((float(np.max(np.abs(p - q))) for p, q in blocks(a, b)), default=0.0, key=_nan_first)


def _nan_first(value: float) -> float:
    return np.inf if value != value else value  # noqa: PLR0124 (NaN is what differs from itself)
