"""What the function does within a few million ulps of the point: its noise, its slopes, its steps.

Over so short a window a smooth function is a quartic to far below rounding: what a fit leaves over is noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gradcheck_cli.numeric.estimate import BoolArray, Curves, FloatArray, IntArray

# Irregular, and rounded to odd multiples of an ulp: equispaced or power-of-two offsets repeat one rounding of
# a product and measure no noise at all (x*b + c, sin(100x)). The gaps are comparable, so that no increment of
# a smooth function stands out by JUMP_FACTOR.
OFFSETS = np.array([-0.9871, -0.7213, -0.4637, -0.2179, 0.2591, 0.4919, 0.7577, 0.9463])
JUMP_FACTOR = 12.0
JUMP_ULPS = 64.0
LARGEST_GRAIN = 2.0**-7  # of the largest value: a bfloat16's; coarser steps are the function's own
KINK_FIT = 64.0  # two half-parabolas must fit this much better than one quartic to be believed
FEW_LEVELS, MANY_LEVELS = 4, 7  # of nine values
EUCLID_STEPS = 8


@dataclass(frozen=True, slots=True)
class Probe:
    """Every array is (K, E), but for `width`, `reach` (K, 1) and `values`."""

    sigma: FloatArray  # standard deviation of the noise
    slope: FloatArray  # of the fitted quartic; NaN where a value was missing
    kinked: BoolArray  # two half-parabolas fit, one quartic does not
    width: FloatArray  # half-width of the window
    reach: FloatArray  # error of a fitted slope per unit of noise in a value
    levels: IntArray  # how many different values were seen
    jump: FloatArray  # the one increment that stands out; 0 where none does
    third: FloatArray  # the third largest increment: a jump at x itself makes two large ones
    values: FloatArray  # (9, K, E) relative to f(x)
    level: FloatArray  # the largest magnitude seen


def window(curves: Curves) -> tuple[FloatArray, FloatArray]:
    """(K,) half-widths of half the mantissa's worth of ulps (2^27 in float64), and the ulps of x."""
    bits, slack = (27, 10) if curves.epsilon < 2.0**-40 else (11, 4)
    # x = 0 has no ulp to go by, nor has an x that would make t^2 underflow.
    size = np.where(curves.size > curves.scale * 2.0**-100, curves.size, curves.scale)
    size = 2.0 ** np.floor(np.log2(size))
    # No wider than 2^-15 of x itself (2^-8 in float32): a window of 3e-8 is 3 % of x = 1e-6, and log is no quartic
    # over that.
    return curves.epsilon * 2.0**bits * np.minimum(curves.scale, size * 2.0**slack), curves.epsilon * size


def probe(curves: Curves, rows: IntArray, width: FloatArray, start: FloatArray, stretch: float) -> tuple[Probe, int]:
    """Look at rows of curves over +-width (one-sided where a border is nearer than that)."""
    low, high = curves.low[rows], curves.high[rows]
    ulp = np.minimum(window(curves)[1][rows], width * 2.0**-11)
    offsets = OFFSETS[:, None] * stretch * width
    t = (2 * np.floor(offsets / ulp / 2) + 1) * ulp
    t = np.where((t > high) & (-t >= low) | (t < low) & (-t <= high), -t, t)
    samples = curves(np.tile(rows, len(t)), t.ravel())
    values = samples.value.reshape(*t.shape, start.shape[-1]) - start
    moved = np.concatenate([samples.t.reshape(t.shape), np.zeros((1, len(rows)))])
    values = np.concatenate([values, np.zeros((1, *values.shape[1:]))])
    order = np.argsort(moved, axis=0)
    moved = np.take_along_axis(moved, order, axis=0)
    values = np.take_along_axis(values, order[:, :, None], axis=0)
    level = np.nan_to_num(samples.level, posinf=0.0).reshape(*t.shape, start.shape[-1]).max(axis=0)
    return analyse(moved, values, width, level), len(samples.t)


