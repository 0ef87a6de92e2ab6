"""Shapes: entries move, repeat or vanish, and their gradients travel the same road back."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli import PERMUTATIONS, Op, unbroadcast

Array = NDArray[np.floating[Any]]
Axis = int | tuple[int, ...]
Shape = tuple[int, ...]
Call = tuple[Sequence[Any], dict[str, Any]]  # inputs and params

SHORT = 10  # Only an axis below this is cut entry by entry, and masked by a list as long as itself.


def copy_backward(grad: Array, out: Array, x: Array) -> Array:
    """dL/dx = g"""
    return grad


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


def as_reshape(a: Array) -> Call:
    return (a,), {"shape": -1}


def transpose_backward(grad: Array, out: Array, x: Array, axes: Sequence[int] | None = None) -> Array:
    """dL/dx = g, transposed by the inverse permutation"""
    return np.transpose(grad, None if axes is None else np.argsort(np.mod(axes, x.ndim)))


def swapaxes_backward(grad: Array, out: Array, x: Array, axis1: int, axis2: int) -> Array:
    """dL/dx = g, with the same two axes swapped back"""
    return np.swapaxes(grad, axis1, axis2)


def every_axis(x: Shape) -> Sequence[int]:
    return range(-len(x), len(x))


def expand_dims_backward(grad: Array, out: Array, x: Array, axis: Axis | list[int]) -> Array:
    """dL/dx = g, without the new axes"""
    return np.reshape(grad, x.shape)  # np.squeeze takes no list of axes


def squeeze_backward(grad: Array, out: Array, x: Array, axis: Axis | None = None) -> Array:
    """dL/dx = g, with the axes of x"""
    return np.reshape(grad, x.shape)


def short_axes(x: Shape) -> list[Axis | None]:
    short = [axis for axis, size in enumerate(x) if size == 1]
    return [None, (), tuple(short), *short, *(axis - len(x) for axis in short)]


def new_axes(x: Shape) -> list[Axis | list[int]]:
    return [*range(-len(x) - 1, len(x) + 1), (0, -1), (-1, -2), [0, -1]]


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


def setitem(x: Array, value: Array, key: Any) -> Array:
    written = np.array(x)
    written[key] = value
    return written


def setitem_backward(grad: Array, out: Array, x: Array, value: Array, key: Any) -> tuple[Array, Array]:
    """dL/dx = g, and 0 at key; dL/dv = g at key, where no later entry of v was written on the same place"""
    numbers = np.arange(x.size).reshape(x.shape)[key]
    last = np.zeros(x.shape, int)
    last[key] = turns = np.arange(1, numbers.size + 1).reshape(numbers.shape)
    written = np.where(last[key] == turns, grad[key], 0)
    fitted = np.reshape(value, value.shape[max(value.ndim - written.ndim, 0) :])  # v may have more axes, of size 1
    return np.where(last == 0, grad, 0), np.reshape(unbroadcast(written, fitted), value.shape)


def add_at(x: Array, value: Array, key: Any) -> Array:
    added = np.array(x)
    np.add.at(added, key, value)
    return added


def add_at_backward(grad: Array, out: Array, x: Array, value: Array, key: Any) -> tuple[Array, Array]:
    """dL/dx = g, dL/dv = g at key, summed over the axes along which v was broadcast"""
    return grad, unbroadcast(grad[key], value)


def rows(x: Shape, value: Shape) -> list[Any]:
    repeated = [[0, -1, 0], ([0, 0], slice(None)), ([[0], [0]], slice(None))]
    return [0, Ellipsis, (None, -1), slice(None, None, -1), *repeated]


def along(x: Array, indices: NDArray[np.intp], axis: int | None) -> Any:
    """The key at which take_along_axis reads, and put_along_axis writes."""
    if axis is None:
        return np.unravel_index(indices, x.shape)
    key: list[Any] = list(np.ix_(*(range(size) for size in indices.shape)))
    key[axis] = indices
    return tuple(key)


def concatenate(*arrays: Array, axis: int) -> Array:
    return np.concatenate(arrays, axis)


def concatenate_backward(grad: Array, out: Array, *arrays: Array, axis: int) -> Sequence[Array]:
    """dL/dx = its part of g, for each x of the arrays, as long as x"""
    ends = np.cumsum([x.shape[axis] for x in arrays])
    return np.split(grad, ends[:-1], axis)


def as_getitem(x: Array, key: Any) -> Call:
    return (x,), {"key": key}


def as_taken_along(arr: Array, indices: NDArray[np.intp], axis: int | None = -1) -> Call:
    return (arr,), {"key": along(arr, indices, axis)}


def as_setitem(x: Array, key: Any, value: Array) -> Call:
    return (x, value), {"key": key}


def as_put_along(arr: Array, indices: NDArray[np.intp], values: Array, axis: int | None) -> Call:
    return (arr, values), {"key": along(arr, indices, axis)}


def as_concatenate(arrays: Sequence[Array], axis: int | None = 0) -> Call:
    return (arrays, {"axis": axis}) if axis is not None else ([np.ravel(x) for x in arrays], {"axis": 0})


OPS: list[Op] = [
    Op(np.copy, copy_backward, "(...)", overloads={np.positive: lambda x: ((x,), {})}),
    Op(np.broadcast_to, broadcast_to_backward, "(...)", params={"shape": larger_shapes}),
    Op(np.reshape, reshape_backward, "(...)", params={"shape": equal_shapes}, overloads={np.ravel: as_reshape}),
    Op(np.transpose, transpose_backward, "(...)", params={"axes": PERMUTATIONS}),
    Op(np.swapaxes, swapaxes_backward, "(...)", params={"axis1": every_axis, "axis2": every_axis}),
    Op(np.expand_dims, expand_dims_backward, "(...)", params={"axis": new_axes}),
    Op(np.squeeze, squeeze_backward, "(...)", params={"axis": short_axes}),
    Op(
        getitem,
        getitem_backward,
        "(...)",
        params={"key": keys},
        overloads={operator.getitem: as_getitem, np.take_along_axis: as_taken_along},
    ),
    Op(
        setitem,
        setitem_backward,
        "(m,k),(k)",
        params={"key": rows},
        overloads={operator.setitem: as_setitem, np.put_along_axis: as_put_along},
    ),
    Op(
        add_at,
        add_at_backward,
        "(m,k),(k)",
        params={"key": rows},
        overloads={np.add.at: lambda a, indices, b: ((a, b), {"key": indices})},
    ),
    Op(np.split, split_backward, "(...)", params={"indices_or_sections": cuts, "axis": every_axis}),
    Op(
        concatenate,
        concatenate_backward,
        "(m,k),(n,k)",
        params={"axis": [0, -2]},
        overloads={np.concatenate: as_concatenate},
    ),
]
