"""A first look at a case: which gradients agree so well with plain differences that no closer look is needed.

One random direction through all entries of an input sees an error in any of them (its mantissas are long enough that
two errors seldom cancel); a few entries, or all where that is cheap, are asked by themselves. Loop dimensions do not
mix, so entries that differ in these alone share a direction: an elementwise op's Jacobian takes the calls of one entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.analytic import least_rounding
from gradcheck_cli.blocks import largest
from gradcheck_cli.case import Case, natural_slope
from gradcheck_cli.checks.colours import Colours, colours_of
from gradcheck_cli.checks.directions import coordinates, few, joint, through_all
from gradcheck_cli.checks.oracle import Oracle
from gradcheck_cli.edges.values import SCALES
from gradcheck_cli.numeric.curves import Cells, ForwardCurves
from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.numeric.quick import CLOSE, FINER, STEPS, Look, Plan, fewer, look

Array = NDArray[Any]
Floors = Callable[[], Mapping[int, Array]]  # backward's own rounding, measured when it is asked for

_SHORTEST, _LONGEST = 0.5, 1.5  # the smallest and the largest |v_i|
_ALL = 16  # entries up to which each is asked by itself
_COLOURS, _CELLS = 4, 4096  # directions and entries of a Jacobian that is had whole where loops make it that sparse
_AT_ONCE = 2**22  # values that are kept for one look
_ROUGHER = 100.0  # how much less finely single entries are asked: four calls each tell an exp to 1e-8
_NOTHING = 1e-300
_WALK = 100.0  # square root of the entries whose noise together still lets one be seen to CLOSE
_PLANS: tuple[Plan, ...] = ((STEPS, None), (FINER, None))


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was found about a gradient that nothing speaks against, in absolute numbers."""

    deviation: float
    resolution: float  # the smallest error of a single entry that would have been seen
    largest: float  # slope of a single entry
    full: bool  # whether every entry was asked by itself


@dataclass(frozen=True, slots=True)
class _Question:
    """Directions, what is claimed along them in each cell (K, E), and what rounding does to that at the least.

    `weigh` says what backward's measured rounding does.
    """

    directions: list[Direction]
    claimed: Array
    least: Array
    weigh: Callable[[Mapping[int, Array]], Array]
    cells: Cells | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    """Slopes along K directions in E cells (1 but for colours), and what speaks against the claims: arrays (K, E)."""

    slope: Array
    bar: Array
    deviation: Array
    agree: NDArray[np.bool_]
    plans: tuple[Plan, ...]  # what to ask further directions by: fewer steps first, where these would have done

    def take(self, rows: slice) -> _Answer:
        """The same for some directions."""
        return _Answer(self.slope[rows], self.bar[rows], self.deviation[rows], self.agree[rows], self.plans)


