"""Hypotheses about a gradient that is wrong in some of its entries: what do these have in common?

Their place, their own value, or what another input says about them: backward is asked about the same numbers in another
order, and whatever goes with the wrong entries is what they go by.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gradcheck_cli.diagnose.evidence import Array, Cause, Evidence
from gradcheck_cli.diagnose.values import written

_FEW = 0.5  # of the entries, at most, are wrong where a few are
_SOME = 2  # entries on either side of a border that is called one
_SHOWN = 4  # places or numbers that a sentence may hold

# Other orders of the same numbers.
_TURNS: tuple[Callable[[Array], Array], ...] = (
    lambda x: np.asarray(x.reshape(-1)[::-1].reshape(x.shape)),
    lambda x: np.asarray(np.roll(x, 1)),
)


def in_part(e: Evidence) -> Cause | None:
    """Times one number right, but only where the input has one sign, or in more than half of its entries."""
    if e.gradient is None or not e.complete or e.wrong.sum() < 2 or not np.any(e.judged & ~e.wrong):
        return None
    side = _side(e)
    if (not side and e.wrong.sum() <= _FEW * e.judged.sum()) or (factor := _factor_where_wrong(e)) is None:
        return None
    where = f"where {e.name} is {side}" if side else f"in {int(e.wrong.sum())} of {int(e.judged.sum())} entries"
    cause = "sign_flipped" if factor == -1 else "wrong_scale"
    why = f"Only {where} is it wrong: times {factor:.6g} these entries agree."
    return Cause(cause, why, "look at what is done to these entries alone", partial=True)


def _factor_where_wrong(e: Evidence) -> float | None:
    """The number that all wrong entries lack, where the others are right and not all zero."""
    assert e.gradient is not None
    ours, theirs, wrong = e.gradient.reshape(-1)[e.entries], e.slopes.value, e.wrong
    if not np.all(e.judged) or np.any(ours[wrong] == 0) or not np.any(theirs[~wrong]):
        return None
    factors = theirs[wrong] / ours[wrong]
    factor = float(factors[int(np.argmax(np.abs(ours[wrong])))])
    simple = next(
        (n for n in (1.0, 2.0, 3.0, 4.0) for n in (n, 1 / n) if math.isclose(abs(factor), n, rel_tol=1e-9)), 0.0
    )
    factor = math.copysign(simple, factor)
    if not simple or factor == 1 or np.any(np.abs(factor * ours[wrong] - theirs[wrong]) > 4 * e.tolerance[wrong]):
        return None
    return factor


def _side(e: Evidence) -> str:
    """The sign of the input where the gradient is wrong, and only there; "" where it is no matter of sign."""
    values, moves = e.x.reshape(-1)[e.entries], e.slopes.value != 0
    for text, side in (("positive", values > 0), ("negative", values < 0)):
        if np.array_equal(side & moves, e.wrong & moves):
            return text
    return ""


def wrong_element(e: Evidence) -> Cause | None:
    """A few entries are wrong, or those with some values are; all others are right."""
    count, known = int(e.wrong.sum()), int(e.judged.sum())
    if e.gradient is None or not 0 < count < known:
        return None
    border = _border(e) if e.complete and min(count, known - count) >= _SOME else ""
    if count > _FEW * known and not border:
        return None
    by = _what_they_go_by(e) if e.complete else None
    if count > _FEW * known and by != e.name:
        return None
    places = [np.unravel_index(int(e.entries[row]), e.gradient.shape) for row in np.flatnonzero(e.wrong)]
    shown = ", ".join(f"[{', '.join(str(int(i)) for i in place)}]" for place in places[:_SHOWN])
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    if by == e.name:
        pattern, advice = f": where {e.name} is {border or _numbers(e)}", "look at the branch that such values take"
    elif by:
        pattern, advice = f", and with other values of {by} others", f"look at the entries that {by} picks"
    else:
        pattern, advice = _pattern(e, places), "look at where the loop or slice that fills them begins and ends"
    why = f"Only {shown}{more} of {known} entries {'is' if count == 1 else 'are'} wrong{pattern}; the others are right."
    if e.complete and (factor := _factor_where_wrong(e)) is not None:
        why += f" Times {written(factor)} {'it' if count == 1 else 'they'} would be, too."
    return Cause("wrong_element", why, advice)


def _border(e: Evidence) -> str:
    """On which side of what the wrong entries lie, and no other; "" where they lie among the others."""
    values = e.x.reshape(-1)[e.entries]
    wrong, right = values[e.wrong], values[~e.wrong]
    if not wrong.size or not right.size:
        return ""
    low, high = float(np.min(wrong)), float(np.max(wrong))
    if high < np.min(right):
        return "negative" if high < 0 <= np.min(right) else f"{high:.6g} or less"
    if low > np.max(right):
        return "positive" if low > 0 >= np.max(right) else f"{low:.6g} or more"
    return ""


def _numbers(e: Evidence) -> str:
    numbers = np.unique(e.x.reshape(-1)[e.entries][e.wrong])
    return ", ".join(f"{number:.6g}" for number in numbers[:_SHOWN]) + (" ..." if numbers.size > _SHOWN else "")


def _what_they_go_by(e: Evidence) -> str | None:
    """The name of the input whose values say which entries are wrong; None where it is their place, or anything."""
    # A cotangent of zero would make anything right.
    weights = tuple(np.asarray(1 + np.arange(w.size).reshape(w.shape) / 16, w.dtype) for w in e.case.cotangents)
    here = Evidence(replace(e.case, cotangents=weights, layout="C"), e.position)
    for turn in _TURNS:
        turned = turn(here.wrong.reshape(e.x.shape)).reshape(-1)
        if not np.array_equal(turned, here.wrong):
            there = _with(here, e.position, turn(e.x))
            if there is None or np.array_equal(there, turned):
                return None if there is None else e.name
            break
    for position, x in enumerate(e.case.inputs):
        if position != e.position and x.size:
            there = _with(here, position, _other(e, position))
            if there is not None and not np.array_equal(there, here.wrong):
                return e.case.op.names[position]
    return None


def _other(e: Evidence, position: int) -> Array:
    """Other values of an input: the next whole numbers, or the same ones in another order."""
    x, domain, signature = e.case.inputs[position], e.case.op.domains[position], e.case.op.gufunc
    ends = domain.ends(signature.bind(e.case.shapes, e.case.op.names).sizes)
    if x.dtype.kind not in "iu" or len(ends) < 2:
        return _TURNS[0](x)
    low, high = map(int, ends)
    return np.asarray(low + (x - low + 1) % (high - low + 1), x.dtype)


def _with(e: Evidence, position: int, values: Array) -> Array | None:
    """Which entries are wrong with other values of one input; None where that cannot be told."""
    inputs = list(e.case.inputs)
    inputs[position] = values
    case = e.elsewhere(inputs)
    there = Evidence(case, e.position) if case else None
    return there.wrong if there and there.gradient is not None and there.judged.all() else None


def _pattern(e: Evidence, places: list[tuple[np.intp, ...]]) -> str:
    """What the places of wrong entries have in common: a first or last index."""
    for axis, size in enumerate(e.x.shape):
        on_axis = {int(place[axis]) for place in places}
        full = len(places) == e.x.size // size if size else False
        if size > 1 and full and on_axis in ({0}, {size - 1}):
            return f": the {'first' if on_axis == {0} else 'last'} along axis {axis}"
    return ""
