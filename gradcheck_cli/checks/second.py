"""GC601 and GC603: is the derivative of backward right? Backward is asked, as an op with the tape for its backward.

What tells an op's gradient from a wrong one tells a second derivative from a wrong one: the same checks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from gradcheck_cli.case import Case, make_case
from gradcheck_cli.checks.blame import MOST, Examine, blame, called
from gradcheck_cli.checks.directions import coordinates, joint
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.checks.oracle import oracle_of
from gradcheck_cli.checks.value import InputResult
from gradcheck_cli.codes import CAUSES
from gradcheck_cli.errors import TapeError
from gradcheck_cli.numeric.curves import ForwardCurves
from gradcheck_cli.numeric.estimate import Outcome
from gradcheck_cli.numeric.ladder import differentiate
from gradcheck_cli.source import name_of
from gradcheck_cli.variable.composite import Composite
from gradcheck_cli.variable.second import Recorded, backward_as_op

_COORDINATES = 64  # of an input, along which a kink is looked for where something seems wrong


def check_second(case: Case, examine: Examine) -> tuple[list[InputResult], list[Finding]]:
    """Results and findings about the derivative of backward, at a case whose gradients are right."""
    assert case.outputs is not None
    if any(x.dtype.kind == "c" for x in (*case.inputs, *case.outputs.arrays)):
        return [], [_skipped(case, "a tape differentiates real numbers only")]
    try:
        recorded = Recorded(case.op, case.cotangents, case.inputs, case.params)
    except TapeError as error:
        return [], [_skipped(case, str(error))]
    derived = _derived(case)
    found = examine(derived)
    results = [replace(result, order=2) for result in found.inputs]
    findings = list(_lifted(case, found.findings))
    wrong = next((f for f in findings if f.code == "GC601"), None)
    if wrong is not None and (rough := _roughest_of(case, derived, recorded)) != Outcome.SMOOTH:
        cause = rough.name.lower()
        message = (
            f"at order 2, forward or {name_of(case.op.backward)} has no derivative to compare with: {CAUSES[cause]}"
        )
        return [], [Finding("GC501", cause, Severity.NOTE, case, message)]
    if wrong is not None:  # One is enough: an error in what backward calls shows in every derivative.
        findings = [f for f in findings if f.code != "GC601"] + [_explained(wrong, recorded, examine)]
    return results, findings


def _derived(case: Case) -> Case:
    """The same case of the op that backward is."""
    assert case.outputs is not None
    return make_case(
        backward_as_op(case.op, case.inputs, case.outputs.arrays),
        (*case.cotangents, *case.inputs),
        case.params,
        seed=case.seed,
        index=case.index,
        attempt=case.attempt,
        layout=case.layout,
        edge=case.edge,
    )


def _lifted(case: Case, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Findings about the derived op as findings about the op."""
    for finding in findings:
        if finding.code.startswith("GC4"):  # Of backward as a function: order 1 has asked that.
            continue
        what = f"d {name_of(case.op.backward)} / d {finding.input}"
        message = finding.message.replace(f"grad {finding.input}", what, 1) if finding.input else finding.message
        if finding.severity >= Severity.FAILURE:
            evidence = {**finding.evidence, "order": 2, "by": finding.input, "code": finding.code}
            yield Finding("GC601", "unexplained", Severity.FAILURE, case, message, evidence=evidence)
        else:
            label = f"{finding.input} (order 2)" if finding.input else None
            message = f"at order 2, {message.replace('forward', 'backward')}"  # which is what is differentiated here
            yield replace(finding, case=case, message=message, input=label)


def _roughest_of(case: Case, derived: Case, recorded: Recorded) -> Outcome:
    """Of forward, of backward, and of every op that is called on the way."""
    nodes = recorded.nodes + (case.op.calls(case.inputs, case.params) if isinstance(case.op, Composite) else [])
    calls = [called(case, node) for node in nodes[:MOST]]
    return max(_roughest(each) for each in (case, derived, *calls) if each.outputs is not None)


def _roughest(case: Case) -> Outcome:
    """The worst that differences of any one output tell along any coordinate, where all must be smooth.

    At a tie a tape follows the mean of the branches, say, and differences follow one of them: where both are right
    about the slope, their derivatives differ.
    """
    oracle, positions = oracle_of(case), case.op.differentiated
    each = [d for p in positions for d in itertools.islice(coordinates(case, p), _COORDINATES)]
    directions = [*each, joint(case, positions)]
    found = differentiate(ForwardCurves(oracle.forward, oracle.inputs, directions, oracle.limits))
    return Outcome(int(np.max(found.outcome, initial=int(Outcome.SMOOTH))))


def _skipped(case: Case, why: str) -> Finding:
    message = f"order 2 was not checked: {why}"
    return Finding("GC603", "not_recorded", Severity.WARNING, case, message)


def _explained(finding: Finding, recorded: Recorded, examine: Examine) -> Finding:
    """The finding with its cause, where one can be told."""
    backward = name_of(finding.case.op.backward)
    found = blame(finding.case, recorded.nodes, examine)
    if found is None:
        return finding
    if found.op is not None:
        why = f"{backward} calls {found.sentence}"
        return replace(finding, cause="wrong_op_inside", why=why, suggestion=f"mend {found.op.name} first")
    why = f"Every op that {backward} calls is right here, so it uses a value that the tape does not see"
    advice = "compute it in backward, from grad, out and the inputs: nothing that forward saved, no no_grad()"
    return replace(finding, cause="detached", why=why, suggestion=advice)
