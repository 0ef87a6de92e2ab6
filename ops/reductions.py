"""Reductions: many entries become one, so its gradient goes back to each of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli import AXES, Op

Array = NDArray[np.floating[Any]]
Axis = int | tuple[int, ...] | None
Shape = tuple[int, ...]


def sum_backward(grad: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """dL/dx = g, repeated along the summed axes"""
    if axis is not None and not keepdims:
        grad = np.expand_dims(grad, axis)
    return np.broadcast_to(grad, x.shape)


def mean_backward(grad: Array, out: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """dL/dx = g / (entries per mean), repeated along the averaged axes"""
    return sum_backward(grad, out, x, axis, keepdims) * out.size / x.size


def sum_to(x: Array, shape: Shape) -> Array:
    if np.broadcast_shapes(x.shape, shape) != x.shape:
        raise ValueError(f"{shape} does not broadcast to {x.shape}, so {x.shape} cannot be summed to it")
    added = x.ndim - len(shape)
    stretched = tuple(added + axis for axis, size in enumerate(shape) if size == 1)
    return np.reshape(np.sum(x, axis=(*range(added), *stretched)), shape)


def sum_to_backward(grad: Array, out: Array, x: Array, shape: Shape) -> Array:
    """dL/dx = g, broadcast to the shape of x"""
    return np.broadcast_to(grad, x.shape)


def smaller_shapes(x: Shape) -> list[Shape]:
    return [x, x[1:], (1, *x[1:]), (*x[:-1], 1), ()]


OPS: list[Op] = [
    Op(np.sum, sum_backward, "(...)", params={"axis": AXES, "keepdims": [False, True]}),
    Op(np.mean, mean_backward, "(...)", params={"axis": AXES, "keepdims": [False, True]}),
    Op(sum_to, sum_to_backward, "(...)", params={"shape": smaller_shapes}),
]
