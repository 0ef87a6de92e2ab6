"""The run as a table and, for each thing that is wrong, a small story: what, where, how wrong, what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gradcheck_cli.checks import CaseResult, resolution_of
from gradcheck_cli.checks.finding import Severity, Verdict
from gradcheck_cli.checks.value import InputResult
from gradcheck_cli.reporters.screen import draw, table
from gradcheck_cli.reporters.story import render_story, shown_stories
from gradcheck_cli.reporters.text import count, number, printable
from gradcheck_cli.runner import OpResult, RunFinished

_STYLES = {
    Verdict.PASS: "green",
    Verdict.SKIP: "dim",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.ERROR: "bold red",
}
_ROOM_FOR_CAUSES = 100  # columns; below, the stories alone name the causes


def render(run: RunFinished, *, width: int | None = None, color: bool = False, verbosity: int = 0) -> str:
    """The whole report; `width` is the terminal's, None where there is none."""
    return draw(_parts(run, verbosity, width), width, color)


def _parts(run: RunFinished, verbosity: int, width: int | None) -> Iterator[RenderableType]:
    brief = width is not None and width < _ROOM_FOR_CAUSES
    if verbosity >= 0 and run.ops:
        yield _table(run, _per_case(run, verbosity), brief, verbosity > 0)
    for result in run.ops if verbosity > 0 else ():
        if result.op.taken_for:
            yield Text(f"\n {printable(result.op.name)} was taken for {printable(result.op.taken_for)}")
    for result in run.ops:
        yield from _stories(result, verbosity, width)
    yield _summary(run)


def _per_case(run: RunFinished, verbosity: int) -> bool:
    return verbosity > 0 or run.asked == 1 or bool(run.options.sampling.shapes) or run.fixtures is not None


def _table(run: RunFinished, per_case: bool, brief: bool, verbose: bool) -> Table:
    columns = {"op": "", "case" if per_case else "cases": "fold" if per_case else "number", "checked": "fold"}
    grid = table({**columns, "worst": "number", "resolution": "number", "verdict": "fold"})
    for result in run.ops:
        if result.skipped is not None or result.broken is not None:
            row = _row(result.op.name, "-", [], result.verdict, result.skipped or result.broken or "")
            grid.add_row(*row)
        elif per_case:
            for name, group in _alike(result.cases, verbose, bool(run.options.sampling.shapes), brief):
                verdict = max((case.verdict for case in group), key=list(Verdict).index)
                grid.add_row(*_row(result.op.name, name, group, verdict, _remark(group, brief)))
        else:
            cases = result.cases
            grid.add_row(*_row(result.op.name, str(len(cases)), cases, result.verdict, _remark(cases, brief)))
    return grid


def _alike(
    cases: Sequence[CaseResult], verbose: bool, given: bool, brief: bool
) -> Iterator[tuple[str, list[CaseResult]]]:
    """Cases that share a row, by name and in order, unless verbose.

    These are several draws of the same given shapes and params, and edges with which the same is wrong, or nothing.
    """
    groups: dict[object, list[CaseResult]] = {}
    for case in cases:
        if verbose:
            key: object = id(case)
        elif case.case.edge:
            key = ("edge", case.verdict, _remark([case], brief))
        else:
            key = case.case.name if given else id(case)
        groups.setdefault(key, []).append(case)
    for group in groups.values():
        yield _group_name(group), group


def _group_name(group: Sequence[CaseResult]) -> str:
    first = group[0].case
    if not first.edge:
        return first.name if len(group) == 1 else f"{first.name} x{len(group)}"
    names = list(dict.fromkeys(result.case.edge for result in group))
    if len(group) == 1:
        return f"{names[0]}: {first.name}"
    if not group[0].verdict.bad:
        return count(len(group), "edge")
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more edges" if len(names) > 3 else "")


def _row(op: str, case: str, results: Sequence[CaseResult], verdict: Verdict, remark: str) -> list[Text]:
    inputs = [entry for result in results for entry in result.inputs]
    judged = [entry for entry in inputs if entry.judged] or inputs  # an unjudged one's error means little beside others
    worst = max((entry.worst for entry in judged if entry.worst is not None), default=None)
    resolution = resolution_of(results)
    loud = str(verdict).upper() if verdict.bad else str(verdict)
    last = Text.assemble((loud, _STYLES[verdict]), f"  {printable(remark)}" if remark else "")
    cells = [op, case, _checked(inputs), number(worst), number(resolution)]
    return [*(Text(printable(cell)) for cell in cells), last]


