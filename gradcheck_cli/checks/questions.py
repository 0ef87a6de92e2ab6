"""What a first look asks about a gradient: directions, what it claims along them, and how well that must be known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.analytic import least_rounding
from gradcheck_cli.blocks import largest
from gradcheck_cli.case import Case
from gradcheck_cli.checks.colours import Colours
from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.numeric.glimpses import Group
from gradcheck_cli.numeric.quick import CLOSE

Array = NDArray[Any]
Floors = Callable[[], Mapping[int, Array]]  # backward's own rounding, measured when it is asked for

_LONGEST = 1.5  # the largest |v_i|
_NOTHING = 1e-300
_WALK = 100.0  # square root of the entries whose noise together still lets one be seen to CLOSE


class Question(NamedTuple):
    """K directions, what is claimed along them in each cell (K, E), and what rounding does to that at the least.

    `enough` (K,) is the widest bar that tells enough; `weigh` says what backward's measured rounding does.
    """

    group: Group
    claimed: Array
    least: Array
    enough: Array
    weigh: Callable[[Mapping[int, Array]], Array]

    def only(self, rows: NDArray[np.intp]) -> Question:
        """The same about some of its directions."""
        group = Group([self.group.directions[int(row)] for row in rows], self.group.cells)
        return Question(
            group, self.claimed[rows], self.least[rows], self.enough[rows], lambda floors: self.weigh(floors)[rows]
        )


class Questions:
    """About the gradients of one case, real arrays by input position; `epsilon` is that of its oracle."""

    def __init__(self, case: Case, gradients: Mapping[int, Array], epsilon: float) -> None:
        self.gradients, self.epsilon = gradients, epsilon
        self.natural = case.natural_slope
        self.rounding = {p: least_rounding(case, p, g, self.natural) for p, g in gradients.items()}
        self.largest = {p: largest(g) for p, g in gradients.items()}
        self.length = {p: float(np.sqrt(np.vdot(g, g))) for p, g in gradients.items()}

    def along(self, directions: Sequence[Direction]) -> Question:
        """What the slopes are along some directions."""
        return Question(
            Group(directions),
            np.array([[d.dot(self.gradients)] for d in directions]),
            np.array([[self._rounded(d)] for d in directions]),
            np.array([self._enough(d) for d in directions]),
            lambda floors: np.array([[d.weigh(floors)] for d in directions]),
        )

    def in_cells(self, colours: Colours, cores: range) -> Question:
        """What they are for each loop of an input, along directions through some of its core entries."""
        position = colours.position
        relative, absolute = self.rounding[position]
        directions, claimed = colours.claims(self.gradients[position], cores)
        return Question(
            Group(directions, colours.cells),
            claimed,
            (relative + self.epsilon) * np.abs(claimed) + _LONGEST * absolute,
            np.array([self._enough(d) for d in directions]),
            lambda floors: np.abs(colours.claims(floors[position], cores)[1]),
        )

    def _rounded(self, direction: Direction) -> float:
        """What rounding does at least to <v, g>: that of backward, of x + t v and of the dot product."""
        total = 0.0
        for position, step in direction.moves:
            relative, absolute = self.rounding[position]
            relative += self.epsilon
            gradient = self.gradients[position]
            if isinstance(step, int):
                total += relative * abs(gradient.item(step)) + absolute
            else:  # Whatever errors have in common, random signs add them up like a walk.
                total += _LONGEST * (relative * self.length[position] + absolute * gradient.size**0.5)
        return total

    def _enough(self, direction: Direction) -> float:
        """The widest bar that tells enough."""
        close = max(self.close(p) for p, _ in direction.moves)
        if direction.entry is not None:
            return close
        size = max(self.gradients[p].size for p, _ in direction.moves)
        return float(close * max(1.0, size**0.5 / _WALK))  # What is random adds up like a walk.

    def close(self, position: int) -> float:
        """The same for one entry; a gradient of zero has only its surroundings to be measured by."""
        largest = self.largest[position]
        return CLOSE * (largest if largest > CLOSE * self.natural else self.natural) + _NOTHING
