"""Where objects keep parameters, and gradients of these: self.W and self.dW, params and grads, .data and .grad."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from gradcheck_cli.adapters.words import gradient_names, plain
from gradcheck_cli.op import Array

_VALUES = ("data", "value", "val", "array")
_GRADIENTS = ("grad", "gradient", "g", "diff", "d", "grads")
# Gradients of the input, which layers with one input need not name.
_NAMELESS = {"grad", "gradient", "gradients", "derivative", "derivatives", "diff", "dx", "din", "dinput", "dinputs"}
_NAMELESS |= {"dprev", "gradinput", "gradinputs", "inputgrad", "inputgradient", "gradin"}
_MOST_HELD = 64
_PARAMS = ("biases", "b", "bs", "ws", "kernels", "params", "parameters", "param", "weights", "w", "paramvals")
_ONE_OF_SEVERAL = ("weights", "biases", "w", "b", "ws", "bs", "kernels")  # self.grads is of all of them
_OUTPUTS = ("output", "outputs", "out", "y", "z", "a", "result", "activation", "o")


@dataclass(frozen=True)
class Place:
    """Where an object keeps a parameter: how to read and replace it there, and how to read its gradient."""

    name: str
    get: Callable[[Any], Any]
    put: Callable[[Any, Array], None]
    gradient: Callable[[Any], Any]  # None where there is none


def places(thing: Any) -> Iterator[Place]:
    """Every array of numbers that an object was built with, each once: its own, and those of objects that it holds."""
    seen: set[int] = set()
    for reach, name in _held(thing):
        for place in _own_places(reach(thing)):
            array = place.get(reach(thing))
            if id(array) not in seen:
                seen.add(id(array))
                yield _within(place, reach, name) if name else place


def _own_places(thing: Any) -> Iterator[Place]:
    """In attributes, dicts, lists, objects with data and grad."""
    for name, value in list(getattr(thing, "__dict__", {}).items()):
        if _is_array(value):
            yield _attribute(name)
        elif isinstance(value, dict) and not is_gradient(name):
            for key in [key for key, entry in value.items() if isinstance(key, str) and _is_array(entry)]:
                yield _entry(name, key)
        elif isinstance(value, list) and plain(name) in _PARAMS and all(map(_is_array, value)):
            for position in range(len(value)):
                yield _item(name, position)
        elif hasattr(value, "__dict__") and not callable(value):
            inner = next((v for v in _VALUES if _is_array(getattr(value, v, None))), None)
            if inner is not None:
                yield _inside(name, inner)


def _held(thing: Any) -> Iterator[tuple[Callable[[Any], Any], str]]:
    """An object and those that it holds, in attributes, lists and dicts: how to reach each, and what to call it."""
    todo: list[tuple[Callable[[Any], Any], str, Any]] = [(lambda t: t, "", thing)]
    seen = {id(thing)}
    while todo and len(seen) <= _MOST_HELD:
        reach, name, current = todo.pop(0)
        yield reach, name
        for attribute, value in list(getattr(current, "__dict__", {}).items()):
            keys = (
                value if isinstance(value, dict) else range(len(value)) if isinstance(value, (list, tuple)) else [None]
            )
            for key in list(keys):
                part = value if key is None else value[key]
                if id(part) not in seen and _is_layer(part):
                    seen.add(id(part))
                    path = f"{name}{attribute}{'' if key is None else key}_"
                    todo.append((partial(_step, reach, attribute, key), path, part))


def _step(reach: Callable[[Any], Any], attribute: str, key: Any, thing: Any) -> Any:
    value = getattr(reach(thing), attribute)
    return value if key is None else value[key]


def _is_layer(part: Any) -> bool:
    """Whether something is an object of somebody's own class with methods of its own: no box around an array."""
    own = hasattr(part, "__dict__") and not isinstance(part, (type, ModuleType)) and not inspect.isroutine(part)
    if not own or any(_is_array(getattr(part, v, None)) for v in _VALUES):
        return False
    return type(part).__module__.partition(".")[0] not in ("torch", "jax", "jaxlib", "numpy", "autograd")


def _within(place: Place, reach: Callable[[Any], Any], name: str) -> Place:
    """A place of an object that another one holds."""
    return Place(
        f"{name}{place.name}",
        lambda t: place.get(reach(t)),
        lambda t, x: place.put(reach(t), x),
        lambda t: place.gradient(reach(t)),
    )


