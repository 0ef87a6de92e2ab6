"""From difference quotients at h, h/2, h/4 ... to one value with an error bar.

Arrays are (rungs, elements); rung 0 has the largest step, and every rung halves it. NaN marks a rung that
could not be had. `factors[j]` is what halving h divides the j-th error term by: 4, 16, 64 for central
differences (h^2, h^4, h^6), 2, 4, 8 for one-sided ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradcheck_cli.numeric.estimate import FloatArray, IntArray

CENTRAL = (4.0, 16.0, 64.0, 256.0, 1024.0)
ONE_SIDED = (2.0, 4.0, 8.0, 16.0, 32.0)
EVEN_PART = (2.0, 8.0, 32.0)  # of (f+ + f- - 2 f0)/h, whose error terms are h, h^3, h^5
STALL = 0.5
MOST_INFLATIONS = 4


@dataclass(slots=True)
class Pick:
    """The entry of the tableau with the smallest bar that all smaller steps agree with."""

    value: FloatArray
    bar: FloatArray  # inf where there is none
    rung: IntArray
    noise: FloatArray  # the part of the bar that comes from rounding and noise
    inflation: FloatArray  # how much the noise had to be raised before the smaller steps agreed

    def put(self, where: IntArray, other: Pick) -> None:
        """Overwrite some elements (inflation is kept: the caller owns it)."""
        for name in ("value", "bar", "rung", "noise"):
            getattr(self, name)[where] = getattr(other, name)


def settle(raw: FloatArray, noise: FloatArray, factors: tuple[float, ...]) -> Pick:
    """Choose, then let the smaller steps contradict the choice; raise the noise until they do not."""
    pick = choose(raw, noise, factors)
    for _ in range(MOST_INFLATIONS):
        excess = contradiction(raw, noise, pick, factors[0])
        again = np.flatnonzero(excess > 1)
        if not again.size:
            break
        # x3 at least: the contradiction is a lower bound on what the noise was underestimated by.
        pick.inflation[again] *= np.maximum(3, 3 * excess[again])
        pick.put(again, choose(raw[:, again], noise[:, again] * pick.inflation[again], factors))
    return pick


def choose(raw: FloatArray, noise: FloatArray, factors: tuple[float, ...]) -> Pick:
    """Lepski's rule: climb from the smallest step while all intervals share a point; keep the tightest."""
    value = np.full(raw.shape, np.nan)
    bar = np.full(raw.shape, np.inf)
    part = np.full(raw.shape, np.inf)
    for first, entry, amplified, truncation in columns(raw, noise, factors):
        total = amplified + truncation
        better = total < bar[first:]
        np.copyto(bar[first:], total, where=better)
        np.copyto(value[first:], entry, where=better)
        np.copyto(part[first:], amplified, where=better)
    unknown = ~np.isfinite(bar)
    low = np.where(unknown, -np.inf, value - bar)[::-1]
    high = np.where(unknown, np.inf, value + bar)[::-1]
    agree = np.maximum.accumulate(low, axis=0) <= np.minimum.accumulate(high, axis=0)
    rung = np.argmin(np.where(agree[::-1], bar, np.inf), axis=0)
    at = (rung, np.arange(raw.shape[1]))
    return Pick(value[at], bar[at], rung, part[at], np.ones(raw.shape[1]))


def columns(
    raw: FloatArray, noise: FloatArray, factors: tuple[float, ...]
) -> Iterator[tuple[int, FloatArray, FloatArray, FloatArray]]:
    """Richardson's tableau: (first rung, entries, their noise, their truncation bound), column by column."""
    entry, amplified, step_left = raw, noise, np.zeros_like(raw)
    for j in range(len(factors) + 1):
        if len(entry) < 3:
            return
        truncation = truncation_bound(entry, amplified, factors[min(j, len(factors) - 1)])
        np.maximum(truncation, step_left[2:], out=truncation)
        yield j + 2, entry[2:], amplified[2:], truncation
        if j == len(factors):
            return
        weight = factors[j]
        finer = (weight * entry[1:] - entry[:-1]) / (weight - 1)
        step_left = np.abs(finer - entry[1:])  # what this column still had to correct
        # The same recursion with plus signs bounds what the extrapolation makes of the noise.
        entry, amplified = finer, (weight * amplified[1:] + amplified[:-1]) / (weight - 1)


def truncation_bound(entry: FloatArray, amplified: FloatArray, factor: float) -> FloatArray:
    """Bound the truncation of entries 2.. of one column from how the column itself moves.

    The last two differences d2, d1 shrink by q = d1/d2; the rest of a geometric series is d1 q/(1-q), doubled.
    Two entries alone are not enough: where the leading error term changes sign they agree by accident
    (sigmoid near 0.877), hence d2 over the expected factor, and the next difference where there is one.
    """
    moved = np.abs(entry[1:] - entry[:-1])
    d1, d2 = moved[1:], moved[:-1]
    q = d1 / np.maximum(d2, np.finfo(float).tiny)
    in_noise = d1 <= amplified[2:] + amplified[1:-1]
    q = np.where(in_noise, np.minimum(q, STALL), q)
    rest = np.where(q < 1, d1 * np.maximum(1, 2 * q / (1 - q)), np.inf)
    bound = np.maximum(rest, d2 / factor)
    after = moved[2:] - amplified[3:]
    bound[:-1] = np.fmax(bound[:-1], after)
    bound[np.isnan(d1) | np.isnan(d2)] = np.inf
    return bound


def contradiction(raw: FloatArray, noise: FloatArray, pick: Pick, factor: float) -> FloatArray:
    """How many times further from the pick than allowed the worst smaller step is (<= 1: none)."""
    n = len(raw)
    level = np.arange(n)[:, None] - pick.rung
    away = np.abs(raw - pick.value)
    elements = np.arange(raw.shape[1])
    last = [away[np.maximum(pick.rung - back, 0), elements] for back in range(3)]
    # Smaller steps must approach at their own order: measured, between h^0.4 and the order of the formula.
    order = np.clip((last[0] + pick.bar) / (last[1] + pick.bar), 1 / factor, 0.75)
    lead = np.fmax(last[0], np.fmax(last[1] / factor, last[2] / factor**2))
    allowed = noise * pick.inflation + pick.bar
    with np.errstate(all="ignore"):
        excess = (away - 2 * lead * order ** np.maximum(level, 0)) / np.maximum(allowed, np.finfo(float).tiny)
    excess = np.where((level > 0) & np.isfinite(pick.bar), excess, 0)
    worst: FloatArray = np.fmax.reduce(excess, axis=0)
    return worst
