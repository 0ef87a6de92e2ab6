"""Edges: the cases that random draws never meet, few, each with a name and a purpose.

First edge shapes with random values, then edge values at one plain shape, then what else may differ: memory, cotangent,
dtype. Forward decides which of them it takes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.case import LAYOUT_NAMES, Case
from gradcheck_cli.draw import Alter, Drawer
from gradcheck_cli.edges.shapes import edge_shapes, plain_shapes
from gradcheck_cli.edges.values import VALUES, Plain, landmarks
from gradcheck_cli.errors import DeclarationError, UsageError
from gradcheck_cli.shapes import Shapes, family, random_shapes
from gradcheck_cli.stream import Stream

Array = NDArray[Any]

_SMALL = 64  # entries of given shapes up to which edge values are drawn beside them unasked
_BESIDE_MASKS = {"zeros", "one zero", "ties"}  # edges that are also drawn where only what is differentiated has them
_TRIES = 16  # random shapes to find one that forward accepts, where the plain one is refused
# Random cases know Fortran order, too, but may meet it in vectors alone.
_COMBINATIONS = 2  # of params that each edge value meets, if there are so many


def edge_cases(drawer: Drawer) -> Iterator[Case]:
    """Every edge of an op, also those that forward refuses: these have an `error`."""
    options, numbers = drawer.sampling, itertools.count()
    if not options.shapes and options.rank is None:
        for name, shapes in edge_shapes(drawer.op, options.max_side, options.broadcast):
            yield from _accepted(drawer, shapes, next(numbers), 1, edge=name)
    here = _plain(drawer)
    if here is None or (options.shapes and not options.edges and sum(map(math.prod, here.operands)) > _SMALL):
        return
    for name, alter in _alterations(drawer, here):
        yield from _accepted(drawer, here, next(numbers), _COMBINATIONS, edge=name, alter=alter)
    for layout, name in LAYOUT_NAMES.items():
        found = _accepted(drawer, here, next(numbers), 1, edge=name, layout=layout)
        # A repeated row is no SPD matrix.
        yield from (case for case in found if layout != "zero-stride" or _inside(case, here))
    for cotangent in ("zero", "ones", "one-hot"):
        yield from _accepted(drawer, here, next(numbers), 1, edge=f"{cotangent} cotangent", cotangent=cotangent)
    for dtype in drawer.op.dtypes if options.dtype is None else ():
        if dtype != drawer.dtype:
            yield from _accepted(drawer, here, next(numbers), 1, edge=dtype, dtype=dtype)


def _accepted(drawer: Drawer, shapes: Shapes, number: int, count: int, **how: Any) -> Iterator[Case]:
    """Cases with the first few params that forward accepts, or else the last one that it refuses.

    Every edge starts at another combination of params.
    """
    try:
        combinations = drawer.combinations(shapes)
    except DeclarationError:  # A function of shapes that nobody thought of.
        return
    case, found = None, 0
    for offset in range(len(combinations)):
        params = combinations[(count * number + offset) % len(combinations)]
        try:
            case = drawer.case(shapes, params, number, **how)
        except (DeclarationError, UsageError):  # The domain has no values of that shape, or they are too many.
            return
        if case.error is None:
            yield case
            found += 1
        if found == count:
            return
    if case is not None and not found:
        yield case


def _inside(case: Case, shapes: Shapes) -> bool:
    return all(domain.contains(x, shapes.sizes) for domain, x in zip(case.op.domains, case.inputs, strict=True))


def _plain(drawer: Drawer) -> Shapes | None:
    """Shapes that forward accepts and whose values are to be altered: those given, plain ones, or random ones."""
    op, options = drawer.op, drawer.sampling
    if options.shapes:
        return family(op, options.shapes)[0]
    candidates: list[Shapes | None] = [plain_shapes(op, options.max_side)] if options.rank is None else []
    for index in range(_TRIES):
        drawn = random_shapes(
            op,
            options.seed,
            index,
            loops=bool(op.loops),
            rank=options.rank,
            max_side=options.max_side,
            mix=options.broadcast,
        )
        candidates.append(drawn)
    for shapes in filter(None, candidates):
        several = max(map(math.prod, shapes.operands)) > 1
        if several and any(case.error is None for case in _accepted(drawer, shapes, 0, 1, edge="plain")):
            return shapes
    return None


def _alterations(drawer: Drawer, shapes: Shapes) -> Iterator[tuple[str, Alter]]:
    """Edge values, by name, as functions that put them in the place of a plain draw."""
    op, seed = drawer.op, drawer.sampling.seed
    marks = landmarks(op, drawer.combinations(shapes))

    def altered(name: str, position: int, x: Array) -> Array | None:
        """The edge values of one operand; None where its domain has none."""
        twin = op.domains.index(op.domains[position])  # Ties across operands need the same two values.
        pair = drawer.operand(twin, shapes.operands[twin], shapes.sizes, "pair").reshape(-1)[:2]
        plain = Plain(op.domains[position], pair, shapes.sizes, marks, Stream(op.name, seed, name, position))
        with np.errstate(all="ignore"):
            values = VALUES[name](x, plain)
        if values is None or np.array_equal(values, x) or values.shape != x.shape:
            return None
        values = values.astype(x.dtype)
        return values if op.domains[position].contains(values, shapes.sizes) else None

    def alter(name: str, positions: Collection[int]) -> Alter:
        def instead(position: int, x: Array) -> Array:
            values = altered(name, position, x) if position in positions else None
            return x if values is None else values

        return instead

    for name in VALUES:
        plain = [drawer.operand(p, shape, shapes.sizes, name) for p, shape in enumerate(shapes.operands)]
        found = [position for position, x in enumerate(plain) if altered(name, position, x) is not None]
        if found:
            yield name, alter(name, found)
        # A mask of zeros hides what zeros do: indices, labels and masks stay as they are once.
        moved = [position for position in found if position in op.differentiated]
        if name in _BESIDE_MASKS and moved and moved != found:
            yield name, alter(name, moved)
    yield from _same_array(drawer, shapes)


def _same_array(drawer: Drawer, shapes: Shapes) -> Iterator[tuple[str, Alter]]:
    """One array as two inputs, where two inputs can have the same values."""
    op = drawer.op
    for first, second in itertools.combinations(range(len(shapes.operands)), 2):
        if shapes.operands[first] == shapes.operands[second] and op.domains[first] == op.domains[second]:
            twins = first, second
            shared = drawer.operand(first, shapes.operands[first], shapes.sizes, "same array")

            def instead(position: int, x: Array, twins: tuple[int, int] = twins, shared: Array = shared) -> Array:
                return shared if position in twins else x

            yield "same array", instead
            return
