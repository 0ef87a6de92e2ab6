"""Where in the user's code something stands: `my_ops.py:41`, for messages."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

# Where installed libraries lie: pip's folder, Debian's, and Python's own.
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}", f"{Path(os.__file__).parent}{os.sep}")


def short_path(path: str) -> str:
    """A path as the user would type it: relative where it lies below the current folder."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        return path
    return path if relative.startswith("..") else relative


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function, a ufunc or a callable object."""
    return str(getattr(_bare(function), "__name__", type(function).__name__))


def place_of(function: Callable[..., Any]) -> str | None:
    """`file:line in name` of a Python function; None for one that was not written in Python."""
    code = getattr(_bare(function), "__code__", None)
    if code is None:
        return None
    return f"{short_path(code.co_filename)}:{code.co_firstlineno} in {name_of(function)}"


def caller_place() -> str | None:
    """`file:line` of the innermost frame outside of this package: where a declaration was written."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 (inspect.stack() reads every source file)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if not module.startswith(("gradcheck_cli", "dataclasses")) and frame.f_code.co_filename != "<string>":
            return f"{short_path(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def raised_at(error: BaseException) -> str | None:
    """`file:line` of the innermost frame of an exception that is neither ours nor an installed library's."""
    place = None
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        library = any(part in code.co_filename for part in _LIBRARIES) or code.co_filename.startswith("<")
        if not module.startswith(("gradcheck_cli", "importlib")) and not library:
            place = f"{short_path(code.co_filename)}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def positional_names(function: Callable[..., Any]) -> list[str] | None:
    """Names of the parameters that can be passed by position; None where Python cannot tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def call_error(function: Callable[..., Any], positional: int, keywords: list[str]) -> str | None:
    """Why a function cannot be called with so many positional and these keyword arguments, or None."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(*[None] * positional, **dict.fromkeys(keywords))
    except TypeError as error:
        return str(error)
    return None


def _bare(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    unwrapped: Callable[..., Any] = inspect.unwrap(function)
    return unwrapped


def numbers_in(function: Callable[..., Any]) -> list[float]:
    """The numbers that a Python function mentions: in its code, that of functions inside it, and its defaults."""
    bare = _bare(function)
    keyword_defaults = getattr(bare, "__kwdefaults__", None) or {}
    mentioned: list[Any] = [*(getattr(bare, "__defaults__", None) or ()), *keyword_defaults.values()]
    codes = [code] if isinstance(code := getattr(bare, "__code__", None), CodeType) else []
    for code in codes:
        mentioned += [constant for constant in code.co_consts if not isinstance(constant, CodeType)]
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    numbers = [x for x in mentioned if isinstance(x, (int, float)) and not isinstance(x, bool)]
    return [float(x) for x in numbers if abs(x) < sys.float_info.max]
