"""`gradcheck replay`: rerun fixtures and saved failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

from gradcheck_cli.cli.types import ReportTarget
from gradcheck_cli.errors import UsageError

if TYPE_CHECKING:
    from gradcheck_cli.fixtures.replay import Update
    from gradcheck_cli.fixtures.store import Fixture
    from gradcheck_cli.runner import RunFinished


@click.command("replay", short_help="Rerun fixtures and saved failures.")
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@click.option("--update", is_flag=True, help="Rewrite expected values that differ.")
@click.option("--update-new-only", is_flag=True, help="Write expected values only where there are none.")
@click.option("--allow-inconclusive", is_flag=True, help="Let a gradient through that no case could judge.")
@click.option("--report", multiple=True, type=ReportTarget(), help="Also write json=PATH (- is stdout).")
@click.option("-v", "--verbose", is_flag=True, help="Show inconclusive cases too.")
@click.option("-q", "--quiet", is_flag=True, help="Only what is wrong, and the summary.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
def command(**options: Any) -> int:
    """Rerun the cases in PATHS: fixtures, saved failures, or folders of them.

    Forward must return the recorded outputs and backward the recorded gradients, within the policy that stands beside
    them, and the numeric check must pass. A case whose op is gone fails. Op files that a fixture names are run: they
    must lie below the working folder or the fixture's own.

    --update and --update-new-only write only what passes the numeric check, and say so in the table.

    Exit codes: 0 all passed, 1 something differs, is wrong or was never judged, 2 bad usage, op file or fixture,
    3 gradcheck itself or its output failed, 5 no fixture was found.
    """
    from gradcheck_cli.cli.session import check_sinks
    from gradcheck_cli.cli.terminal import ops_print_to_stderr, say
    from gradcheck_cli.fixtures.replay import Update
    from gradcheck_cli.fixtures.store import find, read

    if options["update"] and options["update_new_only"]:
        raise UsageError("--update rewrites what --update-new-only leaves alone; choose one")
    update = Update.CHANGED if options["update"] else Update.MISSING if options["update_new_only"] else Update.NOTHING
    check_sinks(options["report"])
    with ops_print_to_stderr() as stdout:
        fixtures = [read(path) for path in find(options["paths"])]
        if not fixtures:
            where = ", ".join(options["paths"])
            say(f"no fixture in {where}; gradcheck record writes some")
            return 5
        return rerun(fixtures, update, options, stdout)


def rerun(fixtures: Sequence[Fixture], update: Update, options: Mapping[str, Any], stdout: TextIO) -> int:
    """Replay, report, write what was asked for, and clear away saved failures that pass; the exit code."""
    from gradcheck_cli.cli.session import consume, write_reports
    from gradcheck_cli.cli.terminal import STDERR, Progress, say
    from gradcheck_cli.fixtures.failures import remove_settled
    from gradcheck_cli.fixtures.replay import Replay
    from gradcheck_cli.runner import Options
    from gradcheck_cli.source import short_path

    settings = Options(allow_inconclusive=options["allow_inconclusive"])
    replay, verbosity = Replay(fixtures, settings, update), options["verbose"] - options["quiet"]
    progress = Progress(STDERR, enabled=verbosity >= 0)

    def report(finished: RunFinished) -> None:
        write_reports(finished, options["report"], stdout, options["color"], verbosity)

    finished = consume(replay, len(fixtures), settings, progress, report)
    report(finished)
    for path in replay.save():
        say(f"rewrote {short_path(str(path))}")
    for path in remove_settled(replay.passed):
        say(f"{short_path(str(path))} passes now, and was removed")
    return finished.exit_code
