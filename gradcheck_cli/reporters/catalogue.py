"""What ops declare, for `gradcheck list` and `gradcheck show`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Column
from rich.text import Text

from gradcheck_cli.adapters import Target
from gradcheck_cli.case import text_of
from gradcheck_cli.op import Op
from gradcheck_cli.reporters.screen import draw, table
from gradcheck_cli.reporters.text import count, printable
from gradcheck_cli.source import place_of

_ROOM_FOR_PARAMS = 100  # columns; below, `gradcheck show` has them
_LOOPS = {
    True: "yes: batched and broadcast operands are drawn, and failures there count",
    False: "no: only core shapes are drawn",
    None: "not said: batched operands are tried, and failures there are warnings",
}


def render_list(ops: Sequence[Op], width: int | None, color: bool) -> str:
    """A table of ops, one line each."""
    roomy = width is None or width >= _ROOM_FOR_PARAMS
    grid = table({"op": "", "signature": "", **({"params": ""} if roomy else {}), "formula": "cut"})
    for op in ops:
        params = [" ".join(op.params) or "-"] if roomy else []
        grid.add_row(*map(_text, (op.name, op.gufunc.text, *params, op.formula or "-")))
    _keep(grid.columns[:-1])
    return draw([grid, Text(f"\n{count(len(ops), 'op')}; gradcheck show OP tells more")], width, color)


def render_targets(targets: Sequence[Target], width: int | None, color: bool) -> str:
    """A table of what declares nothing, but is recognised."""
    grid = table({"name": "", "taken for": "fold", "where": "cut"})
    for target in targets:
        grid.add_row(*map(_text, (target.name, target.what, target.place or "-")))
    _keep(grid.columns[:1])
    return draw([grid, Text("\ngradcheck run FILE::NAME with a --shape for each array checks one")], width, color)


def _keep(columns: Sequence[Column]) -> None:
    """Keep them as wide as what stands in them: rich would rather shorten a name than a formula."""
    for column in columns:
        column.min_width = max(len(str(cell)) for cell in column.cells)


def render_op(op: Op, width: int | None, color: bool) -> str:
    """One op, field by field."""
    grid = table({"field": "", "value": "fold"})
    grid.show_header = False
    for name, value in _fields(op):
        grid.add_row(Text(name, "dim"), _text(value))
    parts: list[RenderableType] = [Text(op.name, "bold"), grid]
    return draw(parts, width, color)


def _fields(op: Op) -> Iterator[tuple[str, str]]:
    yield "signature", op.gufunc.text
    yield "formula", op.formula or "(backward has no docstring)"
    for i, name in enumerate(op.names):
        differentiated = "" if i in op.differentiated else ", not differentiated"
        yield f"input {name}", f"{op.domains[i]}{differentiated}"
    for name, choices in op.params.items():
        yield f"param {name}", _choices(choices)
    yield "loop dims", _LOOPS[op.loops] if op.gufunc.has_loops else "none: the signature leaves no room for them"
    yield "dtypes", ", ".join(op.dtypes)
    if op.samples:
        yield "samples", count(len(op.samples), "case")
    yield "forward", place_of(op.forward) or _module_name(op.forward)
    yield "backward", op.place
    if op.jvp is not None:
        yield "jvp", place_of(op.jvp) or _module_name(op.jvp)
    names = ", ".join(op.names[i] for i in op.differentiated)
    yield "checked", f"grad {names}: number, shape, dtype; value against numeric derivatives with error bars"
    if op.jvp is not None:
        yield "", "jvp fits backward: <w, Jv> = <J'w, v>"
    yield "", "forward runs, is finite, repeats itself, keeps its signature and dtype; nothing is changed in place"


def _choices(choices: object) -> str:
    if callable(choices):
        return f"{getattr(choices, '__name__', 'a function')} of the input shapes".replace("<lambda>", "a function")
    assert isinstance(choices, Sequence)
    return ", ".join(map(text_of, choices))


def _module_name(function: object) -> str:
    module = getattr(function, "__module__", None) or type(function).__module__
    return f"{module}.{getattr(function, '__name__', function)}"


def _text(value: str) -> Text:
    return Text(printable(value))
