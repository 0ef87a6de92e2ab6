"""From what was sampled around a point to a derivative, its bar, and whether more rungs would help."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck_cli.numeric.estimate import BoolArray, FloatArray, IntArray, Outcome
from gradcheck_cli.numeric.extrapolate import CENTRAL, Pick, settle
from gradcheck_cli.numeric.kinks import Sides, grows, jumps, on_stairs, one_sided, slope_jump
from gradcheck_cli.numeric.probe import JUMP_ULPS, LARGEST_GRAIN

CLEAR = 4.0  # bars between a limit and 0 before it is called a kink
LEVEL_TARGET = 64.0  # a bar of this many roundings of f over one unit is worth no more rungs, however flat f is
MUCH_INFLATED = 30.0
MOST_DISPLACED = 16.0  # ulps
SLOPE_ROUNDINGS = 8.0
ONE_SIDED_TARGET = 2.0**16  # roundings of the slope: twenty times a central bar is what one side can give
UNCONFIRMED = 1  # the last rungs of a ladder, which no smaller step has confirmed
SMALLEST_NORMAL = (2.0**-126, 2.0**-1022)  # float32, float64
COARSE_NOISE = 2.0**22  # ulps
COARSE_GRAIN = 2.0**-22  # float32 inside float64 only rounds; coarser steps may be meant


@dataclass(slots=True)
class View:
    """What is known about N elements. Rungs first, then sides (0 ahead, 1 behind), then elements."""

    t: FloatArray  # (rungs, 2, N)
    move: FloatArray  # (rungs, 2, N)
    level: FloatArray  # (rungs, N)
    level_here: FloatArray  # (N,)
    noise: FloatArray  # (N,) of one value near the point
    epsilon: float
    size: FloatArray  # (N,) |x|
    unit: FloatArray  # (N,)
    target: float  # roundings of the slope; a wider bar is worth more rungs
    macro: FloatArray  # (N,) slope on a large step
    slope: FloatArray  # (N,) as the probe saw it
    slope_error: FloatArray  # (N,)
    kinked: BoolArray  # (N,) likewise
    width: FloatArray  # (N,) of the probe
    flat: BoolArray  # (N,) the probe saw (almost) one value
    jump: FloatArray  # (N,)
    grain: FloatArray  # (N,) spacing of the steps that a wider look found
    unclear: BoolArray  # (N,) flat in the small, moving in the large, no steps found


@dataclass(slots=True)
class Conclusion:
    """Arrays (N,); `smaller` and `larger` say which further steps would help."""

    value: FloatArray
    bar: FloatArray
    low: FloatArray
    high: FloatArray
    outcome: IntArray
    smaller: BoolArray
    larger: BoolArray


def conclude(view: View) -> Conclusion:
    """The whole story of one element, for many at once."""
    ahead, behind = view.t[:, 0], -view.t[:, 1]
    up, down = view.move[:, 0], view.move[:, 1]
    noise = noise_of(view)
    bend = (up + down) / (ahead * behind)
    # x + h and x - h are rounded differently; bend * midpoint moves the slope from their middle back to x.
    central = (up - down) / (ahead + behind) - bend * (ahead - behind) / 2
    pick = settle(central, 2 * noise / (ahead + behind), CENTRAL)
    step = (ahead + behind) / 2
    even = (up + down - central * (ahead - behind)) / step
    kink = slope_jump(even, 4 * noise / step) > CLEAR

    finite = np.isfinite(up), np.isfinite(down)
    lopsided = np.any(finite[0] != finite[1], axis=0)
    sides_wanted = np.flatnonzero(kink | np.isinf(pick.bar) | lopsided & (pick.bar > target(view, pick)))
    found = assemble(view, pick, bend)
    if sides_wanted.size:
        sides = one_sided(view.t[:, :, sides_wanted], view.move[:, :, sides_wanted], noise[:, sides_wanted])
        consider_sides(view, found, sides, kink[sides_wanted], sides_wanted)
    name_troubles(view, found, noise)
    return found


def noise_of(view: View) -> FloatArray:
    """(rungs, N): the error that each value may have."""
    noise = np.maximum(view.epsilon * view.level, view.noise)
    # Rounding to a coarser format grows with the value, but not beyond that of a float32.
    coarse = view.noise > COARSE_NOISE * view.epsilon * view.level_here
    grown = view.noise * view.level / np.maximum(view.level_here, SMALLEST_NORMAL[1])
    return np.asarray(np.maximum(noise, np.where(coarse, np.minimum(grown, COARSE_GRAIN * view.level), 0)))


def target(view: View, pick: Pick) -> FloatArray:
    """The bar below which more rungs are not worth their price."""
    level = np.take_along_axis(view.level, pick.rung[None], axis=0)[0]
    wanted = view.epsilon * (view.target * np.abs(pick.value) + LEVEL_TARGET * level / view.unit)
    return np.asarray(np.nan_to_num(wanted))


def assemble(view: View, pick: Pick, bend: FloatArray) -> Conclusion:
    """The central estimate, and what it still lacks."""
    curvature = np.abs(np.take_along_axis(bend, pick.rung[None], axis=0)[0])
    # Conditioning: a slope is only as good as x itself. x carries an ulp; and what noise f has may as well be
    # read as a displacement of x (a matrix near a singular one), if it is no more than a few ulps of a unit.
    as_noise = np.minimum(view.noise / np.abs(pick.value), MOST_DISPLACED * view.epsilon * view.unit)
    displaced = np.fmax(view.epsilon * view.size, as_noise)
    bar = pick.bar + np.nan_to_num(curvature) * displaced
    # Errors that vary smoothly with x (in a factorisation, say) are no noise to a probe, and move every slope.
    bar += SLOPE_ROUNDINGS * view.epsilon * np.nan_to_num(np.abs(pick.value))
    wide = ~(bar <= target(view, pick))
    bar += SMALLEST_NORMAL[view.epsilon < 2.0**-40] / view.unit  # below it, digits are lost or flushed to 0
    rounding = pick.noise > pick.bar / 2
    smaller = wide & ~rounding | (pick.inflation > MUCH_INFLATED) | np.isinf(bar)
    smaller |= pick.rung >= len(view.move) - UNCONFIRMED
    larger = wide & rounding & (pick.rung <= 4)
    outcome = np.full(bar.shape, int(Outcome.SMOOTH))
    return Conclusion(pick.value, bar, pick.value.copy(), pick.value.copy(), outcome, smaller, larger)


def consider_sides(view: View, found: Conclusion, sides: Sides, kink: BoolArray, where: IntArray) -> None:
    """Two slopes make a kink; one side alone makes do where the other has no room."""
    a, b = sides.ahead, sides.behind
    both = np.isfinite(a.bar) & np.isfinite(b.bar)
    split = both & (sides.apart() > 1) & (kink | np.isinf(found.bar[where]))
    nearer = np.where(a.bar <= b.bar, a.value, b.value)
    tighter = np.minimum(a.bar, b.bar)
    better = ~split & (tighter < found.bar[where])
    at = where[better]
    found.value[at] = found.low[at] = found.high[at] = nearer[better]
    found.bar[at] = tighter[better]
    found.smaller[at] = np.where(a.bar <= b.bar, too_rough(view, a), too_rough(view, b))[better]
    found.larger[at] = False
    at = where[split]
    found.low[at] = np.minimum(a.value, b.value)[split]
    found.high[at] = np.maximum(a.value, b.value)[split]
    found.value[at] = (found.low[at] + found.high[at]) / 2
    found.bar[at] = np.maximum(a.bar, b.bar)[split]
    found.outcome[at] = Outcome.KINK
    # A kink that the probe should have felt but did not is near the point, not at it.
    felt = (found.high[at] - found.low[at]) * view.width[at] > 64 * view.noise[at]
    near = felt & ~view.kinked[at]
    found.smaller[at] = near | (too_rough(view, a) | too_rough(view, b))[split]
    found.larger[at] = False


def too_rough(view: View, side: Pick) -> BoolArray:
    """Whether smaller steps would tell more of the slope of one side, as that of x log(x + 1e-6) at 0."""
    limited = side.noise < side.bar / 2
    return np.asarray(limited & (side.bar > ONE_SIDED_TARGET * view.epsilon * np.abs(side.value)))


def name_troubles(view: View, found: Conclusion, noise: FloatArray) -> None:
    """Everything but kinks: steps, noise, borders, and a probe that says otherwise."""
    smooth = found.outcome == Outcome.SMOOTH
    level = np.max(view.level, axis=0)
    lost = np.isinf(found.bar)
    off = np.abs(view.slope - found.value) > found.bar + view.slope_error
    off &= smooth & ~view.kinked & ~lost
    # A kink that larger steps cannot tell from a bend: sqrt(|x| + 1e-3) at 0, whose sides are alike until x is 1e-4.
    found.smaller |= off | (smooth & view.kinked)
    noisy = view.noise > 64 * view.epsilon * level
    hopeless = found.bar > 0.01 * np.maximum(np.abs(found.value), level / view.unit)
    stairs = on_stairs(view.move, view.t, noise, (found.value, found.bar), LARGEST_GRAIN * level)
    stepped = stairs | (view.flat & (off | (view.grain > COARSE_GRAIN * level))) | view.unclear
    jumped = view.jump > JUMP_ULPS * view.epsilon * level
    diverging = grows(view.move, view.t, noise)
    # f(x) stands alone, however small the step: a spike or a hole of a width that only smaller ones resolve, if any.
    alone = jumps(view.move, view.epsilon * level)
    found.smaller |= diverging | alone
    reasons = [
        (smooth & noisy & hopeless, Outcome.NOISY),
        (off, Outcome.ILL_CONDITIONED),
        ((off | smooth) & stepped, Outcome.QUANTISED),
        (lost, Outcome.ILL_CONDITIONED),
        (lost & noisy, Outcome.NOISY),
        (diverging, Outcome.ILL_CONDITIONED),
        (jumped | alone, Outcome.JUMP),
        (lost & (np.count_nonzero(np.isfinite(view.move), axis=0).max(axis=0) < 3), Outcome.OUTSIDE),
    ]
    for where, outcome in reasons:
        found.outcome[where] = outcome
    # Two candidates, the slope in the small and the slope in the large: whichever was meant lies between.
    two = (found.outcome == Outcome.QUANTISED) | off
    large = np.where(view.unclear | stairs, view.macro, found.value)
    found.low = np.where(two, np.fmin(np.fmin(found.value, large), view.slope), found.low)
    found.high = np.where(two, np.fmax(np.fmax(found.value, large), view.slope), found.high)
    found.bar = np.where(diverging | jumped | alone, np.inf, found.bar)
