"""Case -> result: every check asked of a case, in the order in which one depends on another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck_cli.analytic import gradients, rounding
from gradcheck_cli.case import Case, widened
from gradcheck_cli.checks.behaviour import check_behaviour
from gradcheck_cli.checks.finding import VERDICTS, Finding, Severity, Verdict
from gradcheck_cli.checks.forward import check_forward
from gradcheck_cli.checks.structure import check_structure, usable
from gradcheck_cli.checks.value import InputResult, Judging, check_values
from gradcheck_cli.foreign import quiet
from gradcheck_cli.pairs import as_real


@dataclass(frozen=True)
class CaseResult:
    """What was found out about a case."""

    case: Case
    inputs: tuple[InputResult, ...]
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst finding's verdict."""
        return VERDICTS[max((f.severity for f in self.findings), default=Severity.NOTE)]


_EDGE_ROUNDINGS = 64.0


def _coarser(case: Case) -> float:
    """What a gradient at an edge may be off by, in addition: roundings of a slope of 1.

    x - tanh(x) at 1e-7 and the tail of a gelu at 1e6 cancel to something that no backward gets right, and that no
    estimate of rounding at that point can know. What is that small is judged where it is not at an edge.
    """
    weights = max((float(np.max(np.abs(w), initial=0.0)) for w in case.cotangents), default=0.0)
    dtypes = [x.dtype for x in case.inputs if x.dtype.kind in "fc"]
    epsilon = max((float(np.finfo(d).eps) for d in dtypes), default=0.0)
    if widened(case) is not None:  # What cancels in single precision shows beside the double.
        epsilon = 2.0**-52
    return _EDGE_ROUNDINGS * weights * epsilon


def examine(case: Case, judging: Judging) -> CaseResult:
    """Ask every check of a case."""
    findings = list(check_forward(case))
    if any(
        (f.code == "GC402" and case.edge) or (f.severity >= Severity.FAILURE and f.code != "GC406") for f in findings
    ):
        return CaseResult(case, (), tuple(findings))
    returned = gradients(case)
    findings += check_structure(case, returned)
    exact = {p: as_real(g) for p, g in usable(returned, case).items()}
    with quiet():
        floors = rounding(case, exact)
        if case.edge:
            floors = {p: floor + _coarser(case) for p, floor in floors.items()}
        behaviour = check_behaviour(case, exact, floors)
        results, wrong = check_values(case, exact, floors, judging)
    # What is not even linear, or not twice the same, has no value to be compared.
    explained = {f.input for f in behaviour}
    findings += [*behaviour, *(f for f in wrong if f.input not in explained and (f.input or not explained))]
    return CaseResult(case, tuple(results), tuple(findings))
