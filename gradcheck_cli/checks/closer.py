"""A close look at the gradients that a first one did not believe: what is wrong, where, and what cannot be judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.analytic import unsteadiness
from gradcheck_cli.checks.directions import coordinates, directions_of, joint
from gradcheck_cli.checks.finding import Finding, Severity, apart
from gradcheck_cli.checks.generalised import at_an_edge, forgive
from gradcheck_cli.checks.hidden import excuse
from gradcheck_cli.checks.judgement import Judgement, judge
from gradcheck_cli.checks.locate import suspects
from gradcheck_cli.checks.questions import Floors
from gradcheck_cli.checks.quick import Looks
from gradcheck_cli.checks.value import NOTHING_TO_SEE, InputResult, Judging
from gradcheck_cli.codes import CAUSES
from gradcheck_cli.edges.values import SCALES
from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.numeric.estimate import Outcome

Array = NDArray[Any]

_LOCATE = 64  # entries to look at beside the one that is shown, after a random direction found a failure
_LARGE = 100_000  # entries beyond which only the one that is shown is looked for
_FEW = 1024  # entries that may all be asked one by one where random directions cannot be judged
_SHOWN = 16  # entries that are not finite, to look at


def look_closely(
    looks: Looks, floors: Floors, judging: Judging, finite: Sequence[int], doubtful: Sequence[int]
) -> tuple[dict[int, InputResult], list[Finding]]:
    """Results for the doubtful inputs, by position, and what is wrong with them."""
    closer = _CloseLook(looks, floors, judging, finite, doubtful)
    for position in doubtful:
        closer.judge_input(position)
    closer.judge_jointly()
    return closer.results, closer.findings


class _CloseLook:
    """Directions for every doubtful input, judged together, told apart afterwards."""

    def __init__(
        self, looks: Looks, floors: Floors, judging: Judging, finite: Sequence[int], doubtful: Sequence[int]
    ) -> None:
        self.looks, self.judging, self.finite, self._floors = looks, judging, finite, floors
        self.case, self.oracle, self.gradients = looks.case, looks.oracle, looks.gradients
        self.results: dict[int, InputResult] = {}
        self.findings: list[Finding] = []
        self.asked = [p for p in doubtful if p in finite]
        self.rows: dict[int, range] = {}
        directions: list[Direction] = []
        for position in self.asked:
            own = directions_of(self.case, position, judging.mode, judging.columns)
            self.rows[position] = range(len(directions), len(directions) + len(own))
            directions += own
        if self.asked:
            if self.case.edge not in SCALES:
                directions.append(joint(self.case, self.finite))
            self.judgement = self._judge(directions)
            if self.judgement.wrong.any() and not judging.tolerances and at_an_edge(self.case):
                self.judgement = forgive(self.case, self.oracle, self.judgement)

    @property
    def floors(self) -> Mapping[int, Array]:
        """What backward itself may round, by input position; nothing in the classic test."""
        zeros = {p: np.zeros(g.shape) for p, g in self.gradients.items()}
        return zeros if self.judging.tolerances else self._floors()

    def judge_input(self, position: int) -> None:
        """Result and findings for one input."""
        if position not in self.finite:
            self._judge_not_finite(position)
        else:
            self._judge_finite(position, self.judgement.take(list(self.rows[position])))

    def judge_jointly(self) -> None:
        """Every input by the same step; it tells nothing new where one is wrong, or worse than bent, by itself."""
        asked = bool(self.asked) and self.case.edge not in SCALES
        hopeless = (f.code == "GC501" and f.cause != "kink" for f in self.findings)
        if not asked or any(f.severity >= Severity.FAILURE for f in self.findings) or any(hopeless):
            return
        together = self.judgement.take([len(self.judgement.directions) - 1])
        if together.wrong.any():
            names = " and ".join(self.case.op.names[p] for p in self.finite)
            where = f"moving every entry of {names} by the same step, the gradient along it"
            self._add("GC201", "wrong_jointly", Severity.FAILURE, None, _difference(where, together, 0))

    def _judge_finite(self, position: int, judgement: Judgement) -> None:
        name = self.case.op.names[position]
        method = "full" if all(d.entry is not None for d in judgement.directions) else "probe"
        if method == "probe" and self._lost_among_kinks(position, judgement):
            judgement, method = self._judge(list(coordinates(self.case, position))), "full"
        scale = self._scale(position, judgement)
        if judgement.wrong.any():
            worst = float(np.max(judgement.deviation[judgement.wrong])) / scale
            self.results[position] = InputResult(name, True, worst, None, method)
            self._report_wrong(position, judgement if method == "full" else self._locate(position, judgement))
        elif not judgement.judged.all():
            self.results[position] = InputResult(name, False, None, None, method)
            self._report_unjudged(name, judgement)
        else:
            worst, resolution = float(np.max(judgement.deviation)) / scale, _resolution(judgement, method) / scale
            coarse = not self.judging.tolerances and resolution > self.judging.coarsest(self.case, position)
            # Where nothing can change (a zero cotangent, a softmax of one class), an error is relative to nothing.
            shown = resolution if resolution > NOTHING_TO_SEE else None
            self.results[position] = InputResult(name, not coarse, worst, shown, method)
            if coarse:
                self._report_coarse(position, resolution, scale)

    def _scale(self, position: int, judgement: Judgement) -> float:
        """The largest entry of the gradient, which deviations and resolutions are relative to.

        A gradient of zero to within its error bar has no largest entry; how fast the outputs vary over a unit step
        stands in for it (not |f|/|x|: the slope of 1e8 + sin x is 1). Where they do not vary and the gradient is made
        of last digits, as that of a bias in front of a batch norm, it is how fast they might.
        """
        gradient = self.gradients[position]
        units = np.array([d.entry is not None for d in judgement.directions], dtype=bool)
        slopes = np.abs(judgement.measured.value[units & judgement.judged])
        own = float(np.max(np.abs(gradient)))
        largest = max(own, float(np.max(slopes, initial=0.0)))
        if largest > np.max(judgement.measured.bar[judgement.judged], initial=0.0):
            return largest
        if variation := self.oracle.variation(position):
            return variation
        if own and np.max(unsteadiness(self.case, {position: gradient})[position]) >= own / 2:
            return self.case.natural_slope or own
        return largest or 1.0

    def _lost_among_kinks(self, position: int, judgement: Judgement) -> bool:
        """Whether directions through many entries met too many kinks or jumps, and single entries may do better."""
        hopeful = self.gradients[position].size <= min(_FEW, self.judging.columns) and self.judging.mode == "auto"
        return hopeful and not judgement.wrong.any() and not judgement.judged.all()

    def _judge_not_finite(self, position: int) -> None:
        """NaN or infinity is wrong where the slope is finite, and cannot be judged elsewhere."""
        name, gradient = self.case.op.names[position], self.gradients[position]
        entries = np.flatnonzero(~np.isfinite(gradient.reshape(-1)))[:_SHOWN].tolist()
        filled = {position: np.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)}
        floors = {position: np.zeros(gradient.shape)}
        directions = list(coordinates(self.case, position, entries))
        judgement = judge(self.oracle, directions, filled, floors, self.judging.tolerances)
        self.results[position] = InputResult(name, bool(judgement.judged.any()), None, None, "probe")
        # A slope that is known to a percent is finite; one that is not may be the foot of a vertical tangent.
        size = np.abs(judgement.measured.value)
        known = judgement.judged & (judgement.measured.bar <= 0.01 * np.maximum(size, 1.0))
        known &= size <= np.finfo(self.case.inputs[position].dtype).max  # or it had to overflow
        if not known.any():
            self._report_unjudged(name, judgement)
            return
        row = int(np.flatnonzero(known)[0])
        message = (
            f"grad {name}{_index(entries[row], gradient.shape)} is {gradient.reshape(-1)[entries[row]]}; "
            f"the numeric derivative there is {judgement.measured.value[row]:.6g}"
        )
        advice = "look for 0/0, log(0) or inf - inf in backward"
        self._add("GC202", "nan_gradient", Severity.FAILURE, name, message, advice=advice)

    def _locate(self, position: int, judgement: Judgement) -> Judgement:
        """Coordinates to show for a failure that a random direction found; that direction where none is wrong."""
        single = [row for row, direction in enumerate(judgement.directions) if direction.entry is not None]
        if judgement.wrong[single].any():
            return judgement.take(single)
        size, most = self.gradients[position].size, min(_LOCATE, self.judging.columns)
        found = suspects(self.looks, position, judgement.directions[int(np.argmax(judgement.wrong))], most)
        # Beside these, others spread over the input tell how many there are.
        others = np.linspace(0, size - 1, min(most, size) if size <= _LARGE else 0).astype(int)
        entries = np.unique(np.array([*others, *found], dtype=int)).tolist()
        along = self._judge(list(coordinates(self.case, position, entries)))
        return along if along.wrong.any() else judgement

    def _report_wrong(self, position: int, judgement: Judgement) -> None:
        """The worst entry, both numbers, how many and how far."""
        name, gradient = self.case.op.names[position], self.gradients[position]
        count, checked = int(judgement.wrong.sum()), len(judgement.directions)
        worst = int(np.argmax(np.where(judgement.wrong, judgement.deviation, -1.0)))
        direction = judgement.directions[worst]
        entry = " along a random direction" if direction.entry is None else _index(direction.entry, gradient.shape)
        among = f" {count} of {checked} entries differ." if direction.entry is not None and checked > 1 else ""
        evidence = {
            "claimed": float(judgement.claimed[worst]),
            "numeric": float(judgement.measured.value[worst]),
            "bar": float(judgement.measured.bar[worst]),
            "entry": direction.entry,
            "wrong": count,
            "checked": checked,
        }
        message = _difference(f"grad {name}{entry}", judgement, worst) + among
        self._add("GC201", "wrong_value", Severity.FAILURE, name, message, evidence)

    def _report_coarse(self, position: int, resolution: float, scale: float) -> None:
        """Too coarse for a pass: because of the numeric derivative, or because backward itself is that unsteady."""
        name, limit = self.case.op.names[position], self.judging.coarsest(self.case, position)
        own = float(np.max(self.floors[position])) / scale
        cause = "unsteady_backward" if own > limit else "too_coarse"
        message = f"grad {name}: an error below {_percent(resolution)} of its largest entry would not have been seen; "
        if own > limit:
            message += f"it moves by {_percent(own)} when all that backward gets is rounded otherwise"
        else:
            message += f"a pass needs {_percent(limit)} (--min-resolution)"
        self._add("GC502", cause, Severity.INCONCLUSIVE, name, message, {"resolution": resolution, "floor": own})

    def _report_unjudged(self, name: str, judgement: Judgement) -> None:
        unjudged = ~judgement.judged
        if not unjudged.any():  # Judged, but not known well enough to say that a slope is finite.
            unjudged = judgement.judged
        worst = Outcome(int(np.bincount(judgement.measured.outcome[unjudged].astype(int)).argmax()))
        share = f"{int(unjudged.sum())} of {len(judgement.directions)}"
        cause = worst.name.lower()
        message = f"grad {name}: {share} slopes cannot be judged: {CAUSES[cause]}"
        self._add("GC501", cause, Severity.INCONCLUSIVE, name, message)

    def _judge(self, directions: list[Direction]) -> Judgement:
        judgement = judge(self.oracle, directions, self.gradients, self.floors, self.judging.tolerances)
        if self.judging.tolerances or not judgement.wrong.any():
            return judgement
        return excuse(self.oracle, judgement)

    def _add(
        self,
        code: str,
        cause: str,
        severity: Severity,
        name: str | None,
        message: str,
        evidence: Mapping[str, object] | None = None,
        advice: str = "",
    ) -> None:
        self.findings.append(Finding(code, cause, severity, self.case, message, advice, name, evidence or {}))


def _difference(where: str, judgement: Judgement, row: int) -> str:
    """Both numbers, and how far they are apart."""
    claimed, measured = float(judgement.claimed[row]), judgement.measured
    size, bar = abs(float(measured.value[row])), float(measured.bar[row])
    relative = float(judgement.deviation[row]) / (size if size > bar else max(size, abs(claimed)))
    ours, theirs = apart(claimed, float(measured.value[row]))
    if measured.outcome[row] == Outcome.KINK:
        low, high = (0.0 if abs(s[row]) <= measured.bar[row] else s[row] for s in (measured.low, measured.high))
        slopes = f"at this kink any slope from {low:.6g} to {high:.6g} would be right"
    else:
        slopes = f"the numeric derivative is {theirs} +- {bar:.1g}"
    return f"{where} is {ours}; {slopes}: off by {_percent(relative)}."


def _percent(relative: float) -> str:
    percent = 100 * relative
    return f"{percent:.0f} %" if 10 <= percent < 1e6 else f"{percent:.2g} %"


def _resolution(judgement: Judgement, method: str) -> float:
    """The smallest error of a single entry that would have been caught."""
    bars = judgement.measured.bar
    if method == "full":
        return float(np.max(bars))
    # Along a random direction an entry's error is multiplied by |v| >= 1/2; every probe sees every entry.
    return 2 * min(float(b) for b, d in zip(bars, judgement.directions, strict=True) if d.entry is None)


def _index(entry: int, shape: tuple[int, ...]) -> str:
    """`[0, 2]` of a flat entry; nothing for a scalar."""
    place = np.unravel_index(entry, shape) if shape else ()
    return f"[{', '.join(str(int(i)) for i in place)}]" if shape else ""
