"""Case -> the gradients that backward returns, one array per differentiated input, and their own rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.blocks import largest_finite
from gradcheck_cli.case import Case, extended, lay_out, put_back, same, widened
from gradcheck_cli.foreign import call, quiet
from gradcheck_cli.op import Outputs
from gradcheck_cli.pairs import as_complex, as_real

Array = NDArray[Any]
Moved = Sequence[Mapping[int, NDArray[Any]]]

# Backward is called again with everything moved by NEAR ulps (one alone is often rounded away), and by FAR ulps to the
# same sides; large gradients, whose pooled spread is known better, are asked less often.
_TURNS, _FEW_TURNS, _LARGE, _NEAR, _FAR = (6, 6), (3, 1), 4096, 4.0, 4096.0
# Where moving an input crosses a kink the gradient jumps, and that is no rounding. A jump is as large for FAR ulps as
# for NEAR ones, a lost digit is 1,024 times as large, and what cancels differs in every turn, while a jump is to one of
# two sides; values within THE_SAME of a spread are one. Spreads below SMALL roundings of the largest number, and jumps
# below FAINT of it, do no harm.
_LIKE_A_JUMP, _SMALL, _FAINT, _THE_SAME = 32.0, 1024.0, 2.0**-20, 1 / 16
# The largest of six |N(0, s)| is near 1.4 s, and four ulps are eight roundings: twenty deviations of one rounding of
# everything, for a backward rounds more than once. As much again of the whole gradient's pooled spread, for entries
# that a few draws leave small by accident.
_OWN, _POOLED = 2.0, 2.0
_OWN_AND_MORE = 1.25  # times what is found with more digits, which round, too
_LAST, _LARGEST = 8.0, 2.0  # roundings of the value itself and of the largest entry, at the very least
_NATURAL = 8.0  # and of the natural size of a slope: a gradient that cancels to 0 rounds at the size of what cancels
_WATCHED = 2**16  # entries of arrays that are watched at every call
# A hash of a value, another one for each turn (Steele, Lea & Flood 2014); a product alone makes turns alike.
_STEP, _MIX, _MIX_AGAIN = 0x9E3779B97F4A7C15, np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True, slots=True)
class Gradients:
    """What backward returned, one entry per differentiated input if it did; `count` is how many there were."""

    entries: tuple[Any, ...]
    count: int
    error: Exception | None = None
    mutated: tuple[str, ...] = ()  # what backward changed: names of inputs, or "the cotangent"; put back


def gradients(case: Case) -> Gradients:
    """Call backward once with the case's cotangents."""
    return _call(case, case.inputs, case.cotangents)


def again(
    case: Case,
    *,
    inputs: Sequence[Array] | None = None,
    cotangents: Sequence[Array] | None = None,
    params: Mapping[str, Any] | None = None,
    layout: str | None = None,
) -> dict[int, Array]:
    """The gradients, as real arrays by input position, when backward gets something else; forward is not asked.

    What backward did not return as an array of numbers is left out.
    """
    given = case.cotangents if cotangents is None else [lay_out(w, case.layout) for w in cotangents]
    inputs = case.inputs if inputs is None else inputs
    if layout is not None:
        inputs, given = ([lay_out(np.array(x, order="C"), layout) for x in arrays] for arrays in (inputs, given))
    asked = case if params is None else replace(case, params=params)
    return _real_arrays(case, _call(asked, inputs, given, once=False).entries)


