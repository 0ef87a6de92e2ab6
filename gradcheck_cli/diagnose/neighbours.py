"""Hypotheses about when a gradient is wrong: what happens to the same check on a case beside this one?

Right for ordinary values, for arrays that have entries, for C order: then the case's speciality is the cause.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gradcheck_cli.analytic import again, gradients
from gradcheck_cli.case import LAYOUT_NAMES, Case, lay_out, with_inputs
from gradcheck_cli.checks import examine
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.checks.value import Judging
from gradcheck_cli.diagnose.evidence import Array, Cause, evidence_of
from gradcheck_cli.numeric.estimate import Outcome
from gradcheck_cli.stream import Stream

_SHOWN = 4  # numbers of a case that a sentence may hold
_BESIDE = 2.0**-7  # how far values are moved, in units of the largest entry


def memory(finding: Finding) -> Cause | None:
    """Right in C order, on arrays that may be written to."""
    case = finding.case
    if case.layout == "C" or _memory_does_not_matter(case) or not _passes(_plain_memory(case), finding):
        return None
    if case.layout == "read-only":
        mutated = gradients(_plain_memory(case)).mutated
        if mutated:
            cause = "mutates_upstream" if mutated[0].startswith("the cotangent") else "mutates_input"
            return Cause(cause, f"On arrays that may be written to, it changes {', '.join(mutated)}", "work on a copy")
    why = f"The arrays' memory is laid out otherwise ({LAYOUT_NAMES[case.layout]}); in C order backward is right"
    return Cause("wrong_for_noncontiguous", why, "index and reshape arrays; do not read their memory")


def _memory_does_not_matter(case: Case) -> bool:
    """Whether backward gives the same, or fails alike, for the same values in C order."""
    here, there = again(case), again(case, layout="C")
    return here.keys() == there.keys() and all(np.array_equal(here[p], there[p], equal_nan=True) for p in here)


def emptiness(finding: Finding) -> Cause | None:
    """Right where the empty dimensions have entries."""
    case = finding.case
    if all(x.size for x in case.inputs):
        return None
    shapes = [tuple(n or 2 for n in x.shape) for x in case.inputs]
    if not _passes(_redrawn(case, shapes), finding):
        return None
    why = "It is right where the empty dimension has entries"
    return Cause("wrong_for_empty", why, "let empty arrays through: no -1 in reshape, no first entry, no division by n")


def scalars(finding: Finding) -> Cause | None:
    """Right where 0-d inputs have one dimension more."""
    case = finding.case
    if all(x.ndim for x in case.inputs):
        return None
    if not _passes(_redrawn(case, [x.shape or (2,) for x in case.inputs]), finding):
        return None
    if _passes(_redrawn(case, [x.shape for x in case.inputs]), finding):
        return None  # It is the values.
    why = "It is right for inputs of shape (2), wrong for 0-d ones"
    return Cause("wrong_for_0d", why, "let 0-d arrays through: no len(), no x[0], no unpacking of shapes")


def special_values(finding: Finding) -> Cause | None:
    """Right a little beside these values, or for ordinary ones."""
    case = finding.case
    if not (case.edge or case.index < 0 or _has_ties(case) or _has_zeros(case)):
        return None
    near = _passes(_beside(case), finding)
    if not near and not _passes(_redrawn(case, [x.shape for x in case.inputs]), finding):
        return None
    what = _values(case)
    why = f"It is right a little beside {what}" if near else f"It is right for ordinary values, and not for {what}"
    if finding.code == "GC202":
        look = "0/0, log(0) or inf - inf" if near else "what overflows: inf/inf, inf - inf or 0 * inf"
        return Cause("nan_at_edge", f"{why}; look for {look}", "np.where on the operands, before the division")
    if _has_ties(case) and (finding.input is None or _only_ties(finding)):
        why = "It is right where values differ, and wrong where they are equal: at a tie the gradient is shared out"
        return Cause("wrong_tie", why, "give it to one of them, or divide it by their number")
    if near and _at_kinks(finding):
        why = "It is right beside the kink, and no subgradient at it"
        return Cause("wrong_at_kink", why, "return the slope of one side, or anything between")
    advice = "treat it on its own" if near else "look at the branch that such values take, and at what overflows"
    return Cause("wrong_at_edge", why, advice)


def _values(case: Case) -> str:
    """What is special about a case: its numbers, if they are few."""
    moved = case.op.differentiated
    if sum(case.inputs[p].size for p in moved) > _SHOWN:
        return f"the edge {case.edge!r}" if case.edge else "these values"
    return ", ".join(f"{case.op.names[p]} = {_numbers(case.inputs[p])}" for p in moved)


def _numbers(x: Array) -> str:
    text = ", ".join(f"{number:.6g}" for number in x.reshape(-1).tolist())
    return f"[{text}]" if x.ndim else text


def _passes(case: Case | None, finding: Finding) -> bool:
    """Whether the check that failed succeeds on another case."""
    if case is None or case.error is not None:
        return False
    found = examine(case, Judging())
    worse = [f for f in found.findings if f.severity >= Severity.FAILURE]
    about_it = [f for f in worse if f.input in (finding.input, None) or finding.input is None or f.code == "GC106"]
    judged = finding.input is None or any(r.name == finding.input and r.judged for r in found.inputs)
    return not about_it and judged


def _plain_memory(case: Case) -> Case:
    return with_inputs(replace(case, layout="C"), tuple(np.array(x, order="C") for x in case.inputs))


def _beside(case: Case) -> Case:
    """Every differentiated value moved a little, each by another amount."""
    inputs = list(case.inputs)
    for position in case.op.differentiated:
        x, domain = inputs[position], case.op.domains[position]
        low, high = domain.limits
        unit = max(float(np.max(np.abs(x), initial=0.0)), 1.0)
        step = (
            _BESIDE * unit * domain.project(Stream(case.op.name, "beside", position).integers(2**20, x.shape) / 2**20)
        )
        moved: list[Array] = [x + step, x - step]
        inputs[position] = np.asarray(next((m for m in moved if np.all((low < m) & (m < high))), x), x.dtype)
    return _elsewhere(case, inputs)


def _redrawn(case: Case, shapes: list[tuple[int, ...]]) -> Case | None:
    """Ordinary values of other shapes; None where the op has none."""
    try:
        binding = case.op.gufunc.bind(shapes, case.op.names)
        if binding.loop and case.op.loops is False:
            return None
        sizes = binding.sizes
        inputs = [
            case.op.domains[p].draw(Stream(case.op.name, "ordinary", p), shape, str(case.inputs[p].dtype), sizes)
            for p, shape in enumerate(shapes)
        ]
    except Exception:  # The signature or the domain has nothing of that kind.
        return None
    return _elsewhere(case, inputs)


def _elsewhere(case: Case, inputs: list[Array]) -> Case:
    """Other inputs in the same memory layout; no edge any more, nor rows that are one and the same."""
    layout = "C" if case.layout == "zero-stride" else case.layout
    return with_inputs(replace(case, edge="", layout=layout), tuple(lay_out(x, layout) for x in inputs))


def _has_ties(case: Case) -> bool:
    values = np.concatenate([case.inputs[p].reshape(-1) for p in case.op.differentiated])
    return bool(np.unique(values).size < values.size)


def _has_zeros(case: Case) -> bool:
    return any(bool(np.any(case.inputs[p] == 0)) for p in case.op.differentiated)


def _only_ties(finding: Finding) -> bool:
    """Whether it is still wrong where zeros and borders are left, and only the ties are gone."""
    case = finding.case
    inputs = list(case.inputs)
    for position in case.op.differentiated:
        x = inputs[position].copy()
        flat = x.reshape(-1)
        _, first = np.unique(flat, return_index=True)
        again = np.setdiff1d(np.arange(flat.size), first)
        flat[again] += (1 + np.arange(again.size)) * _BESIDE
        inputs[position] = x
    return _passes(_elsewhere(case, inputs), finding)


def _at_kinks(finding: Finding) -> bool:
    """Whether every wrong entry stands at a kink."""
    if finding.input is None:
        return True
    e = evidence_of(finding.case, finding.case.op.names.index(finding.input))
    return bool(e.wrong.any()) and bool(np.all(e.slopes.outcome[e.wrong] == Outcome.KINK))


NEIGHBOURS: tuple[Callable[[Finding], Cause | None], ...] = (memory, emptiness, scalars, special_values)
