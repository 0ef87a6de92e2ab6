"""A first look: five central differences, which a right gradient agrees with to a dozen digits.

The ladder has to be right whatever the function does, since it decides that a gradient is wrong. To believe one takes
less: that a claim agrees by accident with an extrapolated difference to within 1e-12 is next to impossible, even where
that difference itself were wrong. So nothing is measured here but rounding (counted generously) and how much the last
extrapolation still moved; what does not agree is looked at by the ladder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gradcheck_cli.numeric.estimate import Curves, FloatArray, IntArray, Samples
from gradcheck_cli.numeric.extrapolate import CENTRAL

STEPS = (3, 4, 5, 6, 7)  # scale * 2^-e: tanh's tenth order is below rounding, and 2^-7 still 100 times above
FINER = (7, 8, 9, 10, 11)  # where 1/8 is too far: next to a pole that no domain mentions
CLOSE = 1e-9  # of the largest slope: what is known less well is the ladder's business
_FEWER = ((0,), (3, 4), (1, 2, 3), (1, 2, 3, 4))  # of five steps: a product needs but one
_MARGIN = 16.0  # how much worse than along one direction fewer steps may be along another
_ROUNDINGS = 8.0  # of each value: a sum of products has a few
_SCATTER = 2.0
_CLEAR = 3  # the largest step is 2^-3 of the room up to a border, or less: log has its pole there


# Steps, and what so few of them are known to leave.
Plan = tuple[tuple[int, ...], float | None]


class GlimpsedCurves(Curves, Protocol):
    """Curves that can also be sampled for less."""

    def glimpse(self, rows: IntArray, t: FloatArray) -> Samples:
        """Samples whose levels are rough."""


@dataclass(frozen=True, slots=True)
class Look:
    """Slopes (K, E), how far they may be off, and the difference quotients (steps, K, E)."""

    value: FloatArray
    bar: FloatArray
    quotients: FloatArray


def look(curves: GlimpsedCurves, steps: tuple[int, ...] = STEPS, truncation: float | None = None) -> Look:
    """Slopes at t = 0 from a few central differences; `truncation` is what fewer steps are known to leave."""
    k, count = len(curves.scale), len(steps)
    with np.errstate(all="ignore"):
        room = np.log2(np.minimum(curves.high, -curves.low))
        unit = np.minimum(curves.scale, 2.0 ** (np.floor(room) + STEPS[0] - _CLEAR))
        t = unit[:, None, None] * np.array([[2.0**-e, -(2.0**-e)] for e in steps])
        samples = curves.glimpse(np.repeat(np.arange(k), 2 * count), t.reshape(-1))
        t = samples.t.reshape(k, count, 2, 1)
        value, level = (a.reshape(k, count, 2, -1) for a in (samples.value, samples.level))
        width = t[:, :, 0] - t[:, :, 1]
        quotients = ((value[:, :, 0] - value[:, :, 1]) / width).swapaxes(0, 1)
        noise = (2 * _ROUNDINGS * curves.epsilon * level.max(axis=2) / width).swapaxes(0, 1)
        if truncation is None:
            found, bar = extrapolate(quotients, noise)
        else:
            found, bar = last_entry(quotients), rounding(noise) + truncation
    return Look(found, np.where(np.isfinite(bar), bar, np.inf), quotients)


def extrapolate(entries: FloatArray, noise: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The best entry on the diagonal of Richardson's tableau over steps that halve, and its bar.

    An entry is off by what the next one still corrects. Small steps are noisy: a line is best seen by the largest.
    """
    value, bar = entries[0], np.full(entries[0].shape, np.inf)
    # Of a line only noise is left, which smaller steps show enlarged.
    halves = 2.0 ** -np.arange(1, len(entries)).reshape(-1, *(1,) * (entries.ndim - 1))
    scatter = np.max(np.abs(entries[1:] - entries[0]) * halves, axis=0)
    last, amplified = entries[0], np.maximum(noise[0], _SCATTER * scatter)
    for weight in CENTRAL[: len(entries) - 1]:
        finer = (weight * entries[1:] - entries[:-1]) / (weight - 1)
        noise = (weight * noise[1:] + noise[:-1]) / (weight - 1)
        moved = np.abs(finer[0] - last) + amplified
        value, bar = np.where(moved < bar, last, value), np.fmin(moved, bar)
        # The last column has no next one: what it corrected itself is more than it is off by.
        own = np.abs(finer[-1] - entries[-1]) + noise[-1]
        entries, last, amplified = finer, finer[0], noise[0]
    return np.where(own < bar, last, value), np.fmin(own, bar)


def last_entry(entries: FloatArray) -> FloatArray:
    """The last entry of the tableau."""
    for weight in CENTRAL[: len(entries) - 1]:
        entries = (weight * entries[1:] - entries[:-1]) / (weight - 1)
    return np.asarray(entries[0])


def rounding(noise: FloatArray) -> FloatArray:
    """What the tableau makes of the noise, in its last entry."""
    for weight in CENTRAL[: len(noise) - 1]:
        noise = (weight * noise[1:] + noise[:-1]) / (weight - 1)
    return np.asarray(noise[0])


def fewer(seen: Look, steps: tuple[int, ...], entries: FloatArray, enough: FloatArray) -> Plan:
    """Of the `steps` of a look, the fewest that show the same slopes, and how far these may be off for one entry.

    Each of its directions moved so many `entries` (K,) at random; `enough` (K,) is how well one must be known.
    """
    for places in _FEWER:
        off = np.abs(last_entry(seen.quotients[list(places)]) - seen.value) - seen.bar
        one = _MARGIN * np.maximum(off[:, 0], 0.0) / np.sqrt(entries)
        if np.all(one <= enough / 2):
            return tuple(steps[place] for place in places), float(np.max(one, initial=0.0))
    return steps, None
