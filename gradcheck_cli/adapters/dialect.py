"""Whose arrays somebody's code speaks: NumPy's, torch's, JAX's or autograd's; and what is said to it in between."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import CellType, CodeType, ModuleType
from typing import Any

import numpy as np

from gradcheck_cli.op import Array

FRAMEWORKS = ("torch", "jax", "autograd")
_EMPTY = CellType()  # of a name that an enclosing function has not given a value yet


@dataclass(frozen=True)
class Dialect:
    """How arrays get in and out: `inward(array)`, `outward(value)`; `name` is the framework's module."""

    name: str
    inward: Callable[[Array], Any]
    outward: Callable[[Any], Any]
    around: Callable[[], AbstractContextManager[Any]] = nullcontext  # what calls happen in: JAX's double precision

    def everything_outward(self, value: Any) -> Any:
        """The same within tuples, lists and dicts."""
        if isinstance(value, (tuple, list)):
            return type(value)(map(self.everything_outward, value)) if not hasattr(value, "_fields") else value
        if isinstance(value, Mapping):
            return {key: self.everything_outward(entry) for key, entry in value.items()}
        return self.outward(value)


NUMPY = Dialect("numpy", lambda x: x, lambda value: value)


def spoken_by(function: Any) -> str:
    """The framework whose names a function or class mentions, itself or through what it calls; "" for none.

    Nothing is imported for that: who uses torch has imported it.
    """
    present = [name for name in FRAMEWORKS if name in sys.modules]
    if not present:
        return ""
    seen: set[int] = set()
    todo = [function]
    while todo:
        current = todo.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        home = next((h for h in (_home(current), _home(type(current))) if h in present), "")
        if home:
            return home
        todo += _mentioned(current)
    return ""


def mentions(function: Any, names: frozenset[str]) -> bool:
    """Whether a function's own code, or a class's methods, mention one of the names."""
    return any(names & set(code.co_names) for code in _codes(function))


def _home(value: Any) -> str:
    """The top-level package that a value comes from."""
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    if not isinstance(name, str):
        name = type(value).__module__
    home = name.partition(".")[0]
    return "jax" if home == "jaxlib" else home


def _mentioned(value: Any) -> list[Any]:
    """The globals that a function's code names, where they are modules or functions of the same file."""
    value = inspect.unwrap(value) if callable(value) and not inspect.isclass(value) else value
    space = getattr(value, "__globals__", None)
    if inspect.isclass(value):
        methods = [m for m in vars(value).values() if inspect.isfunction(getattr(m, "__func__", m))]
        return [getattr(m, "__func__", m) for m in methods]
    if space is None:
        return []
    found = []
    cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    enclosed = {name: cell.cell_contents for name, cell in cells if cell != _EMPTY}
    for code in _codes(value):
        for name in (*code.co_names, *code.co_freevars):
            target = enclosed.get(name, space.get(name))
            if isinstance(target, ModuleType) or callable(target):
                mine = isinstance(target, ModuleType) or getattr(target, "__module__", "") == space.get("__name__")
                if mine or _home(target) in FRAMEWORKS:
                    found.append(target)
    return found


def _codes(value: Any) -> list[CodeType]:
    if inspect.isclass(value):
        methods = [getattr(m, "__func__", m) for k in value.__mro__ for m in vars(k).values()]
        return [code for m in methods if inspect.isfunction(m) for code in _codes(m)]
    code = getattr(value, "__code__", None)
    codes = [code] if isinstance(code, CodeType) else []
    for outer in codes:
        codes += [constant for constant in outer.co_consts if isinstance(constant, CodeType)]
    return codes


# Global generators of random numbers: the module, and how its state is read and put back.
_GENERATORS = {"numpy.random": ("get_state", "set_state"), "random": ("getstate", "setstate")}


class Steady:
    """Calls with global random numbers the same each time, for layers that draw a mask or their weights.

    The first call tells whether it draws any: what draws them may be a helper in another file.
    """

    def __init__(self, wanted: bool = True) -> None:
        self._watching = wanted
        self._needed: list[str] = []

    def __enter__(self) -> None:
        names = [n for n in _GENERATORS if n in sys.modules] if self._watching else self._needed
        self._before = {name: getattr(sys.modules[name], _GENERATORS[name][0])() for name in names}
        for name in self._needed:
            sys.modules[name].seed(0)

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._watching and error is None:
            self._needed = [n for n in _GENERATORS if n in sys.modules and self._moved(n)]
            self._watching = False
        for name in self._needed:
            if name in self._before:  # else the call itself has imported it
                getattr(sys.modules[name], _GENERATORS[name][1])(self._before[name])

    def _moved(self, name: str) -> bool:
        if name not in self._before:
            return True
        now = getattr(sys.modules[name], _GENERATORS[name][0])()
        return not all(np.array_equal(a, b) for a, b in zip(now, self._before[name], strict=True))
