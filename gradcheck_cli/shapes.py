"""Signature -> operand shapes: the family around shapes that were given, and random ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gradcheck_cli.errors import ShapeError
from gradcheck_cli.limits import Limits
from gradcheck_cli.op import Op
from gradcheck_cli.signature import Binding, Operand, Shape, Signature, broadcast
from gradcheck_cli.stream import Stream, in_turn

_LOOP_SIDE = 3  # loop dimensions add no new behaviour with their size, only cost
# Equal sizes, in every fourth case, hide a swapped axis from the shape check, so that the value check gets to see it.
_SQUARE = (True, False, False, False)
_RANKS = (0, 1, 1, 2, 2, 3, 3, 4)  # of random cases, in turn


class Shapes(NamedTuple):
    """Shapes for every operand, with the sizes they bind; `loops`: some operand has loop dimensions."""

    operands: tuple[Shape, ...]
    sizes: dict[str, int]
    loops: bool


def bound(op: Op, operands: Sequence[Shape]) -> Shapes:
    """Complete shapes, unified with the op's signature; raises ShapeError."""
    binding = op.gufunc.bind(operands, op.names)
    return Shapes(tuple(operands), binding.sizes, any(map(len, binding.loops)))


def family(op: Op, given: Sequence[Shape]) -> list[Shapes]:
    """Every way to complete the given shapes: partners with the same, broadcast, lower and no loop dimensions.

    Raises ShapeError where the given shapes do not fit the signature.
    """
    signature = op.gufunc
    try:
        binding = signature.bind(given, op.names)
    except ShapeError as error:
        raise ShapeError(f"{op.name}: {error}") from None
    rest = signature.inputs[len(given) :]
    if not rest:
        return [bound(op, given)]
    complete: dict[tuple[Shape, ...], None] = {}
    for missing in _missing_variants(signature, binding, rest, len(given)):
        core = _with_fresh_sizes(signature, Binding(binding.sizes, missing, binding.loops, binding.any_shape), given)
        cores = [signature.core_shape(o, core) for o in rest]
        for loops in _loop_variants(op, binding.loop, len(rest)):
            room = [() if _lacks(o, missing) else loop for loop, o in zip(loops, rest, strict=True)]
            complete[(*given, *(loop + own for loop, own in zip(room, cores, strict=True)))] = None
        complete[(*given, *(_as_ones(o, own, missing) for o, own in zip(rest, cores, strict=True)))] = None
    return [bound(op, operands) for operands in complete]


def random_shapes(
    op: Op, seed: int, index: int, *, loops: bool, rank: int | None, max_side: int, mix: bool
) -> Shapes | None:
    """Random shapes for case `index`; None where the op cannot have operands of that rank.

    `loops` asks for loop dimensions, `rank` fixes the rank of the largest operand, `mix` lets operands broadcast.
    """
    signature, stream = op.gufunc, Stream(op.name, seed, index, "shapes")
    missing = _random_missing(op, seed, index, rank)
    sizes = {d.name: d.size for o in signature.inputs for d in o.dimensions if d.size is not None}
    side = 1 + max(stream.one(max_side), min(1, max_side - 1))
    square = side if in_turn(_SQUARE, index, op.name, seed, "square") else None
    for operand in signature.inputs:
        for dimension in operand.dimensions:
            if dimension.name not in sizes:
                sizes[dimension.name] = square or 1 + stream.one(max_side)
    wanted = in_turn(_RANKS, index, op.name, seed, "rank") if rank is None else rank
    any_shape = _sides(stream, wanted, max_side)
    core = Binding(sizes, missing, (), any_shape)
    cores = [signature.core_shape(o, core) for o in signature.inputs]
    for position, operand in enumerate(signature.inputs):
        if mix and any(d.or_one for d in operand.dimensions) and stream.one(3) == 0:
            cores[position] = _as_ones(operand, cores[position], missing)
    largest = max(map(len, cores))
    usual = wanted if signature.elementwise else 1 + stream.one(2)
    loop_rank = usual if rank is None else rank - largest
    if not loops:
        return bound(op, cores) if rank in (None, largest) else None
    if loop_rank < 0:
        return None
    loop = _sides(stream, loop_rank, min(max_side, _LOOP_SIDE) if largest else max_side)
    chosen = _random_loops(stream, loop, [_lacks(o, missing) for o in signature.inputs], mix)
    if rank is not None:
        chosen[max(range(len(cores)), key=lambda i: len(cores[i]))] = loop
    return bound(op, [part + core for part, core in zip(chosen, cores, strict=True)])


