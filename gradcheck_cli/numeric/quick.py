"""A first look: five central differences, which a right gradient agrees with to a dozen digits.

The ladder has to be right whatever the function does, since it decides that a gradient is wrong. To believe one takes
less: that a claim agrees by accident with an extrapolated difference to within 1e-12 is next to impossible, even where
that difference itself were wrong. So nothing is measured here but rounding (counted generously) and how much the last
extrapolation still moved; what does not agree is looked at by the ladder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
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
            last = weights(count)[0][-1]
            found, bar = (np.tensordot(c, x, 1) for c, x in ((last, quotients), (np.abs(last), noise)))
            bar = bar + truncation
    return Look(found, np.where(np.isfinite(bar), bar, np.inf), quotients)


def extrapolate(entries: FloatArray, noise: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The best entry on the diagonal of Richardson's tableau over steps that halve, and its bar.

    An entry is off by what the next one still corrects, the last by what it corrected itself. Small steps are noisy: a
    line is best seen by the largest, and of it only noise is left, which smaller steps show enlarged.
    """
    diagonal, before = weights(len(entries))
    flat, bars = entries.reshape(len(entries), -1), np.abs(diagonal) @ noise.reshape(len(entries), -1)
    found = diagonal @ flat
    halves = 2.0 ** -np.arange(1, len(entries))[:, None]
    scatter = np.max(np.abs(flat[1:] - flat[0]) * halves, axis=0, initial=0.0)
    np.maximum(bars[0], _SCATTER * scatter, out=bars[0])
    bars[:-1] += np.abs(found[1:] - found[:-1])
    bars[-1] += np.abs(found[-1] - before @ flat)
    best = np.argmin(bars, axis=0)  # NaN where there is one
    at = (best, np.arange(len(best)))
    return found[at].reshape(entries.shape[1:]), bars[at].reshape(entries.shape[1:])


@lru_cache
def weights(count: int) -> tuple[FloatArray, FloatArray]:
    """What Richardson's tableau makes of `count` entries: the diagonal as rows, and what the last row came from."""
    column = diagonal = np.eye(count)
    rows = [column[0]]
    for factor in CENTRAL[: count - 1]:
        diagonal, column = column, (factor * column[1:] - column[:-1]) / (factor - 1)
        rows.append(column[0])
    return np.array(rows), diagonal[-1] if count > 1 else np.zeros(1)


def fewer(seen: Look, steps: tuple[int, ...], entries: FloatArray, enough: FloatArray) -> Plan:
    """Of the `steps` of a look, the fewest that show the same slopes, and how far these may be off for one entry.

    Each of its directions moved so many `entries` (K,) at random; `enough` (K,) is how well one must be known.
    """
    for places in _FEWER:
        off = np.abs(np.tensordot(weights(len(places))[0][-1], seen.quotients[list(places)], 1) - seen.value) - seen.bar
        one = _MARGIN * np.maximum(off[:, 0], 0.0) / np.sqrt(entries)
        if np.all(one <= enough / 2):
            return tuple(steps[place] for place in places), float(np.max(one, initial=0.0))
    return steps, None
