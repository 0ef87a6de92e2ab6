"""A story on the terminal: what, where, how wrong, why, how to see it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.op import Op
from gradcheck_cli.reporters.text import count, printable

if TYPE_CHECKING:  # a run that finds nothing has no stories
    from gradcheck_cli.stories import Story

_MARGIN = 6  # columns that a story is set in by, and one to spare
LABELS = {
    Severity.WARNING: ("WARNING", "yellow"),
    Severity.INCONCLUSIVE: ("INCONCLUSIVE", "yellow"),
    Severity.FAILURE: ("FAIL", "bold red"),
    Severity.ERROR: ("ERROR", "bold red"),
}


def render_story(story: Story, op: Op, total: int, width: int | None) -> RenderableType:
    """One story of an op that had `total` cases, on a terminal of that width, if it is one."""
    finding = story.finding
    label, style = LABELS[finding.severity]
    head = Text.assemble("\n ", (label, style), f" {op.name} · {finding.code} · {finding.cause}")
    lines = [*_sentences(finding.message), *_explanation(finding, width), *_place(story, op), *_how_often(story, total)]
    if op.taken_for:
        lines.append(f"taken for {op.taken_for}")
    if story.saved:
        lines.append(f"gradcheck replay {shlex.quote(story.saved)}")
    return Group(head, *(Padding(Text(printable(line)), (0, 0, 0, 3)) for line in lines))


def _sentences(message: str) -> list[str]:
    """A message of several sentences reads better on as many lines."""
    first, separator, rest = message.partition(". ")
    return [first + ".", rest] if separator and rest else [message]


def _explanation(finding: Finding, width: int | None) -> list[str]:
    """Why, and what to write instead: on one line if it fits, for code should not be folded."""
    why, instead = finding.why.removesuffix("."), f"->  {finding.suggestion}" if finding.suggestion else ""
    line = f"{why}  {instead}".strip()
    if not instead:
        return [f"{why}."] if why else []
    return [line] if not why or width is None or len(line) <= width - _MARGIN else [f"{why}.", instead]


def _place(story: Story, op: Op) -> list[str]:
    case = story.finding.case
    if story.finding.code == "GC703":  # There is no op that it could be in.
        return [case.recorded]
    if story.finding.cause == "impossible_choice":
        return [op.place_of_forward]
    what = "smallest failing input" if story.finding.severity >= Severity.FAILURE else "smallest input"
    details = [f"{case.layout} layout"] if case.layout != "C" and not case.edge else []
    origin = case.recorded or (f"edge: {case.edge}" if case.edge else "")
    shown = ", ".join(filter(None, [origin, *details]))
    where = op.place_of_forward if story.finding.code.startswith("GC4") else op.place
    return [f"{what}: {case.name}" + (f"   ({shown})" if shown else "") + f"   {where}"]


def _how_often(story: Story, total: int) -> list[str]:
    """In how many cases, and what else the same input was found to have."""
    codes = f" ({' '.join(story.codes)})" if len(story.codes) > 1 else ""
    parts = [f"in {story.cases} of {count(total, 'case')}{codes}"] if story.cases > 1 else []
    if story.aside:
        parts.append("other causes named: " + ", ".join(f"{cause} ({cases})" for cause, cases in story.aside))
    return ["; ".join(parts)] if parts else []


def shown_stories(stories: Sequence[Story], unjudged: Sequence[str], verbosity: int) -> list[Story]:
    """Without what a reader did not ask for: warnings where quiet, inconclusive cases where others were judged."""
    least = Severity.WARNING if verbosity >= 0 else Severity.FAILURE

    def wanted(story: Story) -> bool:
        finding = story.finding
        asked = verbosity > 0 or finding.input in unjudged or finding.case.index < 0
        return finding.severity >= least and (finding.severity is not Severity.INCONCLUSIVE or asked)

    return [story for story in stories if wanted(story)]
