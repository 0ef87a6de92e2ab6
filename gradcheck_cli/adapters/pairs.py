"""Pairs of functions in a module: f_forward and f_backward, f and df, fun and jac ...; with a cache or without."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from gradcheck_cli.adapters.building import build, differentiated, gradients_of, strays
from gradcheck_cli.adapters.calls import Call, Leading, decide, leading, spoken_call, spread
from gradcheck_cli.adapters.derivatives import SLOPE, entries_of, is_of, kind_of, pulled_back, unstacked
from gradcheck_cli.adapters.dialect import NUMPY, Dialect, Steady, spoken_by
from gradcheck_cli.adapters.given import Given, Scope, Target
from gradcheck_cli.adapters.inputs import (
    Inputs,
    accepted,
    array_names,
    attempt,
    example,
    parameters,
    tried,
)
from gradcheck_cli.adapters.words import NAMELESS, essence, is_loss, is_orphan, is_target, stem_of
from gradcheck_cli.errors import UsageError
from gradcheck_cli.foreign import call, quiet
from gradcheck_cli.op import Op
from gradcheck_cli.source import name_of, place_of

Function = Callable[..., Any]
_HESSP = ("p", "d", "v", "vec", "u")


def find(scope: Scope) -> Iterator[Target]:
    """Every backward in the module that has a forward beside it."""
    functions = {name: value for name, value in scope if is_plain(value)}
    for name, backward in functions.items():
        partner = _partner(name, functions)
        if partner is None:
            if is_orphan(name):
                refuse = partial(_refuse, scope.where, name)
                yield Target(name, "a gradient", place_of(backward) or "", refuse, parts=("its_forward", name))
            continue
        stem, role = stem_of(name)
        found = target_of(title_of(partner, name), functions[partner], backward, role)
        yield replace(found, aliases=frozenset({partner, name, stem}), parts=(partner, name))


def _refuse(where: str, name: str, _given: Given) -> Op:
    raise UsageError(f"cannot tell what it is the gradient of; write {where}::its_forward,{name}")


def target_of(name: str, forward: Function, backward: Function, role: str = "") -> Target:
    """A forward and its backward; `role` is "hessp" for a product with the Hessian, where names do not say it."""
    role = role or stem_of(name_of(backward))[1]
    pair = Pair(name, forward, backward, _HESSP if role == "hessp" else ())
    what = f"a pair: {name_of(forward)} and {name_of(backward)}"
    return Target(name, what, place_of(backward) or "", pair.op)


def is_plain(value: Any) -> bool:
    """Whether something is a function of the user's, and nothing that a framework made."""
    return inspect.isfunction(value) or (
        callable(value) and not inspect.isclass(value) and hasattr(value, "__wrapped__")
    )


def title_of(forward: str, backward: str) -> str:
    """What a pair is called: what its names have in common, or else as its forward; a Hessian as itself."""
    stem, role = stem_of(backward)
    if role in ("hessian", "hessp"):
        return backward
    common = stem_of(forward)[0]
    return _as_written(stem if stem and stem == common else forward, forward, backward)


def _as_written(stem: str, forward: str, backward: str) -> str:
    """The stem as the user wrote it: words_of has made all of it lower-case."""
    for name in (forward, backward):
        for start in range(len(name)):
            part = name[start : start + len(stem)]
            if part.lower() == stem:
                return part
    return stem


def _partner(name: str, functions: Mapping[str, Function]) -> str | None:
    """The name of the function that `name` is the derivative of."""
    stem, role = stem_of(name)
    others = {other: stem_of(other) for other in functions if other != name}
    if role in ("hessian", "hessp"):  # Of the gradient, which is a vector function.
        return next((other for other, key in others.items() if key == (stem, "backward")), None)
    if role == "backward" and stem:
        exact = [other for wanted in ("forward", "") for other, key in others.items() if key == (stem, wanted)]
        return exact[0] if exact else _nearly(stem, others)
    if role == "backward":
        known = [other for stem in NAMELESS for other, key in others.items() if key in ((stem, "forward"), (stem, ""))]
        taken = _names(functions[name])
        alike = [other for other in known if _names(functions[other]) == taken]
        return next(iter(alike or known), None)
    # df, dsigmoid and d_f_dx: d before the name of a function.
    bare = re.sub(r"_d_?[a-z]$", "", name[1:].lstrip("_")) if name.startswith("d") else ""
    return bare if bare in functions and bare != name else None


