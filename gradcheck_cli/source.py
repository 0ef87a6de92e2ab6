"""Where in the user's code something stands: `my_ops.py:41`, for messages."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from gradcheck_cli.errors import original

_STANDARD = os.__file__.removesuffix("os.py")  # the folder of Python's own library
_INSTALLED = re.compile(r"[/\\](site|dist)-packages[/\\]")


def short_path(path: str) -> str:
    """A path as the user would type it: relative where it lies below the current folder."""
    try:
        relative = os.path.relpath(path)
    except (ValueError, OSError):  # Another drive, or a working folder that is gone.
        return path
    return path if relative.startswith("..") else relative


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function, a ufunc or a callable object."""
    return str(getattr(_bare(function), "__name__", type(function).__name__))


def place_of(function: Callable[..., Any]) -> str | None:
    """`file:line in name` of a Python function; None for one that was not written in Python."""
    code = getattr(_bare(function), "__code__", None)
    if not isinstance(code, CodeType):
        return None
    return f"{short_path(code.co_filename)}:{code.co_firstlineno} in {name_of(function)}"


def caller_place() -> str | None:
    """`file:line` of the innermost frame outside of this package: where a declaration was written.

    None for what the command declares itself, which click called.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 (inspect.stack() reads every source file)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("click."):
            return None
        if not module.startswith(("gradcheck_cli", "dataclasses")) and frame.f_code.co_filename != "<string>":
            return f"{short_path(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def raised_at(error: BaseException, *, by_us: bool = True) -> str | None:
    """`file:line` of the innermost frame of an exception that is neither ours nor an installed library's.

    Where such code called ours and that raised, it is still to blame for its arguments, unless `by_us` is False.
    """
    place = None
    traceback = original(error).__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        library = code.co_filename.startswith(("<", _STANDARD)) or _INSTALLED.search(code.co_filename)
        if module.startswith("gradcheck_cli"):
            place = place if by_us else None
        elif not library:
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
    try:
        unwrapped: Callable[..., Any] = inspect.unwrap(function)
    except ValueError:  # It says that it wraps itself: an object that has whatever attribute it is asked for.
        return function
    return unwrapped


def numbers_in(function: Callable[..., Any]) -> list[float]:
    """The numbers that a Python function mentions: in its code, that of functions inside it, and its defaults."""
    bare = _bare(function)
    if not isinstance(code := getattr(bare, "__code__", None), CodeType):
        return []
    keyword_defaults = getattr(bare, "__kwdefaults__", None) or {}
    mentioned: list[Any] = [*(getattr(bare, "__defaults__", None) or ()), *keyword_defaults.values()]
    codes = [code]
    for code in codes:
        mentioned += [constant for constant in code.co_consts if not isinstance(constant, CodeType)]
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    numbers = [x for x in mentioned if isinstance(x, (int, float)) and not isinstance(x, bool)]
    return [float(x) for x in numbers if abs(x) < sys.float_info.max]