def rounding(case: Case, exact: Mapping[int, Array]) -> dict[int, Array]:
    """How far backward's own rounding may move each entry of its gradients, as arrays of their shapes.

    Estimated by moving all that backward gets, forward's output too, by a few ulps (1 - out**2 loses digits that x
    still has), and by computing in more digits. Of a backward that gives another answer for copies of the same arrays,
    neither tells what is rounding. `exact` holds the gradients as real arrays, by input position.
    """
    near, far = ([_moved(case, t, u) for t in range(n)] for n, u in zip(_turns(exact), (_NEAR, _FAR), strict=True))
    wide = _in_more_digits(case)
    copies = again(case, inputs=[lay_out(np.array(x), case.layout) for x in case.inputs])
    floors = {}
    for position, gradient in exact.items():
        if not _repeats(gradient, copies.get(position), np.finfo(case.inputs[position].dtype)):
            floors[position] = _floor(case, position, gradient, (), ())
            continue
        floors[position] = _floor(case, position, gradient, near, far)
        if position in wide and wide[position].shape == gradient.shape:
            gap = np.abs(wide[position] - gradient)
            floors[position] += np.where(np.isfinite(gap), _OWN_AND_MORE * gap, 0.0)
    return floors


def _repeats(gradient: Array, other: Array | None, precision: Any) -> bool:
    """Whether another call gave the same, but for a sum in another order."""
    if other is None or other.shape != gradient.shape:
        return False
    allowed = _SMALL * float(precision.eps) * largest_finite(gradient)
    return np.allclose(other, gradient, rtol=0.0, atol=allowed, equal_nan=True)


def unsteadiness(case: Case, exact: Mapping[int, Array]) -> dict[int, Array]:
    """How far each entry moves at all when everything moves by a few ulps, be that a kink or a singular matrix."""
    near = [_moved(case, turn, _NEAR) for turn in range(_turns(exact)[0])]
    return {p: np.max(np.abs(_moves(p, g, near)), axis=0).reshape(g.shape) for p, g in exact.items()}


def _turns(exact: Mapping[int, Array]) -> tuple[int, int]:
    """How often backward is asked with things moved a little, and with things moved farther."""
    return _FEW_TURNS if max((g.size for g in exact.values()), default=0) > _LARGE else _TURNS


def forward_rounding(case: Case) -> tuple[Array, ...]:
    """How far forward's own rounding may move each entry of its outputs, as real arrays: found as for backward.

    What moves by more than rounding can, a step of `floor`, is no rounding and counts as none.
    """
    assert case.outputs is not None
    exact = [as_real(y) for y in case.outputs.arrays]
    floors = [np.zeros(y.shape) for y in exact]
    for turn in range(2):
        for i, (y, moved) in enumerate(zip(exact, _moved_outputs(case, turn), strict=False)):
            if y.dtype.kind == "f" and moved.shape == y.shape:
                largest = max(float(np.max(np.abs(x), initial=0.0)) for x in (y, *case.inputs))
                with np.errstate(all="ignore"):
                    spread = np.abs(moved - y).astype(np.float64)
                    small = spread <= _SMALL * np.finfo(y.dtype).eps * largest
                floors[i] = np.maximum(floors[i], np.where(small, _OWN * spread, 0.0))
    return tuple(floors)


def _moved_outputs(case: Case, turn: int) -> list[Array]:
    """What forward returns, as real arrays, when its inputs move by a few ulps; nothing where it fails."""
    try:
        with quiet():
            inputs = [lay_out(_nudge(x, turn, _NEAR), case.layout) for x in case.inputs]
            return [as_real(y) for y in case.op.run(inputs, case.params).arrays]
    except Exception:  # Next to the edge of its domain a forward may raise anything.
        return []


def _in_more_digits(case: Case) -> dict[int, Array]:
    """The gradients as the same backward computes them in double precision of single, in long doubles of double.

    What separates the two is rounding, also that of forward's output, which an ulp here and there does not show.
    """
    wide = widened(case) or extended(case)
    return {} if wide is None else _real_arrays(wide, _call(wide, wide.inputs, wide.cotangents, once=False).entries)


