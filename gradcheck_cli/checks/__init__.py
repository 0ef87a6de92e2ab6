"""Case -> result: every check asked of a case, in the order in which one depends on another."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck_cli.analytic import gradients
from gradcheck_cli.case import Case
from gradcheck_cli.checks.finding import VERDICTS, Finding, Severity, Verdict
from gradcheck_cli.checks.forward import check_forward
from gradcheck_cli.checks.structure import check_structure, usable
from gradcheck_cli.checks.value import InputResult, Judging, check_values
from gradcheck_cli.foreign import quiet


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


def examine(case: Case, judging: Judging) -> CaseResult:
    """Ask every check of a case."""
    findings = list(check_forward(case))
    if any(f.severity >= Severity.FAILURE and f.code != "GC406" for f in findings):
        return CaseResult(case, (), tuple(findings))
    returned = gradients(case)
    findings += check_structure(case, returned)
    with quiet():
        results, wrong = check_values(case, usable(returned, case), judging)
    return CaseResult(case, tuple(results), tuple(findings + wrong))
