"""Events -> text. Reporters are pure: they neither print nor write; `cli/` does.

A reporter is a function from a finished run to a str, and a row in FORMATS.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # explanations and error messages are only text: they must not wait for numpy
    from gradcheck_cli.runner import RunFinished

# Formats that `--report FMT=PATH` knows -> the module in this folder whose `render` writes them.
FORMATS = {"json": "json_report"}


def renderer(name: str) -> Callable[[RunFinished], str]:
    """The function that writes a format; raises KeyError for an unknown one."""
    render: Callable[[RunFinished], str] = import_module(f"{__name__}.{FORMATS[name]}").render
    return render
