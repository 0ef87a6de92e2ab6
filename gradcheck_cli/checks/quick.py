"""A first look at a case: which gradients agree so well with plain differences that no closer look is needed.

One random direction through all entries of an input sees an error in any of them (its mantissas are long enough that
two errors seldom cancel); a few entries, or all where that is cheap, are asked by themselves. Loop dimensions do not
mix, so entries that differ in these alone share a direction: an elementwise op's Jacobian takes the calls of one entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.case import Case
from gradcheck_cli.checks.colours import Colours, colours_of
from gradcheck_cli.checks.directions import coordinates, few, joint, through_all
from gradcheck_cli.checks.oracle import Oracle
from gradcheck_cli.checks.questions import Floors, Question, Questions
from gradcheck_cli.edges.values import SCALES
from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.numeric.glimpses import Glimpses
from gradcheck_cli.numeric.points import Unstacked
from gradcheck_cli.numeric.quick import CLOSE, FRUGAL, ONE_STEP, PLANS, USUAL, Look, Plan, fewer, look

Array = NDArray[Any]

_SHORTEST, _LONGEST = 0.5, 1.5  # the smallest and the largest |v_i|
_ALL = 16  # entries up to which each is asked by itself
_COLOURS, _CELLS = 4, 4096  # directions and entries of a Jacobian that is had whole where loops make it that sparse
_AT_ONCE = 2**22  # values that are kept for one look
_ROUGHER = 100.0  # how much less finely single entries are asked: four calls each tell an exp to 1e-8
_CALLS = 8  # that single entries may take beside a random direction: to look twice costs more
_MANY = 50  # points in one call: fewer are so large that each matters
_DOUBLE = {np.dtype(np.float64)}


class Agreement(NamedTuple):
    """What was found about a gradient that nothing speaks against, in absolute numbers."""

    deviation: float
    resolution: float  # the smallest error of a single entry that would have been seen
    largest: float  # slope of a single entry
    full: bool  # whether every entry was asked by itself


@dataclass(slots=True)
class Answer:
    """Slopes along K directions in E cells (1 but for colours), and what speaks against the claims: arrays (K, E).

    `seen` is the look at them, if they were all looked at by the same plan.
    """

    slope: Array
    bar: Array
    deviation: Array
    agree: NDArray[np.bool_]
    seen: Look | None

    def of(self, rows: slice) -> Answer:
        """The same for some directions."""
        seen = self.seen.of(rows) if self.seen and len(self.seen.value) == len(self.agree) else None
        return Answer(self.slope[rows], self.bar[rows], self.deviation[rows], self.agree[rows], seen)

    def put(self, rows: NDArray[np.intp], other: Answer) -> None:
        """Overwrite what is known of some directions."""
        for name in ("slope", "bar", "deviation", "agree"):
            getattr(self, name)[rows] = getattr(other, name)
        self.seen = other.seen if len(rows) == len(self.agree) else None


class Looks:
    """The looks at one case.

    `mode` "full" asks for each entry of an input, as long as that takes no more than `most` directions.
    """

    def __init__(
        self, case: Case, oracle: Oracle, gradients: Mapping[int, Array], floors: Floors, mode: str, most: int
    ) -> None:
        self.case, self.oracle, self.gradients, self.floors = case, oracle, gradients, floors
        self.mode, self.most = mode, most
        self.questions = Questions(case, gradients, oracle.epsilon)
        self.stacks = oracle.points.stacks  # whether many points are hoped to be one call
        self.insisting = False  # whether that must hold, or else Unstacked is raised

    def agreements(self, positions: Sequence[int]) -> dict[int, Agreement]:
        """The gradients that need no closer look, by input position.

        Elementwise inputs are asked as a whole; of the others, each along one direction, and entry by entry.
        """
        dtypes = {*self.oracle.points.dtypes, *(x.dtype for x in self.oracle.inputs if x.dtype.kind == "f")}
        if not (positions and self.oracle.weights.size) or dtypes != _DOUBLE:
            return {}  # Single precision has no digits to spare: the ladder finds the best steps.
        self.insisting = self.stacks
        try:
            return self._agreements(positions)
        except Unstacked:  # Where each point is a call of its own, fewer are asked.
            self.stacks = self.insisting = False
            return self._agreements(positions)
        finally:
            self.insisting = False

    def _agreements(self, positions: Sequence[int], hopeful: bool = True) -> dict[int, Agreement]:
        """The same; `hopeful` that what seems to be linear is."""
        colours = {position: self.colours(position) for position in positions}
        whole = {p: c for p, c in colours.items() if c and c.count == 1}
        singly = {p: self.single_entries(p, c) for p, c in colours.items() if p not in whole}
        linear = hopeful and not whole and all(singly.values()) and self.seems_linear(positions)
        at_once = linear or self.fits(singly)
        asked = [self.questions.in_cells(c, range(1)) for c in whole.values()]
        for p, entries in singly.items():
            asked.append(self.questions.along([through_all(self.case, p), *(entries if at_once else ())]))
        # What only inputs together show: `maximum` of three equal numbers that gives each of them 1/2.
        jointly = len(positions) > 1 and bool(self.case.edge) and self.case.edge not in SCALES
        if jointly:
            asked.append(self.questions.along([joint(self.case, positions)]))
        answers = self.ask(asked, (ONE_STEP,) if linear else self.plans)
        if linear and not all(answer.agree.all() for answer in answers):
            return self._agreements(positions, hopeful=False)
        if jointly and not answers.pop().agree.all():
            return {}
        first = dict(zip([*whole, *singly], answers, strict=True))
        dense = {p: first[p].of(slice(0, 1)) for p in singly if first[p].agree.all()}
        if at_once:
            closer = {p: first[p].of(slice(1, None)) for p in dense}
        else:
            closer = self.entry_by_entry(dense, colours, singly)
        found = {p: _agreement(first[p], True) for p in whole}
        for p, answer in closer.items():
            found[p] = _agreement(answer, len(singly[p]) in {0, self.gradients[p].size}, dense[p])
        return {position: agreement for position, agreement in found.items() if agreement}

    def fits(self, singly: Mapping[int, Sequence[Direction]]) -> bool:
        """Whether single entries are best asked in the same call as the direction through all of them."""
        count, points = sum(1 + len(entries) for entries in singly.values()), self.oracle.points
        return self.stacks and all(singly.values()) and 2 * len(USUAL.steps) * count <= _CALLS * points.at_once

    def seems_linear(self, positions: Sequence[int]) -> bool:
        """Whether <g, x> = <w, f> for all inputs, as for what is linear in each of them.

        So it is for a norm, which is not: that costs another look.
        """
        if self.case.op.gufunc.elementwise:  # Most of these are relus.
            return False
        oracle = self.oracle
        total = float(oracle.weights @ oracle.points.base)
        products = [float(np.vdot(self.gradients[p], oracle.inputs[p])) for p in positions]
        return total != 0 and all(abs(product - total) <= CLOSE * abs(total) for product in products)

    def entry_by_entry(
        self,
        dense: Mapping[int, Answer],
        colours: Mapping[int, Colours | None],
        singly: Mapping[int, Sequence[Direction]],
    ) -> dict[int, Answer]:
        """What is seen of single entries of the inputs that agree along one direction; where colours do, of all."""
        plans = {p: self.fewer(p, answer) for p, answer in dense.items()}
        found = {p: self.coloured(c, plans[p]) for p, c in colours.items() if c and p in dense and not singly[p]}
        rest = [p for p in dense if p not in found]
        for points in dict.fromkeys(plans[p].points for p in rest):
            alike = [p for p in rest if plans[p].points == points]
            plan = max((plans[p] for p in alike), key=lambda plan: plan.truncation or 0.0)
            answers = self.ask([self.questions.along(singly[p]) for p in alike], (plan, *self.plans))
            found |= dict(zip(alike, answers, strict=True))
        return found

    def single_entries(self, position: int, colours: Colours | None) -> list[Direction]:
        """Which entries are asked by themselves; none where colours ask for all of them."""
        size = self.gradients[position].size
        if size > _ALL and colours:
            return []
        every = size <= self.most and (self.mode == "full" or (size <= _ALL and self.mode != "probe"))
        return list(coordinates(self.case, position, None if every else few(self.case, position)))

    def colours(self, position: int, every: bool = False) -> Colours | None:
        """How the Jacobian of an input falls apart, where that makes it cheap, or every entry is asked for."""
        colours = colours_of(self.case, position) if every or self.mode != "probe" else None
        if colours is None or every or (self.mode == "full" and colours.count <= self.most):
            return colours
        return colours if colours.count <= _COLOURS and self.gradients[position].size <= _CELLS else None

    def coloured(self, colours: Colours, plan: Plan) -> Answer:
        """The whole Jacobian of one input, as many entries at once as it has loops."""
        parts = []
        for start, stop in _spans(colours.count, 2 * len(plan.steps) * colours.loops):
            parts += self.ask([self.questions.in_cells(colours, range(start, stop))], (plan, *self.plans))
        if len(parts) == 1:
            return parts[0]
        slope, bar, deviation = (np.concatenate([getattr(p, n) for p in parts]) for n in ("slope", "bar", "deviation"))
        return Answer(slope, bar, deviation, np.concatenate([p.agree for p in parts]), seen=None)

    @property
    def plans(self) -> tuple[Plan, ...]:
        """How to look where nothing is known yet."""
        points = self.oracle.points
        return PLANS if self.stacks and points.at_once >= _MANY else FRUGAL

    def fewer(self, position: int, dense: Answer) -> Plan:
        """How to look at single entries of an input, after a direction through all of it."""
        enough = _ROUGHER * self.questions.close(position)
        return fewer(dense.seen, self.gradients[position].size, enough) if dense.seen else USUAL

    def ask(
        self, questions: Sequence[Question], plans: Sequence[Plan] | None = None, before: Look | None = None
    ) -> list[Answer]:
        """Look along directions; by the next plan along those that do not agree with what is claimed."""
        plan, *others = plans or self.plans
        seen = self.look(questions, plan, before)
        answers, start = [], 0
        for question in questions:
            stop = start + question.claimed.size
            answers.append(self.compare(question, seen.of(slice(start, stop)), plan))
            start = stop
        if others and not all(answer.agree.all() for answer in answers):
            doubtful = [~answer.agree.all(axis=1) for answer in answers]
            columns = [np.repeat(rows, answer.agree.shape[1]) for rows, answer in zip(doubtful, answers, strict=True)]
            again = [(q, a, np.flatnonzero(d)) for q, a, d in zip(questions, answers, doubtful, strict=True) if d.any()]
            closer = self.ask([q.only(rows) for q, _, rows in again], others, seen.of(np.concatenate(columns)))
            for (_, answer, rows), other in zip(again, closer, strict=True):
                answer.put(rows, other)
        return answers

    def compare(self, question: Question, seen: Look, plan: Plan) -> Answer:
        """What is seen beside what is claimed; backward's own rounding is measured only where it matters."""
        shape, least = question.claimed.shape, question.least
        slope, bar = seen.value.reshape(shape), seen.bar.reshape(shape)
        off = np.abs(slope - question.claimed)
        close = bar <= question.enough[:, None] * (_ROUGHER if plan.rough else 1.0)
        agree = close & (off <= bar + least)
        if not plan.guess and (close & ~agree).any():
            least = np.maximum(least, question.weigh(self.floors()))
            agree = close & (off <= bar + least)
        return Answer(slope, bar + least, off, agree, seen)

    def look(self, questions: Sequence[Question], plan: Plan, before: Look | None = None) -> Look:
        """Slopes along the directions of several questions."""
        oracle, groups = self.oracle, [question.group for question in questions]
        return look(Glimpses(oracle.points, groups, oracle.limits, oracle.weights, self.insisting), plan, before)


def _agreement(answer: Answer, full: bool, dense: Answer | None = None) -> Agreement | None:
    """What an input's answers amount to, with that along one direction through all of it, if it was asked.

    None where they speak against the gradient. Along a random direction an error is multiplied by |v| >= 1/2.
    """
    if not answer.agree.all():
        return None
    deviation, largest = (float(np.abs(x).max(initial=0.0)) for x in (answer.deviation, answer.slope))
    bar = float((dense or answer).bar.max())
    if dense:
        deviation = max(deviation, float(dense.deviation[0, 0]))
    return Agreement(deviation, bar / _SHORTEST, largest / _LONGEST, full)


def _spans(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Ranges that cover `count` things of some size, a few at a time."""
    step = max(_AT_ONCE // max(size, 1), 1)
    for start in range(0, count, step):
        yield start, min(start + step, count)
