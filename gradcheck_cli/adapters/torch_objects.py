"""torch.autograd.Functions, nn.Modules (classes and objects) and custom ops of torch.library."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gradcheck_cli.adapters.building import build, differentiated
from gradcheck_cli.adapters.calls import leading, spread
from gradcheck_cli.adapters.dialect import mentions
from gradcheck_cli.adapters.given import Given, Scope, Target
from gradcheck_cli.adapters.inputs import (
    Inputs,
    accepted,
    array_names,
    example,
    parameters,
    positional,
    tried,
)
from gradcheck_cli.adapters.tensors import Differentiable, outward, torch
from gradcheck_cli.adapters.words import is_loss, listed
from gradcheck_cli.errors import UsageError, describe
from gradcheck_cli.foreign import call
from gradcheck_cli.op import Array, Op
from gradcheck_cli.source import place_of

Function = Callable[..., Any]


def find(scope: Scope) -> Iterator[Target]:
    """Every Function, module and custom op of the file."""
    for name, value in scope:
        if inspect.isclass(value) and issubclass(value, torch().autograd.Function):
            if "backward" in vars(value) or "vjp" in vars(value):
                found = _target(name, "a torch.autograd.Function", _backward_of(value), _function_op, value)
                yield replace(found, aliases=_applied(scope, value))
        elif _is_module(value):
            yield _target(name, "an nn.Module", value.forward, _module_op, value)
        elif isinstance(value, torch().nn.Module):
            yield _target(name, "an nn.Module", type(value).forward, _module_op, value)
        elif type(value).__name__ == "CustomOpDef":
            yield _target(name, "a custom op of torch.library", _written(value), _custom_op, value)


def _applied(scope: Scope, cls: Any) -> frozenset[str]:
    """The names of the file that stand for a Function: swish = Swish.apply."""
    values = vars(scope.module).items()
    return frozenset(n for n, v in values if getattr(v, "__self__", None) is cls and v.__name__ == "apply")


def _is_module(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, torch().nn.Module)


def traced_op(name: str, function: Function, given: Given, what: str, shown: tuple[Function, Function]) -> Op:
    """An op of a function over tensors, differentiated by torch or by its own Function."""
    params = parameters(function)
    front = leading(params, accepted(params, given), len(array_names(params, given)))

    def called(*tensors: Any, **kwargs: Any) -> Any:
        values, named = spread(tensors, kwargs, front)
        return function(*values, **named)

    return _op(name, Differentiable(called, given), params, given, what, shown)


def _target(name: str, what: str, shown: Function, make: Callable[..., Op], value: Any) -> Target:
    return Target(name, what, place_of(shown) or "", lambda given: make(name, value, given))


def _backward_of(cls: Any) -> Function:
    found: Function = vars(cls).get("backward", vars(cls).get("vjp"))
    return getattr(found, "__func__", found)


def _function_op(name: str, cls: Any, given: Given) -> Op:
    """apply takes positional arguments alone, and forward's own parameters say which these are."""
    forward: Function = cls.forward
    own = any("setup_context" in vars(base) for base in cls.__mro__[: cls.__mro__.index(torch().autograd.Function)])
    params = parameters(forward)[0 if own else 1 :]
    order = [p.name for p in positional(params)]
    defaults = {p.name: p.default for p in params if p.default is not p.empty}
    arrays = array_names(params, given)

    def applied(*tensors: Any, **kwargs: Any) -> Any:
        values = {**defaults, **copy.deepcopy(kwargs), **dict(zip(arrays, tensors, strict=False))}
        extra = tensors[len(order) :]  # of *tensors
        return cls.apply(*(values[n] for n in order if n in values), *extra)

    what = f"a torch.autograd.Function, {name}.apply({listed(arrays)}); gradients as its backward returns them"
    run = Differentiable(applied, given)
    run.in_place = mentions(cls, frozenset({"mark_dirty"}))
    return _op(name, run, params, given, what, (forward, _backward_of(cls)))


