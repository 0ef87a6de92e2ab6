"""Which op on a tape is to blame? Of right derivatives the product is right, so each call is examined by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Protocol

import numpy as np

from gradcheck_cli.case import Case, make_case
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.checks.value import InputResult
from gradcheck_cli.domain import REAL, Domain, Index, integers
from gradcheck_cli.op import Op
from gradcheck_cli.signature import plain
from gradcheck_cli.variable.tape import Node, slots

MOST = 64  # calls that are asked one by one


class Result(Protocol):
    """What is found out about a case: CaseResult, which stands further to the left."""

    @property
    def inputs(self) -> tuple[InputResult, ...]:
        """What was found about each gradient."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings."""


Examine = Callable[[Case], Result]


@dataclass(frozen=True)
class Blame:
    """The op whose backward is wrong, and by which code; no op where all are right."""

    op: Op | None = None
    code: str = ""

    @property
    def sentence(self) -> str:
        """Who it is, where, and what is wrong."""
        assert self.op is not None
        return f"{self.op.name}, whose own backward ({self.op.place}) is wrong: {self.code}"


def blame(case: Case, nodes: Sequence[Node], examine: Examine) -> Blame | None:
    """The first call on the tape whose own gradient is wrong; None where that cannot be told of all of them."""
    proven = len(nodes) <= MOST
    for node in nodes[:MOST]:
        result = examine(called(case, node))
        wrong = next((f for f in result.findings if f.severity >= Severity.FAILURE), None)
        if wrong is not None:
            return Blame(node.op, wrong.code)
        proven = proven and bool(result.inputs) and all(entry.judged for entry in result.inputs)
    return Blame() if proven else None


def _only(wanted: Sequence[int], asked: Sequence[int], backward: Callable[..., Any]) -> Callable[..., Any]:
    """A backward that returns the gradients of the wanted inputs alone, of those it is asked for or of all inputs."""

    @wraps(backward)
    def less(grad: Any, out: Any, *inputs: Any, **params: Any) -> Any:
        entries = backward(grad, out, *inputs, **params)
        places = range(len(inputs)) if len(entries) == len(inputs) else asked
        return tuple(entry for place, entry in zip(places, entries, strict=True) if place in wanted)

    return less


def called(case: Case, node: Node) -> Case:
    """A call of an op, as a case; numbers of several precisions in the widest, in which they were computed.

    Integers, as the labels in 1 - y, have no slope whatever the op makes of floats.
    """
    assert node.op is not None
    widest = np.result_type(*[x.dtype for x in node.inputs if x.dtype.kind == "f"], np.float16)
    inputs = tuple([x.astype(widest) if x.dtype.kind == "f" else x for x in node.inputs])
    asked = slots(node.op, len(node.inputs))
    wanted = [i for i in asked if node.inputs[i].dtype.kind in "fc"]
    domains: list[Domain] = [REAL if i in wanted else integers(0, 1) for i in range(len(node.inputs))]
    if len(domains) == len(node.op.domains):
        pairs = zip(node.op.domains, domains, strict=True)
        domains = [usual if isinstance(own, Index) else own for own, usual in pairs]
    op = Op(
        node.op.forward,
        node.op.backward if len(wanted) == len(asked) else _only(wanted, asked, node.op.backward),
        plain([x.shape for x in node.inputs]),
        domain=domains,
        differentiable=[i in wanted for i in range(len(node.inputs))],
        params={name: [value] for name, value in node.params.items()},
        name=node.op.name,
    )
    return make_case(op, inputs, node.params, seed=case.seed, index=case.index, edge=case.edge)
