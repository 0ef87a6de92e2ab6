"""Hypotheses about sums: one use instead of all, a term that is missing, one branch in the place of the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from gradcheck_cli.diagnose.evidence import Array, Cause, Evidence

_SIMPLE = (1.0, 2.0, 0.5, 3.0, 4.0, 0.25)  # what a term may be multiplied by to be called simple
_MOST_USES = 4  # of an entry by one output
_NOTHING = 1e-9  # of the largest entry: a contribution that small is none


def overwrites(e: Evidence) -> Cause | None:
    """Of an entry that is used several times, or of several outputs, only one use counts."""
    parts, g = e.contributions, e.gradient
    if parts is None or g is None:
        return None
    if cause := _one_output(e, parts):
        return cause
    if _own_place(e) and not _indexed(e):
        return None  # A softmax without its sum: an entry is no buffer that something is written to twice.
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


def some_uses(e: Evidence) -> Cause | None:
    """Every output adds either all that it should or nothing, and something to every entry that is wrong."""
    parts, claimed, wrong = e.contributions, e.claimed, np.flatnonzero(e.wrong)
    if parts is None or claimed is None or not wrong.size or (_own_place(e) and not _indexed(e)):
        return None
    # One output may use an entry twice.
    times, kept = _uses(parts, claimed, float(np.max(e.tolerance)), _MOST_USES if _indexed(e) else 1)
    due, kept = times[:, wrong].sum(axis=0), kept[:, wrong].sum(axis=0)
    if np.any(times < 0) or not np.all((kept > 0) & (kept < due)):
        return None
    most = int(np.argmax(due - kept))
    why = f"Entries of {e.name} are used up to {due[most]} times; of these, {kept[most]} count in the gradient."
    return Cause("overwrites_instead_of_accumulates", why, "+= for each use, or np.add.at where indices repeat")


def _indexed(e: Evidence) -> bool:
    """Whether an input may say which entries are used, and how often."""
    return any(x.dtype.kind in "iu" for x in e.case.inputs)


def _own_place(e: Evidence) -> bool:
    """Whether each entry has what the one output at its own place contributes, and no more."""
    parts, g = e.contributions, e.gradient
    if parts is None or g is None or parts.shape[0] != parts.shape[1]:
        return False
    return bool(np.all(np.abs(np.diag(parts) - g.reshape(-1)) <= e.tolerance))


def _uses(parts: Array, claimed: Array, tolerance: float, most: int) -> tuple[Array, Array]:
    """How often each output uses each entry, and how many uses count; -1 where a claim is no share of what is due."""
    matters, counts = np.abs(parts) > tolerance, np.abs(claimed) > tolerance
    times = np.where(counts, -1, matters.astype(int))
    for many in range(most, 0, -1):
        times = np.where(counts & (np.abs(many * claimed - parts) <= many * tolerance), many, times)
    return times, counts.astype(int)


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
    both = theirs_on.any() or ours.size == 1  # Where nothing moves the output, there is no side to speak of.
    if np.array_equal(ours_on, ~theirs_on) and ours_on.any() and both:
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
    if _own_place(e):
        why = f"Every entry of {e.name} moves several outputs; the gradient counts only the one at its own place."
        return Cause("missing_term", why, "add what the other outputs contribute: usually a sum along an axis")
    if cause := _only_its_own(e) or _other_half(e):
        return cause
    rest = e.numeric - g
    tolerance = float(np.max(e.tolerance))
    if e.x.size > 1 and (quotient := _first_factor(e)) is not None and _multiple(g, quotient, tolerance) == 1:
        why = f"The gradient is grad * out / {e.name}, as if what {e.name} is multiplied by did not depend on {e.name}."
        return Cause("missing_term", why, "the product rule has a term for each factor")
    for name, product in _products(e):
        if (factor := _multiple(rest, product, tolerance)) is not None:
            times = "" if factor == 1 else f"{factor:.6g} * "
            return Cause("missing_term", f"What is missing is {times}{name}.", f"add {times}{name} to grad_{e.name}")
    for names, basis in _bases(e):
        for axes in _axis_sets(e.x.ndim):
            if _spanned(rest, basis, axes, tolerance):
                where = f"each slice along ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}"
                per = "one number" if len(axes) == e.x.ndim else f"one number for {where}"
                why = f"What is missing is {' and '.join(f'{n} times {per}' for n in names)}."
                return Cause("missing_term", why, "look for the term that sums over what forward sums over")
    return None


def _only_its_own(e: Evidence) -> Cause | None:
    """Each entry's own output is all that counts, though not for what it should; the others move with it, too."""
    parts, claimed = e.contributions, e.claimed
    if parts is None or claimed is None or parts.shape[0] != parts.shape[1] or len(parts) < 2:
        return None
    others, tolerance = ~np.eye(len(parts), dtype=bool), np.max(e.tolerance)
    if np.any(np.abs(claimed[others]) > tolerance) or not np.any(np.abs(claimed) > tolerance):
        return None
    if not np.all((np.abs(parts) * others > tolerance).any(axis=0)):
        return None
    why = f"Every entry of {e.name} moves several outputs; its gradient depends on the one at its own place alone."
    return Cause("missing_term", why, "add what the other outputs contribute: usually a sum along an axis")


