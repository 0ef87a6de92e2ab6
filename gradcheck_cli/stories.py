"""Findings -> stories: one for each thing that is wrong, told on its smallest case.

One bug fails many cases, under several codes (a missing transpose is a wrong shape, and wrong values where matrices
are square), and a tiny case may fit another cause by accident. A reader wants to be told once: what is wrong with the
values of one gradient is one story, with its most frequent cause, and mentions the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gradcheck_cli.checks import CaseResult
from gradcheck_cli.checks.finding import Finding, Severity

Groups = dict[tuple[Severity, str, str | None], list[Finding]]


@dataclass(frozen=True)
class Story:
    """One thing that is wrong (or worth a warning): the finding to show, and how often it was found."""

    finding: Finding
    cases: int
    codes: tuple[str, ...]
    saved: str = ""  # the file that replays it
    aside: tuple[tuple[str, int], ...] = ()  # (cause, cases) of rarer findings about the same


def stories(results: Sequence[CaseResult]) -> tuple[Story, ...]:
    """The stories of one op."""
    groups: Groups = {}
    for finding in (f for result in results for f in result.findings if f.severity > Severity.NOTE):
        # A crash and a wrong value of the same cause are one thing; an error of the op is no worse than a failure.
        severity = min(finding.severity, Severity.FAILURE)
        groups.setdefault((severity, finding.cause, finding.input), []).append(finding)
    _join_crashes(groups)
    topics: dict[tuple[Severity, str | None, str], list[list[Finding]]] = {}
    for (severity, _, name), group in groups.items():
        topics.setdefault((severity, name, _family(group)), []).append(group)
    told = []
    for together in topics.values():
        main, *others = sorted(together, key=len, reverse=True)
        told.append(_story(main, tuple((group[0].cause, _cases(group)) for group in others)))
    # What has a name helps more than what has none: a crash for most shapes may be unexplained values for the others.
    return tuple(sorted(told, key=_helpfulness))


def _helpfulness(story: Story) -> tuple[int, bool]:
    return -min(story.finding.severity, Severity.FAILURE), story.finding.cause == "unexplained"


def _join_crashes(groups: Groups) -> None:
    """What raises for one shape may be what is wrong for another: with the same cause it is the same story."""
    for key in list(groups):
        crashed = groups[key]
        same = [k for k in groups if k != key and k[:2] == key[:2]]
        if same and all(finding.code == "GC106" for finding in crashed):
            groups[max(same, key=lambda k: len(groups[k]))] += groups.pop(key)


def _family(group: list[Finding]) -> str:
    """GC1 structure, GC2 value, GC3 behaviour ...: what most of the findings are about."""
    return Counter(finding.code[:3] for finding in group).most_common(1)[0][0]


def _story(group: list[Finding], aside: tuple[tuple[str, int], ...]) -> Story:
    """Told on the plainest case that has the usual advice: where n is 2, a factor of 2 may be anything."""
    codes = tuple(code for code, _ in Counter(f.code for f in group).most_common())
    usual = Counter(f.suggestion for f in group).most_common(1)[0][0]
    shown = min((f for f in group if f.suggestion == usual), key=_plainness)
    return Story(shown, _cases(group), codes, aside=aside)


def _cases(group: Sequence[Finding]) -> int:
    return len({(f.case.edge, f.case.index, f.case.attempt, f.case.recorded, id(f.case.params)) for f in group})


def _plainness(finding: Finding) -> tuple[int, ...]:
    """What a reader understands fastest: a case that is not empty, small, and drawn without special purpose."""
    case = finding.case
    empty = any(x.size == 0 for x in case.inputs)
    return (
        -finding.severity,
        not finding.partial,
        empty,
        sum(x.size for x in case.inputs),
        bool(case.edge),
        max(x.ndim for x in case.inputs),
    )