class Looks:
    """The looks at one case.

    `mode` "full" asks for each entry of an input, as long as that takes no more than `most` directions.
    """

    def __init__(
        self, case: Case, oracle: Oracle, gradients: Mapping[int, Array], floors: Floors, mode: str, most: int
    ) -> None:
        self.case, self.oracle, self.gradients, self.floors = case, oracle, gradients, floors
        self.mode, self.most = mode, most
        self.natural = natural_slope(case)
        self.rounding = {p: least_rounding(case, p, g, self.natural) for p, g in gradients.items()}
        self.largest = {p: largest(g) for p, g in gradients.items()}

    def agreements(self, positions: Sequence[int]) -> dict[int, Agreement]:
        """The gradients that need no closer look, by input position.

        Elementwise inputs are asked as a whole; of the others, each along one direction, and entry by entry.
        """
        dtypes = {*self.oracle.points.dtypes, *(x.dtype for x in self.oracle.inputs if x.dtype.kind == "f")}
        if not self.oracle.weights.size or dtypes != {np.dtype(np.float64)}:
            return {}  # Single precision has no digits to spare: the ladder finds the best steps.
        colours = {position: self.colours(position) for position in positions}
        whole = {p: c for p, c in colours.items() if c and c.count == 1}
        found = {p: _agreement(self.coloured(c), full=True) for p, c in whole.items()}
        mixed = {p: c for p, c in colours.items() if p not in whole}
        # What only inputs together show: `maximum` of three equal numbers that gives each of them 1/2.
        together = len(positions) > 1 and bool(self.case.edge) and self.case.edge not in SCALES
        dense = [through_all(self.case, p) for p in mixed] + [joint(self.case, positions)] * together
        if dense:
            first = self.ask(self.plain(dense))
            if together and not first.agree[-1]:
                return {}
            found |= self.entry_by_entry(mixed, first)
        return {position: agreement for position, agreement in found.items() if agreement}

    def entry_by_entry(self, mixed: Mapping[int, Colours | None], first: _Answer) -> dict[int, Agreement | None]:
        """What becomes of inputs that agree along one direction when single entries of them are asked."""
        rows = [row for row in range(len(mixed)) if first.agree[row]]
        agreed = {p: (c, first.take(slice(row, row + 1))) for row, (p, c) in enumerate(mixed.items()) if row in rows}
        singly = {p: self.single_entries(p, colours) for p, (colours, _) in agreed.items()}
        asked = [direction for own in singly.values() for direction in own]
        entries = self.ask(self.plain(asked), first.plans) if asked else first
        found, start = {}, 0
        for position, (colours, dense) in agreed.items():
            count = len(singly[position])
            answer = entries.take(slice(start, start + count)) if count or not colours else self.coloured(colours)
            full = count in {0, self.gradients[position].size}
            found[position] = _agreement(answer, full, dense)
            start += count
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

    def coloured(self, colours: Colours) -> _Answer:
        """The whole Jacobian of one input, as many entries at once as it has loops."""
        parts = []
        for start, stop in _spans(colours.count, 2 * len(STEPS) * colours.loops):
            parts.append(self.ask(self.in_cells(colours, range(start, stop))))
        if len(parts) == 1:
            return parts[0]
        slope, bar, deviation = (np.concatenate([getattr(p, n) for p in parts]) for n in ("slope", "bar", "deviation"))
        return _Answer(slope, bar, deviation, np.concatenate([p.agree for p in parts]), _PLANS)

    def plain(self, directions: list[Direction]) -> _Question:
        """What is claimed along some directions."""
        claimed = np.array([[d.dot(self.gradients)] for d in directions])
        least = np.array([[self.rounded(d)] for d in directions])
        return _Question(directions, claimed, least, lambda floors: np.array([[d.weigh(floors)] for d in directions]))

    def in_cells(self, colours: Colours, cores: range) -> _Question:
        """What is claimed for each loop of an input along directions through some of its core entries."""
        position = colours.position
        relative, absolute = self.rounding[position]
        directions, claimed = colours.claims(self.gradients[position], cores)
        least = (relative + self.oracle.epsilon) * np.abs(claimed) + _LONGEST * absolute
        return _Question(
            directions, claimed, least, lambda floors: np.abs(colours.claims(floors[position], cores)[1]), colours.cells
        )

    def ask(self, question: _Question, plans: Sequence[Plan] = _PLANS) -> _Answer:
        """Look along directions; again, with the next plan, along those that do not agree with what is claimed."""
        claimed, rounding, measured = question.claimed, question.least, False
        enough = np.array([[self.enough(d)] for d in question.directions])
        slope, bar = np.zeros(claimed.shape), np.full(claimed.shape, np.inf)
        deviation, agree = np.zeros(claimed.shape), np.zeros(claimed.shape, bool)
        rows = np.arange(len(claimed))
        for steps, truncation in plans:
            asked = [question.directions[int(r)] for r in rows]
            needed = enough[rows] * (1.0 if truncation is None else _ROUGHER)
            seen = self.look(asked, steps, truncation, question.cells)
            slope[rows], off = seen.value, np.abs(seen.value - claimed[rows])
            close = seen.bar <= needed
            if not measured and np.any(close & (off > seen.bar + rounding[rows])):
                rounding, measured = np.maximum(rounding, question.weigh(self.floors())), True
            deviation[rows], bar[rows] = off, seen.bar + rounding[rows]
            agree[rows] = close & (off <= bar[rows])
            rows = np.flatnonzero(~np.all(agree, axis=1))
            if not rows.size:
                break
        if truncation is not None or question.cells:
            return _Answer(slope, bar, deviation, agree, _PLANS)
        entries = np.array([max(self.gradients[p].size for p, _ in d.moves) for d in asked])
        return _Answer(slope, bar, deviation, agree, (fewer(seen, steps, entries, _ROUGHER * needed[:, 0]), *_PLANS))

    def look(
        self, directions: Sequence[Direction], steps: tuple[int, ...], truncation: float | None, cells: Cells | None
    ) -> Look:
        """Slopes along directions."""
        points, oracle = self.oracle.points, self.oracle
        curves = ForwardCurves(
            points.forward, points.inputs, directions, oracle.limits, oracle.weights, None, points, cells
        )
        return look(curves, steps, truncation)

    def rounded(self, direction: Direction) -> float:
        """What rounding does at least to <v, g>: that of backward, of x + t v and of the dot product."""
        total = 0.0
        for position, step in direction.moves:
            relative, absolute = self.rounding[position]
            relative += self.oracle.epsilon
            gradient = self.gradients[position]
            if isinstance(step, int):
                total += relative * abs(float(gradient.reshape(-1)[step])) + absolute
            else:  # Whatever errors have in common, random signs add them up like a walk.
                total += _LONGEST * (relative * float(np.linalg.norm(gradient)) + absolute * gradient.size**0.5)
        return total

    def enough(self, direction: Direction) -> float:
        """The widest bar that tells enough; a gradient of zero has only its surroundings to be measured by."""
        largest = max(self.largest[p] for p, _ in direction.moves)
        if direction.entry is None:  # What is random adds up like a walk.
            largest *= max(1.0, max(self.gradients[p].size for p, _ in direction.moves) ** 0.5 / _WALK)
        return CLOSE * (largest if largest > CLOSE * self.natural else self.natural) + _NOTHING


def _agreement(answer: _Answer, full: bool, dense: _Answer | None = None) -> Agreement | None:
    """What an input's answers amount to, with that along one direction through all of it, if it was asked.

    None where they speak against the gradient. Along a random direction an error is multiplied by |v| >= 1/2.
    """
    if not np.all(answer.agree):
        return None
    deviation, largest = (float(np.max(np.abs(x), initial=0.0)) for x in (answer.deviation, answer.slope))
    bar = float(np.max((dense or answer).bar))
    if dense:
        deviation = max(deviation, float(dense.deviation[0, 0]))
    return Agreement(deviation, bar / _SHORTEST, largest / _LONGEST, full)


def _spans(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Ranges that cover `count` things of some size, a few at a time."""
    step = max(_AT_ONCE // max(size, 1), 1)
    for start in range(0, count, step):
        yield start, min(start + step, count)
