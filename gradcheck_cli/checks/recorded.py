"""GC7xx: are outputs and gradients still what a fixture says they were?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.analytic import forward_rounding, gradients, rounding
from gradcheck_cli.case import Case
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.checks.structure import usable
from gradcheck_cli.pairs import as_real
from gradcheck_cli.signature import Shape, show
from gradcheck_cli.source import name_of

Array = NDArray[Any]


@dataclass(frozen=True)
class Expected:
    """What was recorded, by whom, and how far from it a recomputed value may lie.

    Allowed are `ulps` roundings of the largest recorded entry and, where `rounding` says so, what gradcheck estimates
    that forward or backward itself rounds at this case.
    """

    outputs: tuple[Array, ...]
    gradients: Mapping[str, Array]
    ulps: float
    rounding: bool
    who: str


def check_recorded(case: Case, expected: Expected) -> list[Finding]:
    """GC701 where forward's outputs differ from the recorded ones, else GC702 where backward's gradients do."""
    if case.outputs is None:  # GC401 says so.
        return []
    return list(_check_outputs(case, expected)) or list(_check_gradients(case, expected))


def fits(case: Case) -> bool:
    """Whether the recorded cotangents are of the shapes of what forward returns, and complex where that is."""
    return case.outputs is None or _forms(case.cotangents) == _forms(case.outputs.arrays)


def _forms(arrays: Sequence[Array]) -> list[tuple[Shape, bool]]:
    return [(x.shape, x.dtype.kind == "c") for x in arrays]


def misfit(case: Case) -> Finding:
    """GC701 for a case whose cotangents do not fit: no gradient can be asked for."""
    assert case.outputs is not None
    got, wanted = ([f"{x.dtype} {show(x.shape)}" for x in xs] for xs in (case.outputs.arrays, case.cotangents))
    message = f"{name_of(case.op.forward)} returns {_listed(got)}; the recorded cotangents are {_listed(wanted)}"
    return _finding(case, "GC701", "outputs_differ", message)


def _check_outputs(case: Case, expected: Expected) -> Iterator[Finding]:
    assert case.outputs is not None
    name, arrays = name_of(case.op.forward), case.outputs.arrays
    got, wanted = ([f"{y.dtype} {show(y.shape)}" for y in outputs] for outputs in (arrays, expected.outputs))
    if got != wanted:
        message = f"{name} returns {_listed(got)}; recorded is {_listed(wanted)} ({expected.who})"
        yield _finding(case, "GC701", "outputs_differ", message)
        return
    floors = forward_rounding(case) if expected.rounding else [np.zeros(())] * len(arrays)
    for number, (y, recorded, floor) in enumerate(zip(arrays, expected.outputs, floors, strict=True)):
        what = f"output {number} of {name}" if case.outputs.several else f"the output of {name}"
        difference = _difference(what, y, recorded, floor, expected)
        if difference:
            yield _finding(case, "GC701", "outputs_differ", difference)


def _check_gradients(case: Case, expected: Expected) -> Iterator[Finding]:
    found = usable(gradients(case), case)
    reals = {p: as_real(g) for p, g in found.items()}
    floors = rounding(case, reals) if expected.rounding else {}
    for position in case.op.differentiated:
        name = case.op.names[position]
        if name not in expected.gradients:
            continue
        recorded = expected.gradients[name]
        if position not in found:  # GC1xx says why.
            message = f"grad {name} cannot be compared with the recorded one ({expected.who})"
            yield _finding(case, "GC702", "gradients_differ", message, name)
        elif as_real(recorded).shape != reals[position].shape:
            got, wanted = (f"{g.dtype} {show(g.shape)}" for g in (found[position], recorded))
            message = f"grad {name} is {got}; recorded is {wanted} ({expected.who})"
            yield _finding(case, "GC702", "gradients_differ", message, name)
        else:
            floor = floors.get(position, np.zeros(()))
            difference = _difference(f"grad {name}", found[position], recorded, floor, expected)
            if difference:
                yield _finding(case, "GC702", "gradients_differ", difference, name)


def _difference(what: str, got: Array, recorded: Array, floor: Array, expected: Expected) -> str:
    """The worst entry beside the recorded one; empty where all lie within what the policy allows."""
    exact = recorded.dtype.kind not in "fc"
    epsilon = 0.0 if exact else float(np.finfo(recorded.dtype).eps)
    got, recorded = as_real(got).astype(np.float64), as_real(recorded).astype(np.float64)
    with np.errstate(all="ignore"):
        gap = np.abs(got - recorded)
        largest = float(np.max(np.abs(recorded), initial=0.0, where=np.isfinite(recorded)))
        same = (got == recorded) | (np.isnan(got) & np.isnan(recorded))
        differs = ~same & ~(gap <= expected.ulps * epsilon * largest + floor)
    if not differs.any():
        return ""
    worst = np.unravel_index(int(np.argmax(np.where(differs, np.nan_to_num(gap, nan=np.inf), -1.0))), gap.shape)
    place = f"[{', '.join(str(int(i)) for i in worst)}]" if worst else ""
    share = f" {int(differs.sum())} of {gap.size} entries differ." if gap.size > 1 else ""
    off = f", off by {gap[worst] / largest:.1g} of the largest entry" if largest and np.isfinite(gap[worst]) else ""
    return f"{what}{place} is {got[worst]}; recorded is {recorded[worst]} ({expected.who}){off}.{share}"


def _finding(case: Case, code: str, cause: str, message: str, input: str | None = None) -> Finding:  # noqa: A002
    advice = "if the change is meant: gradcheck replay PATH --update"
    return Finding(code, cause, Severity.FAILURE, case, message, advice, input)


def _listed(words: list[str]) -> str:
    return " and ".join(words) or "nothing"
