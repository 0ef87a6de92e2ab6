"""Shapes: entries move, repeat or vanish, and their gradients travel the same road back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli import PERMUTATIONS, Op, unbroadcast

Array = NDArray[np.floating[Any]]
Axis = int | tuple[int, ...]
Shape = tuple[int, ...]

SHORT = 10  # Only an axis below this is cut entry by entry, and masked by a list as long as itself.


def broadcast_to_backward(grad: Array, out: Array, x: Array, shape: Shape) -> Array:
    """dL/dx = g, summed over the axes along which x was broadcast"""
    return unbroadcast(grad, x)


def larger_shapes(x: Shape) -> list[Shape]:
    return [x, (2, *x), (3, 1, *x), tuple(4 if size == 1 else size for size in x)]


def reshape_backward(grad: Array, out: Array, x: Array, shape: int | Shape) -> Array:
    """dL/dx = g, reshaped to the shape of x"""
    return np.reshape(grad, x.shape)


def equal_shapes(x: Shape) -> list[Shape]:
    return [(-1,), x[::-1], (1, *x), (*x, 1), (-1, *x[2:]), (2, -1)]


def transpose_backward(grad: Array, out: Array, x: Array, axes: Sequence[int] | None = None) -> Array:
    """dL/dx = g, transposed by the inverse permutation"""
    return np.transpose(grad, None if axes is None else np.argsort(np.mod(axes, x.ndim)))


def swapaxes_backward(grad: Array, out: Array, x: Array, axis1: int, axis2: int) -> Array:
    """dL/dx = g, with the same two axes swapped back"""
    return np.swapaxes(grad, axis1, axis2)


def every_axis(x: Shape) -> Sequence[int]:
    return range(-len(x), len(x))


def expand_dims_backward(grad: Array, out: Array, x: Array, axis: Axis) -> Array:
    """dL/dx = g, without the new axes"""
    return np.squeeze(grad, axis)


def new_axes(x: Shape) -> list[Axis]:
    return [*range(-len(x) - 1, len(x) + 1), (0, -1), (-1, -2)]


def getitem(x: Array, key: Any) -> Array:
    picked: Array = x[key]
    return picked


def getitem_backward(grad: Array, out: Array, x: Array, key: Any) -> Array:
    """dL/dx = 0, plus g at key, as many times as key names an entry"""
    grad_x = np.zeros_like(x)
    np.add.at(grad_x, key, grad)  # grad_x[key] += grad would count a repeated index once
    return grad_x


def keys(x: Shape) -> list[Any]:
    every_other = [index % 2 == 0 for index in range(x[0])] if x and x[0] < SHORT else True
    basic = [0, (), None, Ellipsis, (Ellipsis, -1), (None, Ellipsis, slice(1, None))]
    backwards = [slice(None, None, -1), slice(-1, None, -2)]
    repeated = [[0, -1, 0], (Ellipsis, [0, 0]), ([0, 0, -1], [-1, -1, 0])]
    return [*basic, *backwards, *repeated, every_other, (every_other, Ellipsis, None)]


def split_backward(
    grads: Sequence[Array],
    outs: Sequence[Array],
    x: Array,
    indices_or_sections: int | Sequence[int],
    axis: int = 0,
) -> Array:
    """dL/dx = the gradients of the parts, concatenated"""
    return np.concatenate(grads, axis)


def cuts(x: Shape) -> list[int | tuple[int, ...]]:
    short = [size for size in x if 0 < size < SHORT]
    return [*short, 2, (1,), (-1,), (1, 4), (2, 2)]


def concatenate(a: Array, b: Array, axis: int) -> Array:
    return np.concatenate((a, b), axis)


def concatenate_backward(grad: Array, out: Array, a: Array, b: Array, axis: int) -> tuple[Array, Array]:
    """dL/da = the first part of g, as long as a; dL/db = the rest"""
    grad_a, grad_b = np.split(grad, [a.shape[axis]], axis)
    return grad_a, grad_b


OPS: list[Op] = [
    Op(np.broadcast_to, broadcast_to_backward, "(...)", params={"shape": larger_shapes}),
    Op(np.reshape, reshape_backward, "(...)", params={"shape": equal_shapes}),
    Op(np.transpose, transpose_backward, "(...)", params={"axes": PERMUTATIONS}),
    Op(np.swapaxes, swapaxes_backward, "(...)", params={"axis1": every_axis, "axis2": every_axis}),
    Op(np.expand_dims, expand_dims_backward, "(...)", params={"axis": new_axes}),
    Op(getitem, getitem_backward, "(...)", params={"key": keys}),
    Op(np.split, split_backward, "(...)", params={"indices_or_sections": cuts, "axis": every_axis}),
    Op(concatenate, concatenate_backward, "(m,k),(n,k)", params={"axis": [0, -2]}),
]
