"""A computational graph as a tree, as Mermaid or as dot: each gate with its value, its gradient and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text
from rich.tree import Tree

from gradcheck_cli.graph import Gate, Verdict, Verified
from gradcheck_cli.reporters.screen import draw
from gradcheck_cli.reporters.text import count, number, printable

_FEW = 6  # numbers that are shown one by one
_STYLES = {Verdict.RIGHT: "green", Verdict.WRONG: "bold red", Verdict.UNJUDGED: "yellow"}
_COLORS = {Verdict.RIGHT: "#2a7", Verdict.WRONG: "#c22", Verdict.UNJUDGED: "#b80"}


def render_tree(verified: Sequence[Verified], width: int | None = None, color: bool = False) -> str:
    """The whole expression at the top, below each gate what goes into it; then what is wrong, and a summary."""
    found = {entry.gate: entry for entry in verified}
    shown: set[Gate] = set()

    def branch(gate: Gate, tree: Tree | None) -> Tree:
        again = gate in shown and bool(gate.args)
        line = Text(printable(f"{gate.label}, see above")) if again else _line(found[gate])
        here = Tree(line) if tree is None else tree.add(line)
        shown.add(gate)
        for arg in () if again else gate.args:
            branch(arg, here)
        return here

    tree = branch(verified[-1].gate, None)
    return draw([tree, *(Text(f"\n{printable(text)}") for text in _remarks(verified))], width, color)


def render_mermaid(verified: Sequence[Verified]) -> str:
    """A flowchart in the language of Mermaid."""
    names = {entry.gate: f"n{i}" for i, entry in enumerate(verified)}
    lines = ["flowchart LR"]
    for entry in verified:
        text = "<br/>".join(_mermaid(part) for part in _parts(entry))
        lines.append(f'  {names[entry.gate]}["{text}"]')
        if entry.verdict is not None:
            lines.append(f"  style {names[entry.gate]} stroke:{_COLORS[entry.verdict]}")
    lines += [f"  {names[source]} --> {names[target]}" for source, target in _edges(verified)]
    return "\n".join(lines) + "\n"


def render_dot(verified: Sequence[Verified]) -> str:
    """A digraph in the language of Graphviz."""
    names = {entry.gate: f"n{i}" for i, entry in enumerate(verified)}
    lines = ["digraph {", "  rankdir=LR", "  node [shape=box]"]
    for entry in verified:
        text = r"\n".join(printable(part).replace("\\", "\\\\").replace('"', '\\"') for part in _parts(entry))
        color = f', color="{_COLORS[entry.verdict]}"' if entry.verdict is not None else ""
        lines.append(f'  {names[entry.gate]} [label="{text}"{color}]')
    lines += [f"  {names[source]} -> {names[target]}" for source, target in _edges(verified)]
    return "\n".join([*lines, "}"]) + "\n"


FORMATS: dict[str, Callable[[Sequence[Verified]], str]] = {
    "tree": render_tree,
    "mermaid": render_mermaid,
    "dot": render_dot,
}


def _edges(verified: Sequence[Verified]) -> Iterator[tuple[Gate, Gate]]:
    return ((arg, entry.gate) for entry in verified for arg in entry.gate.args)


def _parts(entry: Verified) -> list[str]:
    """Label, value, gradient with its verdict; a number is its own value."""
    gate = entry.gate
    if gate.number and not gate.args:
        return [gate.label]
    parts = [gate.label, f"value {_numbers(gate.value)}"]
    if gate.gradient is not None:
        parts.append(f"grad {_numbers(gate.gradient)}")
        parts.append(str(entry.verdict))
    return parts


def _line(entry: Verified) -> Text:
    label, *rest = map(printable, _parts(entry))
    line = Text.assemble((label, "bold"))
    for part in rest:
        line.append("  ").append(part, _STYLES[entry.verdict] if entry.verdict and part == entry.verdict else "")
    return line


def _numbers(x: NDArray[Any]) -> str:
    """A few numbers as they are; of many the shape, and from where to where they go."""
    if x.size <= _FEW:
        return " ".join(np.array2string(x, max_line_width=10_000, formatter={"float_kind": _short}).split())
    sides = ",".join(map(str, x.shape))
    return f"({sides}{',' if x.ndim == 1 else ''}) from {_short(float(np.min(x)))} to {_short(float(np.max(x)))}"


def _short(value: Any) -> str:
    return f"{value + 0.0:.4g}"


def _remarks(verified: Sequence[Verified]) -> Iterator[str]:
    """What is wrong, once each, and the summary."""
    told = set()
    for entry in verified:
        finding = entry.finding
        if finding is None or entry.verdict is Verdict.RIGHT:
            continue
        text = finding.why or finding.message
        if text not in told:
            told.add(text)
            yield f"{str(entry.verdict).upper()} {entry.gate.label}: {text}"
    root = verified[-1].gate
    many = sum(entry.verdict is not None for entry in verified)
    wrong, unjudged = (sum(e.verdict is v for e in verified) for v in (Verdict.WRONG, Verdict.UNJUDGED))
    worst = max((e.resolution for e in verified if e.resolution is not None), default=None)
    seen = f"; an error of {number(worst)} of a gradient's largest entry would have been seen" if worst else ""
    problems = [f"{n} {word}" for n, word in ((wrong, "wrong"), (unjudged, "unjudged")) if n]
    of = "" if root.value.size == 1 else " (of the sum of all entries)"
    yield f"{count(many, 'gradient')}{of}, {', '.join(problems) or 'all right'}" + ("" if problems else seen)


def _mermaid(text: str) -> str:
    """Text in a Mermaid label: what would end it, or be taken for HTML, as entities."""
    entities = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "`": "#96;"}
    return "".join(entities.get(c, c) for c in printable(text))
