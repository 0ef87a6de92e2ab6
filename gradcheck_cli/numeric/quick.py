"""A first look: five central differences, which a right gradient agrees with to a dozen digits.

The ladder has to be right whatever the function does, since it decides that a gradient is wrong. To believe one takes
less: that a claim agrees by accident with an extrapolated difference to within 1e-12 is next to impossible, even where
that difference itself were wrong. So nothing is measured here but rounding (counted generously) and how much the last
extrapolation still moved; what does not agree is looked at by the ladder.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.numeric.estimate import FloatArray, Lines
from gradcheck_cli.numeric.extrapolate import CENTRAL
from gradcheck_cli.numeric.glimpses import Differences

CLOSE = 1e-9  # of the largest slope: what is known less well is the ladder's business
# Of five steps, and whether one side of them is enough: it is for a product, and the first step.
_FEWER = (((0,), True), ((0,), False), ((3, 4), False), ((1, 2, 3), False), ((1, 2, 3, 4), False))
_MARGIN = 16.0  # how much worse than along one direction fewer steps may be along another
_ROUNDINGS = 8.0  # of each value: a sum of products has a few
_SCATTER = 2.0


class Plan(NamedTuple):
    """Steps scale * 2^-e, halved from one to the next.

    `truncation` is what they are taken to leave, which is not measured then. With `more` they go on where the look
    before stopped; `rough` ones need not show as much. `one_sided` ones are from f(x) to f(x + t v), a call each.
    """

    steps: tuple[int, ...]
    truncation: float | None = None
    more: bool = False
    rough: bool = False
    one_sided: bool = False

    @property
    def points(self) -> tuple[tuple[int, ...], bool]:
        """Where a forward is asked."""
        return self.steps, self.one_sided

    @property
    def guess(self) -> bool:
        """Whether a slope that differs says nothing: what the steps leave is neither measured nor known."""
        return self.truncation is not None and not self.rough


USUAL = Plan((3, 4, 5, 6, 7))  # tanh's tenth order is below rounding, and 2^-7 still 100 times above
FINER = Plan((7, 8, 9, 10, 11))  # where 1/8 is too far: next to a pole that no domain mentions
ONE_STEP = Plan(USUAL.steps[:1], truncation=0.0, one_sided=True)  # what is linear agrees, nothing else does by accident
# Where each point is a call: what is linear agrees at once, and nothing else does by accident.
FRUGAL = (Plan(USUAL.steps[:1], truncation=0.0), Plan(USUAL.steps[1:], more=True), FINER)
PLANS = (USUAL, FINER)


class Glimpsed(Lines, Protocol):
    """K curves whose differences can be had."""

    def __call__(self, unit: FloatArray, steps: Sequence[int], one_sided: bool, alone: bool) -> Differences:
        """Over t = unit * 2^-step; level and bend are not asked for where differences `alone` are."""


class Look(NamedTuple):
    """Slopes (C,), how far they may be off, and what they are made of: quotients over steps (S, C) and their noise.

    `bend` (C,) is how far a one-sided quotient over the first step is from the central one, `level` as in Differences.
    """

    value: FloatArray
    bar: FloatArray
    quotients: FloatArray
    noise: FloatArray
    bend: FloatArray
    level: FloatArray
    steps: tuple[int, ...]

    def of(self, columns: NDArray[np.bool_] | slice) -> Look:
        """Some of the columns."""
        of_steps = (self.quotients[:, columns], self.noise[:, columns])
        return Look(
            self.value[columns], self.bar[columns], *of_steps, self.bend[columns], self.level[columns], self.steps
        )


def look(curves: Glimpsed, plan: Plan = USUAL, before: Look | None = None) -> Look:
    """Slopes at t = 0 from a few central differences; `before` is the look that the plan goes on from."""
    with np.errstate(all="ignore"):
        # Steps of 1/8 of the room up to a border, or less: log has its pole there.
        unit = np.minimum(curves.scale, 2.0 ** np.floor(np.log2(np.minimum(curves.high, -curves.low))))
        further = before if plan.more else None
        seen = curves(unit, plan.steps, plan.one_sided, alone=further is not None)
        widths = seen.width
        if len(seen.columns) != seen.change.shape[1]:
            widths = np.repeat(widths, seen.columns, axis=1)
        quotients = seen.change / widths
        level = further.level if further else seen.level
        noise = 2 * _ROUNDINGS * curves.epsilon * level / widths
        bend, steps = np.abs(seen.bend / widths[0]), plan.steps
        if further:
            quotients, noise = np.concatenate([further.quotients, quotients]), np.concatenate([further.noise, noise])
            bend, steps = further.bend, further.steps + steps
        if plan.truncation is None:
            value, bar = extrapolate(quotients, noise)
        else:
            last = weights(len(quotients))
            value, bar = last @ quotients, np.abs(last) @ noise + plan.truncation
    bar[~np.isfinite(bar)] = np.inf
    return Look(value, bar, quotients, noise, bend, level, steps)


def extrapolate(entries: FloatArray, noise: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The best of what may be made of quotients over steps (S, C) that halve, and its bar.

    That is the diagonal of Richardson's tableau, and the last quotient, as it is: what is linear around x may bend
    where larger steps reach. An entry is off by what the next one still corrects, the last by what it corrected itself.
    Small steps are noisy: a line is best seen by the largest, and of it only noise is left, which smaller steps show
    enlarged.
    """
    count, columns = entries.shape
    seen = _tableau(count) @ entries
    found, gaps = seen[: count + 1], np.abs(seen[count + 1 :])
    bars = np.abs(_tableau(count)[: count + 1]) @ noise
    np.maximum(bars[0], _SCATTER * gaps[count + 1 :].max(axis=0, initial=0.0), out=bars[0])
    bars += gaps[: count + 1]
    best = bars.argmin(axis=0) * columns + np.arange(columns)  # NaN where there is one
    return found.take(best), bars.take(best)


