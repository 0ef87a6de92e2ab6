"""At an edge, more than one slope may be right: generalised gradients at ties, and two stories about a staircase.

Where several pieces of a function meet (a sort of equal numbers, a median), one-sided slopes along a coordinate do not
tell all subgradients. Clarke's generalised gradient is the convex hull of the gradients nearby, and nearby the function
is smooth: the slopes at a few points beside the edge are asked instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.case import Case
from gradcheck_cli.checks.judgement import Judgement, quotients, slopes_within, unknown
from gradcheck_cli.checks.oracle import Oracle
from gradcheck_cli.edges.values import SCALES
from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.numeric.estimate import Outcome
from gradcheck_cli.stream import Stream

Array = NDArray[Any]

_NEIGHBOURS = 12
# Of five numbers with four tied ones, twelve draws miss one way to break the tie in thirty cases: where there are
# pieces and a claim is still outside of them, so many are asked.
_MANY_NEIGHBOURS = 48
_FEW_NEIGHBOURS = 6  # to see whether there is anything to see
_DIAGONAL = 3  # of a matrix, every third neighbour is one whose diagonal alone has moved
_FAR, _NEAR = 2.0**-12, 2.0**-18  # how far beside the edge, in units of the largest entry
_SHRINKS = 4.0  # a smooth slope varies 64 times less over _NEAR, a jump between pieces as much as before
# Numbers of 1e-6 and 1e6 in one sum: the noise of nine values, which a bar is made from, may miss most of it.
_CLOSE = 16.0
_ROWS = 32  # wrong directions that are looked at; one that stays wrong is enough
# Steps in units of |x|: below every structure that a float32 could show, above a double's rounding.
_SMALL_STEPS = (2.0**-26, 2.0**-30, 2.0**-34, 2.0**-38, 2.0**-42, 2.0**-46)
# Steps in ulps of x, and the bars that slopes over them may differ by: 1024 roundings of f.
_A_FEW_ULPS, _SCATTERED = (64.0, 89.0, 113.0), 256.0


def at_an_edge(case: Case) -> bool:
    """Whether several pieces of forward may meet at a case: it was made for that, or has equal numbers, or zeros."""
    return bool(case.edge) or case.index < 0 or _tied(case)


def forgive(case: Case, oracle: Oracle, judgement: Judgement) -> Judgement:
    """The same judgement, where claims are right after all if pieces or steps are taken into account."""
    close = np.flatnonzero(judgement.wrong & (judgement.deviation <= _CLOSE * judgement.measured.bar))
    almost = judgement.measured.take(close)
    judgement = judgement.put(close, replace(almost, bar=_CLOSE * almost.bar))
    if case.edge in SCALES:
        judgement = _unless_rough(oracle, judgement, np.flatnonzero(judgement.wrong)[:_ROWS])
    rows = np.flatnonzero(judgement.wrong)[:_ROWS]
    if not rows.size:
        return judgement
    directions = [judgement.directions[row] for row in rows]
    if not _pieces_or_steps(case, oracle, judgement, int(np.argmax(_gaps(judgement)))):
        return judgement
    claimed, measured = judgement.claimed[rows], judgement.measured.take(rows)
    far, near = (_hull(case, oracle, directions, d, range(_NEIGHBOURS)) for d in (_FAR, _NEAR))
    slack = measured.bar
    missed = np.flatnonzero(~((near[0] - slack <= claimed) & (claimed <= near[1] + slack)))
    if missed.size:
        more = range(_NEIGHBOURS, _MANY_NEIGHBOURS)
        low, high = _hull(case, oracle, [directions[row] for row in missed], _NEAR, more)
        near[0][missed], near[1][missed] = np.minimum(near[0][missed], low), np.maximum(near[1][missed], high)
    wide = near[1] - near[0] > np.maximum(far[1] - far[0], 0) / _SHRINKS
    between = wide & (near[0] - slack <= claimed) & (claimed <= near[1] + slack)
    judgement = judgement.put(
        rows[between],
        replace(
            measured.take(between),
            low=np.minimum(measured.low, near[0])[between],
            high=np.maximum(measured.high, near[1])[between],
            outcome=np.full(int(between.sum()), int(Outcome.KINK)),
        ),
    )
    flat = ~between & _moves_in_steps(oracle, directions, claimed, measured.value)
    steps = measured.take(flat)
    return judgement.put(rows[flat], replace(steps, outcome=np.full(int(flat.sum()), int(Outcome.QUANTISED))))


def _gaps(judgement: Judgement) -> Array:
    return np.where(judgement.wrong, judgement.deviation, -1.0)


def _pieces_or_steps(case: Case, oracle: Oracle, judgement: Judgement, row: int) -> bool:
    """Whether it is worth to look closely: for the worst direction, some slope nearby is another one."""
    directions, gap = [judgement.directions[row]], judgement.deviation[row]
    measured, claimed = judgement.measured.value[row : row + 1], judgement.claimed[row : row + 1]
    low = high = float(measured[0])
    for start in range(0, _MANY_NEIGHBOURS if _tied(case) else _FEW_NEIGHBOURS, _FEW_NEIGHBOURS):
        lows, highs = _hull(case, oracle, directions, _NEAR, range(start, start + _FEW_NEIGHBOURS))
        low, high = min(low, float(lows[0])), max(high, float(highs[0]))
        # Pieces differ by as much as is claimed too much; what bends smoothly does not, so near by.
        if not high - low < gap / 16:
            return True
    return bool(_moves_in_steps(oracle, directions, claimed, measured)[0])


def _tied(case: Case) -> bool:
    """Whether some numbers are equal, or zero: of many pieces, each point nearby shows one."""
    return any(np.unique(x).size < x.size or not np.all(x) for x in case.inputs if x.dtype.kind in "fc")


def _beside(case: Case, oracle: Oracle, distance: float, numbers: range) -> Iterator[Oracle]:
    """The same oracle at some of the points beside the case, inside the domain."""
    for number in numbers:
        inputs = list(oracle.inputs)
        for position in case.op.differentiated:
            x, domain = inputs[position], case.op.domains[position]
            unit = max(float(np.max(np.abs(x), initial=0.0)), 1.0)
            # Full mantissas: what is tied must come apart in every way.
            # The same steps move on by one place each time: every one of a few equal numbers is the middle one once.
            turn, place = divmod(number, max(x.size, 1))
            steps = Stream(case.op.name, "beside", turn, position).integers(2**30, x.shape) / 2**30 * 2 - 1
            steps = np.roll(steps, place)
            # For equal eigenvalues or singular values a backward takes unit vectors: those of diagonals nearby.
            if x.ndim > 1 and number % _DIAGONAL == 0:
                steps = steps * np.eye(*x.shape[-2:])
            step = distance * unit * domain.project(steps)
            low, high = domain.limits
            moved = [x + step, x + np.abs(step), x - np.abs(step), x]
            inputs[position] = np.asarray(next(m for m in moved if np.all((low <= m) & (m <= high))), x.dtype)
        yield replace(oracle, inputs=inputs, outputs=None)


def _hull(
    case: Case, oracle: Oracle, directions: list[Direction], distance: float, numbers: range
) -> tuple[Array, Array]:
    """The smallest and largest slope along each direction, bars included, over several points beside the case."""
    low = np.full(len(directions), np.inf)
    high = -low
    for beside in _beside(case, oracle, distance, numbers):
        try:
            slopes = slopes_within(beside, directions, distance)
        except Exception:  # Beside a tiny positive definite matrix there may be none.
            slopes = unknown(len(directions))
        known = np.isfinite(slopes.bar) & np.isfinite(slopes.value)
        low = np.where(known, np.minimum(low, slopes.value - slopes.bar), low)
        high = np.where(known, np.maximum(high, slopes.value + slopes.bar), high)
    return low, high


def _unless_rough(oracle: Oracle, judgement: Judgement, rows: NDArray[np.intp]) -> Judgement:
    """The same, but not where f is rough between neighbouring floats: x + sin(x^3) at 1e6 is no line but from afar."""
    directions = [judgement.directions[row] for row in rows]
    steps = [ulps * oracle.epsilon for ulps in _A_FEW_ULPS]
    ahead, behind, bar = map(np.array, zip(*(quotients(oracle, directions, step) for step in steps), strict=True))
    spread = np.maximum(np.ptp(ahead, axis=0), np.ptp(behind, axis=0))
    rough = rows[spread > _SCATTERED * bar.max(axis=0)]
    outcome = np.full(rough.size, int(Outcome.NOISY))
    return judgement.put(rough, replace(judgement.measured.take(rough), outcome=outcome))


def _moves_in_steps(oracle: Oracle, directions: list[Direction], claimed: Array, measured: Array) -> NDArray[np.bool_]:
    """Where slopes over very small steps have the claim between them and are not the measured one: floor at 1e6.

    Their mean decides: on a curve, one side is as much too steep as the other is too flat.
    """
    found = np.zeros(len(directions), bool)
    for step in _SMALL_STEPS:
        ahead, behind, bar = quotients(oracle, directions, step)
        between = (np.minimum(ahead, behind) - bar <= claimed) & (claimed <= np.maximum(ahead, behind) + bar)
        found |= between & (2 * bar < np.abs((ahead + behind) / 2 - measured))
    return found
