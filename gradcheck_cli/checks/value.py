"""GC2xx and GC5xx: does each gradient agree with the numeric derivative within its error bar?

For a cotangent w and a direction v, the slope of t -> <w, f(x + t v)> must be <v, backward(w)>. Small inputs are
checked along every coordinate; large ones along random directions through all entries and a few coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.analytic import rounding
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.domain import Domain
from gradcheck_cli.numeric import classic
from gradcheck_cli.numeric.classic import Classic
from gradcheck_cli.numeric.curves import Direction, ForwardCurves
from gradcheck_cli.numeric.difference import differentiate
from gradcheck_cli.numeric.estimate import Estimates, FloatArray, Outcome
from gradcheck_cli.sample import Case
from gradcheck_cli.stream import Stream

Array = NDArray[Any]

FULL = 1024  # entries up to which an input is checked along every coordinate
PROBES = 3  # random directions through a larger input
SPREAD = 16  # and single coordinates of it
SECOND_LOOK = 91 / 128  # other steps for a gradient that looks wrong: no power of two relates them to the first
MIN_RESOLUTION = {"float64": 1e-3, "float32": 1e-2}
_MAX_ENTRIES = 2**22  # of the per-output arrays of a second look


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


@dataclass(frozen=True)
class _Judgement:
    """Slopes of one input along its directions, side by side."""

    directions: list[Direction]
    claimed: FloatArray  # <v, backward(w)>
    numeric: FloatArray
    bar: FloatArray  # of the numeric slope, plus backward's own rounding
    low: FloatArray  # one-sided slopes: anything between them is a subgradient
    high: FloatArray
    outcome: NDArray[np.integer[Any]]

    @property
    def deviation(self) -> FloatArray:
        """Distance of the claimed slope from the interval of right answers."""
        with np.errstate(all="ignore"):
            gap = np.maximum(self.claimed - self.high, self.low - self.claimed)
        return np.where(np.isfinite(gap), np.maximum(gap, 0.0), np.inf)

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Where an answer was possible."""
        return np.isfinite(self.bar) & ((self.outcome == Outcome.SMOOTH) | (self.outcome == Outcome.KINK))

    @property
    def wrong(self) -> NDArray[np.bool_]:
        return self.judged & (self.deviation > self.bar)


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
    if not gradient.size:
        return InputResult(name, False, None, None, "empty"), []
    if not np.all(np.isfinite(gradient)):
        return _not_finite(case, position, gradient, tolerances)
    full = gradient.size <= FULL
    directions = list(_coordinates(case, position) if full else _probes(case, position))
    floor = np.zeros(gradient.shape) if tolerances else _floor(case, position, gradient)
    judgement = _judge(case, position, gradient, floor, directions, tolerances)
    method = "coordinates" if full else "directions"
    scale = _scale(case, gradient, judgement)
    if judgement.wrong.any():
        worst = float(np.max(judgement.deviation[judgement.wrong])) / scale
        return InputResult(name, True, worst, None, method), [_wrong(case, position, gradient, judgement, full)]
    if not judgement.judged.all():
        return InputResult(name, False, None, None, method), [_unjudged(case, name, judgement)]
    worst, resolution = float(np.max(judgement.deviation)) / scale, _resolution(judgement, scale)
    limit = MIN_RESOLUTION[str(case.inputs[position].dtype)]
    if resolution > limit and not tolerances:
        return InputResult(name, False, worst, resolution, method), [_too_coarse(case, name, resolution, limit)]
    return InputResult(name, True, worst, resolution, method), []


def _judge(
    case: Case,
    position: int,
    gradient: Array,
    floor: Array,
    directions: list[Direction],
    tolerances: Classic | None,
) -> _Judgement:
    """Compare along the directions, and look again where the first look objects."""
    forward, inputs = _oracle(case)
    weights = np.concatenate([np.asarray(w, np.float64).reshape(-1) for w in case.cotangents])
    limits = [d.limits for d in case.op.domains]

    def curves(rows: Sequence[Direction], projected: bool) -> ForwardCurves:
        return ForwardCurves(forward, inputs, rows, limits, weights if projected else None)

    gradients = [gradient if i == position else None for i in range(len(inputs))]
    floors = [floor if i == position else None for i in range(len(inputs))]
    claimed = np.array([d.dot(gradients) for d in directions])
    rounding_floor = np.array([d.weigh(floors) for d in directions])
    if tolerances:
        first = classic.differentiate(curves(directions, projected=True), tolerances)
    else:
        first = differentiate(curves(directions, projected=True))
    judgement = _Judgement(directions, claimed, *_columns(first, rounding_floor))
    doubtful = np.flatnonzero(judgement.wrong | ~judgement.judged | (judgement.outcome != Outcome.SMOOTH))
    if tolerances or not doubtful.size:
        return judgement
    rows = [directions[i] for i in doubtful]
    again = differentiate(curves(rows, projected=True), stretch=SECOND_LOOK)
    kinks = _project(curves(rows, projected=False), weights)
    second = _merge(_columns(again, rounding_floor[doubtful]), kinks, rounding_floor[doubtful])
    return _with_second_look(judgement, doubtful, second)


