"""Op + shapes + params -> a case with drawn values: what random cases, edges and redraws have in common."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.case import Case, lay_out, make_case
from gradcheck_cli.errors import DeclarationError, ShapeError, UsageError
from gradcheck_cli.limits import MAX_DIMENSIONS, MAX_ELEMENTS
from gradcheck_cli.op import Op
from gradcheck_cli.shapes import Shapes, check_size
from gradcheck_cli.signature import Shape, show
from gradcheck_cli.stream import Stream

Array = NDArray[Any]
Alter = Callable[[int, Array], Array]  # (position, plain draw) -> what stands there instead


@dataclass(frozen=True)
class Sampling:
    """What to draw."""

    seed: int = 0
    cases: int | None = None  # random ones: CASES, or as many as there are choices of a param
    shapes: tuple[Shape, ...] = ()
    rank: int | None = None
    max_side: int = 4
    broadcast: bool = True
    dtype: str | None = None  # the op's first where it is not given
    params: Mapping[str, Any] = field(default_factory=dict)
    max_elements: int = MAX_ELEMENTS
    edges: bool | None = None  # None: yes, but beside given shapes only where these are small
    max_memory: int | None = None  # bytes; half of what the machine has where it is not given

    def __post_init__(self) -> None:
        for name, least in (
            ("seed", 0),
            ("cases", 1),
            ("rank", 0),
            ("max_side", 1),
            ("max_elements", 1),
            ("max_memory", 1),
        ):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise UsageError(f"{name} is {value!r}; it must be an integer of {least} or more")
        if self.rank is not None and self.rank > MAX_DIMENSIONS:
            raise UsageError(
                f"rank is {self.rank}; NumPy arrays have at most 64 dimensions, and {MAX_DIMENSIONS} can be checked"
            )

    def check_size(self, op: Op, shapes: Shapes) -> None:
        """Refuse what is too large before it is allocated; raises ShapeError."""
        check_size(op, shapes, self.max_elements, self.max_memory)


class Drawer:
    """Draws the cases of one op; raises UsageError where the sampling does not fit it."""

    def __init__(self, op: Op, sampling: Sampling) -> None:
        self.op, self.sampling = op, sampling
        self.dtype = sampling.dtype or op.dtypes[0]
        if self.dtype not in op.dtypes:
            raise UsageError(f"{op.name}: declared for {', '.join(op.dtypes)}, not {self.dtype}")
        unknown = [name for name in sampling.params if name not in op.params]
        if unknown:
            has = f"it has {', '.join(op.params)}" if op.params else "it has none"
            raise UsageError(f"{op.name}: there is no param {unknown[0]!r}; {has}")

    def combinations(self, shapes: Shapes, fixed: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Every combination of the params' choices, those that the user fixed aside.

        The first ones go through all choices of every param at once: few cases meet each choice, if not each pair.
        """
        fixed = {**self.sampling.params, **(fixed or {})}
        free = {name: c for name, c in self.op.choices(shapes.operands).items() if name not in fixed}
        sizes = [len(choices) for choices in free.values()]
        if 0 in sizes:
            return []
        diagonal = [tuple(turn % size for size in sizes) for turn in range(max(sizes, default=1))]
        order = dict.fromkeys([*diagonal, *itertools.product(*map(range, sizes))])
        return [{name: free[name][place] for name, place in zip(free, places, strict=True)} | fixed for places in order]

    def case(
        self,
        shapes: Shapes,
        params: Mapping[str, Any],
        index: int,
        layout: str = "C",
        *,
        attempt: int = 0,
        edge: str = "",
        alter: Alter | None = None,
        dtype: str = "",
        cotangent: str = "random",
    ) -> Case:
        """A case with drawn values; `alter` changes them, `edge` says what for."""
        self.sampling.check_size(self.op, shapes)
        inputs = [
            self.operand(position, shape, shapes.sizes, edge or index, attempt, dtype)
            for position, shape in enumerate(shapes.operands)
        ]
        if alter:
            inputs = [np.asarray(alter(position, x)) for position, x in enumerate(inputs)]
        undeclared = "loops" if shapes.loops and self.op.loops is None else ""
        if dtype and not self.op.dtypes_declared:
            undeclared = "dtype"
        return make_case(
            self.op,
            tuple(lay_out(x, layout) for x in inputs),
            params,
            seed=self.sampling.seed,
            index=index,
            attempt=attempt,
            layout=layout,
            edge=edge,
            undeclared=undeclared,
            cotangent=cotangent,
        )

    def operand(
        self, position: int, shape: Shape, sizes: Mapping[str, int], key: str | int, attempt: int = 0, dtype: str = ""
    ) -> Array:
        """Random values for one operand; raises DeclarationError where its domain has none of that shape."""
        stream = Stream(self.op.name, self.sampling.seed, key, attempt, "input", position)
        domain, dtype = self.op.domains[position], dtype or self.dtype
        try:
            if np.dtype(dtype).kind != "c" or not domain.differentiable:
                return domain.draw(stream, shape, dtype, sizes)
            parts = [domain.draw(stream, shape, np.finfo(dtype).dtype.name, sizes) for _ in range(2)]
            return np.asarray(parts[0] + 1j * parts[1], dtype)
        except ValueError as error:
            problem = f"op {self.op.name}: {self.op.names[position]} {show(shape)}: {error}"
            if self.sampling.shapes:
                raise ShapeError(problem) from None
            raise DeclarationError(f"{self.op.declared}: {problem}") from None
