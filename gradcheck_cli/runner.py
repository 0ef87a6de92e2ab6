"""Ops + options -> a stream of events: what is drawn, what is forgiven, what an op amounts to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from gradcheck_cli.case import Case
from gradcheck_cli.checks import CaseResult, examine
from gradcheck_cli.checks.finding import VERDICTS, Finding, Severity, Verdict
from gradcheck_cli.checks.value import Judging
from gradcheck_cli.draw import Sampling
from gradcheck_cli.errors import DeclarationError, UsageError, describe
from gradcheck_cli.op import Op
from gradcheck_cli.sample import Sampler

if TYPE_CHECKING:
    from gradcheck_cli.stories import Story

_MOST_SHRUNK = 6  # stories of an op: who has more will mend the first ones first
REDRAWS = 3  # an inconclusive case is drawn again with other values this often


@dataclass(frozen=True)
class Options:
    """What to run and when to stop."""

    sampling: Sampling = field(default_factory=Sampling)
    judging: Judging = field(default_factory=Judging)
    allow_inconclusive: bool = False  # let a gradient through that could be judged in no case
    maxfail: int | None = None  # stop after so many failed cases
    durations: int = 0  # how many of the slowest ops the report names


class OpStarted(NamedTuple):
    """An op is about to be checked."""

    op: Op
    number: int
    total: int


class CaseFinished(NamedTuple):
    """A case was examined."""

    result: CaseResult


@dataclass(frozen=True)
class OpResult:
    """What an op amounts to: its cases, and findings that belong to no single case."""

    op: Op
    cases: tuple[CaseResult, ...] = ()
    skipped: str | None = None  # why nothing was checked
    broken: str | None = None  # what is wrong with the declaration, where that shows only when cases are drawn
    dropped: int = 0  # param combinations that forward refused
    refused: tuple[str, ...] = ()  # edge shapes that forward refused
    redrawn: int = 0  # inconclusive cases that were judged on another draw
    seconds: float = 0.0
    judging: Judging = field(default_factory=Judging)
    told: tuple[Story, ...] | None = None  # the stories, where something was added to them

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, in the order of the cases."""
        return tuple(f for case in self.cases for f in case.findings)

    @cached_property
    def stories(self) -> tuple[Story, ...]:
        """What is wrong, each thing once, on the smallest case that was found when first asked."""
        if self.told is not None:
            return self.told
        if not self.findings:
            return ()
        from gradcheck_cli.shrink import shrink
        from gradcheck_cli.stories import stories

        found = stories(self.cases)
        smallest = [replace(s, finding=shrink(s.finding, self.judging)) for s in found[:_MOST_SHRUNK]]
        return (*smallest, *found[_MOST_SHRUNK:])

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Inputs whose gradient was judged in no case; an edge, where all may be zero, is no proof of sight."""
        ordinary = [case for case in self.cases if not case.case.edge] or self.cases
        asked = [self.op.names[i] for i in self.op.differentiated]
        asked += [r.label for case in ordinary for r in case.inputs if r.order > 1]
        judged = {r.label for case in ordinary for r in case.inputs if r.judged}
        return () if self.skipped else tuple(name for name in dict.fromkeys(asked) if name not in judged)

    @property
    def verdict(self) -> Verdict:
        """The worst of the cases; inconclusive cases only count where a gradient was never judged."""
        if self.skipped is not None:
            return Verdict.SKIP
        if self.broken is not None:
            return Verdict.ERROR
        worst = VERDICTS[max((f.severity for f in self.findings), default=Severity.NOTE)]
        if worst is Verdict.INCONCLUSIVE or not worst.bad:
            return Verdict.INCONCLUSIVE if self.unjudged else Verdict.PASS
        return worst


@dataclass(frozen=True)
class RunFinished:
    """Everything that was found out, of `asked` ops; `stopped` says why the run ended early."""

    ops: tuple[OpResult, ...]
    asked: int
    options: Options
    seconds: float
    stopped: str | None = None
    fixtures: int | None = None  # how many files were replayed, where nothing was drawn

    @property
    def dtypes(self) -> tuple[str, ...]:
        """What the inputs were drawn, or recorded, in."""
        if self.fixtures is not None:
            cases = [result.case for op in self.ops for result in op.cases]
            return tuple(dict.fromkeys(x.dtype.name for case in cases for x in case.inputs if x.dtype.kind in "fc"))
        chosen = self.options.sampling.dtype
        return (chosen,) if chosen else tuple(dict.fromkeys(result.op.dtypes[0] for result in self.ops))

    @property
    def exit_code(self) -> int:
        """0 all passed, 1 a gradient is wrong or was never judged, 5 nothing was checked."""
        verdicts = {op.verdict for op in self.ops}
        if any(v.bad for v in verdicts) or (Verdict.INCONCLUSIVE in verdicts and not self.options.allow_inconclusive):
            return 1
        return 0 if verdicts - {Verdict.SKIP} else 5


Event = OpStarted | CaseFinished | OpResult | RunFinished


def run(ops: Sequence[Op], options: Options) -> Iterator[Event]:
    """Check ops one after the other; closing the iterator early loses nothing that was yielded.

    Raises UsageError where the options do not fit the one op that was asked for; of several, those are skipped.
    """
    started = time.perf_counter()
    results: list[OpResult] = []
    failures = 0
    for number, op in enumerate(ops, 1):
        yield OpStarted(op, number, len(ops))
        left = None if options.maxfail is None else options.maxfail - failures
        for event in run_op(op, replace(options, maxfail=left), strict=len(ops) == 1):
            if isinstance(event, OpResult):
                results.append(event)
                failures += sum(case.verdict.bad for case in event.cases)
            yield event
        if options.maxfail is not None and failures >= options.maxfail:
            stopped = f"stopped after {failures} failed case{'s' * (failures != 1)}" if number < len(ops) else None
            yield RunFinished(tuple(results), len(ops), options, time.perf_counter() - started, stopped)
            return
    yield RunFinished(tuple(results), len(ops), options, time.perf_counter() - started)


def run_op(op: Op, options: Options, strict: bool = True) -> Iterator[CaseFinished | OpResult]:
    """The cases of one op, then its OpResult; a UsageError is a skip unless `strict`."""
    started = time.perf_counter()
    results: list[CaseResult] = []
    redrawn = 0
    try:
        sampler = Sampler(op, options.sampling)
        for case in sampler:
            if case.undeclared and any(r.verdict.bad for r in results if not r.case.undeclared):
                continue  # What nobody mentioned tells nothing about an op that is wrong without it.
            result, again = _settle(case, sampler, options, results)
            redrawn += again
            results.append(forgive(result))
            yield CaseFinished(results[-1])
            if options.maxfail is not None and sum(r.verdict.bad for r in results) >= options.maxfail:
                break
        else:
            for finding in _impossible_choices(sampler, results):
                results[0] = replace(results[0], findings=(*results[0].findings, finding))
    except UsageError as error:
        if strict or results:
            raise
        yield OpResult(op, skipped=str(error).removeprefix(f"{op.name}: "))
        return
    except DeclarationError as error:
        if strict:
            raise
        yield OpResult(op, tuple(results), broken=str(error))
        return
    if not results:
        yield OpResult(op, skipped=_nothing_drawn(op, options.sampling))
        return
    results = _without_what_nobody_mentioned(_reconciled(results))
    seconds = time.perf_counter() - started
    yield OpResult(
        op,
        tuple(results),
        dropped=sampler.dropped,
        refused=tuple(sampler.refused),
        redrawn=redrawn,
        seconds=seconds,
        judging=options.judging,
    )


def _settle(case: Case, sampler: Sampler, options: Options, before: Sequence[CaseResult]) -> tuple[CaseResult, bool]:
    """Examine a case; an inconclusive one again with other values. Whether a redraw settled it."""
    first = examine(case, options.judging)
    if not case.undeclared:
        first = _diagnosed(first, before)
    if first.verdict is not Verdict.INCONCLUSIVE or case.index < 0 or case.edge:
        return first, False
    for attempt in range(1, REDRAWS + 1):
        result = _diagnosed(examine(sampler.redraw(case, attempt), options.judging), before)
        if result.verdict is not Verdict.INCONCLUSIVE:
            return result, True
    return first, False


def _diagnosed(result: CaseResult, before: Sequence[CaseResult]) -> CaseResult:
    """The result with causes, where something is wrong; until then nothing of that is even imported."""
    if not result.verdict.bad:
        return result
    from gradcheck_cli.diagnose import diagnose, ordinary_topics

    return diagnose(result, ordinary_topics(before))


def _reconciled(results: list[CaseResult]) -> list[CaseResult]:
    """The results with as few causes as the evidence allows."""
    if not any(result.verdict.bad for result in results):
        return results
    from gradcheck_cli.diagnose import reconcile

    return reconcile(results)


def _without_what_nobody_mentioned(results: list[CaseResult]) -> list[CaseResult]:
    """Warnings about loop dimensions or another dtype tell nothing about an op that is wrong without them."""
    if not any(result.verdict.bad for result in results):
        return results
    return [replace(r, findings=()) if r.case.undeclared else r for r in results]


_UNDECLARED = {
    "loops": ("with loop dimensions", "say loops=True if batches are meant, loops=False if not"),
    "dtype": ("in this dtype", "say dtypes= which ones the op is for"),
}


def forgive(result: CaseResult) -> CaseResult:
    """Turn what is wrong only with what the author never mentioned into warnings."""
    if not result.case.undeclared:
        return result
    when, advice = _UNDECLARED[result.case.undeclared]
    findings = tuple(
        replace(f, severity=Severity.WARNING, suggestion=advice, message=f"{when}, {f.message}")
        if f.severity >= Severity.FAILURE
        else f
        for f in result.findings
    )
    return replace(result, findings=findings)


def _impossible_choices(sampler: Sampler, results: Sequence[CaseResult]) -> Iterator[Finding]:
    for name, choice, error in sampler.impossible if results else ():
        yield Finding(
            "GC401",
            "impossible_choice",
            Severity.ERROR,
            results[0].case,
            f"no shape accepts {name}={choice}: forward raises {describe(error)}",
            f"take it out of params[{name!r}], or widen the signature",
        )


def _nothing_drawn(op: Op, sampling: Sampling) -> str:
    if sampling.rank is not None:
        return f"{op.gufunc.text} has no operands of rank {sampling.rank}"
    return "nothing could be drawn"
