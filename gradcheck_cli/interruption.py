"""Ctrl-C and SIGTERM, also where somebody's code swallows them: `except:` without a name is common; and `os._exit`.

The handler is the command's alone. It remembers what it raised, and `foreign.call` raises that again once somebody's
function comes back. One that never does is left at the second signal.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from gradcheck_cli.errors import Terminated

INTERRUPTED, TERMINATED = 130, 143

_leave_at_once, _process = os._exit, os.getpid()

raised: BaseException | None = None
last_words: Callable[[], None] | None = None  # reports what was finished, while there is something to interrupt


def install() -> None:
    """Handle both signals, unless whoever started the process wants one ignored, as nohup does."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    os._exit = _exit


def over() -> None:
    """Nothing is left to report: a signal ends the process at once, even while it waits for somebody's threads."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    global raised  # noqa: PLW0603 (a signal handler has nowhere else to put it)
    if raised is not None and last_words is not None:
        last_words()
        os.write(2, b"gradcheck: interrupted\n")
        _leave_at_once(TERMINATED if number == signal.SIGTERM else INTERRUPTED)
    raised = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
    raise raised


def _exit(status: int) -> NoReturn:
    """What `os._exit` is to somebody's code: an exit that is noticed, or a gate would be green with nothing checked."""
    if os.getpid() != _process:  # A child that was forked has nothing to report.
        _leave_at_once(status)
    raise SystemExit(status)
