"""What the process writes to: whether it is a terminal, how wide, in colour, and where an op's own prints go."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from gradcheck_cli.errors import OutputError
from gradcheck_cli.reporters.text import printable

STDERR = sys.stderr  # ours, whatever an op makes of sys.stderr


def use_color(choice: str, stream: TextIO) -> bool:
    """--color first, then NO_COLOR and FORCE_COLOR, then whether the stream is a terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def width(stream: TextIO) -> int | None:
    """Columns of the terminal, or what COLUMNS says; None where neither is known: nothing is folded then."""
    if stream.isatty():
        return max(_columns(), 40)
    columns = os.environ.get("COLUMNS", "")
    known = columns.isascii() and columns.isdigit() and int(columns[:6]) > 0
    return min(max(int(columns[:6]), 40), 10_000) if known else None


def _columns() -> int:
    """Of the terminal that there is."""
    import shutil  # And with it every kind of archive.

    return shutil.get_terminal_size().columns


def write(stream: TextIO, text: str) -> None:
    """Write and flush; raises OutputError, without words where the reader is gone."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        raise OutputError from None
    except (OSError, ValueError) as error:  # ValueError: somebody closed the stream, or it cannot encode the text.
        raise OutputError(f"output could not be written: {getattr(error, 'strerror', None) or error}") from None


def write_file(path: Path, text: str) -> None:
    """Write a whole file; raises OutputError."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error.strerror}") from None


@contextlib.contextmanager
def ops_print_to_stderr() -> Iterator[TextIO]:
    """Send what op code prints to stderr, and yield the real stdout: a report must not be mixed with it.

    The file descriptor is redirected as well, for what C code prints. Op code gets streams of its own: it may
    close them, or wrap them in others that do. From here on garbage is collected, too.
    """
    if not gc.isenabled():  # Start-up does without; what it imported is no garbage, and need not be searched.
        gc.freeze()
        gc.enable()
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    encoding = sys.stdout.encoding or "utf-8"
    stdout = open(kept, "w", encoding=encoding, errors="backslashreplace")  # noqa: PTH123, SIM115 (closing it may fail)
    out, err = (open(os.dup(2), "w", 1, encoding, "backslashreplace") for _ in range(2))  # noqa: PTH123, SIM115
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield stdout
    finally:
        os.dup2(kept, 1)
        with contextlib.suppress(OSError):  # What could not be written was said when it was written.
            stdout.close()


def say(text: str) -> None:
    """A line on stderr, safe to print; nobody has to hear it."""
    with contextlib.suppress(OutputError):
        write(STDERR, f"gradcheck: {printable(text)}\n")


class Progress:
    """One line on stderr that says which op is being checked; nothing where stderr is no terminal."""

    def __init__(self, stream: TextIO, enabled: bool) -> None:
        self._stream = stream
        self._enabled = enabled and stream.isatty()

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._enabled:
            self._stream.write(f"\r\x1b[2K{text[: max(_columns() - 1, 1)]}")
            self._stream.flush()

    def clear(self) -> None:
        """Remove the line."""
        if self._enabled:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
