"""Plain functions over the arrays of torch, JAX or autograd, which these differentiate: only if they are named."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from gradcheck_cli.adapters.dialect import FRAMEWORKS, spoken_by
from gradcheck_cli.adapters.given import Given, Scope, Target
from gradcheck_cli.adapters.pairs import is_plain
from gradcheck_cli.op import Op
from gradcheck_cli.source import place_of


def find(scope: Scope) -> Iterator[Target]:
    """Every function that mentions a framework; what it is for, only its name can say."""
    for name, value in scope:
        framework = (spoken_by(value) or _imported_beside(value)) if is_plain(value) else ""
        if framework:
            what = f"a function over {framework}'s arrays"
            yield Target(name, what, place_of(value) or "", _Traced(name, value, framework), asked=True)


def _imported_beside(function: Callable[..., Any]) -> str:
    """The framework whose arrays a function must be for that names none: the only one that its file imports."""
    modules = [v for v in getattr(function, "__globals__", {}).values() if inspect.ismodule(v)]
    homes = {module.__name__.partition(".")[0] for module in modules}
    found = [framework for framework in FRAMEWORKS if framework in homes]
    return found[0] if len(found) == 1 and "numpy" not in homes else ""


class _Traced:
    """Makes the op of a function when it is asked for."""

    def __init__(self, name: str, function: Callable[..., Any], framework: str) -> None:
        self.name, self.function, self.framework = name, function, framework

    def __call__(self, given: Given) -> Op:
        """The op; raises UsageError where what is given does not fit."""
        name, function = self.name, self.function
        what = f"a function over {self.framework}'s arrays, differentiated by {self.framework}"
        if self.framework == "torch":
            from gradcheck_cli.adapters.torch_objects import traced_op

            return traced_op(name, function, given, what, (function, function))
        if self.framework == "jax":
            from gradcheck_cli.adapters.jaxes import traced_op as traced_by_jax

            return traced_by_jax(name, function, given, what)
        from gradcheck_cli.adapters.primitives import traced_op as traced_by_autograd

        return traced_by_autograd(name, function, given, what)
