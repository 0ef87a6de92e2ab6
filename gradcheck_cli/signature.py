"""NumPy's gufunc signatures: parse them, and unify them with concrete shapes.

The grammar is NumPy's own (https://numpy.org/doc/stable/reference/c-api/generalized-ufuncs.html) with the
two modifiers of NEP 20: `n?` may be missing, `n|1` may be n or 1. `(...)` is any one shape, and the arrow may
be left out where the output depends on parameters; either of these leaves no room for loop dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from gradcheck_cli.errors import ShapeError

Shape = tuple[int, ...]

_STRETCHES = "an operand that may stretch"
_OPERAND = re.compile(r"\(([^()]*)\)")
_DIMENSION = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)|(?P<size>[0-9]+))(?P<modifier>\?|\|1)?", re.ASCII)


class Dimension(NamedTuple):
    """One core dimension: named (`n`) or of fixed size (`3`)."""

    name: str
    size: int | None = None
    optional: bool = False  # n?
    or_one: bool = False  # n|1


class Operand(NamedTuple):
    """The core dimensions of one input or output; `any_shape` stands for `(...)`."""

    dimensions: tuple[Dimension, ...] = ()
    any_shape: bool = False

    @property
    def required(self) -> int:
        """How many dimensions this operand has at the very least."""
        return sum(not dimension.optional for dimension in self.dimensions)


class Binding(NamedTuple):
    """What some shapes say about a signature: sizes by name, missing `?` names, loop shapes in operand order."""

    sizes: dict[str, int]
    missing: frozenset[str]
    loops: tuple[Shape, ...]
    any_shape: Shape | None = None

    @property
    def loop(self) -> Shape:
        """All loop shapes, broadcast together."""
        return _together(self.loops)


@dataclass(frozen=True)
class Signature:
    """A parsed signature; `outputs` is None where the arrow was left out."""

    text: str
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...] | None

    @cached_property
    def has_loops(self) -> bool:
        """Whether loop dimensions may be prepended at all."""
        return self.outputs is not None and not any(o.any_shape for o in (*self.inputs, *self.outputs))

    @property
    def elementwise(self) -> bool:
        """`()` everywhere: every dimension is a loop dimension."""
        return self.has_loops and not any(o.dimensions for o in (*self.inputs, *(self.outputs or ())))

    @property
    def optional(self) -> frozenset[str]:
        """The names marked `?`."""
        return frozenset(d.name for operand in self.inputs for d in operand.dimensions if d.optional)

    def core_shape(self, operand: Operand, binding: Binding) -> Shape:
        """The core shape of an operand whose every dimension is bound."""
        if operand.any_shape:
            return binding.any_shape or ()
        present = [d for d in operand.dimensions if d.name not in binding.missing]
        return tuple(binding.sizes[d.name] if d.size is None else d.size for d in present)

    def output_shapes(self, binding: Binding) -> tuple[Shape, ...] | None:
        """Loop + core shape of every output, or None where the signature does not say."""
        if self.outputs is None:
            return None
        return tuple(binding.loop + self.core_shape(operand, binding) for operand in self.outputs)

    def bind(self, shapes: Sequence[Shape], names: Sequence[str] = ()) -> Binding:
        """Unify the first operands with `shapes`, in order; operands not given stay unbound.

        As in NumPy, a `?` dimension is missing only where an operand has too few dimensions, and then it is
        missing everywhere. Raises ShapeError, naming the operands by `names`.
        """
        names = names or [f"operand {i + 1}" for i in range(len(self.inputs))]
        if len(shapes) > len(self.inputs):
            raise ShapeError(f"{len(shapes)} shapes given, but {self.text} has {_count(self.inputs, 'operand')}")
        missing = self._missing(shapes)
        sizes = {d.name: d.size for o in self.inputs for d in o.dimensions if d.size is not None}
        origin = dict.fromkeys(sizes, "the signature")
        loops: list[Shape] = []
        any_shape: Shape | None = None
        for operand, shape, name in zip(self.inputs, shapes, names, strict=False):
            if operand.any_shape:
                if any_shape is not None and any_shape != shape:
                    raise ShapeError(f"{name} {show(shape)}: all (...) in {self.text} are one shape, {show(any_shape)}")
                any_shape = shape
                loops.append(())
                continue
            loop, core = self._split(operand, shape, name, missing)
            loops.append(loop)
            dimensions = [d for d in operand.dimensions if d.name not in missing]
            for dimension, size in zip(dimensions, core, strict=True):
                self._agree(dimension, size, f"{name} {show(shape)}", sizes, origin)
        binding = Binding(sizes, missing, tuple(loops), any_shape)
        try:
            _ = binding.loop
        except ValueError:
            listed = ", ".join(f"{name} {show(loop)}" for name, loop in zip(names, loops, strict=False))
            raise ShapeError(f"loop dimensions do not broadcast: {listed} ({self.text})") from None
        return binding

    def _missing(self, shapes: Sequence[Shape]) -> frozenset[str]:
        """The `?` names that some operand has no room for."""
        missing: set[str] = set()
        for operand, shape in zip(self.inputs, shapes, strict=False):
            present = [d for d in operand.dimensions if d.name not in missing]
            optional = [d.name for d in present if d.optional]
            missing.update(optional[: max(len(present) - len(shape), 0)])
        return frozenset(missing)

    def _split(self, operand: Operand, shape: Shape, name: str, missing: frozenset[str]) -> tuple[Shape, Shape]:
        """Loop and core part of one operand's shape."""
        count = sum(d.name not in missing for d in operand.dimensions)
        if len(shape) < count:
            raise ShapeError(
                f"{name} {show(shape)} has {_count(shape, 'dimension')}, but {self.text} needs at least {count}"
            )
        if len(shape) > count and not self.has_loops:
            raise ShapeError(
                f"{name} {show(shape)} has {_count(shape, 'dimension')}, but {self.text} has exactly {count}: "
                "loop dimensions need an arrow (->)"
            )
        return shape[: len(shape) - count], shape[len(shape) - count :]

    def _agree(
        self, dimension: Dimension, size: int, where: str, sizes: dict[str, int], origin: dict[str, str]
    ) -> None:
        """Bind one dimension to a size, or say with whom it disagrees."""
        name, known = dimension.name, sizes.get(dimension.name)
        if dimension.or_one and size == 1:  # It may stretch, so it binds nothing that is not bound by it alone.
            sizes.setdefault(name, 1)
            origin.setdefault(name, _STRETCHES)
        elif known is None or (known == 1 and origin[name] == _STRETCHES):
            sizes[name], origin[name] = size, where
        elif known != size and dimension.size is not None:
            raise ShapeError(f"{where}: a dimension of fixed size {known} is {size} ({self.text})")
        elif known != size:
            raise ShapeError(f"{name} is {known} in {origin[name]} but {size} in {where} ({self.text})")


