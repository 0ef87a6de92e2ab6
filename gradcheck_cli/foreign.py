"""Calls into somebody else's code, which may do anything: exit, raise what is no Exception, warn on every line."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradcheck_cli import interruption
from gradcheck_cli.errors import Terminated

_IGNORED = ("ignore", None, Warning, None, 0)  # what warnings.simplefilter("ignore") puts first


class Escaped(Exception):  # noqa: N818 (named for what happened, not for what it is)
    """An op raised what `except Exception` does not catch, such as SystemExit; its `__cause__` is the original."""

    def __init__(self, original: BaseException) -> None:
        super().__init__(f"{type(original).__name__}: {original}")
        self.original = original


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call somebody's function; whatever it raises is an Exception, except for the user's own interruption."""
    try:
        return function(*args, **kwargs)
    except (Exception, KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:
        raise Escaped(error) from error
    finally:
        if interruption.raised is not None:  # However the function took it.
            raise interruption.raised


@contextmanager
def quiet() -> Iterator[None]:
    """Silence NumPy's and Python's warnings: at the edges that are tried on purpose they say nothing new."""
    with np.errstate(all="ignore"):
        if warnings.filters and warnings.filters[0] == _IGNORED:  # Within another: the rest takes four times as long.
            yield
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
