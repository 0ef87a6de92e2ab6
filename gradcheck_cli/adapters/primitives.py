"""HIPS autograd: primitives with defvjp, and plain functions over autograd.numpy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from gradcheck_cli.adapters.building import build
from gradcheck_cli.adapters.calls import leading, spread
from gradcheck_cli.adapters.given import Given, Scope, Target
from gradcheck_cli.adapters.inputs import accepted, array_names, example, parameters, tried
from gradcheck_cli.foreign import call
from gradcheck_cli.op import Op
from gradcheck_cli.source import place_of


def find(scope: Scope) -> Iterator[Target]:
    """Every primitive of the file."""
    for name, value in scope:
        if getattr(value, "_is_autograd_primitive", False) and hasattr(value, "fun"):
            yield Target(name, "a primitive of autograd", place_of(value.fun) or "", _Primitive(name, value))


class _Primitive:
    """Makes the op of a primitive when it is asked for."""

    def __init__(self, name: str, function: Any) -> None:
        self.name, self.function = name, function

    def __call__(self, given: Given) -> Op:
        """The op; raises UsageError where what is given does not fit."""
        return traced_op(self.name, self.function, given, "a primitive of autograd, with its own rule")


def traced_op(name: str, function: Callable[..., Any], given: Given, what: str) -> Op:
    """An op of a function that autograd differentiates."""
    params = parameters(getattr(function, "fun", function))
    inputs = example(array_names(params, given), given, accepted(params, given))
    front = leading(params, inputs.params, len(inputs.names))

    def called(*arrays: Any, **kwargs: Any) -> Any:
        values, named = spread(arrays, kwargs, front)
        return function(*values, **named)

    _, inputs = tried(called, inputs)
    wanted = tuple(i for i, n in enumerate(inputs.names) if n not in inputs.integers)

    def gradients(grad: Any, _out: Any, /, *arrays: Any, **kwargs: Any) -> Any:
        autograd = sys.modules["autograd"]

        def of_wanted(chosen: Any) -> Any:
            every = list(arrays)
            for place, position in enumerate(wanted):
                every[position] = chosen[place]
            return called(*every, **kwargs)

        bundle = sys.modules["autograd.builtins"].tuple(tuple(arrays[i] for i in wanted))
        pull, _ = call(autograd.core.make_vjp, of_wanted, bundle)
        if isinstance(grad, tuple):
            grad = sys.modules["autograd.builtins"].tuple(grad)
        return tuple(call(pull, grad))

    shown = getattr(function, "fun", function)
    return build(name, called, gradients, inputs, given, theirs=(shown, shown), taken_for=what)
