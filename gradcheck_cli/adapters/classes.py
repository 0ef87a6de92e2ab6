"""Classes with forward and backward methods: state on self, gradients returned or left in self.dW, self.grads ..."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gradcheck_cli.adapters.building import build, differentiated, entry_of
from gradcheck_cli.adapters.calls import Call, decide, leading, named_backward, spoken_call, undecided
from gradcheck_cli.adapters.given import Given, Scope, Target
from gradcheck_cli.adapters.inputs import (  # fmt: skip
    Inputs,
    accepted,
    array_names,
    example,
    operand_count,
    parameters,
    positional,
    tried,
)
from gradcheck_cli.adapters.learning import learn
from gradcheck_cli.adapters.objects import Run
from gradcheck_cli.adapters.pairs import dialect_of
from gradcheck_cli.adapters.values import promises_gradients
from gradcheck_cli.adapters.words import RATES, is_cotangent, is_loss, listed, methods_named
from gradcheck_cli.errors import UsageError
from gradcheck_cli.op import Op
from gradcheck_cli.source import place_of


def find(scope: Scope) -> Iterator[Target]:
    """Every class of the module that has a forward and a backward, or both in one; its own, or inherited."""
    for name, value in scope:
        methods = methods_of(value) if inspect.isclass(value) else None
        if methods is not None and not any(map(_is_abstract, methods)):
            yield Target(name, "a class", place_of(methods[1]) or "", Layer(value, methods[0], methods[1]).op)


def methods_of(cls: type) -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """Its forward and backward, as plain functions; None where it lacks one. _bwd may be a part of backward.

    Both are the same where it returns a value and its gradients: loss(X, y) -> loss, grads.
    """
    own = sorted((n for n in dir(cls) if n == "__call__" or not n.startswith("__")), key=_is_private)
    names = methods_named(own, backward=False), methods_named(own, backward=True)
    found = [inspect.getattr_static(cls, name) if name else None for name in names]
    functions = [getattr(f, "__func__", f) for f in found]
    if names[1] is None and inspect.isfunction(functions[0]) and promises_gradients(functions[0]):
        functions[1] = functions[0]
    if not all(inspect.isfunction(f) for f in functions):
        return None
    return functions[0], functions[1]  # type: ignore[return-value]


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


_NOTHING = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}


def _is_abstract(method: Callable[..., Any]) -> bool:
    """Whether a method only says that a subclass should have one: it raises NotImplementedError, or does nothing."""
    raises = "NotImplementedError" in method.__code__.co_names
    return raises or {step.opname for step in dis.get_instructions(method)} <= _NOTHING


@dataclass(frozen=True)
class Layer:
    """A class of somebody's."""

    cls: type
    forward: Callable[..., Any]
    backward: Callable[..., Any]

    def op(self, given: Given) -> Op:
        """The op; raises UsageError where what is given does not fit."""
        run = Run(self.cls, self.forward.__name__, self.backward.__name__, dialect_of(self.cls, given))
        forward, built = parameters(run.bound(self.forward)), parameters(self.cls)
        run.forward_params, run.built_params = accepted(forward, given), accepted(built, given)
        run.arrays, run.built_arrays = _array_names(forward, built, given)
        run.leading = leading(forward, run.forward_params, len(run.arrays))
        names = (*run.arrays, *run.built_arrays)
        params = {**run.forward_params, **run.built_params, **accepted(parameters(run.bound(self.backward)), given)}
        inputs = example(names[: len(given.arrays)] if given.arrays else names, _without_known(given, names), params)
        returned, inputs = tried(run.raw, inputs)
        run.call = self._call(run, returned, inputs, given)
        learn(run, inputs)
        inputs = self._with_parameters(run, inputs, given)
        run.names, run.wanted = inputs.names, _wanted(run, inputs)
        return build(
            self.cls.__name__,
            run.outputs,
            run.gradients,
            inputs,
            given,
            theirs=(self.forward, self.backward),
            taken_for=run.described(inputs),
            differentiable=run.wanted,
            notes=run.notes,
        )

    def _call(self, run: Run, returned: Any, inputs: Inputs, given: Given) -> Call:
        """How to call backward: by names, as for a pair, but that the only argument is the upstream gradient."""
        known = list(inputs.params)
        if self.forward is self.backward:
            return Call((), 1, (), 0)
        if given.call:
            return spoken_call(given.call, run.arrays, known, returned)
        free = [p for p in positional(parameters(run.bound(self.backward))) if not RATES.fullmatch(p.name)]
        run.rates = [p.name for p in positional(parameters(run.bound(self.backward))) if RATES.fullmatch(p.name)]
        required = [p.name for p in free if p.default is p.empty] or [p.name for p in free][:1]
        if not required:
            return Call((), _several(returned), (), 0)
        backward = run.bound(self.backward, without=run.rates)
        if len(required) == 1 and required[0] not in run.arrays:
            if is_cotangent(required[0]) or named_backward(backward):
                return Call((("dout", 0),), _several(returned), (required[0],), 1)
            if run.remembers(inputs):  # grad(x) may be the slope at x, or be handed what came back through the output.
                raise UsageError(undecided(backward, required, [], run.arrays))
        return decide(run.bound(self.forward), backward, returned, run.arrays, known)

    def _with_parameters(self, run: Run, inputs: Inputs, given: Given) -> Inputs:
        """The inputs with what the object made itself and has gradients of, behind them."""
        own = {place.name: run.own_values[place.name] for place in run.places if place.name not in inputs.names}
        if not own:
            return inputs
        names = (*run.arrays, *run.built_arrays)
        whole = example(names, _without_known(given, names), inputs.params, own)
        domains = (*inputs.domains, *whole.domains[len(names) :])
        arrays = whole.arrays if given.arrays else (*inputs.arrays, *whole.arrays[len(names) :])
        return replace(whole, domains=domains, arrays=arrays)


