"""Shapes that code forgets: 0-d, empty, of size 1, square, of high rank, broadcast from either side."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck_cli.op import Op
from gradcheck_cli.shapes import Shapes, bound
from gradcheck_cli.signature import Binding, Shape

# For operands of any shape, and elementwise ones.
_WHOLE: dict[str, Shape] = {
    "0-d": (),
    "size 1": (1, 1),
    "first axis 1": (1, 3),
    "last axis 1": (2, 1),
    "square": (2, 2),
    "empty": (0,),
    "first axis empty": (0, 3),
    "last axis empty": (2, 0),
    "rank 5": (2, 1, 2, 1, 2),
}
# Loop dimensions in front of a core.
_LOOPS: dict[str, Shape] = {"loop of 1": (1,), "empty loop": (0,), "three loops": (2, 1, 2)}
# Loop dimensions of the first operand, and of all others.
_BROADCASTS: dict[str, tuple[Shape, Shape]] = {
    "left broadcast": ((1, 3), (2, 3)),
    "right broadcast": ((2, 3), (2, 1)),
    "both broadcast": ((2, 1), (1, 3)),
    "left of lower rank": ((3,), (2, 3)),
    "right without loops": ((2, 3), ()),
    "broadcast to nothing": ((0, 2), (1,)),
}


def plain_shapes(op: Op, max_side: int) -> Shapes:
    """Small shapes with a size of its own for every dimension, as far as `max_side` allows."""
    sizes = _sizes(op, max_side)
    shape = (min(2, max_side), min(3, max_side))
    cores = _cores(op, sizes, shape)
    return bound(op, [shape] * len(cores) if op.gufunc.elementwise else cores)


def edge_shapes(op: Op, max_side: int, mix: bool) -> Iterator[tuple[str, Shapes]]:
    """Every edge shape of an op, by name; broadcast ones only if operands may `mix`."""
    signature, plain = op.gufunc, _sizes(op, max_side)
    free = dict.fromkeys(d.name for operand in signature.inputs for d in operand.dimensions if d.size is None)
    for name in free:
        for size in (1, 0):
            yield f"{name}={size}", bound(op, _cores(op, {**plain, name: size}))
    if len(free) > 1:
        for name, size in (("size 1", 1), ("square", min(2, max_side))):
            yield name, bound(op, _cores(op, {**plain, **dict.fromkeys(free, size)}))
    if any(operand.any_shape for operand in signature.inputs):
        for name, shape in _WHOLE.items():
            yield name, bound(op, _cores(op, plain, _within(shape, max_side)))
    if op.loops:
        cores = _cores(op, plain)
        for name, loops in (_WHOLE if signature.elementwise else _LOOPS).items():
            yield name, bound(op, [_within(loops, max_side) + core for core in cores])
        for name, (left, right) in _BROADCASTS.items() if mix and len(cores) > 1 else ():
            yield name, bound(op, [_within(right if i else left, max_side) + core for i, core in enumerate(cores)])


def _within(shape: Shape, max_side: int) -> Shape:
    return tuple(min(side, max_side) for side in shape)


def _sizes(op: Op, max_side: int) -> dict[str, int]:
    """A size for every named dimension: 3, 2, 4, 5 ... in the order of their appearance.

    Three is what it takes to tie two out of several; with one dimension alone it must be the first.
    """
    sizes: dict[str, int] = {}
    for dimension in (d for operand in op.gufunc.inputs for d in operand.dimensions):
        free = (3, 2)[len(sizes)] if len(sizes) < 2 else 2 + len(sizes)
        sizes.setdefault(dimension.name, dimension.size or min(free, max_side))
    return sizes


def _cores(op: Op, sizes: dict[str, int], shape: Shape = (2, 3)) -> list[Shape]:
    binding = Binding(sizes, frozenset(), (), shape)
    return [op.gufunc.core_shape(operand, binding) for operand in op.gufunc.inputs]
