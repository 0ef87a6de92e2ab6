"""Two tables: the 28 functions that the method was measured on first, and 20 others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special as sp

from benchmarks import matrices as la
from benchmarks.catalogue import (
    NUMPY,
    Function,
    convolution,
    convolution_gradient,
    gelu_tanh,
    gelu_tanh_gradient,
    huber,
    largest,
    layernorm,
    layernorm_gradient,
    logsumexp,
    mish_gradient,
    normal,
    polynomial,
    sigmoid,
    signed,
    softmax,
    softplus,
    total,
    uniform,
    variance,
)


def soft(v: Sequence[Any], j: int) -> Any:
    """Row 0 of the Jacobian of softmax, column j: s_0 (delta - s_j)."""
    s = softmax(NUMPY, *v)
    return s[0] * (total([*s[1:]]) if j == 0 else -s[j])


LISTED = [
    Function("exp", normal(1.5), lambda m, x: m.exp(x), np.exp),
    Function("log", uniform(0.05, 5), lambda m, x: m.log(x), lambda x: 1 / x),
    Function("sqrt", uniform(0.05, 5), lambda m, x: m.sqrt(x), lambda x: 0.5 / np.sqrt(x)),
    Function("tanh", normal(1.5), lambda m, x: m.tanh(x), lambda x: 1 / np.cosh(x) ** 2),
    Function("sigmoid", normal(2), sigmoid, lambda x: sp.expit(x) * sp.expit(-x)),
    Function("softplus", normal(2), softplus, sp.expit),
    Function("x**3", normal(1.5), lambda m, x: x**3, lambda x: 3 * x * x),
    Function("1/x", signed(0.1, 4), lambda m, x: 1 / x, lambda x: -1 / x**2),
    Function("sin(100x)", normal(1), lambda m, x: m.sin(100 * x), lambda x: 100 * np.cos(100 * x)),
    Function("exp(30x)", uniform(-1, 1), lambda m, x: m.exp(30 * x), lambda x: 30 * np.exp(30 * x)),
    Function("erf", normal(1), lambda m, x: m.erf(x), lambda x: 1.1283791670955126 * np.exp(-x * x)),
    Function("logsumexp", normal(1), logsumexp, lambda *v: softmax(NUMPY, *v)[0], 7),
    Function("softmax ii", normal(1), lambda m, *v: softmax(m, *v)[0], lambda *v: soft(v, 0), 7),
    Function("softmax ij", normal(1), lambda m, *v: softmax(m, *v)[1], lambda *v: soft(v, 1), 7),
    Function("layernorm", normal(1), layernorm, layernorm_gradient, 15),
    Function("var", normal(1), lambda m, *v: variance(v), lambda *v: 2 * (v[0] - np.mean(v, axis=0)) / 16, 15),
    Function("norm", normal(1), lambda m, *v: m.sqrt(total([a * a for a in v])),
             lambda *v: v[0] / np.linalg.norm(v, axis=0), 7),
    Function("matmul", normal(1), lambda m, *v: total([v[i] * v[i + 8] for i in range(8)]), lambda *v: v[8], 15),
    Function("cholesky", normal(0.0), la.cholesky, la.cholesky_gradient, 16, la.cholesky_forward),
    Function("inverse", normal(1), la.inverse, la.inverse_gradient, 16, la.inverse_forward),
    Function("det", normal(1), la.det, la.det_gradient, 16, la.det_forward),
    Function("arctan2", normal(1), lambda m, x, y: m.atan2(x, y), lambda x, y: y / (x * x + y * y), 1),
    Function("max", normal(1), lambda m, *v: largest(m, v), lambda *v: (v[0] > np.max(v[1:], axis=0)) * 1.0, 7),
    Function("relu", normal(1), lambda m, x: m.max(x, 0 * x), lambda x: (x > 0) * 1.0),
    Function("abs", normal(1), lambda m, x: abs(x), np.sign),
    Function("clip", normal(1), lambda m, x: m.min(m.max(x, 0 * x - 1), 0 * x + 1), lambda x: (abs(x) < 1) * 1.0),
    Function("sign", normal(1), lambda m, x: m.sign(x), np.zeros_like),
    Function("round", normal(2), lambda m, x: m.round(x), np.zeros_like),
]  # fmt: skip

UNSEEN = [
    Function("logaddexp", normal(2), logsumexp, lambda x, y: sp.expit(x - y), 1, np.logaddexp),
    Function("gelu tanh", normal(1.5), gelu_tanh, gelu_tanh_gradient),
    Function("gelu erf", normal(1.5), lambda m, x: 0.5 * x * (1 + m.erf(x * 0.7071067811865476)),
             lambda x: sp.ndtr(x) + x * np.exp(-x * x / 2) * 0.3989422804014327),
    Function("silu", normal(2), lambda m, x: x * sigmoid(m, x), lambda x: sp.expit(x) * (1 + x * sp.expit(-x))),
    Function("mish", normal(2), lambda m, x: x * m.tanh(softplus(m, x)), mish_gradient),
    Function("lgamma", uniform(0.1, 6), lambda m, x: m.lgamma(x), sp.digamma),
    Function("digamma", uniform(0.1, 6), lambda m, x: m.digamma(x),
             lambda x: sp.zeta(2, x.astype(float)).astype(x.dtype)),
    Function("expm1", normal(1), lambda m, x: m.expm1(x), np.exp),
    Function("log1p", uniform(-0.9, 3), lambda m, x: m.log1p(x), lambda x: 1 / (1 + x)),
    Function("hypot", normal(1), lambda m, x, y: m.sqrt(x * x + y * y), lambda x, y: x / np.hypot(x, y), 1,
             np.hypot),
    Function("cumprod", normal(1), lambda m, *v: v[0] * v[1] * v[2] * v[3] * v[4],
             lambda *v: np.prod(v[1:], axis=0), 4),
    Function("solve", normal(1), la.solve, la.solve_gradient, 20, la.solve_forward),
    Function("slogdet", normal(1), la.logdet, la.logdet_gradient, 16, la.logdet_forward),
    Function("spectral norm", normal(1), la.spectral, la.spectral_gradient, 3, la.spectral_forward),
    Function("convolution", normal(1), convolution, convolution_gradient, 9),
    Function("huber", normal(1), huber, lambda x: np.clip(x, -1, 1)),
    Function("polynomial", uniform(-1.5, 1.5), polynomial,
             lambda x, *c: sum(k * c[k] * x ** (k - 1) for k in range(1, 8)), 8),
    Function("bessel j0", uniform(0.1, 10), lambda m, x: m.j0(x), lambda x: -sp.j1(x)),
    Function("x**y", uniform(0.1, 3), lambda m, x, y: m.exp(y * m.log(x)), lambda x, y: y * x ** (y - 1), 1, np.power),
    Function("softsign", normal(2), lambda m, x: x / (1 + abs(x)), lambda x: 1 / (1 + abs(x)) ** 2),
]  # fmt: skip