def parse(text: str) -> Signature:
    """Parse a signature; raises ValueError that says what is wrong and shows a right one."""
    inputs, arrow, outputs = text.partition("->")
    if "->" in outputs:
        raise ValueError(f"signature {text!r} has two arrows")
    signature = Signature(
        text="".join(text.split()),
        inputs=_operands(inputs, text),
        outputs=_operands(outputs, text) if arrow else None,
    )
    if not signature.inputs:
        raise ValueError(f'signature {text!r} has no inputs; write for instance "(n,k),(k,m)->(n,m)"')
    if arrow and not signature.outputs:
        raise ValueError(f"signature {text!r} has no output; leave the arrow out where its shape depends on params")
    _check_modifiers(signature)
    bound = {d.name for operand in signature.inputs for d in operand.dimensions}
    for operand in signature.outputs or ():
        for dimension in operand.dimensions:
            if dimension.name not in bound and dimension.size is None:
                raise ValueError(
                    f"signature {text!r}: output dimension {dimension.name!r} is in no input; "
                    "leave the arrow out where the output's shape depends on params"
                )
        if operand.any_shape and not any(o.any_shape for o in signature.inputs):
            raise ValueError(f"signature {text!r}: the output is (...), but no input is")
    return signature


def _check_modifiers(signature: Signature) -> None:
    """As in NumPy, a dimension is marked `?` everywhere or nowhere."""
    marked: dict[str, bool] = {}
    for operand in (*signature.inputs, *(signature.outputs or ())):
        for dimension in operand.dimensions:
            if marked.setdefault(dimension.name, dimension.optional) != dimension.optional:
                raise ValueError(
                    f"signature {signature.text!r}: {dimension.name} is marked ? in one place and not in another; "
                    f"write {dimension.name}? everywhere"
                )


def plain(shapes: Sequence[Shape]) -> str:
    """The signature of operands that have just these ranks: every dimension has a name of its own."""
    return ",".join(f"({','.join(f'd{i}_{j}' for j in range(len(shape)))})" for i, shape in enumerate(shapes))


def tied(shapes: Sequence[Shape]) -> str:
    """The signature of operands of just these shapes: dimensions of the same size are one dimension, ones stay ones."""
    return ",".join(f"({','.join('1' if size == 1 else f'n{size}' for size in shape)})" for shape in shapes)


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The broadcast of several shapes, without allocating anything; raises ValueError."""
    rank = max(map(len, shapes), default=0)
    result = [1] * rank
    for shape in shapes:
        for axis, size in enumerate(shape, rank - len(shape)):
            if size != 1 and result[axis] not in (1, size):
                raise ValueError(f"shapes {', '.join(map(show, shapes))} do not broadcast")
            result[axis] = size if result[axis] == 1 else result[axis]
    return tuple(result)


_together = lru_cache(broadcast)  # of the shapes of one case, again and again


def show(shape: Shape) -> str:
    """A shape as people write it: `(2,3)`, `(3,)`, `()`."""
    return f"({','.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _operands(text: str, whole: str) -> tuple[Operand, ...]:
    """Parse one side of the arrow."""
    stripped = text.strip()
    if not stripped:
        return ()
    bodies = _OPERAND.findall(stripped)
    if re.sub(r"\s", "", _OPERAND.sub("()", stripped)) != ",".join(["()"] * len(bodies)):
        raise ValueError(f'signature {whole!r}: each operand stands in parentheses, as in "(n,k),(k,m)->(n,m)"')
    return tuple(_operand(body, whole) for body in bodies)


def _operand(body: str, whole: str) -> Operand:
    parts = [part.strip() for part in body.split(",")] if body.strip() else []
    if parts == ["..."]:
        return Operand(any_shape=True)
    if "..." in parts:
        raise ValueError(
            f"signature {whole!r}: '...' stands alone, as in \"(...)\"; "
            "dimensions in front need no mention, loop dimensions are prepended to any signature with an arrow"
        )
    return Operand(tuple(_dimension(part, whole) for part in parts))


def _dimension(part: str, whole: str) -> Dimension:
    match = _DIMENSION.fullmatch(part)
    if match is None:
        raise ValueError(
            f"signature {whole!r}: {part!r} is no dimension; write a name (n), a size (3), n? (may be missing) or n|1"
        )
    size = match["size"]
    if size and int(size) == 0:
        raise ValueError(f"signature {whole!r}: a fixed size is 1 or more")
    return Dimension(
        name=match["name"] or size,
        size=int(size) if size else None,
        optional=match["modifier"] == "?",
        or_one=match["modifier"] == "|1",
    )


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
