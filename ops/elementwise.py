"""Elementwise ops: what happens to one entry knows nothing of the others."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli import POSITIVE, REAL, Op, integers, unbroadcast

Array = NDArray[np.floating[Any]]


def add_backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """dL/da = g, dL/db = g, each summed over the axes along which it was broadcast"""
    return unbroadcast(grad, a), unbroadcast(grad, b)


def subtract_backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """dL/da = g, dL/db = -g, each summed over the axes along which it was broadcast"""
    return unbroadcast(grad, a), unbroadcast(-grad, b)


def multiply_backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """dL/da = g * b, dL/db = g * a, each summed over the axes along which it was broadcast"""
    return unbroadcast(grad * b, a), unbroadcast(grad * a, b)


def divide_backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """dL/da = g / b, dL/db = -g * out / b, each summed over the axes along which it was broadcast"""
    return unbroadcast(grad / b, a), unbroadcast(-grad * out / b, b)


def power_backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """dL/da = g * b * a^(b-1), dL/db = g * out * ln a, each summed over its broadcast axes"""
    # Outside the domain too, x ** 2 is asked at x <= 0 every day: a slope that exists must not become nan
    # (a^0 at 0), and the one that does not exist (d/db at a < 0) must become nan without a warning.
    exponent = np.where((a == 0) & (b == 0), 1, b - 1)
    base = np.where(a < 0, np.nan, np.where(a == 0, 1, a))
    return unbroadcast(grad * b * np.power(a, exponent), a), unbroadcast(grad * out * np.log(base), b)


def negative_backward(grad: Array, out: Array, x: Array) -> Array:
    """dL/dx = -g"""
    return -grad


def exp_backward(grad: Array, out: Array, x: Array) -> Array:
    """dL/dx = g * out"""
    return grad * out


def log_backward(grad: Array, out: Array, x: Array) -> Array:
    """dL/dx = g / x"""
    return grad / x


def sqrt_backward(grad: Array, out: Array, x: Array) -> Array:
    """dL/dx = g / (2 * out)"""
    return grad / (2 * out)


def sin_backward(grad: Array, out: Array, x: Array) -> Array:
    """dL/dx = g * cos x"""
    return grad * np.cos(x)


def cos_backward(grad: Array, out: Array, x: Array) -> Array:
    """dL/dx = -g * sin x"""
    return -grad * np.sin(x)


def tanh_backward(grad: Array, out: Array, x: Array) -> Array:
    """dL/dx = g * (1 - out^2)"""
    return grad * (1 - out * out)


def sigmoid(x: Array) -> Array:
    # 1 / (1 + exp(-x)) overflows where x is very negative; its logarithm, -log(1 + exp(-x)), does not.
    return np.exp(-np.logaddexp(0, -x))


def sigmoid_backward(grad: Array, out: Array, x: Array) -> Array:
    """dL/dx = g * out * (1 - out)"""
    return grad * out * (1 - out)


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def relu_backward(grad: Array, out: Array, x: Array) -> Array:
    """dL/dx = g where x > 0, else 0"""
    return np.where(x > 0, grad, 0)


def maximum_backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """dL/da = g where a > b, g / 2 at ties, else 0; dL/db = the rest; each summed over its broadcast axes"""
    to_a = np.where(a == b, grad / 2, np.where(a > b, grad, 0))
    return unbroadcast(to_a, a), unbroadcast(grad - to_a, b)


def absolute_backward(grad: Array, out: Array, x: Array) -> Array:
    """dL/dx = g * sign x"""
    return grad * np.sign(x)


def square_backward(grad: Array, out: Array, x: Array) -> Array:
    """dL/dx = 2 * g * x"""
    return 2 * grad * x


def where_backward(grad: Array, out: Array, condition: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """dL/da = g where the condition holds, else 0; dL/db = the rest; each summed over its broadcast axes"""
    return unbroadcast(np.where(condition, grad, 0), a), unbroadcast(np.where(condition, 0, grad), b)


OPS: list[Op] = [
    Op(np.add, add_backward, "(),()->()"),
    Op(np.subtract, subtract_backward, "(),()->()"),
    Op(np.multiply, multiply_backward, "(),()->()"),
    Op(
        np.divide,
        divide_backward,
        "(),()->()",
        domain=[REAL, REAL.avoiding(0)],
        overloads={np.reciprocal: lambda x: ((1, x), {})},
    ),
    Op(np.negative, negative_backward, "()->()"),
    Op(np.power, power_backward, "(),()->()", domain=[POSITIVE, REAL]),
    Op(np.exp, exp_backward, "()->()"),
    Op(np.log, log_backward, "()->()", domain=POSITIVE),
    Op(np.sqrt, sqrt_backward, "()->()", domain=POSITIVE),
    Op(np.sin, sin_backward, "()->()"),
    Op(np.cos, cos_backward, "()->()"),
    Op(np.tanh, tanh_backward, "()->()"),
    Op(sigmoid, sigmoid_backward, "()->()"),
    Op(relu, relu_backward, "()->()", domain=REAL.avoiding(0)),
    Op(np.maximum, maximum_backward, "(),()->()"),
    Op(np.absolute, absolute_backward, "()->()", domain=REAL.avoiding(0)),
    Op(np.square, square_backward, "()->()"),
    Op(np.where, where_backward, "(),(),()->()", domain=[integers(0, 1), REAL, REAL]),
]
