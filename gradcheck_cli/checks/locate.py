"""Where a gradient is wrong, once a direction through all of its entries said so: a few looks, not one an entry."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.checks.colours import Colours
from gradcheck_cli.checks.quick import Looks
from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.numeric.quick import Plan

Array = NDArray[Any]

_ROUGH = Plan((6, 7))  # two differences each: enough to see who stands out
_TOGETHER = 2**20  # entries that are looked at in one go


def suspects(looks: Looks, position: int, direction: Direction, most: int) -> list[int]:
    """Entries of an input that look wrong, `most` of them at the most, the worst first; they are to be asked again."""
    colours = looks.colours(position, every=True)
    if colours and colours.count * colours.loops <= _TOGETHER and colours.count <= most:
        found = _in_cells(looks, colours)
        if found.size:
            return [int(entry) for entry in found[:most]]
    return [_halved(looks, position, direction)]


def _in_cells(looks: Looks, colours: Colours) -> NDArray[np.intp]:
    """Entries whose slopes do not agree, the worst first: as many looks as a loop has entries."""
    off = np.zeros((colours.loops, colours.count))
    for core in range(colours.count):
        question = looks.questions.in_cells(colours, range(core, core + 1))
        seen = looks.look([question], _ROUGH)
        gap = np.abs(seen.value - question.claimed[0]) - seen.bar - question.least[0]
        off[:, core] = np.where(np.isfinite(gap), gap, -1.0)
    flat = off.reshape(-1)
    wrong = np.flatnonzero(flat > 0)
    return wrong[np.argsort(-flat[wrong])]


def _halved(looks: Looks, position: int, direction: Direction) -> int:
    """The entry that is left when the half of a direction that does not agree is kept again and again."""
    ((_, step),) = direction.moves
    values, project = np.reshape(step, -1), looks.case.op.domains[position].project
    low, high = 0, values.size
    while high - low > 1:
        middle = (low + high) // 2
        part = np.zeros(values.shape)
        part[low:middle] = values[low:middle]
        half = Direction(((position, project(part.reshape(np.shape(step)))),), random=True)
        (answer,) = looks.ask([looks.questions.along([half])])
        low, high = (middle, high) if answer.agree.all() else (low, middle)
    return low
