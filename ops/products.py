"""Products: matmul in all its forms, and outer."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli import Op, unbroadcast

Array = NDArray[np.floating[Any]]


def matmul_backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """dL/da = g @ b^T, dL/db = a^T @ g, each summed over the axes along which it was broadcast"""
    left, right = a, b
    if b.ndim == 1:
        right, grad = np.expand_dims(b, -1), np.expand_dims(grad, -1)
    if a.ndim == 1:
        left, grad = np.expand_dims(a, -2), np.expand_dims(grad, -2)
    grad_a = unbroadcast(np.matmul(grad, np.swapaxes(right, -1, -2)), left)
    grad_b = unbroadcast(np.matmul(np.swapaxes(left, -1, -2), grad), right)
    return np.reshape(grad_a, a.shape), np.reshape(grad_b, b.shape)


def as_matmul(a: Array, b: Array) -> tuple[tuple[Array, Array], dict[str, Any]]:
    if not 1 <= min(np.ndim(a), np.ndim(b)) <= max(np.ndim(a), np.ndim(b)) <= 2:
        raise TypeError(f"np.dot of {np.ndim(a)} and {np.ndim(b)} dimensions is not np.matmul")
    return (a, b), {}


def outer_backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """dL/da = g @ b, dL/db = a @ g, of a and b in one dimension"""
    grad_a, grad_b = np.matmul(grad, np.ravel(b)), np.matmul(np.ravel(a), grad)
    return np.reshape(grad_a, a.shape), np.reshape(grad_b, b.shape)


OPS: list[Op] = [
    Op(np.matmul, matmul_backward, "(n?,k),(k,m?)->(n?,m?)", overloads={np.dot: as_matmul}),
    # No arrow, hence no loop dimensions: np.outer would flatten them.
    Op(np.outer, outer_backward, "(m),(n)"),
]
