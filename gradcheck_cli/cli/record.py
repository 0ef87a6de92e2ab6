"""`gradcheck record`: cases of ops, with what the ops compute, into a fixture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gradcheck_cli.cli.complete import complete_targets
from gradcheck_cli.cli.types import Integer, Setting, ShapeType
from gradcheck_cli.errors import UsageError


@click.command("record", short_help="Write cases of ops, with what they compute, to a fixture.")
@click.argument("targets", nargs=-1, required=True, shell_complete=complete_targets)
@click.option("-o", "--output", required=True, metavar="PATH", help="The fixture, PATH.json.")
@click.option("--cases", type=Integer(least=1), help="Random cases per op.  [20, or as many as a param has choices]")
@click.option("--shape", multiple=True, type=ShapeType(), help="Shape of an operand, in order: 2,3,4 or ().")
@click.option(
    "--dtype",
    type=click.Choice(["float64", "float32", "complex128", "complex64"]),
    help="Of the inputs.  [the first that the op is declared for]",
)
@click.option("--param", multiple=True, type=Setting(), help="Fix a param: axis=-1.")
@click.option("--seed", type=Integer(), default=0, show_default=True, help="Another seed, other values.")
@click.option("--update", is_flag=True, help="Record an existing PATH anew.")
@click.option("--update-new-only", is_flag=True, help="Keep what is in PATH, add the cases that are not.")
def command(**options: Any) -> int:
    """Write the cases that `gradcheck run TARGETS` draws to a fixture, with what forward and backward return.

    Only what passes its check is written; if an op does not, nothing is. `gradcheck replay PATH` then tells when an op
    begins to answer otherwise. Files of op files are named relative to PATH.

    Exit codes: 0 recorded, 1 an op does not pass its check, 2 bad usage, op file or fixture, 5 nothing to record.
    """
    from gradcheck_cli.adapters import Given
    from gradcheck_cli.cli.session import try_to_write
    from gradcheck_cli.cli.terminal import ops_print_to_stderr, say, write
    from gradcheck_cli.draw import Sampling
    from gradcheck_cli.fixtures.record import check_target, record, save
    from gradcheck_cli.registry import located
    from gradcheck_cli.reporters.text import count, printable
    from gradcheck_cli.runner import Options
    from gradcheck_cli.source import short_path

    if options["update"] and options["update_new_only"]:
        raise UsageError("--update records all cases anew, --update-new-only keeps the old ones; choose one")
    path, keep = Path(options["output"]), options["update_new_only"]
    check_target(path, overwrite=options["update"] or keep)
    if path.parent.is_dir():
        try_to_write(path)
    sampling = Sampling(
        options["seed"], options["cases"], options["shape"], dtype=options["dtype"], params=dict(options["param"])
    )
    with ops_print_to_stderr() as stdout:
        given = Given(options["shape"], params=dict(options["param"]), dtype=options["dtype"])
        recording = record(located(options["targets"], given), path, Options(sampling))
        for reason in recording.wrong:
            say(f"nothing is recorded: {reason}; gradcheck run shows more")
            return 1
        if not recording.records:
            reasons = "; ".join(recording.skipped) or "no case could be judged"
            say(f"nothing to record: {reasons}")
            return 5
        written = save(path, recording, keep)
        count_left = count(recording.left_out, "case")
        left_out = f", {count_left} left out, inconclusive or with a warning" if recording.left_out else ""
        skipped = "".join(f", skipped {reason}" for reason in recording.skipped)
        shown = printable(f"recorded {count(written, 'case')} in {short_path(str(path))}{left_out}{skipped}")
        write(stdout, f"{shown}\n")
    return 0