def _written(definition: Any) -> Function:
    """The Python function that became a custom op."""
    function: Function = definition._init_fn  # noqa: SLF001 (there is no other door to it)
    return function


def _custom_op(name: str, definition: Any, given: Given) -> Op:
    function = _written(definition)
    params = parameters(function)
    what = f"a custom op of torch.library, {listed(array_names(params, given))}; gradients as its backward returns them"
    return _op(name, Differentiable(definition, given), params, given, what, (function, function))


def _module_op(name: str, value: Any, given: Given) -> Op:
    """The arrays of forward, then the parameters of the module, which keep their shapes."""
    module = _built(value, given) if inspect.isclass(value) else value
    module = copy.deepcopy(module).double()
    places = {key.replace(".", "_"): key for key, p in module.named_parameters() if p.requires_grad}
    params = parameters(module.forward)
    built = accepted(parameters(value), given) if inspect.isclass(value) else {}
    known = {key: outward(module.get_parameter(path)) for key, path in places.items()}
    short = _without(given, len(known))
    arrays = array_names(params, short)
    bodies: dict[Any, Any] = {}

    def applied(*tensors: Any, **kwargs: Any) -> Any:
        kind = tensors[0].device, next((t.dtype for t in tensors if t.is_floating_point()), torch().float64)
        if kind not in bodies:
            bodies[kind] = copy.deepcopy(module).to(*kind)
        body = bodies[kind]
        own = dict(zip(places.values(), tensors[len(arrays) :], strict=True))
        state = {**own, **{k: b.clone() for k, b in body.named_buffers()}}
        mine = {k: copy.deepcopy(v) for k, v in kwargs.items() if k not in built}
        return torch().func.functional_call(body, state, tensors[: len(arrays)], mine)

    what = f"an nn.Module, forward({listed(arrays)})" + (f"; parameters {listed(list(known))}" if known else "")
    shown = (type(module).forward, type(module).forward)
    return _op(name, Differentiable(applied, given), params, given, what, shown, known, built)


def _built(cls: Any, given: Given) -> Any:
    """An object of a module class, by --param; raises UsageError where these are too few."""
    params = parameters(cls)
    chosen = accepted(params, given)
    needed = [p.name for p in positional(params) if p.default is p.empty and p.name not in chosen]
    if needed:
        raise UsageError(f"its constructor takes {listed(needed)}: give --param {needed[0]}=...")
    try:
        return call(cls, **copy.deepcopy(chosen))
    except Exception as error:  # It is somebody's constructor.
        raise UsageError(f"it cannot be built: {describe(error)}") from None


def _without(given: Given, count: int) -> Given:
    """What a replay gives, without the parameters that the module has itself."""
    return replace(given, shapes=given.shapes[: len(given.shapes) - count]) if given.arrays and count else given


def _op(
    name: str,
    run: Differentiable,
    params: Sequence[inspect.Parameter],
    given: Given,
    what: str,
    shown: tuple[Function, Function],
    known: Mapping[str, Array] | None = None,
    built: Mapping[str, Any] | None = None,
) -> Op:
    short = _without(given, len(known or {}))
    arrays = array_names(params, short)
    inputs: Inputs = example(arrays, short, {**accepted(params, given), **(built or {})}, known)
    try:
        inputs = run.learn(inputs)
    except Exception:  # Integers may be wanted; else this says what was raised.
        _, inputs = tried(run.outputs, inputs)
        inputs = run.learn(inputs)
    wanted = differentiated(inputs, run.tried(inputs), is_loss(name))
    run.wanted = [inputs.names.index(n) for n in wanted]
    return build(
        name,
        run.outputs,
        run.gradients,
        inputs,
        given,
        theirs=shown,
        taken_for=what,
        differentiable=wanted,
        dtypes=("float32",) if run.singles else (),
    )