def _checked(inputs: Sequence[InputResult]) -> str:
    """The gradients that were judged: `x w`, and with order 2 `x w, order 2: grad x w`."""
    names = [dict.fromkeys(entry.name for entry in inputs if entry.judged and entry.order == n) for n in (1, 2)]
    first, second = map(" ".join, names)
    return f"{first or '-'}, order 2: {second}" if second else first or "-"


def _remark(results: Sequence[CaseResult], brief: bool) -> str:
    """The worst finding in two words, or in one where there is little room."""
    findings = [f for result in results for f in result.findings if f.severity > Severity.NOTE]
    if not findings:
        return ""
    worst = max(findings, key=lambda f: f.severity)
    prefix = "warning " if worst.severity is Severity.WARNING else ""
    others = len({(f.code, f.cause) for f in findings}) - 1
    return f"{prefix}{worst.code}" + ("" if brief else f" {worst.cause}") + (f" +{others}" if others else "")


def _stories(result: OpResult, verbosity: int, width: int | None) -> Iterator[RenderableType]:
    """One story for each thing that is wrong."""
    for story in shown_stories(result.stories, result.unjudged, verbosity):
        yield render_story(story, result.op, len(result.cases), width)
    if result.unjudged and not result.verdict.bad:
        names = ", ".join(result.unjudged)
        yield Text.assemble(
            "\n ", ("INCONCLUSIVE", "yellow"), f" {result.op.name}: the gradient of {names} was judged in no case"
        )


def _summary(run: RunFinished) -> Text:
    """The last line: how many of what, in which time, from which seed."""
    verdicts = Counter(result.verdict for result in run.ops)
    parts = [(f"{verdicts[v]} {_SUMMARY_WORDS[v]}", _STYLES[v]) for v in _SUMMARY_WORDS if verdicts[v]]
    cases = sum(len(result.cases) for result in run.ops)
    line = Text("\n ")
    for index, (words, style) in enumerate(parts or [("nothing checked", "dim")]):
        line.append(", " if index else "").append(words, style)
    origin = f"seed {run.options.sampling.seed}" if run.fixtures is None else count(run.fixtures, "fixture")
    line.append(f"   {count(len(run.ops), 'op')}, {count(cases, 'case')}, {origin}")
    line.append(f", {' and '.join(run.dtypes) or 'no dtype'}, {run.seconds:.2f} s")
    dropped = sum(result.dropped for result in run.ops)
    inconclusive = sum(c.verdict is Verdict.INCONCLUSIVE for r in run.ops for c in r.cases)
    redrawn = sum(result.redrawn for result in run.ops)
    refused = sum(len(result.refused) for result in run.ops)
    remarks = [
        f"{count(inconclusive, 'case')} inconclusive" if inconclusive else "",
        f"{count(redrawn, 'inconclusive case')} redrawn" if redrawn else "",
        f"{count(dropped, 'param combination')} refused by forward" if dropped else "",
        f"{count(refused, 'edge')} refused by forward, or too large" if refused else "",
        *(f"{printable(result.op.name)}: {printable(note)}" for result in run.ops for note in result.op.notes),
        str(run.options.judging.tolerances or ""),
        _methods(run),
        _slowest(run),
        run.stopped or "",
    ]
    for remark in filter(None, remarks):
        line.append(f"\n {remark}")
    return line


def _methods(run: RunFinished) -> str:
    """How gradients were looked at, where some are too large to ask for each entry."""
    asked = Counter(i.method for result in run.ops for case in result.cases for i in case.inputs if i.judged)
    if not asked["probe"]:
        return ""
    hint = " (--mode full: every entry)" if run.options.judging.mode == "auto" else ""
    return f"{asked['probe']} of {asked['probe'] + asked['full']} gradients checked along random directions{hint}"


def _slowest(run: RunFinished) -> str:
    slowest = sorted(run.ops, key=lambda result: -result.seconds)[: run.options.durations]
    return "slowest: " + ", ".join(f"{r.op.name} {r.seconds:.2f} s" for r in slowest) if slowest else ""


_SUMMARY_WORDS = {
    Verdict.FAIL: "failed",
    Verdict.ERROR: "with errors",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.SKIP: "skipped",
    Verdict.PASS: "passed",
}
