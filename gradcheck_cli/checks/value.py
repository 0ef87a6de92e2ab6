"""GC2xx and GC5xx: does each gradient agree with the numeric derivative within its error bar?

For a cotangent w and a direction v, the slope of t -> <w, f(x + t v)> must be <v, backward(w)>. Small inputs are
checked along every coordinate; large ones along random directions through all entries and a few coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.analytic import rounding
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.checks.judgement import (
    SPREAD,
    Judgement,
    coordinates,
    is_unit,
    judge,
    probes,
    resolution_of,
    scale_of,
)
from gradcheck_cli.numeric.classic import Classic
from gradcheck_cli.numeric.estimate import Outcome
from gradcheck_cli.sample import Case

Array = NDArray[Any]

FULL = 1024  # entries up to which an input is checked along every coordinate, and up to which a failure is located
MIN_RESOLUTION = {"float64": 1e-3, "float32": 1e-2}


@dataclass(frozen=True, slots=True)
class InputResult:
    """What was found about the gradient of one input.

    `worst` is the largest deviation and `resolution` the smallest error that would have been caught, both relative
    to the largest entry of the gradient; None where nothing was judged.
    """

    name: str
    judged: bool
    worst: float | None
    resolution: float | None
    method: str


def check_values(
    case: Case, gradients: Mapping[int, Array], tolerances: Classic | None
) -> tuple[list[InputResult], list[Finding]]:
    """Judge the gradient of every input in `gradients` (by input position)."""
    results, findings = [], []
    for position, gradient in gradients.items():
        result, found = _check_input(case, position, gradient, tolerances)
        results.append(result)
        findings += found
    return results, findings


def _check_input(
    case: Case, position: int, gradient: Array, tolerances: Classic | None
) -> tuple[InputResult, list[Finding]]:
    name = case.op.names[position]
    if not gradient.size:  # Its shape is all there is to be right or wrong about.
        return InputResult(name, True, None, None, "empty"), []
    if not np.all(np.isfinite(gradient)):
        return _not_finite(case, position, gradient, tolerances)
    full = gradient.size <= FULL
    directions = coordinates(case, position) if full else probes(case, position)
    floor = np.zeros(gradient.shape) if tolerances else _floor(case, position, gradient)
    judgement = judge(case, position, gradient, floor, list(directions), tolerances)
    method = "coordinates" if full else "directions"
    scale = scale_of(case, gradient, judgement)
    if judgement.wrong.any():
        worst = float(np.max(judgement.deviation[judgement.wrong])) / scale
        located = judgement if full else _locate(case, position, gradient, floor, judgement, tolerances)
        return InputResult(name, True, worst, None, method), [_wrong(case, position, gradient, located)]
    if not judgement.judged.all():
        return InputResult(name, False, None, None, method), [_unjudged(case, name, judgement)]
    worst, resolution = float(np.max(judgement.deviation)) / scale, resolution_of(judgement) / scale
    limit = MIN_RESOLUTION[str(case.inputs[position].dtype)]
    if resolution > limit and not tolerances:
        return InputResult(name, False, worst, resolution, method), [_too_coarse(case, name, resolution, limit)]
    return InputResult(name, True, worst, resolution, method), []


def _floor(case: Case, position: int, gradient: Array) -> Array:
    return rounding(case, case.op.differentiated.index(position), gradient)


def _locate(
    case: Case, position: int, gradient: Array, floor: Array, judgement: Judgement, tolerances: Classic | None
) -> Judgement:
    """Coordinates to show for a failure that a random direction found; the direction itself where none is wrong."""
    entries = np.unique(np.linspace(0, gradient.size - 1, FULL).astype(int)).tolist()
    along = judge(case, position, gradient, floor, list(coordinates(case, position, entries)), tolerances)
    return along if along.wrong.any() else judgement


def _wrong(case: Case, position: int, gradient: Array, judgement: Judgement) -> Finding:
    """The story of a wrong gradient: the worst entry, both numbers, how many and how far."""
    name, count, checked = case.op.names[position], int(judgement.wrong.sum()), len(judgement.directions)
    worst = int(np.argmax(np.where(judgement.wrong, judgement.deviation, -1.0)))
    direction = judgement.directions[worst]
    step = direction.moves[0][1]
    where = _index(step, gradient.shape) if isinstance(step, int) else " along a random direction"
    claimed, numeric, bar = judgement.claimed[worst], judgement.numeric[worst], judgement.bar[worst]
    relative = judgement.deviation[worst] / max(abs(numeric), abs(claimed))
    among = f" {count} of {checked} entries differ." if is_unit(direction) and checked > 1 else ""
    return Finding(
        "GC201",
        "wrong_value",
        Severity.FAILURE,
        case,
        f"grad {name}{where} is {claimed:.6g}; the numeric derivative is {numeric:.6g} +- {bar:.1g}: "
        f"off by {100 * relative:.2g} %.{among}",
        input=name,
        evidence={
            "claimed": float(claimed),
            "numeric": float(numeric),
            "bar": float(bar),
            "entry": step if isinstance(step, int) else None,
            "wrong": count,
            "checked": checked,
        },
    )


def _not_finite(
    case: Case, position: int, gradient: Array, tolerances: Classic | None
) -> tuple[InputResult, list[Finding]]:
    """NaN or infinity is wrong where the slope is finite, and cannot be judged elsewhere."""
    name = case.op.names[position]
    entries = np.flatnonzero(~np.isfinite(gradient.reshape(-1)))[:SPREAD]
    filled = np.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
    directions = list(coordinates(case, position, entries.tolist()))
    judgement = judge(case, position, filled, np.zeros(gradient.shape), directions, tolerances)
    result = InputResult(name, bool(judgement.judged.any()), None, None, "coordinates")
    if not judgement.judged.any():
        return result, [_unjudged(case, name, judgement)]
    first = int(np.flatnonzero(judgement.judged)[0])
    entry = int(entries[first])
    return result, [
        Finding(
            "GC202",
            "nan_gradient",
            Severity.FAILURE,
            case,
            f"grad {name}{_index(entry, gradient.shape)} is {gradient.reshape(-1)[entry]}; "
            f"the numeric derivative there is {judgement.numeric[first]:.6g}",
            "look for 0/0, log(0) or inf - inf in backward",
            input=name,
        )
    ]


_REASONS = {
    Outcome.SMOOTH: "the error bar is infinite",
    Outcome.KINK: "several kinks meet along the direction",
    Outcome.JUMP: "forward jumps here",
    Outcome.NOISY: "forward's own noise hides the slope",
    Outcome.QUANTISED: "forward moves in steps",
    Outcome.ILL_CONDITIONED: "rounding the input moves the slope",
    Outcome.OUTSIDE: "forward is not finite around this point",
    Outcome.NONDETERMINISTIC: "forward does not repeat itself",
}


def _unjudged(case: Case, name: str, judgement: Judgement) -> Finding:
    worst = Outcome(int(np.max(judgement.outcome[~judgement.judged])))
    count = int((~judgement.judged).sum())
    return Finding(
        "GC501",
        worst.name.lower(),
        Severity.INCONCLUSIVE,
        case,
        f"grad {name}: {count} of {len(judgement.directions)} slopes cannot be judged: {_REASONS[worst]}",
        input=name,
    )


def _too_coarse(case: Case, name: str, resolution: float, limit: float) -> Finding:
    return Finding(
        "GC502",
        "too_coarse",
        Severity.INCONCLUSIVE,
        case,
        f"grad {name}: an error below {resolution:.1g} would not have been seen; a pass needs {limit:g}",
        input=name,
        evidence={"resolution": resolution},
    )


def _index(entry: int, shape: tuple[int, ...]) -> str:
    """`[0, 2]` of a flat entry; nothing for a scalar."""
    place = np.unravel_index(entry, shape) if shape else ()
    return f"[{', '.join(str(int(i)) for i in place)}]" if shape else ""
