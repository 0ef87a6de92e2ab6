"""Case -> result: every check asked of a case, in the order in which one depends on another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.analytic import gradients, rounding
from gradcheck_cli.case import Case, extended, widened
from gradcheck_cli.checks.behaviour import check_behaviour
from gradcheck_cli.checks.finding import VERDICTS, Finding, Severity, Verdict
from gradcheck_cli.checks.forward import check_forward
from gradcheck_cli.checks.oracle import oracle_of
from gradcheck_cli.checks.questions import Floors
from gradcheck_cli.checks.structure import check_structure, usable
from gradcheck_cli.checks.value import InputResult, Judging, check_values
from gradcheck_cli.edges.values import SCALES
from gradcheck_cli.foreign import quiet
from gradcheck_cli.pairs import as_real

Array = NDArray[Any]


@dataclass(frozen=True)
class CaseResult:
    """What was found out about a case."""

    case: Case
    inputs: tuple[InputResult, ...]
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst finding's; an edge at which nothing could be judged counts for nothing."""
        worst = max((f.severity for f in self.findings), default=Severity.NOTE)
        if self.case.edge and worst is Severity.NOTE and not any(result.judged for result in self.inputs):
            return Verdict.SKIP
        return VERDICTS[worst]


def resolution_of(results: Sequence[CaseResult]) -> float | None:
    """The smallest error that each of several cases would have caught, relative to the gradient's largest entry.

    Edges are left aside where there are ordinary cases: what float32 or numbers of 1e6 allow says nothing about an op.
    """
    ordinary = [result for result in results if not result.case.edge] or results
    known = [i.resolution for result in ordinary for i in result.inputs if i.resolution is not None and i.judged]
    return max(known, default=None)


_EDGE_ROUNDINGS = 64.0
_SMALLEST = 1e-6


def _coarser(case: Case, position: int) -> Array:
    """What each entry of a gradient at an edge may be off by, too: roundings of usual slopes, and of |w f| / |x|.

    x - tanh(x) at 1e-7 and the tail of a gelu at 1e6 cancel to something that no backward gets right, and that no
    estimate of rounding at that point can know; (cos(x) - sin(x) / x) / x at 1e-6 turns a last digit of 1 into 1e-10;
    beside terms of 1e12, what an entry adds is rounded away. What is that small is judged where it is not at an edge.
    """
    assert case.outputs is not None
    weights = max((float(np.max(np.abs(w), initial=0.0)) for w in case.cotangents), default=0.0)
    floats = [y for y in case.outputs.arrays if y.dtype.kind in "fc"]
    outputs = max((float(np.max(np.abs(y), initial=0.0)) for y in floats), default=0.0)
    x = as_real(case.inputs[position])
    # Where a backward divides by a small x, or numbers of 1e6 and 1e-6 meet, its own size is the unit. Of the former,
    # long doubles know better.
    small = case.edge == "wide" or (case.edge in SCALES and extended(case) is None)
    least, times = (_SMALLEST if small else 1.0), (4.0 if case.edge == "wide" else 1.0)
    natural: Array = times * weights * outputs / np.maximum(np.abs(x.astype(np.float64)), least)
    # What cancels in single precision shows beside the double.
    epsilon = float(np.finfo(x.dtype).eps) if widened(case) is None else 2.0**-52
    return _EDGE_ROUNDINGS * epsilon * (natural + oracle_of(case).variation(position))


def examine(case: Case, judging: Judging) -> CaseResult:
    """Ask every check of a case: at order 2, and where nothing is wrong at order 1, of its backward as well."""
    with quiet():
        first = _examine(case, judging)
        if judging.order == 1 or not first.inputs or not all(result.judged for result in first.inputs):
            return first
        if any(finding.severity > Severity.WARNING for finding in first.findings):
            return first
        from gradcheck_cli.checks.second import check_second  # And with it the whole tape.

        results, findings = check_second(case, lambda derived: _examine(derived, judging, behaviour=False))
    return replace(first, inputs=(*first.inputs, *results), findings=(*first.findings, *findings))


def _examine(case: Case, judging: Judging, behaviour: bool = True) -> CaseResult:
    """Every check; without `behaviour` of what a tape computes, which is as linear as the ops on it."""
    findings = list(check_forward(case))
    if any(
        (f.code == "GC402" and case.edge) or (f.severity >= Severity.FAILURE and f.code != "GC406") for f in findings
    ):
        return CaseResult(case, (), tuple(findings))
    returned = gradients(case)
    findings += check_structure(case, returned)
    exact = {p: as_real(g) for p, g in usable(returned, case).items()}
    del returned  # Of large arrays, one more matters.

    @cache
    def floors() -> dict[int, Array]:
        found = rounding(case, exact)
        return {p: floor + _coarser(case, p) for p, floor in found.items()} if case.edge else found

    odd = check_behaviour(case, exact, floors) if behaviour else []
    results, wrong = check_values(case, exact, floors, judging)
    contradictions = _jvp(case, exact, floors) if case.op.jvp else []
    # What is not even linear, or not twice the same, has no value to be compared.
    explained = {f.input for f in odd}
    findings += [*odd, *(f for f in wrong if f.input not in explained and (f.input or not explained))]
    if not any(finding.severity >= Severity.FAILURE for finding in findings):  # Else it is no news.
        findings += contradictions
    if case.edge:  # That an edge is seen coarsely says nothing about the op.
        findings = [_no_more_than_a_note(f) for f in findings if f.code != "GC502"]
    return CaseResult(case, tuple(results), tuple(findings))


def _jvp(case: Case, exact: Mapping[int, Array], floors: Floors) -> list[Finding]:
    from gradcheck_cli.checks.jvp import check_jvp  # Few ops have one.

    return list(check_jvp(case, exact, floors))


def _no_more_than_a_note(finding: Finding) -> Finding:
    """At an edge, what cannot be judged need not be: an overflow, a vertical tangent, a jump."""
    unclear = finding.severity is Severity.INCONCLUSIVE
    return replace(finding, severity=Severity.NOTE) if unclear else finding
