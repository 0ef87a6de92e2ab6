"""Hypotheses about a gradient of the right shape and the wrong values, from the plainest slip to the most involved.

Each applies itself to the gradient and is believed only if the result lies within the error bars of the numeric one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from gradcheck_cli.diagnose.evidence import Array, Cause, Evidence

_MANY = 3  # entries that are a little off, each, for a pattern
_FEW_BITS = 2.0**16  # of a mantissa, where a float32 has 24
_OTHER = 0.125  # of what is wrong: a change by that much is none of something smooth
_SOME_SINGLES = 1.37 * 2.0**-20  # of a number: what a float32 rounds away is another part of it there


def zero_gradient(e: Evidence) -> Cause | None:
    """Nothing but zeros."""
    if e.gradient is None or np.any(e.gradient) or e.largest == 0:
        return None
    why = f"The gradient is zero everywhere; the slope is up to {e.largest:.3g}: {e.name} does have an effect."
    return Cause("zero_gradient", why, f"compute grad_{e.name} instead of returning zeros")


def sign_flipped(e: Evidence) -> Cause | None:
    """Times -1."""
    if e.gradient is None or not (agreement := e.agreement(-e.gradient)):
        return None
    return Cause("sign_flipped", f"Times -1 the gradient {agreement}.", f"-grad_{e.name}")


def wrong_scale(e: Evidence) -> Cause | None:
    """Times one number; which may be the length of something."""
    if e.gradient is None or e.judged.sum() < 1:
        return None
    claimed = np.array([d.dot({e.position: e.gradient}) for d in e.directions])
    row = int(np.argmax(np.where(e.judged, np.abs(e.slopes.value), -1.0)))
    factor = e.slopes.value[row] / claimed[row] if claimed[row] else 0.0
    if not 1e-6 < abs(factor) < 1e6:
        return None
    known: dict[str, tuple[float, str, str]] = {}
    for form in _factors(e, abs(factor)):
        known.setdefault(form[1], form)  # n / (n - 1) is n / 2 where n is 3
    names = list(known.values())
    if e.judged.sum() < 2 and not names:  # One number is always some multiple of another.
        return None
    exact = _rounded(factor, names)
    if not (agreement := e.agreement(exact * e.gradient)):
        return None
    sign = "-" if factor < 0 else ""
    what = f"{sign}{names[0][1]}" + (f" (or {names[1][1]})" if len(names) > 1 else "") if names else written(factor)
    code = f"grad_{e.name} * {sign}{names[0][2]}" if names else f"grad_{e.name} * {written(factor)}"
    return Cause("wrong_scale", f"Times {what} the gradient {agreement}.", code)


def written(factor: float) -> str:
    """A factor in six digits, or in as many as tell it from 1."""
    texts = (f"{factor:.{digits}g}" for digits in range(6, 18))
    return next((text for text in texts if text not in ("1", "-1")), "1")


def _rounded(factor: float, names: list[tuple[float, str, str]]) -> float:
    return math.copysign(names[0][0], factor) if names else factor


def _factors(e: Evidence, factor: float) -> Iterator[tuple[float, str, str]]:
    """(value, in words, in code) of the numbers that a factor may be."""
    for number in (2, 3, 4):
        yield from _matching(factor, [(number, str(number), str(number)), (1 / number, f"1/{number}", f"1 / {number}")])
    yield from _matching(factor, [(3 / 2, "3/2", "3 / 2"), (2 / 3, "2/3", "2 / 3")])  # of a power
    for code, (n, text) in _lengths(e).items():
        if n > 1:
            forms = [
                (n, f"{n}, {text}", code),
                (1 / n, f"1/{n}, one over {text}", f"1 / ({code})"),
                (n / (n - 1), f"{n}/{n - 1} ({n} is {text})", f"{code} / ({code} - 1)"),
                ((n - 1) / n, f"{n - 1}/{n} ({n} is {text})", f"({code} - 1) / {code}"),
                (math.sqrt(n), f"the square root of {n}, {text}", f"np.sqrt({code})"),
                (1 / math.sqrt(n), f"one over the square root of {n}, {text}", f"1 / np.sqrt({code})"),
                (2 / n, f"2/{n} ({n} is {text})", f"2 / ({code})"),
                (n / 2, f"{n}/2 ({n} is {text})", f"({code}) / 2"),
            ]
            yield from _matching(factor, forms)


def _matching(factor: float, forms: list[tuple[float, str, str]]) -> Iterator[tuple[float, str, str]]:
    """The forms that are that number; 2/n is none where n is 2, since times 1 nothing changes."""
    return (form for form in forms if form[0] != 1 and math.isclose(factor, form[0], rel_tol=1e-9))


def _lengths(e: Evidence) -> dict[str, tuple[int, str]]:
    """Code -> (value, in words) of the lengths that a mean or a batch may be over."""
    out = e.case.outputs.arrays[0] if e.case.outputs else e.x
    lengths = {
        f"{e.name}.shape[{axis}]": (n, f"the length of axis {axis} of {e.name}") for axis, n in enumerate(e.x.shape)
    }
    lengths |= {
        f"out.shape[{axis}]": (n, f"the length of axis {axis} of the output") for axis, n in enumerate(out.shape)
    }
    lengths[f"{e.name}.size"] = (e.x.size, f"the number of entries of {e.name}")
    lengths["out.size"] = (out.size, "the number of entries of the output")
    if out.size and e.x.size % out.size == 0:
        ratio = e.x.size // out.size
        lengths[f"{e.name}.size / out.size"] = (ratio, "the number of entries that make one output")
    return lengths


def single_precision(e: Evidence) -> Cause | None:
    """Right to the digits of a float32, and no digits beyond."""
    g = e.gradient
    if g is None or e.x.dtype.name != "float64" or not e.judged.all():
        return None
    if not np.all(e.apart(g) <= 2.0**-22 * max(e.largest, float(np.max(np.abs(g), initial=0.0)))):
        return None
    rounded = np.array_equal(g, g.astype(np.float32).astype(np.float64)) and not _short(g)
    if not rounded and (e.wrong.sum() < _MANY or e.wrong.sum() <= e.judged.sum() / 2 or not _erratic(e)):
        return None  # One number that is a little off may be so for any reason, as may what changes smoothly.
    what = "has the digits of a float32 and is right to as many" if rounded else "is right to the digits of a float32"
    why = f"The gradient {what}: somewhere {'it' if rounded else 'something'} was rounded."
    return Cause("wrong_dtype", why, "compute in the dtype of the inputs: no float32 on the way")


def _short(g: Array) -> bool:
    """Whether all numbers have so few digits that nobody need have rounded them."""
    mantissas = np.frexp(g)[0] * _FEW_BITS
    return np.array_equal(mantissas, np.round(mantissas))


def _erratic(e: Evidence) -> bool:
    """Whether what is wrong is another number some float32s further, as rounding is and a forgotten epsilon is not."""
    further = e.elsewhere([x * (1 + _SOME_SINGLES) if x.dtype.kind == "f" else x for x in e.case.inputs])
    there = Evidence(further, e.position) if further else e
    if e.gradient is None or there.gradient is None or not (e.complete and np.all(np.isfinite(there.gradient))):
        return False
    here = e.gradient - e.numeric
    return bool(np.max(np.abs(there.gradient - there.numeric - here)) > _OTHER * np.max(np.abs(here)))


def permuted_or_reversed(e: Evidence) -> Cause | None:
    """The right numbers in the wrong places."""
    if e.gradient is None or not e.complete or e.x.size < 2:
        return None
    g = e.gradient
    return _reversed(e, g) or _transposed(e, g) or _rolled(e, g) or _permuted(e, g) or _misdirected(e)


def _reversed(e: Evidence, g: Array) -> Cause | None:
    for count in range(1, g.ndim + 1):
        for axes in itertools.combinations(range(g.ndim), count):
            if agreement := e.agreement(np.flip(g, axes)):
                why = f"Reversed along {_axes(axes)}, the gradient {agreement}."
                return Cause("permuted_or_reversed", why, f"np.flip(grad_{e.name}, {axes if count > 1 else axes[0]})")
    return None


def _transposed(e: Evidence, g: Array) -> Cause | None:
    for order in itertools.permutations(range(g.ndim)) if g.ndim <= 4 else ():
        before = [0] * g.ndim
        for place, axis in enumerate(order):
            before[axis] = g.shape[place]
        if order != tuple(range(g.ndim)) and (agreement := e.agreement(np.transpose(g.reshape(before), order).copy())):
            why = f"With its axes in the order {order}, the gradient {agreement}."
            return Cause("permuted_or_reversed", why, "undo a permutation of axes with its inverse: np.argsort(axes)")
    return None


def _rolled(e: Evidence, g: Array) -> Cause | None:
    for axis, size in enumerate(g.shape):
        for shift in range(1, size):
            if agreement := e.agreement(np.roll(g, shift, axis)):
                why = f"Rolled by {shift} along axis {axis}, the gradient {agreement}."
                return Cause("permuted_or_reversed", why, f"np.roll(grad_{e.name}, {shift}, axis={axis})")
    return None


def _permuted(e: Evidence, g: Array) -> Cause | None:
    """Some other permutation: sorted, both are the same, and no two numbers are."""
    ours, theirs = np.sort(g.reshape(-1)), np.argsort(e.slopes.value)
    distinct = np.unique(np.round(ours / (e.largest or 1.0), 9))
    if not np.all(np.isfinite(e.slopes.value)) or distinct.size < max(3, g.size // 2):
        return None
    candidate = np.empty(g.size)
    candidate[theirs] = ours
    if not (agreement := e.agreement(candidate)):
        return None
    why = f"In another order, the gradient {agreement}: each of its numbers is right somewhere."
    return Cause("permuted_or_reversed", why, "put every number where its input entry is")


def turned_around(e: Evidence) -> Cause | None:
    """Reversed along more than one axis: no wrong axis looks like that."""
    if e.gradient is None or not e.complete or sum(n > 1 for n in e.x.shape) < 2:
        return None
    long = tuple(axis for axis, n in enumerate(e.x.shape) if n > 1)
    if any(e.agreement(np.flip(e.gradient, axis)) for axis in long):
        return None
    return _reversed(e, e.gradient)


def _misdirected(e: Evidence) -> Cause | None:
    """Every output's contribution is right, but for another output's cotangent."""
    parts, claimed, weights = e.contributions, e.claimed, e.oracle.weights
    if parts is None or claimed is None or np.any(weights == 0) or len(parts) < 3:
        return None
    ours, theirs = claimed / weights[:, None], parts / weights[:, None]
    tolerance = float(np.max(e.tolerance)) / float(np.min(np.abs(weights)))
    near = np.max(np.abs(ours[:, None, :] - theirs[None, :, :]), axis=2) <= tolerance
    equal = np.max(np.abs(theirs[:, None, :] - theirs[None, :, :]), axis=2) <= tolerance
    # Each row of the one among the rows of the other, as often.
    if not near.any(axis=1).all() or not np.array_equal(near.sum(axis=0), equal.sum(axis=0)):
        return None
    moved = int(np.count_nonzero(~np.diag(near)))
    if not moved:
        return None  # Each is right, and the sum is off by what rounds.
    why = f"{moved} of {len(parts)} output entries have another one's place: their upstream gradients are exchanged."
    return Cause("permuted_or_reversed", why, "undo what forward does to the order: reshapes and axes, one by one")


def _axes(axes: tuple[int, ...]) -> str:
    return f"ax{'is' if len(axes) == 1 else 'es'} {' and '.join(map(str, axes))}"
