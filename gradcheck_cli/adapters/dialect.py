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
        home = _home(current)
        if home in present:
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
    return name.partition(".")[0]


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


_RANDOM = frozenset({"random", "rand", "randn", "default_rng", "binomial", "bernoulli", "permutation", "shuffle"})


class Steady:
    """Calls with NumPy's global random numbers the same each time, for layers that draw a mask or their weights."""

    def __init__(self, *functions: Any) -> None:
        self.needed = any(mentions(function, _RANDOM) for function in functions)

    def __enter__(self) -> None:
        if self.needed:
            self._state = np.random.get_state()  # noqa: NPY002 (it is the user's code that uses it)
            np.random.seed(0)  # noqa: NPY002

    def __exit__(self, *_: object) -> None:
        if self.needed:
            np.random.set_state(self._state)  # noqa: NPY002