def _several(returned: Any) -> int | None:
    return None if isinstance(returned, (tuple, list)) else 1


def _without_known(given: Given, names: Sequence[str]) -> Given:
    """What a replay gives, without what the object makes itself."""
    if not given.arrays:
        return given
    return replace(given, shapes=given.shapes[: len(names)])


def _array_names(
    forward: Sequence[inspect.Parameter], built: Sequence[inspect.Parameter], given: Given
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The arrays among the arguments of forward, and among those of the constructor: these come behind them."""
    needed = [p.name for p in positional(built) if p.default is p.empty and p.name not in given.params]
    count = operand_count(given)
    if count is None:
        needs = f"; and --param for what its constructor takes: {listed(needed)}" if needed else ""
        try:
            array_names(forward, given, None)
        except UsageError as error:
            raise UsageError(f"{error}{needs}") from None
    assert count is not None
    free = [p for p in positional(forward) if p.name not in given.params]
    required = [p.name for p in free if p.default is p.empty]
    own = sum(p.kind is p.VAR_POSITIONAL for p in forward)
    if count >= len(required) + len(needed) and needed:
        return array_names(forward, given, count - len(needed)), tuple(needed)
    if needed:
        raise UsageError(
            f"its constructor takes {listed(needed)}: give {'a value each' if len(needed) > 1 else 'a value'}, "
            f"--param {needed[0]}=..., or a shape each behind those of forward ({listed(required)})"
        )
    if given.arrays and not own:  # A replay: what is more than forward takes is what the object makes itself.
        return tuple(p.name for p in free[: max(len(required), 1)]), ()
    return array_names(forward, given, count), ()


def _wanted(run: Run, inputs: Inputs) -> list[str]:
    """The inputs of which there are gradients."""
    behind = [n for n in inputs.names if n not in run.arrays and n not in run.data]
    first = replace(
        inputs, names=run.arrays, arrays=inputs.arrays[: len(run.arrays)], domains=inputs.domains[: len(run.arrays)]
    )
    if run.in_order:
        return [n for n in inputs.names if n not in inputs.integers]
    if isinstance(run.returned, Mapping) and run.own_values:  # Of its parameters, as to be learned; rarely more.
        return [n for n in run.arrays if entry_of(run.returned, n) is not None] + behind
    returned = run.returned if run.returned is not None else tuple(first.names)
    of_loss = any(is_loss(base.__name__) for base in run.cls.__mro__)
    return [*differentiated(first, returned, of_loss), *behind]
