"""What op files share: undoing a broadcast, and the usual choices of axis params."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray


def unbroadcast(grad: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    """Sum `grad` over the axes along which `like` was broadcast, back to the shape of `like`.

    Broadcasting copies, and the gradient of a copy is a sum. Calls only NumPy functions that dispatch, so that it
    can itself be differentiated.
    """
    given, wanted = np.shape(grad), np.shape(like)
    if given == wanted:
        return grad
    lead = len(given) - len(wanted)
    if lead < 0 or any(size not in (1, g) for size, g in zip(wanted, given[lead:], strict=True)):
        raise ValueError(f"unbroadcast: {wanted} does not broadcast to {given}")
    axes = (*range(lead), *(axis for axis, size in enumerate(wanted, lead) if size == 1 != given[axis]))
    summed = np.sum(grad, axis=axes)
    return np.reshape(summed, wanted) if wanted else summed


def AXES(*shapes: tuple[int, ...]) -> list[Any]:  # noqa: N802 (used like a constant in op tables)
    """Every way to name axes of the first input: None, each axis, negative ones, and pairs."""
    rank = len(shapes[0])
    pairs = list(itertools.combinations(range(rank), 2))
    mixed = [(0, -1)] if rank > 2 else []
    return [None, *range(rank), *range(-rank, 0), *pairs, *mixed]


def PERMUTATIONS(*shapes: tuple[int, ...]) -> list[Any]:  # noqa: N802 (used like a constant in op tables)
    """None, and permutations of the first input's axes: all of them up to rank 3, the rotations beyond."""
    rank = len(shapes[0])
    axes = tuple(range(rank))
    turned = [axes[i:] + axes[:i] for i in range(rank)]
    orders = list(itertools.permutations(axes)) if rank <= 3 else [*turned, axes[::-1]]
    negative = [tuple(a - rank for a in orders[-1])] if rank > 1 else []
    return [None, *orders, *negative]
