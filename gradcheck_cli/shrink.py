"""A failing case -> the smallest that still fails in the same way: same code, same cause, same input.

Greedy and deterministic: a simpler case is tried, kept if the finding is still there, until nothing simpler is. First
fewer dimensions and smaller sizes, then plainer memory and params, then simpler numbers.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.case import Case, lay_out, text_of, with_inputs
from gradcheck_cli.checks import examine
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.checks.value import Judging
from gradcheck_cli.diagnose import with_cause
from gradcheck_cli.domain import Index
from gradcheck_cli.errors import GradcheckError

Array = NDArray[Any]

TRIES = 64  # cases that are tried, at the most: a count, so that every run finds the same
SECONDS = 4.0  # and for how long: only a slow forward is stopped by it
_MOST_ENTRIES = 12  # of an array, up to which its numbers are made simpler one by one
_PARTICULAR = {"wrong_scale", "missing_term"}  # causes whose advice is a formula: few numbers fit many
_LOOKS = 6  # at a case in which randomness may show or not: of one entry, every other mask is like the one before


def shrink(finding: Finding, judging: Judging) -> Finding:
    """The same finding on the smallest case that was found; the finding itself where nothing smaller has it."""
    if finding.severity < Severity.FAILURE or finding.case.outputs is None or finding.case.recorded:
        return finding
    search = _Search(finding, judging)
    before = None
    while before is not search.best:  # With simpler numbers, more may be cut.
        before = search.best
        for simpler in (_shapes, _circumstances, _numbers):
            search.exhaust(simpler)
    return search.best


class _Search:
    """The best so far, and what is left of the budget."""

    def __init__(self, finding: Finding, judging: Judging) -> None:
        self.best, self.judging = finding, judging
        self.tries, self.until = TRIES, time.monotonic() + SECONDS

    def exhaust(self, simpler: Callable[[Case], Iterator[Case | None]]) -> None:
        """Take the first simpler case that still fails, again and again."""
        while any(self._fails(case) for case in simpler(self.best.case)):
            pass

    def _fails(self, case: Case | None) -> bool:
        if case is None or case.error is not None or self.tries <= 0 or time.monotonic() > self.until:
            return False
        self.tries -= 1
        looks = _LOOKS if self.best.cause == "nondeterministic" else 1
        return any(self._still_fails(case) for _ in range(looks))

    def _still_fails(self, case: Case) -> bool:
        best = self.best
        for found in examine(case, self.judging).findings:
            if (
                found.code == best.code
                and found.severity >= Severity.FAILURE
                and (best.input is None or found.input in (best.input, None))
            ):
                explained = with_cause(found, best.cause, best.partial)
                # A factor of 2 that was the length of an axis must not become just any 2, nor a sum any other term.
                if explained is None or explained.input != best.input:
                    continue
                if best.cause not in _PARTICULAR or explained.suggestion == best.suggestion:
                    self.best = explained
                    return True
        return False


# Shapes


def _shapes(case: Case) -> Iterator[Case | None]:
    """Fewer loop dimensions; then every dimension as short as can be, then a little shorter."""
    yield from _without_an_axis(case)
    for where, n in _dimensions(case).items():
        for length in sorted({1, 2, n - 1} & set(range(1, n))):
            yield _cut(case, where, slice(None, length))
            yield _cut(case, where, slice(-length, None))


def _dimensions(case: Case) -> dict[str, int]:
    """Everything that can be cut, by name, with its length: core dimensions, loop axes, axes of any shape."""
    signature = case.op.gufunc
    binding = signature.bind(case.shapes, case.op.names)
    fixed = {d.name for operand in signature.inputs for d in operand.dimensions if d.size is not None}
    lengths = {name: n for name, n in binding.sizes.items() if name not in fixed}
    lengths |= {f"loop {axis}": n for axis, n in enumerate(reversed(binding.loop))}
    return lengths | {f"any {axis}": n for axis, n in enumerate(binding.any_shape or ())}


def _axes_of(case: Case, where: str) -> list[tuple[int, int]]:
    """(operand, axis) of a dimension, wherever it stands with more than one entry."""
    signature = case.op.gufunc
    binding = signature.bind(case.shapes, case.op.names)
    found = []
    for position, (operand, x) in enumerate(zip(signature.inputs, case.inputs, strict=True)):
        kind, _, number = where.partition(" ")
        if number and kind == "any":
            axes = [int(number)] if operand.any_shape else []
        elif number:
            axis = len(binding.loops[position]) - 1 - int(number) if binding.loops else -1
            axes = [axis] if axis >= 0 else []
        else:
            core = [d.name for d in operand.dimensions if d.name not in binding.missing]
            axes = [x.ndim - len(core) + i for i, name in enumerate(core) if name == where]
        found += [(position, axis) for axis in axes if x.shape[axis] > 1]
    return found


def _cut(case: Case, where: str, part: slice) -> Case | None:
    """Only the first or the last entries along a dimension."""
    inputs = [np.array(x) for x in case.inputs]
    for position, axis in _axes_of(case, where):
        inputs[position] = inputs[position].take(range(inputs[position].shape[axis])[part], axis)
    return _moved(case, inputs)


def _without_an_axis(case: Case) -> Iterator[Case | None]:
    """The first entry along a loop axis, or along an axis of any shape, without that axis."""
    binding = case.op.gufunc.bind(case.shapes, case.op.names)
    for axis in range(len(binding.loop)):
        inputs = [np.array(x) for x in case.inputs]
        for position, loop in enumerate(binding.loops):
            if len(loop) > axis:
                inputs[position] = _first(inputs[position], len(loop) - 1 - axis) if 0 not in loop else inputs[position]
        yield _moved(case, inputs)
    for axis in range(len(binding.any_shape or ())):
        if 0 not in (binding.any_shape or ()):
            operands = zip(case.inputs, case.op.gufunc.inputs, strict=True)
            yield _moved(case, [_first(x, axis) if o.any_shape else x for x, o in operands])


def _first(x: Array, axis: int) -> Array:
    """The first entry along an axis; an array also where no axis is left, since a scalar cannot be stepped in place."""
    return np.array(x.take(0, axis))


# Circumstances


def _circumstances(case: Case) -> Iterator[Case | None]:
    """C order, no edge, earlier choices of the params."""
    if case.layout != "C":
        yield with_inputs(replace(case, layout="C"), tuple(np.array(x, order="C") for x in case.inputs))
    if case.edge:
        yield with_inputs(replace(case, edge=""), case.inputs)
    try:
        choices = case.op.choices(case.shapes)
    except GradcheckError:
        choices = {}
    for name, value in case.params.items():
        known = [text_of(choice) for choice in choices.get(name, ())]
        place = known.index(text_of(value)) if text_of(value) in known else 0
        for choice in list(choices.get(name, ()))[:place]:
            yield with_inputs(case, case.inputs, {**case.params, name: choice})


# Numbers


def _numbers(case: Case) -> Iterator[Case | None]:
    """All ones, small whole numbers; then entry by entry zero, one, or fewer digits. Cotangents likewise."""
    for position, x in enumerate(case.inputs):
        for simple in _simpler(x):
            yield _with_input(case, position, simple)
    for number, w in enumerate(case.cotangents):
        if case.outputs is not None and case.outputs.arrays[number].dtype.kind in "fc":
            for simple in _simpler(w):
                cotangents = list(case.cotangents)
                cotangents[number] = lay_out(simple, case.layout)
                yield replace(case, cotangents=tuple(cotangents))


def _simpler(x: Array) -> Iterator[Array]:
    """Arrays that are simpler than x, the simplest first; never one that was simpler already."""
    if x.dtype.kind not in "fc" or not x.size:
        return
    ones, counted = np.ones_like(x), np.asarray(np.arange(1, x.size + 1).reshape(x.shape), x.dtype)
    rank = _complexity(x)
    whole = [ones, counted, np.round(x), np.round(x, 1)]
    yield from (array for array in whole if _complexity(array) < rank)
    for entry in range(x.size) if x.size <= _MOST_ENTRIES else ():
        for value in (
            0.0,
            1.0,
            float(np.round(x.reshape(-1)[entry].real)),
            float(np.round(x.reshape(-1)[entry].real, 1)),
        ):
            changed = np.array(x)
            changed.reshape(-1)[entry] = value
            if _complexity(changed) < rank:
                yield changed


def _complexity(x: Array) -> tuple[float, ...]:
    """Fewer digits, fewer different numbers, more zeros, smaller numbers."""
    flat = x.reshape(-1)
    digits = float(sum(len(repr(float(v.real)).rstrip("0").rstrip(".")) for v in flat))
    nonzero = int(np.count_nonzero(flat))
    return digits + nonzero, float(np.unique(flat).size), float(np.sum(np.abs(flat)))


def _with_input(case: Case, position: int, values: Array) -> Case | None:
    inputs = list(case.inputs)
    inputs[position] = values
    return _moved(case, inputs)


def _moved(case: Case, inputs: Sequence[Array]) -> Case | None:
    """The case with other inputs, None where these are none of the op's or nothing changed."""
    op = case.op
    try:
        sizes = op.gufunc.bind([x.shape for x in inputs], op.names).sizes
    except GradcheckError:
        return None
    fitting = [
        np.minimum(x, max(sizes[domain.dimension] - 1, 0)) if isinstance(domain, Index) else x
        for x, domain in zip(inputs, op.domains, strict=True)
    ]
    pairs = itertools.zip_longest(fitting, op.domains)
    if not all(domain.contains(x, sizes) for x, domain in pairs):
        return None
    if all(np.array_equal(x, old) for x, old in zip(fitting, case.inputs, strict=True)):
        return None
    return with_inputs(case, tuple(fitting))
