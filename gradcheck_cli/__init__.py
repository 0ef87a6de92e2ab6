"""gradcheck: is a hand-written gradient right?

The public door. Names are imported when they are first used, so that `import gradcheck_cli` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcheck_cli.adapters import adapt
    from gradcheck_cli.api import Report, check
    from gradcheck_cli.checks.finding import Finding
    from gradcheck_cli.domain import NONNEGATIVE, POSITIVE, REAL, SPD, index, integers, interval, one_of
    from gradcheck_cli.errors import DeclarationError, GradcheckError, GradientError, LoadError, UsageError
    from gradcheck_cli.helpers import AXES, PERMUTATIONS, unbroadcast
    from gradcheck_cli.op import Op
    from gradcheck_cli.variable import Variable, apply, backward, hvp, jacobian, jvp, no_grad, using, vjp

__version__ = "0.1.0"

_HOMES = {
    "adapters": ("adapt",),
    "api": ("Report", "check"),
    "checks.finding": ("Finding",),
    "domain": ("NONNEGATIVE", "POSITIVE", "REAL", "SPD", "index", "integers", "interval", "one_of"),
    "errors": ("DeclarationError", "GradcheckError", "GradientError", "LoadError", "UsageError"),
    "helpers": ("AXES", "PERMUTATIONS", "unbroadcast"),
    "op": ("Op",),
    "variable": ("Variable", "apply", "backward", "hvp", "jacobian", "jvp", "no_grad", "using", "vjp"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AXES",
    "NONNEGATIVE",
    "PERMUTATIONS",
    "POSITIVE",
    "REAL",
    "SPD",
    "DeclarationError",
    "Finding",
    "GradcheckError",
    "GradientError",
    "LoadError",
    "Op",
    "Report",
    "UsageError",
    "Variable",
    "__version__",
    "adapt",
    "apply",
    "backward",
    "check",
    "hvp",
    "index",
    "integers",
    "interval",
    "jacobian",
    "jvp",
    "no_grad",
    "one_of",
    "unbroadcast",
    "using",
    "vjp",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