def _names(function: Function) -> list[str]:
    return [p.name for p in parameters(function)]


def _nearly(stem: str, others: Mapping[str, tuple[str, str]]) -> str | None:
    """The only forward that says more, mse_loss for mse_grad; for compute_gradient, compute_cost."""
    wanted = essence(stem, kinds=False)
    forwards = [(other, its) for other, (its, role) in others.items() if role in ("forward", "")]
    found = [
        other for other, its in forwards if essence(its, kinds=bool(wanted)) in ((wanted,) if wanted else NAMELESS)
    ]
    return found[0] if len(found) == 1 else None


@dataclass(frozen=True)
class Pair:
    """Two functions of somebody's; `cotangents` are names that stand for the upstream gradient in this pair alone."""

    name: str
    forward: Function
    backward: Function
    cotangents: Sequence[str] = ()
    what: str = ""  # where it is no pair, what it is

    def op(self, given: Given) -> Op:
        """The op; raises UsageError where what is given does not fit, or no convention can be told."""
        dialect = dialect_of(self.forward, given)
        params = {**accepted(parameters(self.forward), given)}
        also = {k: v for k, v in accepted(parameters(self.backward), given).items() if k not in params}
        names = array_names(parameters(self.forward), given)
        front = leading(parameters(self.forward), params, len(names))
        run = _Run(self.forward, self.backward, dialect, tuple(params), tuple(also), front)
        inputs = example(names, given, {**params, **also})
        returned, inputs = tried(run.raw, inputs)
        known = list(inputs.params)
        how = (
            spoken_call(given.call, inputs.names, known, returned)
            if given.call
            else decide(self.forward, self.backward, returned, inputs.names, known, self.cotangents)
        )
        run = _Run(self.forward, self.backward, dialect, tuple(params), tuple(also), front, how)
        wanted, kind = run.learn(inputs)
        run.wanted, run.names = wanted, inputs.names
        what = self.what or f"a pair, {name_of(self.forward)} and {name_of(self.backward)}"
        taken = f"{what}: {how.described(name_of(self.forward), inputs.names)}"
        taken += f"; it returns {kind}" if kind else ""
        if kind == SLOPE and how.roles == (("input", 0),):  # 1 - a * a looks like a slope at the input a.
            taken += f" (if {how.names[0]} is the output: --call out)"
        return build(
            self.name,
            run.outputs,
            run.gradients,
            inputs,
            given,
            theirs=(self.forward, self.backward),
            taken_for=taken,
            differentiable=wanted,
            notes=run.notes,
        )


