"""Findings -> stories: one for each thing that is wrong, told on its smallest case.

One bug fails many cases, under several codes (a missing transpose is a wrong shape, and wrong values where matrices are
square), and a tiny case may fit another cause by accident. A reader wants to be told once.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gradcheck_cli.checks import CaseResult
from gradcheck_cli.checks.finding import Finding, Severity

_ASIDE = (
    0.2  # of the cases of an input's main story: a cause with fewer is mentioned there, and gets no story of its own
)


@dataclass(frozen=True)
class Story:
    """One thing that is wrong (or worth a warning): the finding to show, and how often it was found."""

    finding: Finding
    cases: int
    codes: tuple[str, ...]
    saved: str = ""  # the file that replays it
    aside: tuple[tuple[str, int], ...] = ()  # (cause, cases) of the same input's rarer findings


def stories(results: Sequence[CaseResult]) -> tuple[Story, ...]:
    """The stories of one op, the most frequent of each input first."""
    groups: dict[tuple[Severity, str, str | None], list[Finding]] = {}
    for finding in (f for result in results for f in result.findings if f.severity > Severity.NOTE):
        # A crash and a wrong value of the same cause are one thing; an error of the op is no worse than a failure.
        severity = min(finding.severity, Severity.FAILURE)
        groups.setdefault((severity, finding.cause, finding.input), []).append(finding)
    _join_crashes(groups)
    told: list[list[Story]] = []
    for severity, name in dict.fromkeys((severity, name) for severity, _, name in groups):
        own = [group for (s, _, n), group in groups.items() if (s, n) == (severity, name)]
        told.append(_of_one_input(sorted(own, key=len, reverse=True)))
    # What has a name helps more than what has none: a crash for most shapes may be unexplained values for the others.
    return tuple(itertools.chain(*sorted(told, key=_helpfulness)))


def _helpfulness(told: Sequence[Story]) -> tuple[int, bool]:
    first = told[0].finding
    return -min(first.severity, Severity.FAILURE), first.cause == "unexplained"


def _join_crashes(groups: dict[tuple[Severity, str, str | None], list[Finding]]) -> None:
    """What raises for one shape may be what is wrong for another: with the same cause it is the same story."""
    for key in list(groups):
        crashed = groups[key]
        same = [k for k in groups if k != key and k[:2] == key[:2]]
        if same and all(finding.code == "GC106" for finding in crashed):
            groups[max(same, key=lambda k: len(groups[k]))] += groups.pop(key)


def _of_one_input(groups: list[list[Finding]]) -> list[Story]:
    """The stories of one input, the rare ones put aside in the first."""
    rare = [group for group in groups[1:] if len(group) < _ASIDE * len(groups[0])]
    aside = tuple((group[0].cause, _cases(group)) for group in rare)
    told = [group for group in groups if group not in rare]
    return [_story(group, aside if group is groups[0] else ()) for group in told]


def _story(group: list[Finding], aside: tuple[tuple[str, int], ...]) -> Story:
    codes = tuple(code for code, _ in Counter(f.code for f in group).most_common())
    return Story(min(group, key=_plainness), _cases(group), codes, aside=aside)


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
