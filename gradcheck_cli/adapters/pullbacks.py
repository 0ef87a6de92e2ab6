"""Functions that return their output and the function that takes its gradient back: return Y, backprop."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from gradcheck_cli.adapters.given import Scope, Target
from gradcheck_cli.adapters.pairs import Pair, is_plain
from gradcheck_cli.adapters.words import returned_names, stem_of
from gradcheck_cli.source import place_of


def find(scope: Scope) -> Iterator[Target]:
    """Every function whose return statement says so; one that calls the other something else only if it is named."""
    for name, value in scope:
        returned = returned_names(value) if is_plain(value) else []
        if len(returned) == 2 and _defines(value, returned[1]):
            what = f"a function that returns its output and {returned[1]}"
            pair, asked = Pair(name, value, _pulled_by(value), what=what), stem_of(returned[1])[1] != "backward"
            yield Target(name, what, place_of(value) or "", pair.op, asked=asked)


def _defines(function: Callable[..., Any], name: str) -> bool:
    """Whether a function defines another of that name within itself: `dx` may be an array, too."""
    code = inspect.unwrap(function).__code__
    return any(isinstance(part, CodeType) and part.co_name == name for part in code.co_consts)


def _pulled_by(function: Callable[..., Any]) -> Callable[..., Any]:
    """The backward of such a function, whose cache is the function that it returned."""

    @functools.wraps(function)
    def backward(dout: Any, cache: Any) -> Any:
        return cache(dout)

    names = ("dout", "cache")
    listed = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names]
    backward.__signature__ = inspect.Signature(listed)  # type: ignore[attr-defined]
    return backward
