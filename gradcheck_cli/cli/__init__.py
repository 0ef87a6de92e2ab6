"""The command: `gradcheck`. Commands are imported when they are called; `--help` imports no numpy."""

from __future__ import annotations

import gc
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from gradcheck_cli import __version__
from gradcheck_cli.cli.lazy import LazyGroup
from gradcheck_cli.errors import GradcheckError, OutputError, Terminated, describe

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

INTERNAL_ERROR, USAGE_ERROR, INTERRUPTED, TERMINATED = 3, 2, 130, 143


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
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = cli.main(prog_name="gradcheck", standalone_mode=False) or 0
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        code = _complain(_click_message(error), USAGE_ERROR)
    except OutputError as error:
        code = _complain(str(error), INTERNAL_ERROR) if str(error) else INTERNAL_ERROR
    except GradcheckError as error:
        code = _complain(str(error), USAGE_ERROR)
    except (KeyboardInterrupt, click.Abort):
        code = _complain("interrupted", INTERRUPTED)
    except Terminated:
        code = _complain("terminated", TERMINATED)
    except Exception as error:
        code = _internal_error(error)
    _leave(code)


def _one_blas_thread() -> None:
    """More threads make small products slower, and numpy's import too. Must happen before numpy comes in."""
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


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


def _complain(message: str, code: int) -> int:
    from gradcheck_cli.reporters.text import printable

    click.echo(f"gradcheck: {printable(message)}", err=True)
    return code


def _internal_error(error: Exception) -> int:
    """Our own fault: say so, and leave the traceback to those who ask for it."""
    if os.environ.get("GRADCHECK_TRACEBACK"):
        raise error
    return _complain(
        f"internal error: {describe(error)}; please report it (GRADCHECK_TRACEBACK=1 shows where)", INTERNAL_ERROR
    )


def _leave(code: int) -> NoReturn:
    """Exit without a second complaint from Python about a stdout that cannot be flushed."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    gc.freeze()  # The system takes the memory back; searching it for cycles first takes a tenth of a short run.
    sys.exit(code)