def check_size(op: Op, shapes: Shapes, elements: int, memory: int | None) -> None:
    """Refuse shapes with too many dimensions, elements or bytes, before anything is allocated; raises ShapeError."""
    outputs = op.gufunc.output_shapes(op.gufunc.bind(shapes.operands, op.names)) or ()
    names = [*op.names, *(["the output"] * len(outputs))]
    try:
        Limits(elements, memory).check(list(zip(names, (*shapes.operands, *outputs), strict=True)))
    except ShapeError as error:
        raise ShapeError(f"{op.name}: {error}") from None


def _missing_variants(
    signature: Signature, binding: Binding, rest: Sequence[Operand], skip: int
) -> Iterator[frozenset[str]]:
    """What is already missing; then also each `?` dimension that only operands not given have."""
    yield binding.missing
    settled = {d.name for operand in signature.inputs[:skip] for d in operand.dimensions}
    for operand in rest:
        for dimension in operand.dimensions:
            if dimension.optional and dimension.name not in settled:
                yield binding.missing | {dimension.name}


def _with_fresh_sizes(signature: Signature, binding: Binding, given: Sequence[Shape]) -> Binding:
    """Give every unbound dimension a size of its own, so that mixed-up axes cannot go unnoticed."""
    sizes = dict(binding.sizes)
    taken = {side for shape in given for side in shape} | set(sizes.values()) | {0, 1}
    for operand in signature.inputs:
        for dimension in operand.dimensions:
            if dimension.name not in sizes:
                sizes[dimension.name] = next(size for size in range(2, len(taken) + 3) if size not in taken)
                taken.add(sizes[dimension.name])
    any_shape = (2, 3) if binding.any_shape is None else binding.any_shape
    return Binding(sizes, binding.missing, binding.loops, any_shape)


def _loop_variants(op: Op, loop: Shape, count: int) -> list[tuple[Shape, ...]]:
    """Loop shapes for `count` operands, beside a loop shape that is given."""
    none: Shape = ()
    if not op.gufunc.has_loops or op.loops is False:
        return [(none,) * count]
    ones = tuple(1 if axis % 2 else side for axis, side in enumerate(loop)) if len(loop) > 1 else (1,) * len(loop)
    variants = [loop, ones, loop[1:], none, (2, *loop)]
    if op.loops is None:  # The plainest first: these decide whether loop dimensions matter at all.
        variants = [none, *variants]
    turned = [tuple(variants[(i + j) % len(variants)] for j in range(count)) for i in range(len(variants))]
    return [*((variant,) * count for variant in variants), *turned]


def _random_missing(op: Op, seed: int, index: int, rank: int | None) -> frozenset[str]:
    """Which `?` dimensions to leave out: none, one, or all of them, in turn; as many as a low rank needs."""
    signature = op.gufunc
    optional = sorted(signature.optional)
    if not optional:
        return frozenset()
    if rank is not None:
        largest = max(len(o.dimensions) for o in signature.inputs)
        return frozenset(optional) if rank < largest else frozenset()
    subsets = [(), (), (), tuple(optional), *((name,) for name in optional)]
    return frozenset(in_turn(subsets, index, op.name, seed, "missing"))


def _sides(stream: Stream, rank: int, max_side: int) -> Shape:
    return tuple(1 + stream.one(max_side) for _ in range(rank))


def _as_ones(operand: Operand, core: Shape, missing: frozenset[str]) -> Shape:
    if operand.any_shape:
        return core
    present = [d for d in operand.dimensions if d.name not in missing]
    return tuple(1 if d.or_one else side for d, side in zip(present, core, strict=True))


def _lacks(operand: Operand, missing: frozenset[str]) -> bool:
    """Whether a `?` dimension of this operand is missing, so that it has no room for loop dimensions either."""
    return any(d.name in missing for d in operand.dimensions)


def _random_loops(stream: Stream, loop: Shape, lacking: Sequence[bool], mix: bool) -> list[Shape]:
    """A loop shape for each operand; together they broadcast to `loop` if any operand has room for it."""
    whole = [i for i, lacks in enumerate(lacking) if not lacks]
    chosen: list[Shape] = [() if lacks else loop for lacks in lacking]
    if mix and len(lacking) > 1:
        chosen = [() if lacks else _broadcast_side(stream, loop) for lacks in lacking]
        if whole and broadcast(chosen) != loop:
            chosen[stream.choice(whole)] = loop
    return chosen


def _broadcast_side(stream: Stream, loop: Shape) -> Shape:
    """A loop shape that broadcasts to `loop`: the same, with ones, of lower rank, or none."""
    pattern = stream.one(5)
    if pattern in (0, 1):
        return loop
    if pattern == 2:
        return tuple(1 if stream.one(2) else side for side in loop)
    lower = loop[stream.one(len(loop) + 1) :]
    return lower if pattern == 3 else tuple(1 if stream.one(3) == 0 else side for side in lower)
