"""Hypotheses about sums: one use instead of all, a term that is missing, one branch in the place of the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from gradcheck_cli.diagnose.evidence import Array, Cause, Evidence

_NOTHING = 1e-9  # of the largest entry: a contribution that small is none


def overwrites(e: Evidence) -> Cause | None:
    """Of an entry that is used several times, or of several outputs, only one use counts."""
    parts, g = e.contributions, e.gradient
    if parts is None or g is None:
        return None
    if cause := _one_output(e, parts):
        return cause
    used = np.abs(parts) > _NOTHING * e.largest
    wrong = np.flatnonzero(e.wrong)
    several = used[:, wrong].sum(axis=0) > 1
    flat = g.reshape(-1)
    close = np.abs(parts[:, wrong] - flat[wrong]) <= e.tolerance[wrong]
    if wrong.size == 0 or not np.all(several) or not np.all((close & used[:, wrong]).any(axis=0)):
        return None
    # An entry that is used once says nothing, and of two equal uses each is "one of them".
    times = int(used[:, wrong].sum(axis=0).max())
    why = f"{e.name} has entries that are used up to {times} times; their gradient is that of one use."
    return Cause("overwrites_instead_of_accumulates", why, "np.add.at(grad_x, index, grad), or += for each use")


def _one_output(e: Evidence, parts: Array) -> Cause | None:
    """Of several outputs, some contribute nothing."""
    outputs = [y for y in (e.case.outputs.arrays if e.case.outputs else ()) if y.dtype.kind in "fc"]
    if len(outputs) < 2:
        return None
    ends = np.cumsum([y.size for y in outputs])[:-1]
    each = [part.sum(axis=0) for part in np.split(parts, ends)]
    for count in range(1, len(outputs)):
        for chosen in itertools.combinations(range(len(outputs)), count):
            total = np.sum([each[number] for number in chosen], axis=0)
            if e.gradient is not None and np.all(np.abs(total - e.gradient.reshape(-1)) <= e.tolerance):
                names = " and ".join(f"output {number}" for number in chosen)
                why = f"The gradient is what {names} alone contribute{'s' * (count == 1)}; the other outputs count too."
                return Cause("overwrites_instead_of_accumulates", why, "add up what every output contributes")
    return None


def ignores_upstream(e: Evidence) -> Cause | None:
    """The gradient for a cotangent of ones."""
    parts = e.contributions
    weights = e.oracle.weights
    if parts is None or e.gradient is None or np.all(weights == 1) or np.any(weights == 0):
        return None
    unweighted = np.sum(parts / weights[:, None], axis=0)
    if np.all(np.abs(unweighted - e.gradient.reshape(-1)) <= e.tolerance):
        why = "The gradient is that for an upstream gradient of ones."
        return Cause("ignores_upstream", why, "multiply the local derivative by grad")
    return None


def branch_swapped(e: Evidence) -> Cause | None:
    """Zero where it should not be and the other way round; or, of two slopes, always the other one."""
    g = e.gradient
    if g is None or not e.complete or not e.wrong.any():
        return None
    ours, theirs = g.reshape(-1)[e.entries], e.slopes.value
    small = _NOTHING * max(e.largest, float(np.max(np.abs(ours), initial=0.0)))
    ours_on, theirs_on = np.abs(ours) > small, np.abs(theirs) > small
    advice = "exchange the two sides of the condition"
    if np.array_equal(ours_on, ~theirs_on) and ours_on.any():
        why = "The gradient is zero exactly where the slope is not, and the other way round."
        return Cause("branch_swapped", why, advice)
    weights = e.oracle.weights
    if weights.size != ours.size or np.any(weights == 0) or e.contributions is None:
        return None
    claimed, true = ours / weights, theirs / weights
    levels = [float(level) for level in np.unique(np.round(true, 9))]
    if len(levels) == 2 and np.all(np.abs(claimed + true - sum(levels)) <= e.tolerance + 1e-8):
        why = f"The slope is {levels[0]:.6g} or {levels[1]:.6g}; the gradient has each where the other belongs."
        return Cause("branch_swapped", why, advice)
    return None


def missing_term(e: Evidence) -> Cause | None:
    """Only each entry's own output; or the rest is a simple array times one number per slice."""
    g = e.gradient
    if g is None or not e.complete or e.wrong.sum() < 2:
        return None
    parts = e.contributions
    square = parts is not None and parts.shape[0] == parts.shape[1]
    if parts is not None and square and np.all(np.abs(np.diag(parts) - g.reshape(-1)) <= e.tolerance):
        why = f"Every entry of {e.name} moves several outputs; the gradient counts only the one at its own place."
        return Cause("missing_term", why, "add what the other outputs contribute: usually a sum along an axis")
    rest = e.numeric - g
    tolerance = float(np.max(e.tolerance))
    for names, basis in _bases(e):
        for axes in _axis_sets(e.x.ndim):
            if _spanned(rest, basis, axes, tolerance):
                where = f"each slice along ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}"
                per = "one number" if len(axes) == e.x.ndim else f"one number for {where}"
                why = f"What is missing is {' and '.join(f'{n} times {per}' for n in names)}."
                return Cause("missing_term", why, "look for the term that sums over what forward sums over")
    return None


def _bases(e: Evidence) -> Iterator[tuple[tuple[str, ...], list[Array]]]:
    """Arrays of the input's shape that a missing term may be a multiple of, alone and in pairs with ones."""
    named: dict[str, Array] = {"1": np.ones(e.x.shape)}
    outputs = e.case.outputs.arrays if e.case.outputs else ()
    others = {n: x for n, x in zip(e.case.op.names, e.case.inputs, strict=True) if x.dtype.kind == "f"}
    for name, array in {**others, "out": outputs[0] if outputs else e.x}.items():
        if array.shape == e.x.shape and array.dtype.kind == "f":
            named[name] = array.astype(np.float64)
    for w in e.case.cotangents:
        if w.shape == e.x.shape and w.dtype.kind == "f":
            named["grad"] = w.astype(np.float64)
    yield from (((name,), [array]) for name, array in named.items())
    yield from (((first, second), [named[first], named[second]]) for first, second in itertools.combinations(named, 2))


def _axis_sets(rank: int) -> Iterator[tuple[int, ...]]:
    for count in range(rank, 0, -1):
        yield from itertools.combinations(range(rank), count)


def _spanned(rest: Array, basis: list[Array], axes: tuple[int, ...], tolerance: float) -> bool:
    """Whether in every slice along the axes the rest is a combination of the basis, with numbers to spare."""
    lead = tuple(a for a in range(rest.ndim) if a not in axes)
    length = int(np.prod([rest.shape[a] for a in axes]))
    if length <= len(basis) or not np.all(np.isfinite(rest)):
        return False
    slices = np.transpose(rest, (*lead, *axes)).reshape(-1, length)
    bases = [np.transpose(b, (*lead, *axes)).reshape(-1, length) for b in basis]
    for row, value in enumerate(slices):
        matrix = np.stack([b[row] for b in bases], axis=1)
        if not np.all(np.isfinite(matrix)):
            return False
        found = np.linalg.lstsq(matrix, value, rcond=None)[0]
        if np.max(np.abs(matrix @ found - value)) > tolerance * (1 + np.max(np.abs(found))):
            return False
    return True
