"""`gradcheck list`: the ops there are."""

from __future__ import annotations

from typing import Any

import click

from gradcheck_cli.cli.complete import complete_targets


@click.command("list", short_help="List ops: names, signatures, formulas.")
@click.argument("targets", nargs=-1, shell_complete=complete_targets)
@click.option("-k", metavar="EXPR", help="Keep ops whose name matches: 'mul and not matmul'.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
def command(**options: Any) -> int:
    """List the ops that TARGETS name, or all installed ones."""
    from gradcheck_cli.cli.select import select
    from gradcheck_cli.cli.terminal import ops_print_to_stderr, say, use_color, width, write
    from gradcheck_cli.registry import recognised, resolve
    from gradcheck_cli.reporters.catalogue import render_list, render_targets

    with ops_print_to_stderr() as stdout:
        found = {target: recognised(target) for target in options["targets"]}
        undeclared = [target for targets in found.values() for target in targets or ()]
        if undeclared:
            columns, color = width(stdout), use_color(options["color"], stdout)
            write(stdout, render_targets(undeclared, width=columns, color=color))
            return 0
        ops = select(resolve(options["targets"]), options["k"], ())
        if not ops:
            say("nothing was selected: -k leaves no op")
            return 5
        write(stdout, render_list(ops, width=width(stdout), color=use_color(options["color"], stdout)))
    return 0
