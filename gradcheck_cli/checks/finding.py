"""What a check answers with: findings, each with a code and a cause from the tables in `codes`."""

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


@dataclass(frozen=True)
class Finding:
    """One thing that a check found out about a case, for a person and for a machine."""

    code: str
    cause: str
    severity: Severity
    case: Case
    message: str
    suggestion: str = ""  # what to write instead
    input: str | None = None  # the name of the input whose gradient is meant
    evidence: Mapping[str, object] = field(default_factory=dict)
    why: str = ""  # the hypothesis that explains it, in a sentence
    partial: bool = False  # whether that explains some entries and finds the others right

    def __post_init__(self) -> None:
        from gradcheck_cli.codes import CAUSES, CODES  # Much text, which a run without findings does not need.

        if self.code not in CODES:
            raise ValueError(f"{self.code} is not in the table of codes")
        if self.cause not in CAUSES:
            raise ValueError(f"{self.cause} is not in the table of causes")


def apart(a: float, b: float) -> tuple[str, str]:
    """Two numbers as text, in six digits, or in as many as tell them apart."""
    texts = ((f"{a:.{digits}g}", f"{b:.{digits}g}") for digits in range(6, 18))
    return next((pair for pair in texts if pair[0] != pair[1]), (f"{a:.6g}", f"{b:.6g}"))
