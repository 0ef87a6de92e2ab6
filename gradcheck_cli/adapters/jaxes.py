"""JAX: functions with rules of their own (custom_vjp, custom_jvp), and plain functions over its arrays."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from gradcheck_cli.adapters.building import build
from gradcheck_cli.adapters.calls import Leading, leading, spread
from gradcheck_cli.adapters.dialect import Dialect
from gradcheck_cli.adapters.given import Given, Scope, Target
from gradcheck_cli.adapters.inputs import accepted, array_names, example, parameters, tried
from gradcheck_cli.adapters.words import listed
from gradcheck_cli.foreign import call
from gradcheck_cli.op import Array, Op
from gradcheck_cli.source import place_of


def _jax() -> Any:
    """The JAX that the user's file has imported."""
    return sys.modules["jax"]


def _doubles() -> Any:
    """JAX rounds to single precision unless it is told not to."""
    jax = _jax()
    enable = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    return enable(True)


def _inward(x: Array) -> Any:
    with _doubles():
        return _jax().numpy.asarray(x)


def _outward(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, _jax().Array) else value


DIALECT = Dialect("jax", _inward, _outward, _doubles)


def find(scope: Scope) -> Iterator[Target]:
    """Every custom_vjp and custom_jvp of the file."""
    for name, value in scope:
        kind = type(value).__name__
        if kind not in ("custom_vjp", "custom_jvp"):
            continue
        rule = getattr(value, "bwd", None) or getattr(value, "jvp", None)
        if rule is not None:
            what = "a jax." + kind
            yield Target(name, what, place_of(rule) or "", lambda given, n=name, v=value: _custom(n, v, given))  # type: ignore[misc]


def _custom(name: str, function: Any, given: Given) -> Op:
    """A function with its own rule, which is called as it stands: JAX would check, or cast, what it returns."""
    rule: Callable[..., Any] = getattr(function, "bwd", None) or function.jvp
    kind = type(function).__name__
    what = f"a jax.{kind}, gradients as {rule.__name__} returns them" if kind == "custom_vjp" else f"a jax.{kind}"
    return _op(name, function, given, what, (function.fun, rule))


def traced_op(name: str, function: Callable[..., Any], given: Given, what: str) -> Op:
    """An op of a plain function, differentiated by JAX."""
    return _op(name, function, given, what, (function, function))


def _op(name: str, function: Any, given: Given, what: str, shown: tuple[Callable[..., Any], Callable[..., Any]]) -> Op:
    params = parameters(getattr(function, "fun", function))
    arrays = array_names(params, given)
    run = _Run(function, arrays, params)
    run.leading = leading(params, given.params, len(arrays))
    inputs = example(arrays, given, accepted(params, given))
    _, inputs = tried(run.outputs, inputs)
    wanted = [n for n in inputs.names if n not in inputs.integers]
    run.wanted = [inputs.names.index(n) for n in wanted]
    taken = what.replace(f"a jax.{type(function).__name__}", f"a jax.{type(function).__name__} of {listed(arrays)}")
    return build(name, run.outputs, run.gradients, inputs, given, theirs=shown, taken_for=taken)


class _Run:
    """Calls a JAX function with NumPy arrays, in double precision where these are."""

    def __init__(self, function: Any, arrays: Sequence[str], params: Sequence[inspect.Parameter]) -> None:
        self.function, self.arrays, self.params = function, arrays, params
        self.wanted: list[int] = []
        self.leading: Leading = ()

    def outputs(self, *arrays: Any, **params: Any) -> Any:
        """The outputs, as arrays."""
        with _doubles():
            return DIALECT.everything_outward(self._called([_jax().numpy.asarray(x) for x in arrays], params))

    def gradients(self, grad: Any, _out: Any, /, *arrays: Any, **params: Any) -> tuple[Any, ...]:
        """One gradient per array that is differentiated. JAX's are conjugates of ours."""
        with _doubles():
            inward = [_jax().numpy.asarray(x) for x in arrays]
            cotangent = tuple(map(_conjugate, grad)) if isinstance(grad, tuple) else _conjugate(grad)
            if self._by_own_rule():
                found = self._pulled_by_rule(inward, params, cotangent)
            else:
                found = self._pulled(inward, params, cotangent)
            return tuple(_back(g) for g in found)

    def _by_own_rule(self) -> bool:
        function = self.function
        plain = not getattr(function, "nondiff_argnums", ()) and not getattr(function, "symbolic_zeros", False)
        return type(function).__name__ == "custom_vjp" and plain

    def _pulled_by_rule(self, inward: Sequence[Any], params: dict[str, Any], cotangent: Any) -> Sequence[Any]:
        """fwd and bwd, called as they stand: of a gradient of the wrong shape JAX itself would only say that it is."""
        order = [p.name for p in self.params]
        values = {**dict(zip(self.arrays, inward, strict=True)), **params}
        defaults = {p.name: p.default for p in self.params if p.default is not p.empty}
        given = [values.get(n, defaults.get(n)) for n in order if n in values or n in defaults]
        _, residuals = call(self.function.fwd, *given)
        cotangent = cotangent if isinstance(cotangent, tuple) else _jax().numpy.asarray(cotangent)
        answer = call(self.function.bwd, residuals, cotangent)
        entries = list(answer) if isinstance(answer, (tuple, list)) else [answer]
        if len(entries) != len(given):
            return entries
        places = [[n for n in order if n in values or n in defaults].index(self.arrays[i]) for i in self.wanted]
        none = _jax().numpy.zeros_like  # For JAX, None is the gradient of what the output does not depend on.
        return [none(given[p]) if entries[p] is None else entries[p] for p in places]

    def _pulled(self, inward: Sequence[Any], params: dict[str, Any], cotangent: Any) -> Sequence[Any]:
        def of_wanted(*chosen: Any) -> Any:
            every = list(inward)
            for position, x in zip(self.wanted, chosen, strict=True):
                every[position] = x
            return self._called(every, params)

        out, pull = _jax().vjp(of_wanted, *(inward[i] for i in self.wanted))
        if isinstance(out, (tuple, list)):
            cotangent = type(out)(cotangent) if not hasattr(out, "_fields") else cotangent
        result: Sequence[Any] = pull(cotangent)
        return result

    def _called(self, inward: Sequence[Any], params: dict[str, Any]) -> Any:
        values, named = spread(inward, dict(params), self.leading)
        return call(self.function, *values, **named)


def _conjugate(w: Any) -> Any:
    return np.conj(w) if np.iscomplexobj(w) else w


def _back(gradient: Any) -> Any:
    found = _outward(gradient)
    return _conjugate(found)
