"""Every gradient on a graph beside its numeric derivative: what comes behind a gate is a function of its value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from gradcheck_cli.case import make_case
from gradcheck_cli.checks import examine
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.checks.value import Judging
from gradcheck_cli.diagnose import diagnose
from gradcheck_cli.graph.expression import Gate
from gradcheck_cli.variable import apply
from gradcheck_cli.variable.composite import composite


class Verdict(StrEnum):
    """What is said of a gate's gradient."""

    RIGHT = "right"
    WRONG = "wrong"
    UNJUDGED = "unjudged"


@dataclass(frozen=True)
class Verified:
    """A gate with what was found out about its gradient; one that has no gradient has no verdict."""

    gate: Gate
    verdict: Verdict | None
    resolution: float | None = None  # the smallest error that would have been seen
    finding: Finding | None = None  # what is wrong, or why nothing can be said


def verify(gates: Sequence[Gate], seed: int = 0) -> list[Verified]:
    """The gates in their order, each with a verdict."""
    return [_verified(gates, gate, seed) for gate in gates]


def _verified(gates: Sequence[Gate], gate: Gate, seed: int) -> Verified:
    if gate.gradient is None:
        return Verified(gate, None)

    def expression(value: Any) -> Any:
        """The whole expression, as a function of this gate's value."""
        values = {gate: value}
        for later in gates:
            if later is not gate and any(arg in values for arg in later.args):
                assert later.op is not None
                args = [values.get(arg, arg.value) for arg in later.args]
                values[later] = apply(later.op, *args, **later.params)
        return values[gates[-1]]

    op = composite(expression, None, name="expression")
    ones = np.ones_like(gates[-1].value)
    case = make_case(op, (gate.value,), {}, seed=seed, index=0, cotangents=(ones,))
    result = diagnose(examine(case, Judging()))
    worst = max(result.findings, key=lambda finding: finding.severity, default=None)
    if worst is not None:
        told = worst.message.replace("grad value", f"grad of {gate.label}")
        worst = replace(worst, message="the expression is not finite here" if worst.code == "GC402" else told)
    if worst is not None and worst.severity >= Severity.FAILURE and not worst.code.startswith("GC4"):
        return Verified(gate, Verdict.WRONG, finding=worst)
    if not result.inputs or not all(entry.judged for entry in result.inputs):
        return Verified(gate, Verdict.UNJUDGED, finding=worst)
    return Verified(gate, Verdict.RIGHT, result.inputs[0].resolution)
