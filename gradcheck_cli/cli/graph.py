"""`gradcheck graph EXPR`: the computational graph of an expression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gradcheck_cli.cli.types import Integer


@click.command("graph", short_help="Draw the computational graph of an expression, each gradient verified.")
@click.argument("expression")
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Numbers are values: x=2, x=2,3 (a vector), x=[[1,2],[3,4]]. A shape follows a word: x=normal:3,4 (uniform, "
    "ones, zeros, arange).",
)
@click.option("--ops", "targets", multiple=True, metavar="TARGET", help="More ops: my_ops.py, my_ops.py::gelu.")
@click.option("--seed", type=Integer(), default=0, show_default=True, help="Another seed, other drawn values.")
@click.option("--format", "kind", type=click.Choice(["tree", "mermaid", "dot"]), default="tree", show_default=True)
@click.option("-o", "--output", metavar="FILE", help="Write to a file.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
def command(**options: Any) -> int:
    """Evaluate EXPRESSION and draw its graph: each gate with its value, and its gradient beside a numeric derivative.

    An expression has inputs, numbers, + - * / ** @, x[0], and ops by name. A sigmoid, gate by gate:

    gradcheck graph '1 / (1 + exp(-(w*x + b)))' -i w=2 -i x=-1 -i b=3

    Gradients are those of the sum of the value's entries. Exit codes: 0 every gradient is right, 1 one is wrong or
    could not be judged, 2 bad usage.
    """
    from gradcheck_cli.cli.session import try_to_write
    from gradcheck_cli.cli.terminal import ops_print_to_stderr, use_color, width, write, write_file
    from gradcheck_cli.graph import Verdict, evaluate, read_inputs, verify
    from gradcheck_cli.registry import installed_ops, resolve
    from gradcheck_cli.reporters.graph import FORMATS, render_tree

    output = options["output"] and Path(options["output"])
    if output:
        try_to_write(output)
    with ops_print_to_stderr() as stdout:
        inputs = read_inputs(options["inputs"], options["seed"])
        more = resolve(options["targets"]) if options["targets"] else []
        ops = {op.name: op for op in (*installed_ops(broken=[]), *more)}
        verified = verify(evaluate(options["expression"], inputs, ops), options["seed"])
        if options["kind"] == "tree" and not output:
            text = render_tree(verified, width(stdout), use_color(options["color"], stdout))
        else:
            text = FORMATS[options["kind"]](verified)
        if output:
            write_file(output, text)
        else:
            write(stdout, text)
    return int(any(entry.verdict in (Verdict.WRONG, Verdict.UNJUDGED) for entry in verified))