Columns = tuple[FloatArray, FloatArray, FloatArray, FloatArray, NDArray[np.integer[Any]]]


def _columns(estimates: Estimates, floor: FloatArray) -> Columns:
    """numeric, bar, low, high, outcome of projected estimates."""
    e = estimates
    return e.value[:, 0], e.bar[:, 0] + floor, e.low[:, 0], e.high[:, 0], e.outcome[:, 0]


def _project(curves: ForwardCurves, weights: FloatArray) -> Columns:
    """Slopes per output element, projected on the cotangent afterwards, as sums of intervals w_i [low_i, high_i].

    Projecting first would hide kinks of opposite sign: relu(t) - relu(-t) = t looks smooth.
    """
    columns: list[list[Any]] = [[], [], [], [], []]
    for row in range(len(curves.scale)):
        e = differentiate(curves.only(row), stretch=SECOND_LOOK)
        with np.errstate(all="ignore"):
            ends = weights * e.low[0], weights * e.high[0]
            sums = (
                np.sum(weights * e.value[0]),
                np.sum(np.abs(weights) * e.bar[0]),
                np.sum(np.minimum(*ends)),
                np.sum(np.maximum(*ends)),
                int(np.max(e.outcome[0])),
            )
        for column, entry in zip(columns, sums, strict=True):
            column.append(entry)
    value, bar, low, high, outcome = map(np.array, columns)
    return value, bar, low, high, outcome


def _merge(smooth: Columns, kinked: Columns, floor: FloatArray) -> Columns:
    """The projected slope where no output has a kink along the direction; else the sum of intervals."""
    is_kink = kinked[4] == Outcome.KINK
    kinked = (kinked[0], kinked[1] + floor, *kinked[2:])
    value, bar, low, high, outcome = (np.where(is_kink, k, s) for k, s in zip(kinked, smooth, strict=True))
    return value, bar, low, high, outcome


def _with_second_look(first: _Judgement, rows: NDArray[np.intp], second: Columns) -> _Judgement:
    """The second look decides, except where the first found the gradient right."""
    merged = [
        np.array(column) for column in (first.numeric, first.bar, first.low, first.high, first.outcome)
    ]
    for column, update in zip(merged, second, strict=True):
        column[rows] = update
    return _Judgement(first.directions, first.claimed, *merged)


def _oracle(case: Case) -> tuple[Callable[[Sequence[Array]], Sequence[Array]], list[Array]]:
    """Forward and inputs to differentiate: in float64 where forward computes in it, else in the case's dtype.

    A float32 forward rounds at 1e-7 and its slopes at 1e-5; the same function in float64 judges a float32 gradient
    far more finely.
    """
    op, params = case.op, case.params

    def forward(inputs: Sequence[Array]) -> Sequence[Array]:
        return op.run([x.copy() for x in inputs] if case.mutated else inputs, params).arrays

    inputs = list(case.inputs)
    if not any(x.dtype == np.float32 for x in inputs):
        return forward, inputs
    wide = [x.astype(np.float64) if x.dtype == np.float32 else x for x in inputs]
    try:
        outputs = forward(wide)
    except Exception:  # A forward for float32 alone.
        return forward, inputs
    assert case.outputs is not None
    same_shapes = [y.shape for y in outputs] == [y.shape for y in case.outputs.arrays]
    return (forward, wide) if same_shapes and all(y.dtype == np.float64 for y in outputs) else (forward, inputs)


def _floor(case: Case, position: int, gradient: Array) -> Array:
    return rounding(case, case.op.differentiated.index(position), gradient)


def _coordinates(case: Case, position: int, entries: Sequence[int] | None = None) -> Iterator[Direction]:
    """One direction per entry, projected into the domain."""
    x, domain = case.inputs[position], case.op.domains[position]
    free = type(domain).project is Domain.project
    for entry in range(x.size) if entries is None else entries:
        if free:
            yield Direction(((position, entry),))
        else:
            unit = np.zeros(x.shape)
            unit.reshape(-1)[entry] = 1.0
            yield Direction(((position, domain.project(unit)),))