def least_rounding(case: Case, position: int, gradient: Array, natural: float) -> tuple[float, float]:
    """What is always allowed, without asking backward again: a factor of each entry, and an absolute part.

    `natural` is the case's natural slope.
    """
    precision = np.finfo(case.inputs[position].dtype)
    largest = largest_finite(gradient)
    # In double precision only: what cancels in single precision shows beside the double.
    absolute = float(precision.eps) * _LARGEST * largest + _NATURAL * 2.0**-52 * natural + float(precision.tiny)
    return float(precision.eps) * _LAST, absolute


def _floor(case: Case, position: int, gradient: Array, near: Moved, far: Moved) -> Array:
    """The floor of one gradient, from what it became in each turn."""
    epsilon = np.finfo(case.inputs[position].dtype).eps
    largest = max(map(largest_finite, (gradient, *case.cotangents)))
    relative, absolute = least_rounding(case, position, gradient, case.natural_slope)
    with np.errstate(all="ignore"):
        spread = _without_jumps(
            _moves(position, gradient, near), _moves(position, gradient, far), max(_SMALL * epsilon, _FAINT) * largest
        ).reshape(gradient.shape)
        pooled = np.sqrt(np.mean(np.square(spread))) if gradient.size else 0.0
        floor: Array = _OWN * spread + _POOLED * pooled + relative * np.abs(gradient) + absolute
    return np.nan_to_num(floor, nan=0.0, posinf=0.0)


def _without_jumps(near: Array, far: Array, harmless: float) -> Array:
    """The largest of the moves (turns, entries) of every entry, but for those that crossed a kink."""
    spread, distant = np.max(np.abs(near), axis=0), np.max(np.abs(far), axis=0)
    small = np.abs(near) <= harmless
    least: Array = np.max(np.where(small, np.abs(near), 0.0), axis=0)
    sides = 1 + np.sum(np.diff(np.sort(np.where(small, 0.0, near), axis=0), axis=0) > _THE_SAME * spread, axis=0)
    sides -= np.any(small, axis=0)  # where it stayed
    jumps = (spread > least) & (distant < _LIKE_A_JUMP * spread) & (sides <= 2)
    return np.where(jumps | ~np.isfinite(spread), least, spread)


def _moves(position: int, gradient: Array, moved: Moved) -> Array:
    """How far one gradient moved in each turn, as (turns, entries); nothing where backward failed."""
    turns = [m[position] for m in moved if position in m and m[position].shape == gradient.shape]
    moves: Array = np.array([turn.reshape(-1) for turn in turns or [gradient]]) - gradient.reshape(-1)
    return np.nan_to_num(moves, nan=np.inf, posinf=np.inf, neginf=-np.inf)


def _moved(case: Case, turn: int, ulps: float) -> dict[int, Array]:
    """The gradients, as real arrays, when inputs, outputs and cotangents move by so many ulps, up or down.

    They are copies: several are kept, and backward may use its memory again.
    """
    assert case.outputs is not None
    outputs = Outputs(tuple(_nudge(y, turn, ulps) for y in case.outputs.arrays), case.outputs.several)
    inputs = [lay_out(_nudge(x, turn, ulps), case.layout) for x in case.inputs]
    cotangents = [lay_out(_nudge(g, turn, ulps), case.layout) for g in case.cotangents]
    returned = _call(replace(case, outputs=outputs), inputs, cotangents, once=False)
    return {p: g.copy() for p, g in _real_arrays(case, returned.entries).items()}


def _real_arrays(case: Case, entries: Sequence[Any]) -> dict[int, Array]:
    """The gradients that are arrays of numbers, as real arrays, by input position."""
    arrays = {p: as_array(e) for p, e in zip(case.op.differentiated, entries, strict=False)}
    return {
        p: as_real(like(a, case.inputs[p])).astype(np.float64, copy=False)
        for p, a in arrays.items()
        if a is not None and a.dtype.kind in "fc" and of_the_case(a, case)
    }


