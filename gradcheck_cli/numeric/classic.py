"""The classic test, for people who ask for it: one central difference, a relative and an absolute tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradcheck_cli.errors import UsageError
from gradcheck_cli.numeric.estimate import Curves, Estimates, Outcome


@dataclass(frozen=True, slots=True)
class Classic:
    """Step and tolerances; the defaults are those of torch.autograd.gradcheck."""

    eps: float = 1e-6
    rtol: float = 1e-3
    atol: float = 1e-5

    def __post_init__(self) -> None:
        numbers = (self.eps, self.rtol, self.atol)
        if not all(isinstance(number, (int, float)) for number in numbers):
            raise UsageError(f"eps, rtol and atol must be numbers, not {numbers}")
        if not 1e-12 <= self.eps <= 1:
            raise UsageError(f"eps is {self.eps:g}; a step between 1e-12 and 1 can be told from rounding")
        if not 0 <= self.rtol < 1:
            raise UsageError(f"rtol is {self.rtol:g}; from 1 on, a gradient of zero would pass")
        if not 0 <= self.atol < math.inf:
            raise UsageError(f"atol is {self.atol:g}; it must be 0 or more, and finite")

    def __str__(self) -> str:
        return f"classic test: eps {self.eps:g}, rtol {self.rtol:g}, atol {self.atol:g}"


def tolerances(eps: float | None, rtol: float | None, atol: float | None) -> Classic | None:
    """The classic test if any of its numbers was given, completed by its defaults."""
    given = {"eps": eps, "rtol": rtol, "atol": atol}
    chosen = {name: value for name, value in given.items() if value is not None}
    return Classic(**chosen) if chosen else None


def differentiate(curves: Curves, classic: Classic) -> Estimates:
    """(f(eps) - f(-eps)) / 2 eps, with atol + rtol |slope| in the place of an error bar."""
    rows = np.arange(len(curves.scale))
    step = np.full(len(rows), classic.eps)
    right, left = curves(rows, step), curves(rows, -step)
    with np.errstate(all="ignore"):
        value = (right.value - left.value) / (right.t - left.t)[:, None]
    finite = np.isfinite(value)
    bar = np.where(finite, classic.atol + classic.rtol * np.abs(value), np.inf)
    outcome = np.where(finite, Outcome.SMOOTH, Outcome.OUTSIDE).astype(np.int8)
    return Estimates(value, bar, value, value, outcome, 2 * len(rows))
