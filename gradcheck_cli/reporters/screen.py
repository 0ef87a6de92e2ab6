"""rich, set up once: renderables in, safe plain or coloured text out."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table

_WIDE = 10_000  # what is not on a terminal is never folded: one row, one line


def draw(parts: Iterable[RenderableType], width: int | None, color: bool) -> str:
    """Render parts one below the other; `width` is the terminal's, None where there is none."""
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=width or _WIDE,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
    )
    for part in parts:
        console.print(Padding(part, (0, 0, 0, 1)))
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


def table(columns: Mapping[str, str]) -> Table:
    """A table without lines; columns are "" (never folded), "fold", "cut" (with an ellipsis) or "number"."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, kind in columns.items():
        grid.add_column(
            name,
            no_wrap=kind != "fold",
            overflow="ellipsis" if kind == "cut" else "fold",
            justify="right" if kind == "number" else "left",
        )
    return grid
