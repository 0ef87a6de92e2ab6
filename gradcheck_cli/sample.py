"""Op + seed -> cases: shapes, params, values, layouts and cotangents, the same on every machine.

A case depends on (op, seed, index) and on the options that shape it, never on how many cases are drawn.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.case import LAYOUTS, REFUSALS, Case, lay_out, make_case, text_of
from gradcheck_cli.errors import DeclarationError, ShapeError, UsageError, describe
from gradcheck_cli.op import Op
from gradcheck_cli.shapes import MAX_DIMENSIONS, Shapes, bound, check_size, family, random_shapes
from gradcheck_cli.signature import Shape, show
from gradcheck_cli.stream import Stream, in_turn

Array = NDArray[Any]

MAX_ELEMENTS = 10_000_000
CASES = 20
_TRIES_FOR_A_CHOICE = 16
_ENOUGH = 64  # entries that a family of given shapes is asked about at the least, be it in several draws
_LOOP_EVERY = 3  # of an op that never mentioned loop dimensions, every third case tries them


@dataclass(frozen=True)
class Sampling:
    """What to draw."""

    seed: int = 0
    cases: int | None = None  # CASES, or as many as there are choices of a param
    shapes: tuple[Shape, ...] = ()
    rank: int | None = None
    max_side: int = 4
    broadcast: bool = True
    dtype: str | None = None  # the op's first where it is not given
    params: Mapping[str, Any] = field(default_factory=dict)
    max_elements: int = MAX_ELEMENTS

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("cases", 1), ("rank", 0), ("max_side", 1), ("max_elements", 1)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise UsageError(f"{name} is {value!r}; it must be an integer of {least} or more")
        if self.rank is not None and self.rank > MAX_DIMENSIONS:
            raise UsageError(f"rank is {self.rank}; NumPy arrays have at most {MAX_DIMENSIONS} dimensions")


class Sampler:
    """The cases of one op, to be iterated once; afterwards it knows what forward refused.

    `dropped` counts param combinations that forward refused, `refused` names shapes that it refused or that were too
    large, and `impossible` lists (param, choice, what forward said) of listed choices that no shape accepts.
    """

    def __init__(self, op: Op, sampling: Sampling) -> None:
        self.dtype = sampling.dtype or op.dtypes[0]
        if self.dtype not in op.dtypes:
            raise UsageError(f"{op.name}: declared for {', '.join(op.dtypes)}, not {self.dtype}")
        unknown = [name for name in sampling.params if name not in op.params]
        if unknown:
            has = f"it has {', '.join(op.params)}" if op.params else "it has none"
            raise UsageError(f"{op.name}: there is no param {unknown[0]!r}; {has}")
        self.op = op
        self.sampling = sampling
        # Enough to meet every choice once, unless the user said how many.
        listed = [len(choices) for choices in op.params.values() if not callable(choices)]
        self.cases = sampling.cases or max([CASES, *listed])
        self.dropped = 0
        self.refused: list[str] = []
        self.impossible: list[tuple[str, str, Exception]] = []
        self._accepted: set[tuple[str, str]] = set()
        self._first_refusal: Case | None = None

    def __iter__(self) -> Iterator[Case]:
        drawn = False
        for case in self._given_cases() if self.sampling.shapes else self._drawn_cases():
            drawn = True
            yield case
        if not drawn and self._first_refusal is not None:
            if self.sampling.params:  # The user's choice, not the op's.
                given = ", ".join(f"{name}={text_of(value)}" for name, value in self.sampling.params.items())
                said = describe(self._first_refusal.error) if self._first_refusal.error else ""
                raise UsageError(f"{self.op.name}: no shape accepts {given}: forward raises {said}")
            yield self._first_refusal

    def redraw(self, case: Case, attempt: int) -> Case:
        """The same shapes and params with other values."""
        shapes = Shapes(case.shapes, self.op.gufunc.bind(case.shapes, self.op.names).sizes, case.loops)
        return self._try(shapes, case.params, case.index, case.layout, attempt)

    def _drawn_cases(self) -> Iterator[Case]:
        yield from self._sample_cases()
        # Core cases first: only an op that is right on them is forgiven for loop dimensions it never mentioned.
        for index in sorted(range(self.cases), key=self._wants_undeclared_loops):
            yield from self._random_case(index)
        if self.sampling.rank is None and not self.sampling.params:
            yield from self._missed_choices()

    def _missed_choices(self) -> Iterator[Case]:
        """A case for every listed choice that met no fitting shape so far; what no shape accepts is impossible."""
        for name, choices in self.op.params.items():
            for choice in () if callable(choices) else choices:
                if (name, text_of(choice)) in self._accepted:
                    continue
                case = self._case_with(name, choice)
                if case is not None and isinstance(case.error, REFUSALS):
                    self.impossible.append((name, text_of(choice), case.error))
                elif case is not None and self.sampling.cases is None:  # else the user said how many
                    self._note(case)
                    yield case

    def _case_with(self, name: str, choice: Any) -> Case | None:
        """The first of several shapes that accepts a choice, or the last that refuses it."""
        case = None
        for index in range(self.cases, self.cases + _TRIES_FOR_A_CHOICE):
            shapes = self._random_shapes(index)
            for params in self._combinations(shapes, {name: choice}) if shapes else ():
                case = self._try(shapes, params, index, "C")  # type: ignore[arg-type]
                if not isinstance(case.error, REFUSALS):
                    return case
        return case

    def _given_cases(self) -> Iterator[Case]:
        """The family of the given shapes, times the params."""
        members = self._small_enough(family(self.op, self.sampling.shapes))
        asked = any(map(len, self.op.gufunc.bind(self.sampling.shapes, self.op.names).loops))
        together = [(shapes, params) for shapes in members for params in self._combinations(shapes)]
        index = entries = 0
        # A family of few and small members is drawn again: one number may have the sign that hides a bug.
        while index < self.cases and (index == 0 or self.sampling.cases or entries < _ENOUGH):
            before = index
            for shapes, params in together[: self.cases - index]:
                case = self._try(shapes, params, index, "C")
                if asked:  # The user gave loop dimensions: they are meant.
                    case = replace(case, loops=False)
                self._note(case)
                if not isinstance(case.error, REFUSALS):
                    yield case
                    index += 1
                    entries += sum(x.size for x in case.inputs)
            if index == before:
                return

    def _small_enough(self, members: list[Shapes]) -> list[Shapes]:
        """Without the members that are too large; raises ShapeError where the given shapes are the reason."""
        small, problem = [], None
        for shapes in members:
            try:
                check_size(self.op, shapes, self.sampling.max_elements)
                small.append(shapes)
            except ShapeError as error:
                problem = problem or error
        if problem and not small:
            raise problem
        return small

    def _sample_cases(self) -> Iterator[Case]:
        """The author's own cases, numbered from -1 downwards."""
        for position, sample in enumerate(self.op.samples):
            inputs = tuple(
                x.astype(self.dtype) if domain.differentiable else x
                for x, domain in zip(sample.inputs, self.op.domains, strict=True)
            )
            shapes = bound(self.op, [x.shape for x in inputs])
            check_size(self.op, shapes, self.sampling.max_elements)
            case = None
            for params in self._combinations(shapes, dict(sample.params)):
                # The author gave these shapes: loop dimensions are meant.
                case = make_case(self.op, inputs, params, seed=self.sampling.seed, index=-1 - position)
                self._note(case)
                if not isinstance(case.error, REFUSALS):
                    break
            if case is not None:  # Also where forward refuses all params: the author said that it matters.
                yield case

    def _random_case(self, index: int) -> Iterator[Case]:
        """Case `index`: the first params that forward accepts, starting at another choice for every index."""
        shapes = self._random_shapes(index)
        if shapes is None:
            return
        layout = in_turn(LAYOUTS, index, self.op.name, self.sampling.seed, "layout")
        combinations = self._combinations(shapes)
        case = None
        for offset in range(len(combinations)):
            case = self._try(shapes, combinations[(index + offset) % len(combinations)], index, layout)
            self._note(case)
            if not isinstance(case.error, REFUSALS):
                yield case
                return
        if case is None or self.op.params:
            return
        if () in shapes.operands:
            self.refused.append(" ".join(map(show, shapes.operands)))
            return
        yield case

    def _random_shapes(self, index: int) -> Shapes | None:
        loops = bool(self.op.loops) or self._wants_undeclared_loops(index)
        options = self.sampling
        for with_loops in (True, False) if loops else (False,):
            shapes = random_shapes(
                self.op,
                options.seed,
                index,
                loops=with_loops,
                rank=options.rank,
                max_side=options.max_side,
                mix=options.broadcast,
            )
            if shapes is None:
                return None
            if not shapes.loops or self._loops_supported(shapes, index):
                return self._within_limit(shapes)
        return None

    def _within_limit(self, shapes: Shapes) -> Shapes | None:
        """None, and noted as refused, where a draw has too many elements: nobody asked for this one."""
        try:
            check_size(self.op, shapes, self.sampling.max_elements)
        except ShapeError:
            self.refused.append(" ".join(map(show, shapes.operands)))
            return None
        return shapes

    def _wants_undeclared_loops(self, index: int) -> bool:
        undeclared = self.op.loops is None and self.op.gufunc.has_loops
        return undeclared and (index % _LOOP_EVERY == _LOOP_EVERY - 1 or self.sampling.rank is not None)

    def _loops_supported(self, shapes: Shapes, index: int) -> bool:
        """Whether forward takes loop dimensions and answers with loop + core shape; asked per shape."""
        if self.op.loops:
            return True
        expected = self.op.gufunc.output_shapes(self.op.gufunc.bind(shapes.operands, self.op.names))
        for params in self._combinations(shapes):
            case = self._try(shapes, params, index, "C")
            if case.outputs is not None and tuple(y.shape for y in case.outputs.arrays) == expected:
                return True
        return False

    def _combinations(self, shapes: Shapes, fixed: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
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

    def _try(self, shapes: Shapes, params: Mapping[str, Any], index: int, layout: str, attempt: int = 0) -> Case:
        check_size(self.op, shapes, self.sampling.max_elements)
        inputs = tuple(
            lay_out(self._draw(position, shape, shapes.sizes, index, attempt), layout)
            for position, shape in enumerate(shapes.operands)
        )
        undeclared = shapes.loops and self.op.loops is None
        return make_case(
            self.op,
            inputs,
            params,
            seed=self.sampling.seed,
            index=index,
            attempt=attempt,
            layout=layout,
            loops=undeclared,
        )

    def _draw(self, position: int, shape: Shape, sizes: Mapping[str, int], index: int, attempt: int) -> Array:
        stream = Stream(self.op.name, self.sampling.seed, index, attempt, "input", position)
        domain, dtype = self.op.domains[position], self.dtype
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

    def _note(self, case: Case) -> None:
        """Remember which choices were accepted and which refused."""
        if isinstance(case.error, REFUSALS):
            self.dropped += bool(self.op.params)
            self._first_refusal = self._first_refusal or case
        else:
            self._accepted.update((name, text_of(value)) for name, value in case.params.items())
