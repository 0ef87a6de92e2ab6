"""How large arrays may be: what is larger is refused before it is allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

from gradcheck_cli.errors import ShapeError
from gradcheck_cli.signature import Shape, show

# NumPy's own limit is 64; the points at which forward is asked are stacked along one more, edges need another.
MAX_DIMENSIONS = 62
MAX_ELEMENTS = 10_000_000
# Arrays as large as inputs and outputs together that a check has at the same time: see benchmarks/scale.py.
_COPIES, _BYTES = 4, 8
_LITTLE = 4 * 2**30  # bytes


class Limits(NamedTuple):
    """Of the elements of one array, and of the bytes of memory: half of what the machine has where nothing is said."""

    elements: int = MAX_ELEMENTS
    memory: int | None = None

    def check(self, named: Sequence[tuple[str, Shape]]) -> None:
        """Raises ShapeError where arrays of these names and shapes are too large, one or all together."""
        for name, shape in named:
            if len(shape) > MAX_DIMENSIONS:
                most = f"NumPy arrays have at most 64, and {MAX_DIMENSIONS} can be checked"
                raise ShapeError(f"{name} has {len(shape)} dimensions; {most}")
            count = math.prod(shape)
            if count > self.elements:
                raise ShapeError(
                    f"{name} {show(shape)} has {count:,} elements; the limit is {self.elements:,} (--max-elements)"
                )
        needed = _COPIES * _BYTES * sum(math.prod(shape) for _, shape in named)
        limit = self.memory or _memory() // 2
        if needed > limit:
            listed = " ".join(f"{name} {show(shape)}" for name, shape in named)
            raise ShapeError(
                f"{listed} would take about {needed / 1e9:.2g} GB; the limit is {limit / 1e9:.2g} GB (--max-memory)"
            )


def _memory() -> int:
    """Bytes of this machine's memory; where it does not say, few."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return _LITTLE