def of_the_case(gradient: Array, case: Case) -> bool:
    """Whether some array of the case is as large, or it is small. Else none of it is copied: it may fit no memory."""
    assert case.outputs is not None
    return gradient.size <= max(_WATCHED, *(x.size for x in (*case.inputs, *case.outputs.arrays)))


def as_array(entry: Any) -> Array | None:
    """What backward returned for an input as an array of numbers, or None."""
    try:
        array = call(np.asarray, entry)
    except Exception:  # Ragged lists, or objects whose __array__ raises.
        return None
    return array if array.dtype.kind in "fiubc" else None


def like(gradient: Array, x: Array) -> Array:
    """A gradient as it is, but a real one of a complex input: its imaginary part is 0."""
    return gradient.astype(np.complex128) if x.dtype.kind == "c" and gradient.dtype.kind != "c" else gradient


def _nudge(x: Array, turn: int, ulps: float) -> Array:
    """Every entry moved by so many ulps, up or down; zeros and integers stay.

    The side is a hash of the value, so that equal values stay equal: a tie that broke would be no rounding.
    """
    if x.dtype.kind == "c":
        return as_complex(_nudge(as_real(x), turn, ulps))
    if x.dtype.kind != "f":
        return x
    bits = np.asarray(x, np.float64, order="C").reshape(-1).view(np.uint64)
    mixed = ((bits >> np.uint64(2)) + np.uint64((turn + 1) * _STEP % 2**64)) * _MIX
    draws = (mixed ^ mixed >> np.uint64(32)) * _MIX_AGAIN >> np.uint64(62)
    # One ulp less for every second: were all steps even, what a sum rounds away would be the same in every turn.
    side = (np.where(draws & np.uint64(2), 1.0, -1.0) * (ulps - (draws & np.uint64(1)))).reshape(x.shape)
    return np.asarray(np.where(x == 0, x, x + side * np.spacing(x)), x.dtype)


def _call(case: Case, inputs: Sequence[Array], cotangents: Sequence[Array], once: bool = True) -> Gradients:
    """Call backward, keep what it changes from spreading, and sort what it returns by differentiated input.

    Called again, it is watched where that costs nothing: large arrays that it left alone, it leaves alone.
    """
    assert case.outputs is not None
    arrays = (*inputs, *cotangents, *case.outputs.arrays)
    before = {i: np.copy(x) for i, x in enumerate(arrays) if once or x.size <= _WATCHED}
    error, returned = None, None
    try:
        with quiet():
            grad, out = case.outputs.pack(cotangents), case.outputs.pack(case.outputs.arrays)
            returned = call(case.op.backward, grad, out, *inputs, **case.params)
    except Exception as raised:  # Whatever a backward raises is a finding, not our crash.
        error = raised
    entries, count = _sorted_entries(case, returned)
    changed = [i for i, x in before.items() if not same(arrays[i], x)]
    if not changed:
        return Gradients(entries, count, error)
    # A gradient may be a view of what is about to be put back.
    entries = tuple(np.copy(e) if isinstance(e, np.ndarray) else e for e in entries)
    for i in changed:
        put_back(arrays[i], before[i])
    names = [*case.op.names, *_numbered("the cotangent", cotangents), *_numbered("the output", case.outputs.arrays)]
    return Gradients(entries, count, error, tuple(names[i] for i in changed))


def _sorted_entries(case: Case, returned: Any) -> tuple[tuple[Any, ...], int]:
    """One entry per differentiated input; backward may also return one (or None) for every input."""
    wanted = case.op.differentiated
    several = isinstance(returned, (tuple, list))
    entries = tuple(returned) if several else (returned,)
    if len(entries) == len(case.op.names) != len(wanted):
        return tuple(entries[i] for i in wanted), len(wanted)
    return entries, len(entries)


def _numbered(label: str, arrays: Sequence[Array]) -> list[str]:
    return [label] if len(arrays) == 1 else [f"{label} {i}" for i in range(len(arrays))]
