"""The errors that a user can cause: each says what is wrong, where, and what to do instead."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 1000  # characters of somebody's message that are shown


class GradcheckError(Exception):
    """Base of every error that gradcheck raises on purpose."""


class UsageError(GradcheckError):
    """An option, a target or a shape that cannot be used as it was given."""


class ShapeError(UsageError):
    """Shapes that do not fit a signature, or that are too large to be drawn."""


class DeclarationError(GradcheckError):
    """An `Op(...)` that contradicts itself; the message names the op, file:line and what to write."""


class LoadError(GradcheckError):
    """An op file or module that could not be read, imported or understood."""


class FixtureError(GradcheckError):
    """A fixture that cannot be read, trusted or written; the message names the file and the place in it."""


class TapeError(GradcheckError, TypeError):
    """A Variable was used in a way that its tape cannot follow; the message names the function and an alternative."""


class GradientError(GradcheckError, AssertionError):
    """A gradient is wrong: raised by `Report.raise_for_failures`, carrying the printed story."""


class OutputError(GradcheckError):
    """Output could not be written; empty where whoever read it is gone and needs no message."""


class Terminated(BaseException):
    """SIGTERM, as an exception: what was finished is still reported."""


def original(error: BaseException) -> BaseException:
    """What escaped from somebody's code, where an exception stands in for it."""
    escaped = getattr(error, "original", None)
    return escaped if isinstance(escaped, BaseException) else error


def describe(error: BaseException) -> str:
    """One line for any exception, also for one whose `__str__` raises or spans lines; what escaped, as itself."""
    error = original(error)
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(its message could not be read)"
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def suggestions(word: str, known: Iterable[str]) -> str:
    """`. Did you mean 'x'?`, or nothing."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f". Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
