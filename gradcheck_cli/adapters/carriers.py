"""How a class is used: as objects, as Functions over the author's own Variable, or with a ctx handed around."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck_cli.errors import UsageError
from gradcheck_cli.foreign import call, quiet
from gradcheck_cli.op import Array

_CONTEXTS = ("ctx", "context", "cxt")


class Carrier:
    """Objects of a class: built, then sent forward and backward by their methods."""

    def __init__(self, cls: type, forward: str, backward: str) -> None:
        self.cls, self.forward_name, self.backward_name = cls, forward, backward

    def build(self, arguments: Mapping[str, Any]) -> Any:
        """A new object."""
        return call(self.cls, **arguments)

    def forward(self, thing: Any, arrays: Sequence[Any], params: Mapping[str, Any]) -> Any:
        """What its forward returns."""
        return call(getattr(thing, self.forward_name), *arrays, **params)

    def backward(self, thing: Any, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """What its backward returns."""
        return call(getattr(thing, self.backward_name), *arguments, **named)


class Valued(Carrier):
    """Objects with one method that returns a value and its gradients, loss(X, y) -> loss, grads."""

    def forward(self, thing: Any, arrays: Sequence[Any], params: Mapping[str, Any]) -> Any:
        answer = super().forward(thing, arrays, params)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise UsageError(f"{self.forward_name} returns {type(answer).__name__}, and not a value and its gradients")
        vars(thing)["_kept"] = answer[1]
        return answer[0]

    def backward(self, thing: Any, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        return vars(thing)["_kept"]


class Context:
    """What forward and backward share where both get a ctx."""

    def __init__(self) -> None:
        self.saved: tuple[Any, ...] = ()
        self.needs_input_grad = (True,) * 64

    def save_for_backward(self, *values: Any) -> None:
        """As torch has it."""
        self.saved = values

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was saved."""
        return self.saved

    saved_values = saved_variables = saved_tensors


class WithContext(Carrier):
    """Static methods forward(ctx, x) and backward(ctx, grad)."""

    def build(self, arguments: Mapping[str, Any]) -> Any:
        return Context()

    def forward(self, thing: Any, arrays: Sequence[Any], params: Mapping[str, Any]) -> Any:
        return call(getattr(self.cls, self.forward_name), thing, *arrays, **params)

    def backward(self, thing: Any, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        return call(getattr(self.cls, self.backward_name), thing, *arguments, **named)


class OverVariables(Carrier):
    """Functions that are called with the author's own Variables, as in DeZero; `box` is the class of these."""

    def __init__(self, cls: type, forward: str, backward: str, box: type) -> None:
        super().__init__(cls, forward, backward)
        self.box = box
        self.boxed_gradients = False

    def forward(self, thing: Any, arrays: Sequence[Any], params: Mapping[str, Any]) -> Any:
        answer = call(thing, *map(self.box, arrays), **params)
        thing.__dict__["_kept"] = answer  # Functions may know their outputs by weak references only.
        return tuple(map(self.opened, answer)) if isinstance(answer, (tuple, list)) else self.opened(answer)

    def backward(self, thing: Any, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        given = [self.box(np.asarray(a)) if self.boxed_gradients else a for a in arguments]
        answer = call(getattr(thing, self.backward_name), *given, **named)
        return tuple(map(self.opened, answer)) if isinstance(answer, (tuple, list)) else self.opened(answer)

    def opened(self, value: Any) -> Any:
        """The array in a Variable."""
        return getattr(value, "data") if isinstance(value, self.box) else value  # noqa: B009 (a type of its author's)

    def learn(self, arrays: Sequence[Array]) -> None:
        """Whether gradients are Variables too: as their author's own backward leaves them."""
        try:
            with quiet():
                inputs = [self.box(x.copy()) for x in arrays]
                answer = call(self.cls)(*inputs)
                last = answer[0] if isinstance(answer, (tuple, list)) else answer
                last.backward()
                self.boxed_gradients = any(isinstance(x.grad, self.box) for x in (last, *inputs))
        except Exception:  # It cannot be asked that way.
            self.boxed_gradients = False


def carrier_of(cls: type, forward: str, backward: str) -> Carrier:
    """How a class wants to be used."""
    if forward == backward:
        return Valued(cls, forward, backward)
    static = inspect.getattr_static(cls, forward)
    parameters = list(inspect.signature(getattr(static, "__func__", static)).parameters)
    handed = isinstance(static, (staticmethod, classmethod))
    if parameters[int(isinstance(static, classmethod)) :][:1] and handed:
        first = parameters[int(isinstance(static, classmethod))]
        if first in _CONTEXTS:
            return WithContext(cls, forward, backward)
    box = _box_of(cls) if forward != "__call__" and not handed else None
    return Carrier(cls, forward, backward) if box is None else OverVariables(cls, forward, backward, box)


def _box_of(cls: type) -> type | None:
    """The class of Variables that `cls(...)(...)` makes: one array in it, as data, beside a place for its gradient."""
    caller = next((vars(base)["__call__"] for base in cls.__mro__ if "__call__" in vars(base)), None)
    for candidate in _classes_named_by(caller) if inspect.isfunction(caller) else ():
        probe = np.ones(2)
        try:
            made = call(candidate, probe)
        except Exception:  # noqa: S112 (it takes something else)
            continue
        if getattr(made, "data", None) is probe and hasattr(made, "grad"):
            return candidate
    return None


def _classes_named_by(function: Callable[..., Any], depth: int = 2) -> Iterator[type]:
    """The classes that a function's code names, itself or through functions that it names."""
    codes = [function.__code__]
    for code in codes:
        codes += [constant for constant in code.co_consts if inspect.iscode(constant)]
        for name in code.co_names:
            value = function.__globals__.get(name)
            if inspect.isclass(value):
                yield value
            elif inspect.isfunction(value) and depth:
                yield from _classes_named_by(value, depth - 1)
