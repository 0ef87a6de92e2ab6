"""The op: a differentiable function as its author declares it, validated once, frozen ever after."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.domain import REAL, SPD, Domain, Index
from gradcheck_cli.errors import DeclarationError, ShapeError, describe
from gradcheck_cli.foreign import call
from gradcheck_cli.signature import Shape, Signature, parse, show
from gradcheck_cli.source import call_error, caller_place, name_of, place_of, positional_names

Array = NDArray[Any]
Choices = Sequence[Any] | Callable[..., Sequence[Any]]

DTYPES = ("float64", "float32", "complex128", "complex64")
_NAME = re.compile(r"\w[\w.\-]*")


@dataclass(frozen=True)
class Sample:
    """A case that the op's author knows matters: concrete inputs and, optionally, params."""

    inputs: tuple[Array, ...]
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outputs:
    """What a forward returned: arrays in order; `several` if it returned a tuple or list."""

    arrays: tuple[Array, ...]
    several: bool

    def pack(self, values: Sequence[Array]) -> Any:
        """Values, one per output, in the form that backward gets them."""
        return tuple(values) if self.several else values[0]


@dataclass(frozen=True, eq=False, repr=False)
class Op:
    """A differentiable function: `forward(*inputs, **params)` and `backward(grad, out, *inputs, **params)`.

    `signature` is a NumPy gufunc signature ("(n?,k),(k,m?)->(n?,m?)", "()->()", "(...)"). `params` maps a keyword
    to its choices, or to a function of the input shapes that returns them. `domain` is one domain or one per
    input. `loops` says whether the op is meant to work with loop (batch) dimensions: True, False, or None for
    "not said". `differentiable` names the inputs that backward returns gradients for, or gives one bool per input;
    by default these are the inputs with a continuous domain. `samples` adds cases: a tuple of inputs each, with a
    dict of params behind them where wanted. `jvp` and `overloads` are for forward mode and for tapes; the checks of
    backward do not use them.

    Raises DeclarationError, naming op and file:line, for anything that contradicts itself.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    signature: Signature | str
    _: KW_ONLY
    params: Mapping[str, Choices] = field(default_factory=dict)
    domain: Domain | Sequence[Domain] = REAL
    name: str = ""
    loops: bool | None = None
    differentiable: Sequence[bool] | Sequence[str] | None = None
    samples: Sequence[Any] = ()
    dtypes: Sequence[str] = ()  # float64 and float32, if nothing is said
    jvp: Callable[..., Any] | None = None
    overloads: Mapping[Callable[..., Any], Callable[..., Any]] | None = None
    # Derived on construction:
    declared: str = field(init=False, default="", repr=False, compare=False)
    dtypes_declared: bool = field(init=False, default=False, repr=False, compare=False)
    names: tuple[str, ...] = field(init=False, default=(), repr=False, compare=False)
    # Of an op that was made of somebody's functions:
    taken_for: str = field(init=False, default="", repr=False, compare=False)  # what these were taken for
    notes: tuple[str, ...] = field(init=False, default=(), repr=False, compare=False)  # what is not checked, and why
    said: Mapping[str, Any] = field(init=False, default_factory=dict, repr=False, compare=False)  # to make it again

    def __post_init__(self) -> None:
        self._set("declared", caller_place() or "")
        for role, function in (("forward", self.forward), ("backward", self.backward)):
            if not callable(function):
                self._refuse(f"{role} is {function!r}, not a function", "write Op(forward, backward, signature)")
        self._set("name", self._valid_name())
        self._set("signature", self._valid_signature())
        self._set("names", self._input_names())
        self._set("params", self._valid_params())
        self._set("domain", self._valid_domains())
        self._set("loops", self._valid_loops())
        self._set("differentiable", self._valid_differentiable())
        self._check_extras()
        if not self.differentiated:
            self._refuse("no input is differentiable", "there is no gradient to check")
        self._set("dtypes_declared", self.dtypes != ())
        self._set("dtypes", self._valid_dtypes())
        self._check_calls()
        if isinstance(self.samples, str) or not isinstance(self.samples, Iterable):
            self._refuse(f"samples is {self.samples!r}", "write a list of tuples of inputs")
        self._set("samples", tuple(self._valid_sample(sample) for sample in self.samples))

    def __repr__(self) -> str:
        return f'<op {self.name} "{self.gufunc.text}">'

    def describe(self, declared: str, taken_for: str, notes: Sequence[str], said: Mapping[str, Any]) -> None:
        """Say where the functions that this op was made of stand, what they were taken for, and what is not checked.

        `said` is what the user said to that end, beside shapes and params.
        """
        self._set("declared", declared or self.declared)
        self._set("taken_for", taken_for)
        self._set("notes", tuple(notes))
        self._set("said", said)

    def called(self, name: str) -> Self:
        """The same op under another name."""
        twin = copy.copy(self)
        object.__setattr__(twin, "name", name)
        return twin

    # The normalised view: what every other room reads.

    @property
    def gufunc(self) -> Signature:
        """The parsed signature."""
        assert isinstance(self.signature, Signature)
        return self.signature

    @property
    def domains(self) -> tuple[Domain, ...]:
        """One domain per input."""
        assert isinstance(self.domain, tuple)
        return self.domain

    @cached_property
    def differentiated(self) -> tuple[int, ...]:
        """Positions of the inputs that backward returns gradients for."""
        return tuple(i for i, wanted in enumerate(self.differentiable or ()) if wanted)

    @property
    def formula(self) -> str:
        """The first paragraph of backward's docstring."""
        text = (self.backward.__doc__ or "").strip()
        return " ".join(text.split("\n\n")[0].split())

    @property
    def place(self) -> str:
        """`file:line in backward`, or where the op was declared if backward is not Python."""
        return place_of(self.backward) or self.declared

    @property
    def place_of_forward(self) -> str:
        """The same for forward."""
        return place_of(self.forward) or self.declared

    def choices(self, shapes: Sequence[Shape]) -> dict[str, Sequence[Any]]:
        """The choices for every param, given the input shapes; raises DeclarationError."""
        return {name: self._choices(name, c, shapes) if callable(c) else c for name, c in self.params.items()}

    def run(self, inputs: Sequence[Array], params: Mapping[str, Any]) -> Outputs:
        """Call forward; whatever it raises, or what it returns does when it is looked at, passes as an Exception."""
        return call(self._run, inputs, params)  # type: ignore[no-any-return]

    def _run(self, inputs: Sequence[Array], params: Mapping[str, Any]) -> Outputs:
        result = self.forward(*inputs, **params)
        several = isinstance(result, (tuple, list))
        return Outputs(tuple(np.asarray(r) for r in (result if several else (result,))), several)

    # Validation: one method per field.

    def _valid_name(self) -> str:
        name = self.name or name_of(self.forward)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self._refuse(
                f"{name!r} is no name for an op", 'give it one of letters, digits, "_", "-" and ".": name="my_op"'
            )
        return name

    def _valid_signature(self) -> Signature:
        if isinstance(self.signature, Signature):
            return self.signature
        if not isinstance(self.signature, str):
            self._refuse(f"signature is {self.signature!r}, not a string", 'write for instance "(n,k),(k,m)->(n,m)"')
        try:
            return parse(self.signature)
        except ValueError as error:
            self._refuse(str(error))

    def _input_names(self) -> tuple[str, ...]:
        """What the author calls the inputs: backward's names first, since forward may be NumPy's (x1, x2)."""
        count = len(self.gufunc.inputs)
        for function, skip in ((self.backward, 2), (self.forward, 0)):
            names = (positional_names(function) or [])[skip : skip + count]
            if len(names) == count:
                return tuple(names)
        return tuple(f"x{i}" for i in range(count))

    def _valid_params(self) -> Mapping[str, Choices]:
        if not isinstance(self.params, Mapping):
            self._refuse(f"params is {self.params!r}", 'write a dict of choices: params={"axis": [0, 1]}')
        for name, choices in self.params.items():
            if not callable(choices) and (isinstance(choices, (str, bytes)) or not isinstance(choices, Iterable)):
                self._refuse(
                    f"params[{name!r}] is {choices!r}", f"write a list of choices: {{{name!r}: [{choices!r}]}}"
                )
        listed = {name: choices if callable(choices) else list(choices) for name, choices in self.params.items()}
        for name, choices in listed.items():
            if not callable(choices) and not choices:
                self._refuse(f"params[{name!r}] is []", "write at least one choice")
        return listed

    def _choices(self, name: str, function: Callable[..., Sequence[Any]], shapes: Sequence[Shape]) -> list[Any]:
        try:
            return list(call(function, *shapes))
        except Exception as error:  # It is somebody's function.
            self._refuse(
                f"params[{name!r}] of the shapes {', '.join(map(show, shapes))}: {describe(error)}",
                "a function of the input shapes must return a list of choices",
            )

    def _valid_domains(self) -> tuple[Domain, ...]:
        count = len(self.gufunc.inputs)
        if isinstance(self.domain, str) or not isinstance(self.domain, (Domain, Iterable)):
            self._refuse(f"domain is {self.domain!r}", "write for instance domain=REAL, or one domain for each input")
        domains = (self.domain,) * count if isinstance(self.domain, Domain) else tuple(self.domain)
        if len(domains) != count or not all(isinstance(d, Domain) for d in domains):
            self._refuse(
                f"domain has {len(domains)} entries, but the signature {self.gufunc.text} has {count} inputs",
                "give one domain for all inputs or one for each",
            )
        known = {d.name for operand in self.gufunc.inputs for d in operand.dimensions}
        for domain in domains:
            if isinstance(domain, Index) and domain.dimension not in known:
                self._refuse(
                    f"{domain} names a dimension that the signature {self.gufunc.text} does not have",
                    f"choose one of {', '.join(sorted(known)) or '(there are none)'}",
                )
        return domains

    def _valid_loops(self) -> bool | None:
        if self.loops not in (True, False, None):
            self._refuse(f"loops is {self.loops!r}", "write loops=True or loops=False")
        if self.loops and not self.gufunc.has_loops:
            self._refuse(
                f"loops=True, but {self.gufunc.text} has no room for loop dimensions",
                "write a signature with an arrow and without (...)",
            )
        # Broadcasting is what an elementwise signature or a `?` is about: its author means loop dimensions.
        implied = self.gufunc.elementwise or bool(self.gufunc.optional and self.gufunc.has_loops)
        return True if self.loops is None and implied else self.loops

    def _valid_differentiable(self) -> tuple[bool, ...]:
        if self.differentiable is None:
            return tuple(domain.differentiable for domain in self.domains)
        if isinstance(self.differentiable, str) or not isinstance(self.differentiable, Iterable):
            self._refuse(
                f"differentiable is {self.differentiable!r}",
                f"give names out of {', '.join(self.names)}, or one True or False for each",
            )
        wanted = list(self.differentiable)
        if all(isinstance(w, str) for w in wanted):
            unknown = [w for w in wanted if w not in self.names]
            if unknown:
                self._refuse(f"differentiable names {unknown[0]!r}", f"the inputs are {', '.join(self.names)}")
            return tuple(name in wanted for name in self.names)
        if len(wanted) != len(self.names) or not all(isinstance(w, bool) for w in wanted):
            self._refuse(
                f"differentiable is {self.differentiable!r}",
                f"give names out of {', '.join(self.names)}, or one True or False for each",
            )
        return tuple(bool(w) for w in wanted)

    def _check_extras(self) -> None:
        for name, domain, wanted in zip(self.names, self.domains, self.differentiable or (), strict=True):
            if wanted and not domain.differentiable:
                self._refuse(
                    f"{name} is differentiable, but its domain is {domain}", "give it a domain of real numbers"
                )
        if self.jvp is not None and not callable(self.jvp):
            self._refuse(f"jvp is {self.jvp!r}, not a function", "leave it out, or give a function")
        if self.overloads is not None and not isinstance(self.overloads, Mapping):
            self._refuse(f"overloads is {self.overloads!r}", "write a dict of NumPy functions")

    def _valid_dtypes(self) -> tuple[str, ...]:
        if self.dtypes == ():
            return DTYPES[:2]
        dtypes = self.dtypes if isinstance(self.dtypes, (tuple, list)) else (self.dtypes,)
        try:
            names = tuple(np.dtype(d).name for d in dtypes)
        except TypeError:
            names = ()
        if not names or not set(names) <= set(DTYPES):
            self._refuse(f"dtypes is {self.dtypes!r}", f"choose from {', '.join(DTYPES)}")
        if SPD in self.domains and any(name.startswith("complex") for name in names):
            self._refuse(f"dtypes is {self.dtypes!r}, but {SPD} is of real matrices", "give it another domain")
        return names

    def _valid_sample(self, sample: Any) -> Sample:
        if isinstance(sample, Sample):
            return sample
        entries = tuple(sample) if isinstance(sample, (tuple, list)) else (sample,)
        with_params = bool(entries) and isinstance(entries[-1], Mapping)
        params = dict(entries[-1]) if with_params else {}
        inputs = tuple(np.asarray(x) for x in (entries[:-1] if with_params else entries))
        if len(inputs) != len(self.names):
            self._refuse(
                f"a sample has {len(inputs)} inputs, but the op has {len(self.names)}",
                f"write ({', '.join(self.names)}) or ({', '.join(self.names)}, {{param: value}})",
            )
        unknown = sorted(set(params) - set(self.params))
        if unknown:
            self._refuse(f"a sample gives {unknown[0]!r}, which is not among params", "declare it in params=")
        for name, x in zip(self.names, inputs, strict=True):
            if x.dtype.kind not in "fciub":
                self._refuse(f"{name} of a sample is {x.tolist()!r}", "write numbers")
            if x.dtype.kind == "c" and not any(dtype.startswith("complex") for dtype in self.dtypes):
                self._refuse(f"{name} of a sample is complex", 'write real numbers, or add "complex128" to dtypes=')
        try:
            self.gufunc.bind([x.shape for x in inputs], self.names)
        except ShapeError as error:
            self._refuse(f"a sample does not fit: {error}", "write arrays of shapes that the signature allows")
        return Sample(inputs, params)

    def _check_calls(self) -> None:
        keywords = list(self.params)
        tail = "".join(f", {name}" for name in keywords)
        inputs = ", ".join(self.names)
        problem = call_error(self.forward, len(self.names), keywords)
        if problem:
            self._refuse(
                f"forward cannot be called as {name_of(self.forward)}({inputs}{tail}): {problem}",
                f"the signature {self.gufunc.text} has {len(self.names)} inputs",
            )
        problem = call_error(self.backward, 2 + len(self.names), keywords)
        if problem:
            self._refuse(
                f"backward cannot be called as {name_of(self.backward)}(grad, out, {inputs}{tail}): {problem}",
                f"write def {name_of(self.backward)}(grad, out, {inputs}{tail})",
            )

    def _set(self, field_name: str, value: Any) -> None:
        object.__setattr__(self, field_name, value)

    def _refuse(self, problem: str, advice: str = "") -> NoReturn:
        name = self.name if isinstance(self.name, str) and self.name else name_of(self.forward)
        where = f"{self.declared}: " if self.declared else ""
        raise DeclarationError(f"{where}op {name}: {problem}" + (f"; {advice}" if advice else ""))
