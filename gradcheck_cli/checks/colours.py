"""The signature is the sparsity pattern: entries that differ in loop dimensions alone can move at the same time.

What a loop does to its own outputs shows in these alone, so that one direction through one core entry of every loop
gives a column of the Jacobian for each: an elementwise op takes one direction, a batch of matrices as many as one has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.case import Case
from gradcheck_cli.domain import Domain
from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.signature import Shape
from gradcheck_cli.stream import Stream

Array = NDArray[Any]


@dataclass(frozen=True)
class Colours:
    """How one input's Jacobian falls apart: `own` loops of the input, `loop` of the outputs, core sizes of these."""

    case: Case
    position: int
    own: Shape
    loop: Shape
    cores: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many directions show all columns."""
        return self.case.inputs[self.position].size // max(math.prod(self.own), 1)

    @property
    def loops(self) -> int:
        """How many entries each direction goes through."""
        return math.prod(self.own)

    def claims(self, gradient: Array, cores: range) -> tuple[list[Direction], Array]:
        """For some core entries a direction through each in every loop, and what slopes are claimed: (cores, loops)."""
        columns = gradient.reshape(self.loops, -1)
        directions, claimed = [], np.empty((len(cores), self.loops))
        for row, core in enumerate(cores):
            stream = Stream(self.case.op.name, self.case.seed, self.case.index, "colour", self.position, core)
            steps = np.zeros(columns.shape)
            steps[:, core] = stream.dyadic((self.loops,))
            claimed[row] = columns[:, core] * steps[:, core]
            directions.append(Direction(((self.position, steps.reshape(gradient.shape)),)))
        return directions, claimed

    def cells(self, values: Array) -> Array:
        """Sums (rows, own loops) of what belongs to the outputs (rows, all of them) of each loop."""
        if self.own == self.loop and self.cores == (1,):
            return values
        rows, start, total = len(values), 0, np.zeros((len(values), *self.own))
        spread = len(self.loop) - len(self.own)
        kept = [1 + spread + i for i, size in enumerate(self.own) if size == 1]
        axes = (*range(1, 1 + spread), *(a for a in kept if self.loop[a - 1] != 1))
        for core in self.cores:
            end = start + math.prod(self.loop) * core
            part = values[:, start:end].reshape(rows, *self.loop, core).sum(axis=-1)
            total += part.sum(axis=axes, keepdims=True).reshape(total.shape) if axes else part.reshape(total.shape)
            start = end
        return total.reshape(rows, -1)


def colours_of(case: Case, position: int) -> Colours | None:
    """The colours of an input that has loops; None where loops cannot move freely, or there are none."""
    op = case.op
    free = type(op.domains[position]).project is Domain.project
    if not (op.gufunc.has_loops and free) or case.outputs is None or any(x.dtype.kind == "c" for x in case.inputs):
        return None
    own, loop = case.binding.loops[position], case.binding.loop
    if math.prod(own) <= 1:
        return None
    cores = tuple(y.size // max(math.prod(loop), 1) for y in case.outputs.arrays if y.dtype.kind == "f")
    return Colours(case, position, own, loop, cores)
