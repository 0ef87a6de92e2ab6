"""Neural networks: the first layer, the last activation and a loss."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli import AXES, Op, unbroadcast

Array = NDArray[np.floating[Any]]
Axis = int | tuple[int, ...] | None


def softmax(x: Array, axis: Axis = -1) -> Array:
    # The largest entry is subtracted so that exp cannot overflow; an empty axis has none.
    powers: Array = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    total: Array = np.sum(powers, axis=axis, keepdims=True)
    return powers / total


def softmax_backward(grad: Array, out: Array, x: Array, axis: Axis = -1) -> Array:
    """dL/dx = out * (g - sum(g * out)), summed along the axis"""
    average = np.sum(grad * out, axis=axis, keepdims=True)
    grad_x: Array = out * (grad - average)
    return grad_x


def linear(x: Array, w: Array, b: Array) -> Array:
    product: Array = np.matmul(x, w)
    # Loop dimensions of b stand left of the rows of x, so b makes room for the rows.
    return product + (b if x.ndim == 1 else np.expand_dims(b, -2))


def linear_backward(grad: Array, out: Array, x: Array, w: Array, b: Array) -> tuple[Array, Array, Array]:
    """dL/dx = g @ w^T, dL/dw = x^T @ g, dL/db = sum of g over rows; each summed over its broadcast axes"""
    rows, g = (x, grad) if x.ndim > 1 else (np.expand_dims(x, -2), np.expand_dims(grad, -2))
    grad_x = unbroadcast(np.matmul(g, np.swapaxes(w, -1, -2)), rows)
    grad_w = unbroadcast(np.matmul(np.swapaxes(rows, -1, -2), g), w)
    return np.reshape(grad_x, x.shape), grad_w, unbroadcast(np.sum(g, axis=-2), b)


def mean_squared_error(prediction: Array, target: Array) -> np.floating[Any]:
    return np.mean(np.square(prediction - target))


def mean_squared_error_backward(grad: Array, out: Array, prediction: Array, target: Array) -> tuple[Array, Array]:
    """dL/dp = 2 * g * (p - t) / (size of p - t), dL/dt = -dL/dp, each summed over its broadcast axes"""
    difference = prediction - target
    slope = 2 * grad * difference / difference.size
    return unbroadcast(slope, prediction), unbroadcast(-slope, target)


OPS: list[Op] = [
    Op(softmax, softmax_backward, "(...)", params={"axis": AXES}),
    Op(linear, linear_backward, "(n?,k),(k,m),(m)->(n?,m)"),
    # No arrow, hence no loop dimensions: the mean would swallow them. How the two broadcast is what n|1 says.
    Op(mean_squared_error, mean_squared_error_backward, "(n|1,m|1),(n|1,m|1)"),
]
