"""What a check answers with: findings, each with a code from the one table of codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from gradcheck_cli.case import Case


class Severity(IntEnum):
    """How bad a finding is; a case is as bad as its worst finding."""

    NOTE = 0
    WARNING = 1
    INCONCLUSIVE = 2
    FAILURE = 3
    ERROR = 4  # the op raised, crashed or hung


class Verdict(StrEnum):
    """What is said of a case, an op or a run."""

    PASS = "pass"
    SKIP = "skip"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"
    ERROR = "error"

    @property
    def bad(self) -> bool:
        """Whether a gate must stay closed."""
        return self in (Verdict.FAIL, Verdict.ERROR)


VERDICTS = {
    Severity.NOTE: Verdict.PASS,
    Severity.WARNING: Verdict.PASS,
    Severity.INCONCLUSIVE: Verdict.INCONCLUSIVE,
    Severity.FAILURE: Verdict.FAIL,
    Severity.ERROR: Verdict.ERROR,
}

# code -> what it means; GC1xx structure, 2xx value, 3xx behaviour, 4xx forward, 5xx numerics, 7xx fixtures.
CODES: dict[str, str] = {
    "GC101": "a gradient has another shape than the data",
    "GC102": "backward returns the wrong number of gradients",
    "GC103": "a gradient is missing (None)",
    "GC104": "a gradient has another dtype than the data",
    "GC105": "a gradient is no array of numbers",
    "GC106": "backward raises",
    "GC201": "a gradient differs from the numeric derivative by more than its error bar",
    "GC202": "a gradient is not finite where the slope is",
    "GC301": "backward changes its inputs or cotangents",
    "GC401": "forward raises",
    "GC402": "forward is not finite",
    "GC403": "forward contradicts its signature",
    "GC404": "forward changes the dtype",
    "GC405": "forward does not repeat itself",
    "GC406": "forward changes its inputs",
    "GC501": "the slope could not be judged at this point",
    "GC502": "the error bar is too wide to mean anything",
    "GC701": "forward's outputs differ from the recorded ones",
    "GC702": "backward's gradients differ from the recorded ones",
    "GC703": "the recorded op is gone, or takes other inputs",
}


@dataclass(frozen=True)
class Finding:
    """One thing that a check found out about a case, for a person and for a machine."""

    code: str
    cause: str
    severity: Severity
    case: Case
    message: str
    suggestion: str = ""
    input: str | None = None  # the name of the input whose gradient is meant
    evidence: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"{self.code} is not in the table of codes")
