"""The table of codes for `gradcheck explain`, and as the page docs/findings.md."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from gradcheck_cli.codes import CAUSES, CODES, MARK, Code
from gradcheck_cli.reporters.screen import draw, table

_COLUMNS = 120  # of the page
_HEAD = """\
# Findings

<!-- Written by a command; do not edit. Again: gradcheck explain --markdown > docs/findings.md -->

Each finding has a code, which says what is wrong, and a cause, which says why as far as that is known. Both stand in
every story that `gradcheck run` tells, in its JSON report, and in `Finding.code` and `Finding.cause`. `gradcheck
explain GC101` prints what this page says about one. Each example is a whole op file: `gradcheck run` (for GC6xx, with
`--order 2`) finds the code in it, and nothing once the marked line is replaced.
"""


def render(names: Sequence[str], width: int | None, color: bool) -> str:
    """Codes with all that is known of them, causes with their meaning, in the order of `names`."""
    parts = [part for name in names for part in _explained(name)]
    return draw(parts[1:], width, color)  # the blank line between two is not needed before the first


def render_list(width: int | None, color: bool) -> str:
    """All codes and all causes, one line each."""
    codes = _grid("code", {name: code.meaning for name, code in CODES.items()})
    return draw([codes, "", _grid("cause", CAUSES), "\ngradcheck explain CODE tells more"], width, color)


def render_page(names: Sequence[str]) -> str:
    """Markdown: the sections of the named codes and causes, or the whole page where none is named."""
    chosen = names or [*CODES, *CAUSES]
    codes = {name: CODES[name] for name in chosen if name in CODES}
    causes = {name: CAUSES[name] for name in chosen if name in CAUSES}
    parts = [] if names else [_HEAD]
    if not names:
        parts.append(_rows("code", {f"[{name}](#{name.lower()})": code.meaning for name, code in codes.items()}))
    parts += [_section(name, code) for name, code in codes.items()]
    if causes:
        parts.append("## Causes\n\n" + _rows("cause", {f"`{name}`": meaning for name, meaning in causes.items()}))
    return "\n".join(parts)


def _explained(name: str) -> Iterator[RenderableType]:
    yield Text("")
    if name in CAUSES:
        yield Text.assemble((name, "bold"), f"  {CAUSES[name]}")
        return
    code = CODES[name]
    yield Text.assemble((name, "bold"), f"  {code.meaning}")
    yield from _indented(code.detail)
    yield from _indented(*(_marked(line) for line in code.example.splitlines()), more=2)
    yield from _indented(f"Instead: {code.fix}.")
    yield from _indented(*(Text(line, "green") for line in code.instead.splitlines()), more=2)


def _indented(*lines: str | Text, more: int = 0) -> Iterator[RenderableType]:
    """Lines below a title, after an empty one."""
    for line in (Text(""), *lines):
        yield Padding(line if isinstance(line, Text) else Text(line), (0, 0, 0, 2 + more))


def _marked(line: str) -> Text:
    return Text(line, "red" if MARK in line else "")


def _grid(title: str, rows: Mapping[str, str]) -> RenderableType:
    grid = table({title: "", "meaning": "fold"})
    for name, meaning in rows.items():
        grid.add_row(name, Text(meaning))
    return grid


def _section(name: str, code: Code) -> str:
    return "\n".join(
        (
            f"## {name}\n",
            f"**{code.meaning}**\n",
            f"{_folded(code.detail)}\n",
            f"```python\n{code.example}```\n",
            f"{_folded(f'Instead: {code.fix}.')}\n",
            f"```python\n{code.instead}\n```\n",
        )
    )


def _rows(title: str, rows: Mapping[str, str]) -> str:
    return "".join([f"| {title} | meaning |\n|---|---|\n", *(f"| {key} | {text} |\n" for key, text in rows.items())])


def _folded(text: str) -> str:
    return textwrap.fill(text, _COLUMNS, break_long_words=False, break_on_hyphens=False)
