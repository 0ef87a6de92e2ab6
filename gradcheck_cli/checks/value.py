"""GC2xx and GC5xx: does each gradient agree with the numeric derivative within its error bar?

Most do at a first look (`quick.py`); what does not is looked at closely (`closer.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.case import Case
from gradcheck_cli.checks.finding import Finding
from gradcheck_cli.checks.oracle import oracle_of
from gradcheck_cli.checks.questions import Floors
from gradcheck_cli.checks.quick import Looks
from gradcheck_cli.errors import UsageError
from gradcheck_cli.numeric.classic import Classic

Array = NDArray[Any]

MAX_EVALS = 1_000_000  # forward evaluations for one question: a thousand entries take 30,000
_PER_ENTRY, _QUICK_ENTRY = 28, 10  # that the ladder and a first look take for an entry, at the most
MODES = ("auto", "full", "probe")
MIN_RESOLUTION = {np.dtype(np.float64): 1e-3, np.dtype(np.float32): 1e-2}  # a pass must have been able to see this much
NOTHING_TO_SEE = 1e-300


@dataclass(frozen=True, slots=True)
class Judging:
    """How values are judged; `tolerances` switches to the classic test, `order` 2 asks about backward's, too."""

    mode: str = "auto"
    min_resolution: float | None = None  # None: by dtype
    tolerances: Classic | None = None
    max_evals: int = MAX_EVALS  # forward evaluations that one question asked of a case may take
    order: int = 1

    @property
    def columns(self) -> int:
        """How many entries may be asked one by one."""
        return self.max_evals // _PER_ENTRY

    def coarsest(self, case: Case, position: int) -> float:
        """The resolution that a pass must have, relative to the gradient's largest entry."""
        return self.min_resolution or MIN_RESOLUTION[np.finfo(case.inputs[position].dtype).dtype]

    def __post_init__(self) -> None:
        if self.order not in (1, 2):
            raise UsageError(f"order is {self.order!r}; it must be 1 (gradients) or 2 (their derivatives, too)")
        if self.mode not in MODES:
            raise UsageError(f"mode {self.mode!r} is none of {', '.join(MODES)}")
        if not isinstance(self.max_evals, int) or self.max_evals < 1:
            raise UsageError(f"max_evals is {self.max_evals!r}; it must be an integer of 1 or more")
        least = self.min_resolution
        if least is not None and not 0 < least < 1:
            raise UsageError(f"min_resolution is {least!r}; it must lie between 0 and 1")
        if least is not None and self.tolerances:
            raise UsageError("min_resolution goes with error bars, not with the classic test (eps, rtol, atol)")


@dataclass(frozen=True, slots=True)
class InputResult:
    """What was found about the gradient of one input.

    `worst` is the largest deviation and `resolution` the smallest error that would have been caught, both relative
    to the largest entry of the gradient; None where nothing was judged. `method` is full, probe or empty. At `order` 2
    the gradient is that of a product with what backward returns, by an input or by the cotangent.
    """

    name: str
    judged: bool
    worst: float | None
    resolution: float | None
    method: str
    order: int = 1

    @property
    def label(self) -> str:
        """The name, and the order if that is not the first."""
        return self.name if self.order == 1 else f"{self.name} (order {self.order})"


def check_values(
    case: Case, gradients: Mapping[int, Array], floors: Floors, judging: Judging
) -> tuple[list[InputResult], list[Finding]]:
    """Judge the gradient of every input in `gradients`, all in one go.

    `gradients` and what `floors` returns (backward's own rounding) are real arrays by input position.
    """
    oracle, names = oracle_of(case), case.op.names
    finite = [p for p, g in gradients.items() if g.size and np.all(np.isfinite(g))]
    looks = Looks(case, oracle, gradients, floors, judging.mode, judging.max_evals // _QUICK_ENTRY)
    # Of an empty gradient its shape is all there is to be right or wrong about.
    results = {p: InputResult(names[p], True, None, None, "empty") for p, g in gradients.items() if not g.size}
    if not judging.tolerances:
        results |= _agreed(looks, finite, judging)
    findings: list[Finding] = []
    if doubtful := [p for p in gradients if p not in results]:
        from gradcheck_cli.checks.closer import look_closely  # And with it the ladder.

        closer, findings = look_closely(looks, floors, judging, finite, doubtful)
        results |= closer
    return [results[p] for p in gradients], findings


def _agreed(looks: Looks, finite: list[int], judging: Judging) -> dict[int, InputResult]:
    """Gradients that a first look finds nothing wrong with, as finely as it must be seen."""
    found = {}
    for position, a in looks.agreements(finite).items():
        size = max(looks.questions.largest[position], a.largest)
        scale = size if size > a.resolution else looks.oracle.variation(position) or size or 1.0
        resolution = a.resolution / scale
        if resolution <= judging.coarsest(looks.case, position):
            shown = resolution if resolution > NOTHING_TO_SEE else None
            name, method = looks.case.op.names[position], "full" if a.full else "probe"
            found[position] = InputResult(name, True, a.deviation / scale, shown, method)
    return found
