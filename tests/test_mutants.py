"""Mutants of every built-in op: each is caught, or shown to be no mutant at all."""

import pytest
from mutants import BENDS, caught, drawn, equivalent, mutants

from gradcheck_cli import Op
from gradcheck_cli.registry import installed_ops

OPS = installed_ops()
KINDS = {
    *BENDS,
    "gradients exchanged",
    "operands exchanged",
    "unbroadcast forgotten",
    "cotangent ignored",
    "doubled in place",
}

every_op = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)


def contradictions(op: Op, kinds: set[str]) -> list[str]:
    """Mutants that are missed, or caught for nothing; what is equivalent shows on other cases than the check's."""
    cases = drawn(op)
    assert len(cases) >= 20
    chosen = [mutant for mutant in mutants(op) if mutant.kind in kinds]
    return [str(mutant) for mutant in chosen if caught(mutant) == equivalent(mutant, op, cases)]


@every_op
def test_a_mutant_is_caught_unless_it_is_equivalent(op: Op) -> None:
    """Every one of them."""
    assert contradictions(op, KINDS) == []


def test_every_kind_of_mutant_is_made() -> None:
    """Of some op, each: a kind that nobody makes proves nothing."""
    assert {mutant.kind for op in OPS for mutant in mutants(op)} == KINDS
