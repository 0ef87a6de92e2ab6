"""Where there is no derivative: one-sided slopes, and the reasons why a slope cannot be had."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck_cli.numeric.estimate import BoolArray, FloatArray
from gradcheck_cli.numeric.extrapolate import EVEN_PART, ONE_SIDED, Pick, choose, settle

LEFT_THE_LINE = 256.0  # bars: in one rung, from none to this many


@dataclass(slots=True)
class Sides:
    """Slopes when leaving the point ahead and behind, both as d/dt."""

    ahead: Pick
    behind: Pick

    def apart(self) -> FloatArray:
        """By how many times their joint bar the two slopes differ."""
        gap = np.abs(self.ahead.value - self.behind.value)
        return np.nan_to_num(gap / (self.ahead.bar + self.behind.bar))


def one_sided(t: FloatArray, move: FloatArray, noise: FloatArray) -> Sides:
    """t, move (rungs, 2, N) -> slopes of either side. All powers of h occur, so Richardson removes them all."""
    quotient, error = move / t, 2 * noise[:, None] / np.abs(t)
    ahead, behind = (settle(quotient[:, side], error[:, side], ONE_SIDED) for side in (0, 1))
    return Sides(ahead, behind)


def slope_jump(even: FloatArray, noise: FloatArray) -> FloatArray:
    """How many bars the limit of (f+ + f- - 2 f0)/h is away from 0: more than a few is a kink."""
    limit = choose(even, noise, EVEN_PART)
    return np.nan_to_num(np.abs(limit.value) / limit.bar)


def jumps(move: FloatArray, floor: FloatArray) -> BoolArray:
    """Whether some side keeps its distance from f(x) however small the step. move (rungs, 2, N)."""
    last = np.abs(move[-4:])
    with np.errstate(all="ignore"):
        stays = np.all(last > 0.75 * np.max(last, axis=0), axis=0) & (last[-1] > 64 * floor)
    return np.asarray(np.any(stays, axis=0))


def grows(move: FloatArray, t: FloatArray, noise: FloatArray) -> BoolArray:
    """Whether the slope of some side grows as h^-p, 0.2 < p < 0.9, as far down as it rises out of the noise."""
    clear = np.abs(move) > 16 * noise[:, None]
    last = len(move) - 1 - np.argmax(clear[::-1], axis=0)
    back = np.maximum(last - np.arange(5)[:, None, None], 0)
    slope = np.take_along_axis(np.abs(move / t), back, axis=0)
    growth = slope[:-1] / slope[1:]
    steady = np.all(np.abs(growth / growth[0] - 1) < 0.05, axis=0)
    between = (growth[0] > 2**0.2) & (growth[0] < 2**0.9)
    return np.asarray(np.any(steady & between & (last >= 4), axis=0))


def on_stairs(
    move: FloatArray, t: FloatArray, noise: FloatArray, line: tuple[FloatArray, FloatArray], tallest: FloatArray
) -> BoolArray:
    """Whether f is straight in the small, and leaves that line by equal steps ahead and behind: rounding inside.

    x (1 + tanh u) far out on the negative side is x times a few ulps of 1: a perfect line, of a meaningless
    slope, until 1 + tanh u reaches its next value. A kink nearby leaves the line on one side only; two kinks
    leave it by unequal amounts that are no multiples of each other; steps higher than `tallest` are meant.
    """
    value, bar = line
    off = move - value * t
    unsure = noise[:, None] + np.abs(t) * bar
    left = np.abs(off) > LEFT_THE_LINE * unsure
    last = len(move) - 1 - np.argmax(left[::-1], axis=0)  # (2, N): the smallest step off the line
    below = np.arange(len(move))[:, None, None] > last
    straight = np.all((np.abs(off) <= 8 * unsure) | np.isnan(off) | ~below, axis=0)
    first = np.take_along_axis(off, last[None], axis=0)[0]
    second = np.take_along_axis(off, np.maximum(last - 1, 0)[None], axis=0)[0]
    multiple = second / first
    # x itself varies by a few per cent over such steps, and with it their height.
    whole = np.abs(multiple - np.rint(multiple)) < 0.06 * np.abs(multiple)
    ratio = np.log2(np.abs(first[0] / first[1]))
    equal = (np.abs(ratio - np.rint(ratio)) < 0.04) & (np.abs(ratio) < 1.1) & (first[0] * first[1] < 0)
    tried = (last > 0) & (last < len(move) - 1) & left.any(axis=0)
    equal &= np.abs(first).max(axis=0) < tallest
    return np.asarray(equal & np.all(straight & whole & tried & (np.abs(multiple) < 8), axis=0))
