"""`gradcheck explain CODE`: what a code or a cause means, and what to write instead."""

from __future__ import annotations

import sys

import click

from gradcheck_cli.cli.complete import complete_codes


@click.command("explain", short_help="Explain codes and causes: what is wrong, an example, what to write.")
@click.argument("names", nargs=-1, metavar="[CODE|CAUSE]...", shell_complete=complete_codes)
@click.option("--markdown", is_flag=True, help="Write a page instead; without names, docs/findings.md.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
def command(names: tuple[str, ...], markdown: bool, color: str) -> int:
    """Explain codes (GC101) and causes (missing_unbroadcast); list them all if none is named."""
    from gradcheck_cli.cli.terminal import use_color, width, write
    from gradcheck_cli.codes import lookup
    from gradcheck_cli.reporters.explanation import render, render_list, render_page

    known = list(dict.fromkeys(map(lookup, names)))
    if markdown:
        write(sys.stdout, render_page(known))
    elif known:
        write(sys.stdout, render(known, width(sys.stdout), use_color(color, sys.stdout)))
    else:
        write(sys.stdout, render_list(width(sys.stdout), use_color(color, sys.stdout)))
    return 0
