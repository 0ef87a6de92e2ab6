"""The engine: central differences at two step sizes, with an error bar from their disagreement."""

from __future__ import annotations

import numpy as np

from gradcheck_cli.numeric.estimate import Curves, Estimates, FloatArray, IntArray, Outcome

# Steps of 2^-11 and 2^-12 units in float64 (eps^0.21), 2^-5 and 2^-6 in float32: large enough that rounding, eps/h,
# stays below the truncation error of most functions, which the disagreement of the two steps measures.
_EXPONENT = 0.21
_KINK = 0.75  # second differences of a smooth function fall by 2 from step to step in (f+ + f- - 2 f0)/h; a kink's stay
_NOISE = 32.0  # roundings in one difference, in units of eps * |f|: a sum of many terms rounds more than once


def differentiate(curves: Curves, *, stretch: float = 1.0) -> Estimates:
    """Derivatives at t = 0 of every curve, from four evaluations each; `stretch` scales the steps for a second look.

    With D(h) = (f(h) - f(-h)) / 2h, Richardson's (4 D(h/2) - D(h)) / 3 removes the h^2 term; |D(h) - D(h/2)| then
    bounds what is left for any function that a cubic describes over [-h, h], with a factor to spare.
    """
    rows = np.arange(len(curves.scale))
    wide = stretch * curves.scale * 2.0 ** np.round(np.log2(curves.epsilon) * _EXPONENT)
    room = np.minimum(-curves.low, curves.high)
    wide = np.where(room > 0, np.minimum(wide, room / 2), wide)
    coarse, coarse_noise, coarse_bend, fine_slopes = _central(curves, rows, wide)
    fine, noise, bend, fine_slopes = _central(curves, rows, wide / 2)
    with np.errstate(all="ignore"):
        value = fine + (fine - coarse) / 3
        bar = np.abs(fine - coarse) + 2 * noise + coarse_noise
        kink = (np.abs(bend) > _KINK * np.abs(coarse_bend)) & (np.abs(bend) > 4 * noise)
        low, high = np.minimum(*fine_slopes) - bar, np.maximum(*fine_slopes) + bar
    finite = np.isfinite(value) & np.isfinite(bar)
    outcome = np.where(finite, np.where(kink, Outcome.KINK, Outcome.SMOOTH), Outcome.OUTSIDE)
    return Estimates(
        value=value,
        bar=np.where(finite, bar, np.inf),
        low=np.where(kink & finite, low, value),
        high=np.where(kink & finite, high, value),
        outcome=outcome.astype(np.int8),
        calls=4 * len(rows),
    )


def _central(
    curves: Curves, rows: IntArray, step: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, tuple[FloatArray, FloatArray]]:
    """Central slope, its rounding, the change of slope across the point, and the two one-sided slopes."""
    right, left = curves(rows, step), curves(rows, -step)
    with np.errstate(all="ignore"):
        up, down = right.value / right.t[:, None], left.value / left.t[:, None]
        slope = (right.value - left.value) / (right.t - left.t)[:, None]
        level = np.maximum(right.level, left.level)
        noise = _NOISE * curves.epsilon * level / (right.t - left.t)[:, None]
    return slope, noise, up - down, (up, down)
