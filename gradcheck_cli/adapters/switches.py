"""Functions that are their own derivative if they are asked to be: sigmoid(x, deriv=True)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from gradcheck_cli.adapters.given import Given, Scope, Target
from gradcheck_cli.adapters.inputs import parameters
from gradcheck_cli.adapters.pairs import Pair, is_plain
from gradcheck_cli.adapters.values import op_of
from gradcheck_cli.adapters.words import plain
from gradcheck_cli.errors import UsageError
from gradcheck_cli.op import Op
from gradcheck_cli.source import place_of

_SWITCHES = {"deriv", "derive", "derivate", "derivative", "der", "prime", "grad", "gradient", "diff", "isderivative"}
_SWITCHES |= {"computegrad", "computederivative", "returngrad", "returnderivative"}


def find(scope: Scope) -> Iterator[Target]:
    """Every function with such a switch, off unless it is asked for."""
    for name, value in scope:
        switch = _switch_of(value) if is_plain(value) else ""
        if switch:
            what = f"a function that returns its derivative for {switch}=True"
            yield Target(name, what, place_of(value) or "", functools.partial(_op, name, value, switch, what))


def _op(name: str, function: Callable[..., Any], switch: str, what: str, given: Given) -> Op:
    if given.params.get(switch):  # With its value, as a user has said.
        return op_of(function, given)
    return Pair(name, _set(function, switch, False), _set(function, switch, True), what=what).op(given)


def _switch_of(function: Callable[..., Any]) -> str:
    found = [p.name for p in parameters(function) if p.default is False and plain(p.name) in _SWITCHES]
    return found[0] if len(found) == 1 else ""


def _set(function: Callable[..., Any], switch: str, on: bool) -> Callable[..., Any]:
    """The function with its switch set, and without that parameter."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        answer = function(*args, **{switch: on, **kwargs})
        if on and isinstance(answer, tuple):
            several = f"it returns {len(answer)} things for {switch}=True"
            raise UsageError(f"{several}; if they are (value, gradient), write --param {switch}=True")
        return answer

    kept = [p for p in parameters(function) if p.name != switch]
    called.__signature__ = inspect.Signature(kept)  # type: ignore[attr-defined]
    return called