@cache
def weights(count: int) -> FloatArray:
    """The last entry on the diagonal of Richardson's tableau, as a sum of `count` quotients."""
    return np.asarray(_tableau(count)[count - 1])


@cache
def _tableau(count: int) -> FloatArray:
    """Rows of factors of `count` quotients: what is made of them, how far each of these may be off, and their scatter.

    That is count + 1, as many, and count - 1 rows.
    """
    column = diagonal = np.eye(count)
    rows = [column[0]]
    for factor in CENTRAL[: count - 1]:
        diagonal, column = column, (factor * column[1:] - column[:-1]) / (factor - 1)
        rows.append(column[0])
    last = np.eye(count)[-2:]
    ends = [diagonal[-1], last[0]] if count > 1 else [np.zeros(1), np.zeros(1)]
    following = [*rows[1:], ends[0], ends[1]]
    made = np.array([*rows, last[-1]])
    scatter = (np.eye(count)[1:] - np.eye(count)[0]) * 2.0 ** -np.arange(1, count)[:, None]
    return np.concatenate([made, made - np.array(following), scatter])


def fewer(seen: Look, entries: int, enough: float) -> Plan:
    """Of the steps of a look, the fewest that show the same slopes, and how far these may be off for one entry.

    Its directions moved so many `entries` at random; `enough` is how well one must be known.
    """
    for places, one_sided in _FEWER:
        if places[-1] >= len(seen.steps):
            break
        slopes = weights(len(places)) @ seen.quotients[list(places)]
        off = np.abs(slopes - seen.value) + (seen.bend if one_sided else 0.0)
        one = _MARGIN * np.maximum(off - seen.bar, 0.0) / np.sqrt(entries)
        if np.all(one <= enough / 2):
            return Plan(tuple(seen.steps[p] for p in places), float(one.max()), rough=True, one_sided=one_sided)
    return Plan(seen.steps)