def _probes(case: Case, position: int) -> Iterator[Direction]:
    """Random signed directions through all entries, and single entries spread over the input."""
    x, domain = case.inputs[position], case.op.domains[position]
    stream = Stream(case.op.name, case.seed, case.index, "direction", position)
    for _ in range(PROBES):
        yield Direction(((position, domain.project(stream.dyadic(x.shape))),))
    starts = np.linspace(0, x.size, SPREAD, endpoint=False).astype(int)
    width = x.size // SPREAD
    yield from _coordinates(case, position, [int(s) + stream.one(width) for s in starts])


def _scale(case: Case, gradient: Array, judgement: _Judgement) -> float:
    """The largest entry of the gradient, which deviations and resolutions are relative to.

    A gradient of zero to within its error bar has no largest entry; the natural size of a slope, |w| |f| / |x|,
    stands in for it.
    """
    units = [isinstance(step, int) for d in judgement.directions for _, step in d.moves]
    slopes = [s for s, unit in zip(judgement.numeric, units, strict=True) if unit and np.isfinite(s)]
    largest = max([float(np.max(np.abs(gradient))), *map(abs, slopes)])
    finite = judgement.bar[np.isfinite(judgement.bar)]
    if largest > np.max(finite, initial=0.0):
        return largest
    assert case.outputs is not None
    outputs = max(float(np.max(np.abs(y), initial=0.0)) for y in case.outputs.arrays)
    inputs = max(float(np.max(np.abs(x), initial=1.0)) for x in case.inputs if x.dtype.kind == "f")
    weights = max(float(np.max(np.abs(w), initial=0.0)) for w in case.cotangents)
    return max(largest, weights * outputs / inputs) or 1.0


def _resolution(judgement: _Judgement, scale: float) -> float:
    """The smallest error of a single entry that would have been caught, relative to the largest entry."""
    probes = [b for b, d in zip(judgement.bar, judgement.directions, strict=True) if not _is_unit(d)]
    # Along a random direction an entry's error is multiplied by |v| >= 1/2; every probe sees every entry.
    return float(2 * min(probes) if probes else np.max(judgement.bar)) / scale


def _is_unit(direction: Direction) -> bool:
    return all(isinstance(step, int) for _, step in direction.moves)


def _wrong(case: Case, position: int, gradient: Array, judgement: _Judgement, full: bool) -> Finding:
    """The story of a wrong gradient: the worst entry, both numbers, how many and how far."""
    name, count = case.op.names[position], int(judgement.wrong.sum())
    worst = int(np.argmax(np.where(judgement.wrong, judgement.deviation, -1.0)))
    direction = judgement.directions[worst]
    step = direction.moves[0][1]
    where = f"grad {name}{_index(step, gradient.shape)}" if isinstance(step, int) else f"grad {name} along a random direction"
    claimed, numeric, bar = judgement.claimed[worst], judgement.numeric[worst], judgement.bar[worst]
    relative = judgement.deviation[worst] / max(abs(numeric), abs(claimed))
    among = f" {count} of {gradient.size} entries differ." if full and gradient.size > 1 else ""
    return Finding(
        "GC201",
        "wrong_value",
        Severity.FAILURE,
        case,
        f"{where} is {claimed:.6g}; the numeric derivative is {numeric:.6g} +- {bar:.1g}: off by {relative:.2g}.{among}",
        input=name,
        evidence={
            "claimed": float(claimed),
            "numeric": float(numeric),
            "bar": float(bar),
            "entry": step if isinstance(step, int) else None,
            "wrong": count,
            "checked": len(judgement.directions),
        },
    )


def _not_finite(
    case: Case, position: int, gradient: Array, tolerances: Classic | None
) -> tuple[InputResult, list[Finding]]:
    """NaN or infinity is wrong where the slope is finite, and cannot be judged elsewhere."""
    name = case.op.names[position]
    entries = np.flatnonzero(~np.isfinite(gradient.reshape(-1)))[:SPREAD]
    filled = np.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
    directions = list(_coordinates(case, position, [int(e) for e in entries]))
    judgement = _judge(case, position, filled, np.zeros(gradient.shape), directions, tolerances)
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


def _unjudged(case: Case, name: str, judgement: _Judgement) -> Finding:
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
