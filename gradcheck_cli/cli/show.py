"""`gradcheck show OP`: everything that is declared of an op, and what is checked of it."""

from __future__ import annotations

import click

from gradcheck_cli.cli.complete import complete_targets


@click.command("show", short_help="Show one op: signature, formula, domain, params, what is checked.")
@click.argument("targets", nargs=-1, required=True, metavar="OP...", shell_complete=complete_targets)
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
def command(targets: tuple[str, ...], color: str) -> int:
    """Show ops: signature, formula, domain, params, and what is checked of them."""
    from gradcheck_cli.cli.terminal import ops_print_to_stderr, use_color, width, write
    from gradcheck_cli.registry import recognised, resolve
    from gradcheck_cli.reporters.catalogue import render_op, render_targets

    with ops_print_to_stderr() as stdout:
        columns, colored = width(stdout), use_color(color, stdout)
        undeclared = [found for target in targets for found in recognised(target) or ()]
        if undeclared:  # Without shapes these are no ops yet.
            write(stdout, render_targets(undeclared, width=columns, color=colored))
            return 0
        ops = resolve(targets)
        write(stdout, "\n".join(render_op(op, width=columns, color=colored) for op in ops))
    return 0
