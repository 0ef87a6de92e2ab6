"""The command: `gradcheck`. Commands are imported when they are called; `--help` imports no numpy."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

import click

from gradcheck_cli import __version__, interruption
from gradcheck_cli.cli.lazy import LazyGroup
from gradcheck_cli.errors import GradcheckError, OutputError, Terminated, UsageError, describe
from gradcheck_cli.interruption import INTERRUPTED, TERMINATED
from gradcheck_cli.reporters.text import printable
from gradcheck_cli.source import raised_at

# name -> (module in this folder, what `gradcheck --help` says); the modules stay unimported until called.
COMMANDS = {
    "run": ("run", "Check the gradients of ops."),
    "record": ("record", "Write cases of ops, with what they compute, to a fixture."),
    "replay": ("replay", "Rerun fixtures and saved failures."),
    "init": ("init", "Write an op file for a module, its [tool.gradcheck] table, a CI workflow and a hook."),
    "graph": ("graph", "Draw the computational graph of an expression, each gradient verified."),
    "list": ("list_ops", "List ops: names, signatures, formulas."),
    "show": ("show", "Show one op: signature, formula, domain, params, what is checked."),
    "explain": ("explain", "Explain codes and causes: what is wrong, an example, what to write."),
}

INTERNAL_ERROR, USAGE_ERROR = 3, 2


@click.group(
    cls=LazyGroup,
    commands_at=COMMANDS,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "GRADCHECK"},
    epilog="Start with: gradcheck run matmul --shape 2,3,4,5",
)
@click.version_option(__version__, "-V", "--version", prog_name="gradcheck")
def cli() -> None:
    """Check hand-written gradients against numeric derivatives."""


def main() -> NoReturn:
    """Run the command; turn every error into one line and an exit code."""
    _one_blas_thread()
    if sys.stdout is None:  # Closed by the caller (>&-): there is nowhere to write to.
        sys.exit(INTERNAL_ERROR)
    if sys.stderr is None:  # 2>&-: nobody wants to hear of progress and errors.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 (as long as the process lives)
    interruption.install()
    try:
        _working_folder()
        code = cli.main(prog_name="gradcheck", standalone_mode=False) or 0
    except (KeyboardInterrupt, click.Abort):
        code = _complain("interrupted", INTERRUPTED)
    except Terminated:
        code = _complain("terminated", TERMINATED)
    except (click.exceptions.Exit, click.ClickException, GradcheckError) as error:
        code = _foreseen(error)
    except BaseException as error:  # SystemExit, too: whoever raised it, this is no pass.
        code = _unforeseen(error)
    _leave(code)


def _one_blas_thread() -> None:
    """More threads make small products slower, and numpy's import too. Must happen before numpy comes in."""
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")


def _click_message(error: click.ClickException) -> str:
    """click's message on one line, with the variable that a value came from and a way on."""
    message = " ".join(error.format_message().split())
    context: click.Context | None = getattr(error, "ctx", None)
    if context is None:
        return message
    option = getattr(error, "param", None)
    if option and context.get_parameter_source(option.name) is click.core.ParameterSource.ENVIRONMENT:
        message = f"{context.auto_envvar_prefix}_{option.name.upper()}: {message}"
    return f"{message.rstrip('.')}; see {context.command_path} --help"


def _working_folder() -> None:
    """Raises UsageError where somebody removed the folder that the process stands in."""
    try:
        os.getcwd()  # noqa: PTH109 (pathlib costs start-up)
    except OSError:
        raise UsageError("the working folder is gone; cd to one that exists") from None


def _complain(message: str, code: int) -> int:
    with suppress(OSError, ValueError):  # A full disk below stderr must not change the exit code.
        click.echo(f"gradcheck: {printable(message)}", err=True)
    return code


def _foreseen(error: Exception) -> int:
    """What click and gradcheck raise on purpose."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        return _complain(_click_message(error), USAGE_ERROR)
    if isinstance(error, OutputError):
        return _complain(str(error), INTERNAL_ERROR) if str(error) else INTERNAL_ERROR
    return _complain(str(error), USAGE_ERROR)


def _unforeseen(error: BaseException) -> int:
    """What the system refuses, what somebody's code raises where nobody expects it, and our own faults.

    Of the last, the traceback is for those who ask for it.
    """
    if isinstance(error, SystemExit) and _clicks_own(error):  # Completion is over, or nobody reads the help any more.
        return INTERNAL_ERROR if isinstance(error.__context__, BrokenPipeError) else int(error.code or 0)
    if os.environ.get("GRADCHECK_TRACEBACK"):
        raise error
    if isinstance(error, OSError):
        said = error.strerror or describe(error)
        if error.filename:
            return _complain(f"{error.filename}: {said}", USAGE_ERROR)
        return _complain(f"output could not be written: {said}", INTERNAL_ERROR)
    if isinstance(error, MemoryError):
        return _complain(f"out of memory: {describe(error)}; ask for smaller arrays", INTERNAL_ERROR)
    if place := raised_at(error, by_us=False):
        return _complain(f"{place}: {describe(error)}", USAGE_ERROR)
    return _complain(
        f"internal error: {describe(error)}; please report it (GRADCHECK_TRACEBACK=1 shows where)", INTERNAL_ERROR
    )


def _clicks_own(error: SystemExit) -> bool:
    """Whether click exits by itself, without a command of ours that called anybody."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return all(str(frame.f_globals.get("__name__", "")).startswith(("click", __name__)) for frame in frames)


def _leave(code: int) -> NoReturn:
    """Exit without a second complaint from Python about a stdout that cannot be flushed."""
    interruption.over()
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):  # ValueError: an op closed it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    gc.freeze()  # The system takes the memory back; searching it for cycles first takes a tenth of a short run.
    sys.exit(code)