class _Run:
    """Calls forward and backward as they want to be called."""

    def __init__(
        self,
        forward: Function,
        backward: Function,
        dialect: Dialect,
        params: tuple[str, ...],
        also: tuple[str, ...],
        leading: Leading = (),
        how: Call | None = None,
    ) -> None:
        self.forward, self.backward, self.dialect, self.how = forward, backward, dialect, how
        self.params, self.also, self.leading = params, also, leading
        self.pulls = False  # whether backward returns the function that wants the upstream gradient
        self.wanted: Sequence[str] = ()
        self.names: Sequence[str] = ()
        self.notes: Sequence[str] = ()
        self.steady = Steady(how is None or how.takes_state)

    def raw(self, *arrays: Any, **params: Any) -> Any:
        """What forward itself returns, in its own dialect."""
        mine = copy.deepcopy({k: v for k, v in params.items() if k in self.params})
        with self.steady, self.dialect.around():
            values, mine = spread([self.dialect.inward(x) for x in arrays], mine, self.leading)
            return call(self.forward, *values, **mine)

    def outputs(self, *arrays: Any, **params: Any) -> Any:
        """The outputs alone."""
        assert self.how is not None
        return self.dialect.everything_outward(self.how.outputs_of(self.raw(*arrays, **params)))

    def gradients(self, grad: Any, out: Any, /, *arrays: Any, **params: Any) -> Any:
        """What backward returns, or the upstream gradient times its derivative."""
        answer = self.answer(grad, out, *arrays, **params)
        answer = self.dialect.everything_outward(answer)
        if self.finished:
            return gradients_of(answer, self.names, self.wanted)
        if isinstance(answer, Mapping):
            answer = gradients_of(answer, self.names, self.wanted)
        positions = [list(self.names).index(name) for name in self.wanted]
        entries = unstacked(entries_of(answer, len(self.wanted)), out, [arrays[p] for p in positions])
        if len(entries) != len(positions):
            return tuple(entries)
        return tuple(pulled_back(grad, e, arrays[p]) for e, p in zip(entries, positions, strict=True))

    def answer(self, grad: Any, out: Any, /, *arrays: Any, **params: Any) -> Any:
        """What backward returns, in its own dialect."""
        assert self.how is not None
        inward = self.dialect.inward
        returned = self.raw(*arrays, **params) if self.how.takes_state else None
        several = isinstance(grad, tuple)
        grad, out = (tuple(map(inward, v)) if several else inward(v) for v in (grad, out))
        params = copy.deepcopy(params)
        values, named = self.how.arguments(grad, out, returned, [inward(x) for x in arrays], params)
        mine = {k: v for k, v in params.items() if k in self.also and k not in self.how.names}
        with self.dialect.around():
            answer = call(self.backward, *values, **named, **mine)
            # y, pullback = f_vjp(x), as in JAX.
            self.pulls = isinstance(answer, tuple) and len(answer) == 2 and callable(answer[1])
            return call(answer[1], grad) if self.pulls else answer

    @property
    def finished(self) -> bool:
        """Whether the upstream gradient is in what backward returns."""
        return self.pulls or (self.how is not None and self.how.takes_cotangent)

    def learn(self, inputs: Inputs) -> tuple[list[str], str]:
        """Which inputs the gradients are of, and what kind of derivative they are, from one call with ones."""
        out = attempt(self.outputs, inputs)
        several = isinstance(out, (tuple, list))
        ones = tuple(map(_ones, out)) if several else _ones(out)
        arrays, params = inputs.fresh()
        try:
            with quiet():
                answer = self.dialect.everything_outward(self.answer(ones, _arrays(out), *arrays, **params))
        except Exception as error:  # A finding of the check, if it is not ours.
            if isinstance(error, UsageError):
                raise error from None
            return differentiated(inputs, (), False), ""
        self.notes = strays(answer, inputs.names)
        if self.finished:
            return differentiated(inputs, answer, is_loss(name_of(self.forward))), ""
        continuous = {n: x for n, x in zip(inputs.names, inputs.arrays, strict=True) if n not in inputs.integers}
        arrays = list(continuous.values())
        entries = answer if isinstance(answer, Mapping) else unstacked(entries_of(answer, len(arrays)), out, arrays)
        wanted = differentiated(inputs, entries, is_loss(name_of(self.forward)) or np.size(out) == 1)
        first = next((n for n in continuous if not is_target(n, of_loss=True)), "")
        if (
            isinstance(answer, np.ndarray)
            and len(wanted) > len(entries)
            and first
            and is_of(answer, out, continuous[first])
        ):
            wanted = [first]  # As in scipy.optimize: what else a function takes is its data.
        shown = [inputs.arrays[inputs.names.index(n)] for n in wanted]
        return wanted, kind_of(out, entries if isinstance(entries, list) else [], shown)


def _ones(value: Any) -> Any:
    y = np.asarray(value)
    return np.ones(y.shape, y.dtype if y.dtype.kind in "fc" else np.float64)


def _arrays(out: Any) -> Any:
    return tuple(np.asarray(y) for y in out) if isinstance(out, (tuple, list)) else np.asarray(out)


def dialect_of(function: Any, given: Given) -> Dialect:
    """The dialect of a function's arrays."""
    spoken = spoken_by(function)
    if spoken == "torch":
        from gradcheck_cli.adapters.tensors import dialect

        return dialect(given)
    if spoken == "jax":
        from gradcheck_cli.adapters.jaxes import DIALECT

        return DIALECT
    return NUMPY
