"""What a diagnosis reasons from: a gradient, the numeric one beside it, the Jacobian behind it, and the case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.analytic import again, gradients, of_the_case, rounding
from gradcheck_cli.case import Case, with_inputs
from gradcheck_cli.checks.directions import coordinates
from gradcheck_cli.checks.judgement import Slopes, jacobian, slopes_along
from gradcheck_cli.checks.oracle import Oracle, oracle_of
from gradcheck_cli.checks.structure import usable
from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.numeric.estimate import Outcome
from gradcheck_cli.pairs import as_real
from gradcheck_cli.signature import show

Array = NDArray[Any]

_ALL = 256  # entries up to which the whole numeric gradient is known; some of them beyond
_SOME = 64
_MOST_CONTRIBUTIONS = 2**16
_MOST_OUTPUTS = 256  # whose cotangents are asked one by one
# Beyond the error bars: what a sum or a product in a hypothesis may add, relative to the largest entry.
_SLACK = {"float64": 2.0**-40, "float32": 2.0**-16}
_BARS = 4.0  # one look only, where a finding needs two


class Cause(NamedTuple):
    """Why a gradient is wrong: a cause of the table, one sentence, and what to write instead."""

    cause: str
    why: str = ""
    suggestion: str = ""
    input: str | None = None  # whose gradient it explains, where a finding names none
    partial: bool = False  # some entries are right: a smaller case without them would tell less


class Evidence:
    """Everything about one wrong gradient, measured when it is first asked for."""

    def __init__(self, case: Case, position: int) -> None:
        self.case, self.position = case, position
        self.name = case.op.names[position]
        self.x = case.inputs[position]

    @cached_property
    def returned(self) -> Array | None:
        """What backward returned for this input, whatever its shape; None for what is no array, or too large."""
        answer = gradients(self.case)
        wanted = self.case.op.differentiated
        if answer.error is not None or answer.count != len(wanted):
            return None
        entry = np.asarray(answer.entries[wanted.index(self.position)])
        usual = entry.dtype.kind in "fciub" and of_the_case(entry, self.case)
        return np.array(entry, np.result_type(entry.dtype, np.float64)) if usual else None

    @cached_property
    def gradients(self) -> Mapping[int, Array]:
        """All gradients that have their input's shape, as real arrays."""
        return {p: as_real(g) for p, g in usable(gradients(self.case), self.case).items()}

    @cached_property
    def gradient(self) -> Array | None:
        """This input's, as a real array of its shape."""
        return self.gradients.get(self.position)

    @cached_property
    def oracle(self) -> Oracle:
        """The case's forward, to be differentiated."""
        return oracle_of(self.case)

    @cached_property
    def entries(self) -> Array:
        """The flat entries whose slope is known."""
        size = as_real(self.x).size
        return np.arange(size) if size <= _ALL else np.unique(np.linspace(0, size - 1, _SOME).astype(int))

    @property
    def complete(self) -> bool:
        """Whether every entry's slope is known, so that whole arrays can be compared; complex ones cannot."""
        return self.entries.size == self.x.size and self.x.dtype.kind == "f"

    @cached_property
    def directions(self) -> list[Direction]:
        """One for each entry."""
        return list(coordinates(self.case, self.position, self.entries.tolist()))

    @cached_property
    def slopes(self) -> Slopes:
        """The numeric derivative, entry by entry."""
        return slopes_along(self.oracle, self.directions)

    @cached_property
    def numeric(self) -> Array:
        """The numeric gradient in the input's shape; only where it is `complete`."""
        return self.slopes.value.reshape(self.x.shape)

    @cached_property
    def largest(self) -> float:
        """The largest entry of the numeric gradient."""
        return float(np.max(np.abs(self.slopes.value), initial=0.0, where=np.isfinite(self.slopes.value)))

    @cached_property
    def tolerance(self) -> Array:
        """How far each entry of a right gradient may lie from the numeric one."""
        floors = rounding(self.case, {self.position: self.gradient}) if self.gradient is not None else {}
        own = np.array([d.weigh(floors) if floors else 0.0 for d in self.directions])
        slack = _SLACK.get(self.x.real.dtype.name, 2.0**-40) * self.largest
        return np.asarray(_BARS * (np.nan_to_num(self.slopes.bar, posinf=np.inf) + own) + slack)

    def apart(self, candidate: Array) -> Array:
        """How far each known entry of a candidate lies from what would be right."""
        claimed = np.array([d.dot({self.position: candidate}) for d in self.directions])
        with np.errstate(all="ignore"):
            gap = np.maximum(claimed - self.slopes.high, self.slopes.low - claimed)
        return np.where(np.isfinite(gap), np.maximum(gap, 0.0), np.inf)

    @cached_property
    def wrong(self) -> NDArray[np.bool_]:
        """Which known entries of the gradient are wrong."""
        if self.gradient is None or not self.entries.size:
            return np.ones(self.entries.shape, bool)
        wrong: NDArray[np.bool_] = self.apart(self.gradient) > self.tolerance
        return wrong

    def agreement(self, candidate: Array | None) -> str | None:
        """How well a candidate explains the slopes, in words; None where it does not, or where nothing is known."""
        if candidate is None or candidate.size != as_real(self.x).size:
            return None
        if not self.entries.size:
            return "agrees, there being no entries"
        if not self.judged.any():
            return None
        gap = self.apart(np.reshape(candidate, as_real(self.x).shape))
        if not np.all(gap[self.judged] <= self.tolerance[self.judged]):
            return None
        worst = float(np.max(gap[self.judged])) / (self.largest or 1.0)
        return f"agrees to {worst:.0e}" if worst > 1e-17 else "agrees to the last digit"

    @cached_property
    def judged(self) -> NDArray[np.bool_]:
        """Which slopes are known at all."""
        known: NDArray[np.bool_] = np.isin(self.slopes.outcome, (Outcome.SMOOTH, Outcome.KINK))
        return known & np.isfinite(self.slopes.bar)

    @cached_property
    def contributions(self) -> Array | None:
        """(outputs, entries): what each output element adds to each entry, w_j J_ji; None where they are too many."""
        weights = self.oracle.weights
        if not self.complete or not self.entries.size or weights.size * self.entries.size > _MOST_CONTRIBUTIONS:
            return None
        found = jacobian(self.oracle, self.directions)
        return None if not np.all(np.isfinite(found)) else weights[:, None] * found.T

    @cached_property
    def claimed(self) -> Array | None:
        """(outputs, entries): what backward says that each output element adds; None where it cannot be asked.

        Backward gets the cotangent of one output at a time, so that sums over the outputs come apart.
        """
        parts = self.contributions
        floats = [y.dtype.kind == "f" for y in self.case.outputs.arrays] if self.case.outputs else [False]
        if parts is None or len(parts) > _MOST_OUTPUTS or self.gradient is None or not all(floats):
            return None
        rows = []
        for number, w in enumerate(self.case.cotangents):
            for entry in range(w.size):
                alone = [np.zeros_like(u) for u in self.case.cotangents]
                alone[number].reshape(-1)[entry] = w.reshape(-1)[entry]
                rows.append(self.again(cotangents=alone))
        if not rows or any(row is None or row.shape != self.x.shape for row in rows):
            return None
        found = np.array([row for row in rows if row is not None]).reshape(len(rows), -1)
        linear = np.all(np.abs(found.sum(axis=0) - self.gradient.reshape(-1)) <= self.tolerance)
        return found if linear and np.all(np.isfinite(found)) else None

    def again(self, **how: Any) -> Array | None:
        """This gradient once more, for other inputs, params, outputs or cotangents; None where that fails."""
        return self.other(**how).get(self.position)

    def other(
        self,
        inputs: Sequence[Array] | None = None,
        cotangents: Sequence[Array] | None = None,
        params: Mapping[str, Any] | None = None,
        outputs: Sequence[Array] | None = None,
    ) -> dict[int, Array]:
        """All gradients for other arguments of backward; forward is not asked."""
        case = self.case
        if outputs is not None and case.outputs is not None:
            case = replace(case, outputs=replace(case.outputs, arrays=tuple(outputs)))
        return again(case, inputs=inputs, cotangents=cotangents, params=params)

    def exchanged(self, change: Callable[[Array], Array]) -> Array | None:
        """This gradient when inputs, outputs and cotangents are changed in the same way; None where that fails."""
        case = self.case
        assert case.outputs is not None
        outputs = replace(case.outputs, arrays=tuple(map(change, case.outputs.arrays)))
        moved = replace(case, outputs=outputs, layout="C")
        answers = again(moved, inputs=[change(x) for x in case.inputs], cotangents=[change(w) for w in case.cotangents])
        return answers.get(self.position)

    def elsewhere(self, inputs: Sequence[Array], params: Mapping[str, Any] | None = None) -> Case | None:
        """The same op at another point; None where forward fails there."""
        moved = with_inputs(self.case, tuple(inputs), params)
        return None if moved.error is not None else moved

    @property
    def shape(self) -> str:
        """The input's shape, as people write it."""
        return show(self.x.shape)


_KEPT: dict[tuple[int, int], Evidence] = {}
_MOST_KEPT = 128  # cases times inputs of one op, about


def evidence_of(case: Case, position: int) -> Evidence:
    """The evidence about one gradient of a case, measured once: what is reconsidered need not be measured again."""
    key = id(case), position  # An evidence keeps its case alive, so that no other has its id.
    if key not in _KEPT:
        while len(_KEPT) >= _MOST_KEPT:
            del _KEPT[next(iter(_KEPT))]
        _KEPT[key] = Evidence(case, position)
    return _KEPT[key]