def output_of(thing: Any, before: Mapping[str, Any]) -> Any:
    """What forward left on self instead of returning it: self.output and the like, if it is new."""
    for name, value in vars(thing).items():
        if plain(name) in _OUTPUTS and value is not None and value is not before.get(name):
            return value
    return None


def left_for(thing: Any, name: str) -> Any:
    """The gradient that an object was left with for something of that name: self.dW, self.grads["W"] ...; else None."""
    wanted = gradient_names(name)
    held = {plain(attribute): value for attribute, value in vars(thing).items() if value is not None}
    for known in wanted:
        if known in held and not isinstance(held[known], dict):
            return held[known]
    for attribute, value in vars(thing).items():
        if isinstance(value, dict) and is_gradient(attribute):
            for key, entry in value.items():
                if key == name or (isinstance(key, str) and plain(key) in (*wanted, plain(name))):
                    return entry
    return None


def nameless(thing: Any, before: Mapping[str, Any]) -> Any:
    """The gradient that backward left under a name that says of nothing, self.derivatives; None where several are."""
    found = [v for n, v in vars(thing).items() if plain(n) in _NAMELESS and _is_array(v) and v is not before.get(n)]
    return found[0] if len(found) == 1 else None


def abbreviated(thing: Any, name: str, others: set[str]) -> Any:
    """self.dw of self.weights: the gradient by the first letter, where no other parameter begins with it."""
    letter = plain(name)[:1]
    if sum(plain(other)[:1] == letter for other in others | {name}) > 1:
        return None
    return left_for(thing, letter)


def nowhere(name: str) -> Place:
    """For what an object was given and keeps in no place that is known: a gradient may be left for it all the same."""
    return Place(name, lambda _: None, lambda *_: None, lambda t: left_for(t, name))


def written_on(place: Place) -> Place:
    """The same place, whose array is overwritten rather than replaced."""

    def put(thing: Any, x: Array) -> None:
        place.get(thing)[...] = x

    return replace(place, put=put)


def _attribute(name: str) -> Place:
    return Place(name, lambda t: getattr(t, name), lambda t, x: setattr(t, name, x), lambda t: left_for(t, name))


def _entry(name: str, key: str) -> Place:
    def put(thing: Any, x: Array) -> None:
        getattr(thing, name)[key] = x

    return Place(key, lambda t: getattr(t, name)[key], put, lambda t: left_for(t, key))


def _item(name: str, position: int) -> Place:
    """self.params[0], whose gradient is self.grads[0]."""

    def put(thing: Any, x: Array) -> None:
        getattr(thing, name)[position] = x

    def gradient(thing: Any) -> Any:
        lists = {n: v for n, v in vars(thing).items() if isinstance(v, (list, tuple)) and len(v) > position}
        named = [v for n, v in lists.items() if plain(n) in gradient_names(name)]
        others = [v for n, v in lists.items() if is_gradient(n) and plain(name) not in _ONE_OF_SEVERAL]
        return next((v[position] for v in (*named, *others)), None)

    return Place(f"{name}{position}", lambda t: getattr(t, name)[position], put, gradient)


def _inside(name: str, inner: str) -> Place:
    """self.W.data, whose gradient is self.W.grad."""

    def gradient(thing: Any) -> Any:
        box = getattr(thing, name)
        found = next((getattr(box, g) for g in _GRADIENTS if getattr(box, g, None) is not None), None)
        return getattr(found, inner, found) if not _is_array(found) else found

    def put(thing: Any, x: Array) -> None:
        setattr(getattr(thing, name), inner, x)

    return Place(name, lambda t: getattr(getattr(t, name), inner), put, gradient)


def is_gradient(name: str) -> bool:
    """Whether an attribute of that name holds gradients."""
    return "grad" in plain(name) or plain(name) in ("dparams", "deltas", "diffs", "derivatives", "dw")


def _is_array(value: Any) -> bool:
    """Whether something is an array of real numbers, of NumPy or of torch."""
    if isinstance(value, np.ndarray):
        return bool(value.dtype.kind == "f")
    return hasattr(value, "detach") and hasattr(value, "is_floating_point") and bool(value.is_floating_point())