def _other_half(e: Evidence) -> Cause | None:
    """What backward gives for an operand or the cotangent transposed is the missing half of a symmetric sum."""
    for name, turned in _turned(e):
        if e.gradient is not None and turned is not None and (agreement := e.agreement(e.gradient + turned)):
            why = f"With what backward gives for {name} transposed added to it, the gradient {agreement}."
            return Cause("missing_term", why, f"{name} counts twice, as it is and transposed")
    return None


def half_transposed(e: Evidence) -> Cause | None:
    """Of two terms, both are of the operand as it is, where one should be of its transpose: their mean is right."""
    for name, turned in _turned(e) if e.complete else ():
        if e.gradient is not None and turned is not None and (agreement := e.agreement((e.gradient + turned) / 2)):
            both = f"The mean of what backward gives for {name} as it is and transposed"
            why = f"{both} {agreement}: one of two terms needs {name}^T."
            return Cause("not_transposed", why, f"{name} + np.swapaxes({name}, -1, -2), instead of twice {name}")
    return None


def _turned(e: Evidence) -> Iterator[tuple[str, Array | None]]:
    """Backward's answers for each other square operand, and the cotangent, transposed."""
    for position, other in enumerate(e.case.inputs):
        if position != e.position and other.ndim > 1 and other.shape[-1] == other.shape[-2] > 1:
            inputs = list(e.case.inputs)
            inputs[position] = np.swapaxes(other, -1, -2)
            yield e.case.op.names[position], e.again(inputs=inputs)
    for number, w in enumerate(e.case.cotangents):
        if w.ndim > 1 and w.shape[-1] == w.shape[-2] > 1:
            cotangents = list(e.case.cotangents)
            cotangents[number] = np.swapaxes(w, -1, -2)
            yield "grad", e.again(cotangents=cotangents)


def _products(e: Evidence) -> Iterator[tuple[str, Array]]:
    """Arrays of the input's shape that a product rule may leave behind: grad times one or two of what there is."""
    outputs = e.case.outputs.arrays if e.case.outputs else ()
    if len(outputs) != 1 or outputs[0].dtype.kind != "f":
        return
    w, out = e.case.cotangents[0].astype(np.float64), outputs[0].astype(np.float64)
    named = {
        n: x.astype(np.float64) for n, x in zip(e.case.op.names, e.case.inputs, strict=True) if x.dtype.kind == "f"
    }
    with np.errstate(all="ignore"):
        factors = {**named, "out": out, f"out / {e.name}": _product(np.divide, out, e.x)}
        for name, factor in factors.items():
            yield from _fitting(e, f"grad * {name}", _product(np.multiply, w, factor))
        for name, matrix in named.items():
            for left, right, text in (
                (w, matrix, f"grad @ {name}"),
                (_t(w), matrix, f"grad.T @ {name}"),
                (w, _t(matrix), f"grad @ {name}.T"),
                (_t(matrix), w, f"{name}.T @ grad"),
            ):
                yield from _fitting(e, text, _product(np.matmul, left, right))


def _first_factor(e: Evidence) -> Array | None:
    """What the slope of x * f(x) would be if f were a constant."""
    found = dict(_products(e)).get(f"grad * out / {e.name}")
    return None if found is None or np.any(e.x == 0) else found


def _t(x: Array) -> Array:
    return np.swapaxes(x, -1, -2) if x.ndim > 1 else x


def _product(function: Callable[[Array, Array], Array], left: Array | None, right: Array | None) -> Array | None:
    try:
        return None if left is None or right is None else function(left, right)
    except ValueError:
        return None


def _fitting(e: Evidence, name: str, array: Array | None) -> Iterator[tuple[str, Array]]:
    if array is not None and array.shape == e.x.shape and np.all(np.isfinite(array)):
        yield name, array


def _multiple(rest: Array, basis: Array, tolerance: float) -> float | None:
    """The small number that the rest is the basis times of, where several entries say so."""
    weight = float(np.sum(basis * basis))
    if np.count_nonzero(basis) < 2 or not np.all(np.isfinite(rest)):
        return None
    factor = float(np.sum(rest * basis)) / weight
    simple = next((n for n in _SIMPLE if np.isclose(abs(factor), n, rtol=1e-9)), None)
    if simple is None or np.max(np.abs(rest - factor * basis)) > tolerance:
        return None
    return float(np.copysign(simple, factor))


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