def analyse(t: FloatArray, values: FloatArray, width: FloatArray, level: FloatArray) -> Probe:
    """t (9, K) sorted, values (9, K, E) relative to f(x)."""
    scaled = t / width
    # Squares of 1e-171 would be 0, and the noise with them.
    peak = np.max(np.abs(values), axis=0)
    peak = np.where((peak > 0) & np.isfinite(peak), peak, 1)
    unit_values = values / peak
    rest, slope, reach = fit(scaled, unit_values, 4)
    right_rest, *_ = fit(np.where(scaled >= 0, scaled, np.nan), unit_values, 2)
    left_rest, *_ = fit(np.where(scaled <= 0, scaled, np.nan), unit_values, 2)
    both = left_rest + right_rest
    broken = np.where(np.isnan(both), 2 * np.fmin(left_rest, right_rest), both)
    kinked = np.isnan(rest) | (rest > KINK_FIT**2 * both)
    # 9 - 5 and 2 (5 - 3) degrees of freedom: four either way.
    sigma = peak * np.sqrt(np.where(kinked, broken, rest) / 4)
    scale = width[:, None]
    steps = np.abs(np.diff(values, axis=0))
    gaps = np.diff(np.sort(values, axis=0), axis=0)
    third = np.sort(steps, axis=0)[-3]
    return Probe(
        sigma=np.nan_to_num(sigma, nan=0.0, posinf=np.inf),
        slope=peak * slope / scale,
        kinked=kinked,
        width=scale,
        reach=reach[:, None] / scale,
        levels=1 + np.count_nonzero(gaps > 0, axis=0),
        jump=np.where(steps.max(axis=0) > JUMP_FACTOR * third, steps.max(axis=0), 0),
        third=third,
        values=values,
        level=level,
    )


def fit(t: FloatArray, values: FloatArray, degree: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Least squares through the points whose t is a number: (residual sum of squares, slope, |slope row|)."""
    if np.all((t == t[:, :1]) | np.isnan(t)) and np.all(np.isnan(t) == np.isnan(t[:, :1])):
        t = t[:, :1]  # all rows alike, as they nearly always are: one pseudo-inverse serves them
    design, solve = normal_equations(t.shape, t.tobytes(), degree)
    known = ~np.isnan(t)
    y = np.where(known[:, :, None], values, 0.0).transpose(1, 0, 2)
    coefficients = solve @ y
    rest = np.sum((y - design @ coefficients) ** 2, axis=1)
    enough = (np.count_nonzero(known, axis=0) > degree + 1)[:, None]
    reach = np.sqrt(np.sum(solve[:, 1] ** 2, axis=-1))
    return np.where(enough, rest, np.nan), np.where(enough, coefficients[:, 1], np.nan), reach


@lru_cache(maxsize=16)
def normal_equations(shape: tuple[int, int], places: bytes, degree: int) -> tuple[FloatArray, FloatArray]:
    """Polynomials at t (9, K) and their pseudo-inverse. The same few places come back in every case."""
    t = np.frombuffer(places).reshape(shape)
    known = ~np.isnan(t)
    powers = np.where(known, t, 0.0)[:, :, None] ** np.arange(degree + 1) * known[:, :, None]
    design = powers.transpose(1, 0, 2)
    return np.asarray(design, float), np.linalg.pinv(design)


def lattice(values: FloatArray) -> FloatArray:
    """The spacing of which all gaps between values (9, N) are multiples, by Euclid; 0 where there is none."""
    gaps = np.diff(np.sort(values, axis=0), axis=0)
    smallest = np.min(np.where(gaps > 0, gaps, np.inf), axis=0)
    spacing = np.max(gaps, axis=0)
    for gap in gaps:
        other = gap
        for _ in range(EUCLID_STEPS):
            left = np.where(other > 1e-3 * smallest, np.fmod(spacing, other), 0)
            left = np.where(other - left < 1e-3 * smallest, 0, left)
            spacing = np.where(other > 1e-3 * smallest, other, spacing)
            other = left
    several = np.count_nonzero(gaps > 0, axis=0) >= 3
    coarse = spacing > smallest / 16
    return np.where(several & coarse & np.isfinite(smallest), spacing, 0.0)
