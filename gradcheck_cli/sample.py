"""Op + seed -> cases: shapes, params, values, layouts and cotangents, the same on every machine.

A case depends on (op, seed, index) and on the options that shape it, never on how many cases are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gradcheck_cli.case import LAYOUTS, REFUSALS, Case, make_case, text_of
from gradcheck_cli.draw import Drawer, Sampling
from gradcheck_cli.edges import edge_cases
from gradcheck_cli.errors import ShapeError, UsageError, describe
from gradcheck_cli.op import Op
from gradcheck_cli.shapes import Shapes, bound, family, random_shapes
from gradcheck_cli.signature import show
from gradcheck_cli.stream import in_turn

CASES = 20
_TRIES_FOR_A_CHOICE = 16
_ENOUGH = 64  # entries that a family of given shapes is asked about at the least, be it in several draws
_LOOP_EVERY = 3  # of an op that never mentioned loop dimensions, every third case tries them


class Sampler:
    """The cases of one op, to be iterated once; afterwards it knows what forward refused.

    `dropped` counts param combinations that forward refused, `refused` names shapes that it refused or that were too
    large, and `impossible` lists (param, choice, what forward said) of listed choices that no shape accepts.
    """

    def __init__(self, op: Op, sampling: Sampling) -> None:
        self.drawer = Drawer(op, sampling)
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
        if drawn and self.sampling.edges is not False:
            yield from self._edges()
        if not drawn and self._first_refusal is not None:
            if self.sampling.params:  # The user's choice, not the op's.
                given = ", ".join(f"{name}={text_of(value)}" for name, value in self.sampling.params.items())
                said = describe(self._first_refusal.error) if self._first_refusal.error else ""
                raise UsageError(f"{self.op.name}: no shape accepts {given}: forward raises {said}")
            yield self._first_refusal

    def redraw(self, case: Case, attempt: int) -> Case:
        """The same shapes and params with other values."""
        shapes = Shapes(case.shapes, self.op.gufunc.bind(case.shapes, self.op.names).sizes, bool(case.undeclared))
        return self.drawer.case(shapes, case.params, case.index, case.layout, attempt=attempt)

    def _drawn_cases(self) -> Iterator[Case]:
        yield from self._sample_cases()
        # Core cases first: only an op that is right on them is forgiven for loop dimensions it never mentioned.
        for index in sorted(range(self.cases), key=self._wants_undeclared_loops):
            yield from self._random_case(index)
        if self.sampling.rank is None and not self.sampling.params:
            yield from self._missed_choices()

    def _edges(self) -> Iterator[Case]:
        """Edges that forward accepts; nobody said that it takes an empty array or a tie."""
        for case in edge_cases(self.drawer):
            if case.error is None:
                yield case
            else:
                self.refused.append(f"{case.edge}: {case.name}")

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
            for params in self.drawer.combinations(shapes, {name: choice}) if shapes else ():
                case = self.drawer.case(shapes, params, index, "C")  # type: ignore[arg-type]
                if not isinstance(case.error, REFUSALS):
                    return case
        return case

    def _given_cases(self) -> Iterator[Case]:
        """The family of the given shapes, times the params."""
        members = self._small_enough(family(self.op, self.sampling.shapes))
        asked = any(map(len, self.op.gufunc.bind(self.sampling.shapes, self.op.names).loops))
        together = [(shapes, params) for shapes in members for params in self.drawer.combinations(shapes)]
        index = entries = 0
        # A family of few and small members is drawn again: one number may have the sign that hides a bug.
        while index < self.cases and (index == 0 or self.sampling.cases or entries < _ENOUGH):
            before = index
            for shapes, params in together[: self.cases - index]:
                case = self.drawer.case(shapes, params, index, "C")
                if asked:  # The user gave loop dimensions: they are meant.
                    case = replace(case, undeclared="")
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
                self.sampling.check_size(self.op, shapes)
                small.append(shapes)
            except ShapeError as error:
                problem = problem or error
        if problem and not small:
            raise problem
        return small

    def _sample_cases(self) -> Iterator[Case]:
        """The author's own cases, numbered from -1 downwards."""
        for position, sample in enumerate(self.op.samples):
            if not self.drawer.dtype.startswith("complex") and any(x.dtype.kind == "c" for x in sample.inputs):
                continue  # Its real parts are another point.
            inputs = tuple(
                x.astype(self.drawer.dtype) if domain.differentiable else x
                for x, domain in zip(sample.inputs, self.op.domains, strict=True)
            )
            shapes = bound(self.op, [x.shape for x in inputs])
            self.sampling.check_size(self.op, shapes)
            case = None
            for params in self.drawer.combinations(shapes, dict(sample.params)):
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
        combinations = self.drawer.combinations(shapes)
        case = None
        for offset in range(len(combinations)):
            case = self.drawer.case(shapes, combinations[(index + offset) % len(combinations)], index, layout)
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
            self.sampling.check_size(self.op, shapes)
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
        for params in self.drawer.combinations(shapes):
            case = self.drawer.case(shapes, params, index, "C")
            if case.outputs is not None and tuple(y.shape for y in case.outputs.arrays) == expected:
                return True
        return False

    def _note(self, case: Case) -> None:
        """Remember which choices were accepted and which refused."""
        if isinstance(case.error, REFUSALS):
            self.dropped += bool(self.op.params)
            self._first_refusal = self._first_refusal or case
        else:
            self._accepted.update((name, text_of(value)) for name, value in case.params.items())
