"""What a numeric derivative is here: a value, an error bar, and the reason when there is none.

This file is the seam between whoever samples a function (`curves.py`) and whoever differentiates it
(the engine, `differentiate`): K curves t -> R^E go in, K x E estimates come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]
ComplexArray = NDArray[np.complexfloating]
IntArray = NDArray[np.integer]
BoolArray = NDArray[np.bool_]


class Outcome(IntEnum):
    """How much could be said about the derivative of one curve at t = 0."""

    SMOOTH = 0  # value and bar hold
    KINK = 1  # two one-sided slopes, `low` and `high`; anything between them is a subgradient
    JUMP = 2  # the function is not continuous here
    NOISY = 3  # the function's own noise is larger than its slope
    QUANTISED = 4  # flat at the smallest scale, moving at larger ones (float16 inside float64, tables)
    ILL_CONDITIONED = 5  # rounding of the input alone moves the slope
    OUTSIDE = 6  # the function is not finite around the point
    NONDETERMINISTIC = 7  # two calls with the same input differ


class Samples(NamedTuple):
    """R curves, evaluated once each."""

    t: FloatArray  # (R,) the displacement that the input really moved by, after rounding
    value: FloatArray  # (R, E) float64; not finite where the forward raised or left its domain
    level: FloatArray  # (R, E) what rounding is relative to: |f|, or the norm of w_i f_i over the i that moved


class Lines(Protocol):
    """K lines x + t v_k: how far they go, and what a step along them is."""

    @property
    def scale(self) -> FloatArray:
        """(K,) unit of a step: 2^floor(log2 max(|x|, 1)) over the entries that move."""

    @property
    def epsilon(self) -> float:
        """Spacing of 1.0 in the dtype that the forward computes in."""

    @property
    def low(self) -> FloatArray:
        """(K,) the smallest t inside the domain (-inf where it has no border)."""

    @property
    def high(self) -> FloatArray:
        """(K,) the largest."""


class Curves(Lines, Protocol):
    """K curves t -> f(x + t v_k) in R^E, evaluated on demand, each at its own t."""

    @property
    def size(self) -> FloatArray:
        """(K,) the largest |x| over the entries that move; 0 where all are 0."""

    def __call__(self, rows: IntArray, t: FloatArray) -> Samples:
        """Evaluate curve rows[r] at t[r], for each r."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """Derivatives at t = 0 of K curves in R^E; every array is (K, E)."""

    value: FloatArray
    bar: FloatArray  # half-width; inf where nothing can be said
    low: FloatArray  # smaller one-sided slope at a kink, else `value`
    high: FloatArray  # larger one-sided slope at a kink, else `value`
    outcome: IntArray  # Outcome
    calls: int  # forward evaluations spent


def concatenate(parts: Sequence[Estimates]) -> Estimates:
    """The estimates of several groups of curves, one below the other."""
    return Estimates(
        value=np.concatenate([part.value for part in parts]),
        bar=np.concatenate([part.bar for part in parts]),
        low=np.concatenate([part.low for part in parts]),
        high=np.concatenate([part.high for part in parts]),
        outcome=np.concatenate([part.outcome for part in parts]),
        calls=sum(part.calls for part in parts),
    )
