"""A finding -> its cause: hypotheses are applied to the evidence, and one that explains it is named.

A cause is named only where the hypothesis, applied, agrees with the numeric derivative to within its error bar, or
where the same check succeeds on a neighbour of the case. Otherwise the finding is `unexplained`, and keeps its numbers.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from gradcheck_cli.checks import CaseResult, examine
from gradcheck_cli.checks.blame import blame
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.checks.value import Judging
from gradcheck_cli.diagnose import axes, entries, shapes, terms, values
from gradcheck_cli.diagnose.evidence import Cause, Evidence, evidence_of
from gradcheck_cli.diagnose.neighbours import NEIGHBOURS, special_values
from gradcheck_cli.foreign import quiet
from gradcheck_cli.variable.composite import Composite

Hypothesis = Callable[[Evidence], Cause | None]
Topic = tuple[str, str | None]  # a code, and the name of an input

# From the plainest to the most involved: what comes first is what a reader would try first.
VALUE: Sequence[Hypothesis] = (
    values.zero_gradient,
    values.sign_flipped,
    values.wrong_scale,
    values.single_precision,
    axes.wrong_axis_of_sum,
    axes.transposed,
    axes.swapped_inputs,
    terms.ignores_upstream,
    terms.branch_swapped,
    values.turned_around,
    axes.wrong_axis,
    terms.overwrites,
    terms.some_uses,
    terms.half_transposed,
    values.permuted_or_reversed,
    entries.in_part,
    terms.missing_term,
    entries.wrong_element,
)
SHAPE: Sequence[Hypothesis] = (
    shapes.missing_unbroadcast,
    shapes.not_transposed,
    shapes.swapped_inputs,
    shapes.permuted,
    shapes.summed_along_another_axis,
    shapes.wrong_shape,
)
CRASH: Sequence[Hypothesis] = (axes.transposed, axes.swapped_inputs)
_HYPOTHESES = {"GC101": SHAPE, "GC201": VALUE, "GC202": (), "GC106": CRASH}
_SPECIAL = {
    "nan_at_edge",
    "wrong_at_edge",
    "wrong_at_kink",
    "wrong_tie",
    "wrong_for_0d",
    "wrong_for_empty",
    "wrong_for_noncontiguous",
}
_BESIDE = {*_SPECIAL, "mutates_input", "mutates_upstream"}  # what a neighbour of the case tells
_LARGEST = 4096  # entries of a case beyond which a cause is not looked for: it costs forward calls


def diagnose(result: CaseResult, ordinary: Collection[Topic] = ()) -> CaseResult:
    """The same result with causes in its failures.

    `ordinary` are topics that fail for ordinary values too: what is special about this case need not be looked for.
    """
    if not result.verdict.bad or sum(x.size for x in result.case.inputs) > _LARGEST:
        return result
    return replace(result, findings=tuple(_explain(f, topic_of(f) not in ordinary) for f in result.findings))


def ordinary_topics(results: Sequence[CaseResult]) -> set[Topic]:
    """What fails in random cases, and not because of some special value that was drawn by chance."""
    return {
        topic_of(f)
        for r in results
        if not (r.case.edge or r.case.undeclared)
        for f in r.findings
        if f.cause not in _SPECIAL
    }


def topic_of(finding: Finding) -> Topic:
    """What a finding is about: its code and the input."""
    return finding.code, finding.input


def reconcile(results: Sequence[CaseResult]) -> list[CaseResult]:
    """The same results with as few causes as the evidence allows.

    A small case may fit several hypotheses (a matrix of one row is its own transpose, but for the shape). What explains
    most cases of a topic is tried again on the others.
    """
    causes: dict[Topic, Counter[str]] = {}
    for finding in (f for result in results for f in result.findings if f.severity >= Severity.FAILURE):
        causes.setdefault(topic_of(finding), Counter())[finding.cause] += 1
    return [
        replace(result, findings=tuple(_reconsider(f, causes.get(topic_of(f), Counter())) for f in result.findings))
        for result in results
    ]


def _reconsider(finding: Finding, causes: Counter[str]) -> Finding:
    """The finding with the most common cause of its topic, if that explains it too."""
    if len(causes) < 2 or finding.code not in _HYPOTHESES or finding.severity < Severity.FAILURE:
        return finding
    for usual, count in causes.most_common():
        if usual == finding.cause or count <= causes[finding.cause]:
            return finding
        with quiet():
            cause = next((c for c in _hypotheses(finding) if c.cause == usual), None)
        if cause is not None:
            return _named(finding, cause)
    return finding


def with_cause(finding: Finding, cause: str, partial: bool = False) -> Finding | None:
    """The finding if that cause explains it; only what belongs to the cause is tried.

    What explains some of the entries, and leaves the others right, must do so here, too, if it is to be `partial`.
    """
    if finding.cause == cause:
        return finding
    if finding.code not in _HYPOTHESES:
        return None
    if isinstance(finding.case.op, Composite):
        inside = _inside(finding)
        return inside if inside.cause == cause else None
    with quiet():
        beside = (found for neighbour in NEIGHBOURS if (found := neighbour(finding))) if cause in _BESIDE else ()
        named = (c for c in (*beside, *([] if cause in _SPECIAL else _hypotheses(finding))) if c.cause == cause)
        found = next((c for c in named if c.partial or not partial), None)
    if found is None and cause == "unexplained" and next(_hypotheses(finding), None) is None:
        return replace(finding, cause=cause)
    return _named(finding, found) if found else None


def _explain(finding: Finding, special: bool) -> Finding:
    if finding.code not in _HYPOTHESES or finding.severity < Severity.FAILURE:
        return finding
    if isinstance(finding.case.op, Composite):
        return _inside(finding)
    neighbours = NEIGHBOURS if special else [n for n in NEIGHBOURS if n is not special_values]
    with quiet():
        beside = (cause for neighbour in neighbours if (cause := neighbour(finding)))
        cause = next(itertools.chain(beside, _hypotheses(finding)), None)
    if cause is None:
        return replace(finding, cause="unexplained") if finding.cause in ("wrong_value", "wrong_jointly") else finding
    return _named(finding, cause)


def _inside(finding: Finding) -> Finding:
    """A wrong gradient by the tape, with the op on it that is to blame: nobody wrote the gradient itself."""
    case = finding.case
    assert isinstance(case.op, Composite)
    with quiet():
        try:
            calls = case.op.calls(case.inputs, case.params)
        except Exception:  # What the tape cannot follow: backward has raised the same, and the finding says so.
            return finding
        found = blame(case, calls, lambda call: examine(call, Judging()))
    if found is None or (found.op is None and finding.code != "GC201"):
        return replace(finding, cause="unexplained")
    if found.op is None:
        why = f"Every op that {case.op.name} calls is right here, so it uses a value that the tape does not see"
        advice = "compute it from the inputs themselves, without .data or no_grad()"
        return replace(finding, cause="detached", why=why, suggestion=advice)
    why = f"{case.op.name} calls {found.sentence}"
    return replace(finding, cause="wrong_op_inside", why=why, suggestion=f"mend {found.op.name} first", input=None)


def _hypotheses(finding: Finding) -> Iterator[Cause]:
    """Every hypothesis that explains a finding, the plainest first."""
    for position in _positions(finding):
        evidence = evidence_of(finding.case, position)
        if finding.code == "GC201" and evidence.agreement(evidence.gradient):
            continue  # What is wrong is too little to be seen here: whatever agrees explains nothing.
        for hypothesis in _HYPOTHESES[finding.code]:
            if cause := hypothesis(evidence):
                yield cause._replace(input=evidence.name)


def _named(finding: Finding, cause: Cause) -> Finding:
    return replace(
        finding,
        cause=cause.cause,
        why=cause.why,
        suggestion=cause.suggestion or finding.suggestion,
        input=finding.input or cause.input,
        partial=cause.partial,
    )


def _positions(finding: Finding) -> list[int]:
    """The inputs that a finding may be about; a crash may be about any that has entries."""
    if finding.input is not None:
        return [finding.case.op.names.index(finding.input)]
    return [p for p in finding.case.op.differentiated if finding.case.inputs[p].size]
