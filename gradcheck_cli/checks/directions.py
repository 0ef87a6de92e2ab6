"""Along which directions a case is asked for its slope."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gradcheck_cli.case import Case
from gradcheck_cli.domain import Domain
from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.pairs import as_real
from gradcheck_cli.stream import Stream

# Entries up to which `auto` asks along every coordinate. A direction sees a single entry as finely (1e-12), so that
# this is a matter of time: 64 keep `run matmul --shape 2,3,4,5` at a fifth of a second, 256 tripled it.
FULL = 64
PROBES = 3  # random directions through all entries of a larger input: an error would have to cancel in each of them
LARGE = 4096  # entries beyond which one direction must do
FEW = 4  # single entries of a large input at a first look
_BITS = 12  # mantissas so long that two errors seldom cancel, and short enough for x + t v to be exact
SPREAD = 16  # and single entries of it, which neither cancel nor meet each other's kinks


def directions_of(case: Case, position: int, mode: str, most: int) -> list[Direction]:
    """What one input is asked: every coordinate (`full`, if they are not more than `most`), or random directions too.

    Beside directions (`probe`) a few coordinates are asked.
    """
    size = as_real(case.inputs[position]).size
    if size <= most and (mode == "full" or (mode == "auto" and size <= FULL)):
        return list(coordinates(case, position))
    if size > LARGE:
        return [through_all(case, position), *coordinates(case, position, few(case, position))]
    return [*_probes(case, position), *coordinates(case, position, few(case, position, SPREAD))]


def few(case: Case, position: int, count: int = FEW) -> list[int]:
    """Some entries of an input, spread over it."""
    size = as_real(case.inputs[position]).size
    count = min(count, size)
    offsets = Stream(case.op.name, case.seed, case.index, "entries", position).integers(max(size // count, 1), (count,))
    return [size * i // count + offset for i, offset in enumerate(offsets.tolist())]


def through_all(case: Case, position: int) -> Direction:
    """One random direction through all entries of an input: an error in any of them shows in its slope."""
    stream = Stream(case.op.name, case.seed, case.index, "through all", position)
    step = stream.dyadic(as_real(case.inputs[position]).shape, _BITS)
    return Direction(((position, case.op.domains[position].project(step)),), random=True)


def coordinates(case: Case, position: int, entries: Sequence[int] | None = None) -> Iterator[Direction]:
    """One direction per entry, projected into the domain."""
    x, domain = as_real(case.inputs[position]), case.op.domains[position]
    free = type(domain).project is Domain.project
    for entry in range(x.size) if entries is None else entries:
        if free:
            yield Direction(((position, entry),), entry)
        else:
            unit = np.zeros(x.shape)
            unit.reshape(-1)[entry] = 1.0
            yield Direction(((position, domain.project(unit)),), entry)


def joint(case: Case, positions: Sequence[int]) -> Direction:
    """Every entry of every input by the same step.

    Ties stay ties along it: a `maximum` that gives both sides 1 is found out here and nowhere else.
    """
    return Direction(tuple((p, np.ones(as_real(case.inputs[p]).shape)) for p in positions))


def _probes(case: Case, position: int) -> Iterator[Direction]:
    """Random signed directions through all entries of one input."""
    stream = Stream(case.op.name, case.seed, case.index, "direction", position)
    for _ in range(PROBES):
        step = stream.dyadic(as_real(case.inputs[position]).shape)
        yield Direction(((position, case.op.domains[position].project(step)),), random=True)
