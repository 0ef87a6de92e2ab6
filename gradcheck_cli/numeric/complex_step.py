"""A second opinion: f(x + i h v) has the slope in its imaginary part, free of cancellation (Squire & Trapp 1998).

It is silently wrong wherever the code is not analytic (abs, sign, conjugation inside cholesky): 800 of 9,600
elements of ordinary NumPy code. So it may only sharpen what the ladder found, and only under four conditions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from gradcheck_cli.numeric.estimate import ComplexArray, Estimates, FloatArray, IntArray, Outcome

STEPS = (1e-20, 1e-30)  # h^2 is far below rounding for both; an analytic function cannot tell them apart
SAME_VALUE = 16.0  # ulps between the real part and f(x): another code path shows up here
SMALLEST = 2.0**-1022  # below it digits are lost, so that no bar is narrower
SAME_SLOPE = 64.0  # ulps between the two steps: a lost imaginary part, or one that is not linear in h


class ComplexCurves(Protocol):
    """The same curves where the forward takes complex numbers."""

    @property
    def epsilon(self) -> float:
        """Spacing of 1.0 in the dtype that the forward computes in."""

    def along_imaginary(self, rows: IntArray, t: FloatArray) -> tuple[ComplexArray, FloatArray] | None:
        """f(x + i t[r] v) - f(x) of curve rows[r] and the level of f, both (R, E).

        None where forward raised, or its result is not complex.
        """


def sharpen(found: Estimates, curves: ComplexCurves) -> Estimates:
    """Take the complex step's value for the elements where it may be believed."""
    k = len(found.value)
    rows = np.arange(k)
    answers = [curves.along_imaginary(rows, np.full(k, h)) for h in STEPS]
    calls = found.calls + len(STEPS) * k
    if answers[0] is None or answers[1] is None:
        return replace(found, calls=calls)
    (first, level), (second, _) = answers[0], answers[1]
    with np.errstate(all="ignore"):
        slope, again = first.imag / STEPS[0], second.imag / STEPS[1]
        ulp = curves.epsilon * np.abs(slope)
        believed = np.abs(first.real) <= SAME_VALUE * curves.epsilon * level
        believed &= np.abs(slope - again) <= SAME_SLOPE * ulp
        believed &= np.abs(slope - found.value) <= found.bar
        believed &= found.outcome == Outcome.SMOOTH
        # Never tighter than the two opinions differ: one of them may be off, and which is not known.
        bar = np.maximum(SAME_SLOPE * ulp + SMALLEST, np.abs(slope - found.value))
        believed &= bar < found.bar
    value = np.where(believed, slope, found.value)
    return replace(
        found,
        value=value,
        bar=np.where(believed, bar, found.bar),
        low=np.where(believed, slope, found.low),
        high=np.where(believed, slope, found.high),
        calls=calls,
    )
