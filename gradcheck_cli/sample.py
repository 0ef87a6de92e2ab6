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
from gradcheck_cli.errors import DeclarationError, ShapeError, UsageError
from gradcheck_cli.op import Op
from gradcheck_cli.shapes import RANKS, Shapes, bound, check_size, family, random_shapes
from gradcheck_cli.signature import Shape, show
from gradcheck_cli.stream import Stream

Array = NDArray[Any]

MAX_ELEMENTS = 10_000_000
CASES, MOST_CASES = 20, 200
_TRIES_FOR_A_CHOICE = 16
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


class Sampler:
    """The cases of one op, to be iterated once; afterwards it knows what forward refused.

    `dropped` counts param combinations that forward refused, and `refused` names the edges it refused.
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
        self.cases = sampling.cases or min(max(CASES, *listed, 1), MOST_CASES)
        self.dropped = 0
        self.refused: list[str] = []
        self._accepted: set[tuple[str, str]] = set()
        self._first_refusal: Case | None = None

    def __iter__(self) -> Iterator[Case]:
        drawn = False
        for case in self._given_cases() if self.sampling.shapes else self._drawn_cases():
            drawn = True
            yield case
        if not drawn and self._first_refusal is not None:
            yield self._first_refusal

    def impossible_choices(self) -> list[tuple[str, str, Exception]]:
        """(param, choice, what forward said) of every listed choice that no shape accepts.

        A choice that met no fitting shape by chance is tried on more shapes before it is called impossible.
        """
        if self.sampling.shapes or self.sampling.rank is not None or self.sampling.params:
            return []
        found = []
        for name, choices in self.op.params.items():
            if callable(choices) or name in self.sampling.params:
                continue
            found += [
                (name, text_of(choice), error)
                for choice in choices
                if (name, text_of(choice)) not in self._accepted and (error := self._refusal_of(name, choice))
            ]
        return found

    def _refusal_of(self, name: str, choice: Any) -> Exception | None:
        """What forward says to a choice, on the last of several shapes; None once a shape accepts it."""
        error = None
        for index in range(_TRIES_FOR_A_CHOICE):
            shapes = self._random_shapes(index)
            for params in self._combinations(shapes, {name: choice}) if shapes else ():
                error = self._try(shapes, params, index, "C").error  # type: ignore[arg-type]
                if not isinstance(error, REFUSALS):
                    return None
        return error

    def _drawn_cases(self) -> Iterator[Case]:
        yield from self._sample_cases()
        # Core cases first: only an op that is right on them is forgiven for loop dimensions it never mentioned.
        for index in sorted(range(self.cases), key=self._wants_undeclared_loops):
            yield from self._random_case(index)

    def redraw(self, case: Case, attempt: int) -> Case:
        """The same shapes and params with other values."""
        shapes = Shapes(case.shapes, dict(self.op.gufunc.bind(case.shapes, self.op.names).sizes), case.loops)
        return self._try(shapes, case.params, case.index, case.layout, attempt)

    def _given_cases(self) -> Iterator[Case]:
        """The family of the given shapes, times the params."""
        completed = family(self.op, self.sampling.shapes)
        completed = self._small_enough(completed)
        asked = any(map(len, self.op.gufunc.bind(self.sampling.shapes, self.op.names).loops))
        index = 0
        for shapes in completed:
            for params in self._combinations(shapes):
                case = self._try(shapes, params, index, "C")
                if asked:  # The user gave loop dimensions: they are meant.
                    case = replace(case, loops=False)
                self._note(case)
                if isinstance(case.error, REFUSALS):
                    continue
                yield case
                index += 1
                if index >= self.cases:
                    return

    def _small_enough(self, family: list[Shapes]) -> list[Shapes]:
        """Without the members that are too large; raises ShapeError where the given shapes are the reason."""
        small, problem = [], None
        for shapes in family:
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
        # One step more in every round of ranks, so that each rank meets each layout and each choice.
        turn = index + index // len(RANKS)
        layout = LAYOUTS[turn % len(LAYOUTS)]
        combinations = self._combinations(shapes)
        case = None
        for offset in range(len(combinations)):
            case = self._try(shapes, combinations[(turn + offset) % len(combinations)], index, layout)
            self._note(case)
            if not isinstance(case.error, REFUSALS):
                yield case
                return
        if case is None or self.op.params:
            return
        if shapes.operands and any(0 in s or s == () for s in shapes.operands):
            self.refused.append(" ".join(map(show, shapes.operands)))
            return
        yield case

    def _random_shapes(self, index: int) -> Shapes | None:
        loops = bool(self.op.loops) or self._wants_undeclared_loops(index)
        options = self.sampling
        for with_loops in (True, False) if loops else (False,):
            stream = Stream(self.op.name, options.seed, index, "shapes")
            shapes = random_shapes(
                self.op,
                stream,
                index,
                loops=with_loops,
                rank=options.rank,
                max_side=options.max_side,
                mix=options.broadcast,
            )
            if shapes is None or not shapes.loops or self._loops_supported(shapes, index):
                return shapes
        return None

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
