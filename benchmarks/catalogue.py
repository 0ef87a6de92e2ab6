"""The functions: each written once for NumPy arrays and for mpmath numbers, with its gradient by another formula.

`f(m, x, *others)` takes the namespace it computes in. Truth is a central difference of that same code at 60
digits with a step of 1e-20; the gradient is a closed form evaluated in the working dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import scipy.special as sp

mp = mpmath.mp.clone()
mp.dps = 60
STEP = mp.mpf(10) ** -20

NUMPY = SimpleNamespace(
    exp=np.exp, log=np.log, sqrt=np.sqrt, tanh=np.tanh, sin=np.sin, cos=np.cos, erf=sp.erf, expm1=np.expm1,
    log1p=np.log1p, lgamma=sp.gammaln, digamma=sp.digamma, j0=sp.j0, atan2=np.arctan2, asinh=np.arcsinh,
    max=np.maximum, min=np.minimum, sign=np.sign, round=np.round, where=np.where,
)  # fmt: skip
MPMATH = SimpleNamespace(
    exp=mp.exp, log=mp.log, sqrt=mp.sqrt, tanh=mp.tanh, sin=mp.sin, cos=mp.cos, erf=mp.erf, expm1=mp.expm1,
    log1p=mp.log1p, lgamma=mp.loggamma, digamma=lambda x: mp.psi(0, x), j0=lambda x: mp.besselj(0, x),
    atan2=mp.atan2, asinh=mp.asinh, max=max, min=min, sign=mp.sign, round=mp.nint,
    where=lambda condition, a, b: a if condition else b,
)  # fmt: skip


@dataclass(frozen=True)
class Function:
    """f(x; others) with x drawn by `draw`, `count` others standard normal (or drawn by `others`)."""

    name: str
    draw: Callable[[np.random.Generator, int], Any]
    f: Callable[..., Any]
    gradient: Callable[..., Any]
    count: int = 0
    forward: Callable[..., Any] | None = None  # NumPy's own implementation, where it has one

    def points(self, n: int, dtype: type, seed: int) -> tuple[Any, list[Any]]:
        """n points and their other inputs, in dtype."""
        rng = np.random.default_rng([seed, *self.name.encode()])
        others: list[Any] = [rng.standard_normal(n).astype(dtype) for _ in range(self.count)]
        return np.asarray(self.draw(rng, n)).astype(dtype), others

    def evaluate(self, x: Any, others: Sequence[Any]) -> Any:
        """In the dtype of x."""
        with np.errstate(all="ignore"):
            return self.forward(x, *others) if self.forward else self.f(NUMPY, x, *others)

    def truth(self, x: Any, others: Sequence[Any]) -> Any:
        """Slopes to 60 digits less the truncation of a step of 1e-20, rounded to float64."""
        slopes = []
        for i, point in enumerate(x):
            at, rest = mp.mpf(float(point)), [mp.mpf(float(o[i])) for o in others]
            ahead, behind = self.f(MPMATH, at + STEP, *rest), self.f(MPMATH, at - STEP, *rest)
            slopes.append(float((ahead - behind) / (2 * STEP)))
        return np.array(slopes)


def normal(scale: float) -> Callable[[np.random.Generator, int], Any]:
    """Normal with some standard deviation."""
    return lambda rng, n: scale * rng.standard_normal(n)


def uniform(low: float, high: float) -> Callable[[np.random.Generator, int], Any]:
    """Uniform between two bounds."""
    return lambda rng, n: rng.uniform(low, high, n)


def signed(low: float, high: float) -> Callable[[np.random.Generator, int], Any]:
    """Uniform, of either sign."""
    return lambda rng, n: rng.uniform(low, high, n) * rng.choice([-1, 1], n)


def total(terms: Sequence[Any]) -> Any:
    """The sum from left to right."""
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result


def largest(m: Any, terms: Sequence[Any]) -> Any:
    """The largest of several."""
    result = terms[0]
    for term in terms[1:]:
        result = m.max(result, term)
    return result


def softmax(m: Any, *v: Any) -> list[Any]:
    """All entries."""
    peak = largest(m, v)
    e = [m.exp(a - peak) for a in v]
    return [a / total(e) for a in e]


def logsumexp(m: Any, *v: Any) -> Any:
    """With the peak taken out."""
    peak = largest(m, v)
    return peak + m.log(total([m.exp(a - peak) for a in v]))


def variance(v: Sequence[Any]) -> Any:
    """Of the population."""
    mean = total(v) / len(v)
    return total([(a - mean) * (a - mean) for a in v]) / len(v)


def layernorm(m: Any, *v: Any) -> Any:
    """The first entry."""
    return (v[0] - total(v) / len(v)) / m.sqrt(variance(v) + 1e-5)


def layernorm_gradient(*v: Any) -> Any:
    """(1 - 1/n - y^2/n) / deviation."""
    a = np.stack(v)
    deviation = np.sqrt(a.var(axis=0) + 1e-5)
    y = (a[0] - a.mean(axis=0)) / deviation
    n = a.dtype.type(len(v))
    return (1 - 1 / n - y * y / n) / deviation


def sigmoid(m: Any, x: Any) -> Any:
    """The logistic function."""
    return 1 / (1 + m.exp(-x))


def softplus(m: Any, x: Any) -> Any:
    """Stable on both sides."""
    return m.log1p(m.exp(-abs(x))) + m.max(x, 0 * x)


def gelu_tanh(m: Any, x: Any) -> Any:
    """The approximation."""
    return 0.5 * x * (1 + m.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))


def gelu_tanh_gradient(x: Any) -> Any:
    """By 1 + tanh u = 2 sigmoid(2u)."""
    s = sp.expit(2 * 0.7978845608028654 * x * (1 + 0.044715 * x**2))
    return s + 2 * x * s * (1 - s) * 0.7978845608028654 * (1 + 3 * 0.044715 * x**2)


def mish_gradient(x: Any) -> Any:
    """tanh(softplus) + x sech^2(softplus) sigmoid."""
    t = np.tanh(np.logaddexp(0, x).astype(x.dtype))
    return t + x * (1 - t * t) * sp.expit(x)


def huber(m: Any, x: Any) -> Any:
    """With delta 1."""
    return m.where(abs(x) < 1, 0.5 * x * x, abs(x) - 0.5)


def polynomial(m: Any, x: Any, *c: Any) -> Any:
    """By Horner."""
    result = c[-1]
    for a in c[-2::-1]:
        result = result * x + a
    return result


def convolution(m: Any, x: Any, *v: Any) -> Any:
    """Half the energy of a signal v[1:] filtered with the kernel (x, v[0])."""
    y = [x * v[i] + v[0] * v[i + 1] for i in range(1, len(v) - 1)]
    return total([0.5 * a * a for a in y])


def convolution_gradient(x: Any, *v: Any) -> Any:
    """Sum of output times input."""
    s = np.stack(v[1:])
    return np.sum((x * s[:-1] + v[0] * s[1:]) * s[:-1], axis=0)
