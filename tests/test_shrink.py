"""Shrinking: the case that a story shows is one that a person would have chosen, and still the same failure."""

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from wrong_ops import FEW, WRONG, ops_of, report_of

import gradcheck_cli.shrink
from gradcheck_cli import POSITIVE, REAL, Op, check, index, interval
from gradcheck_cli.api import Report
from gradcheck_cli.checks import examine
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.checks.value import Judging
from gradcheck_cli.shrink import TRIES, shrink

Array = NDArray[Any]

# file -> op -> how many entries all inputs together may have.
LARGEST: dict[str, dict[str, int]] = {
    "branch_swapped": {"leaky_relu": 2, "maximum": 2, "select": 3},
    "crashes": {"layer_norm": 1, "total": 1, "linear": 2},
    "ignores_upstream": {"tanh": 1, "mean_squared_error": 2, "log_sum_exp": 1},
    "missing": {"power": 2, "tanh": 1, "mean_squared_error": 2},
    "missing_term": {"softmax": 2, "layer_norm": 2, "normalize": 2, "residual": 3},
    "missing_unbroadcast": {"bias": 2, "logaddexp": 3, "scale_and_shift": 5},
    "mutates_input": {"divide": 2, "log_sum_exp": 1, "dropout": 2},
    "mutates_upstream": {"relu": 1, "tanh": 1, "softmax": 1},
    "nan_at_edge": {"prod": 1, "sinc": 1, "norm": 1, "softplus": 1},
    "nondeterministic": {"dropout": 1, "jitter": 1, "square": 1},
    "nonlinear_in_upstream": {"tanh": 1, "exp": 1, "linear": 2},
    "not_transposed": {"linear": 3, "recurrent": 6, "matvec": 4},
    "overwrites_instead_of_accumulates": {"embedding": 3, "frames": 2, "sin_and_cos": 1, "pad_with_ends": 2},
    "permuted_or_reversed": {"transpose": 2, "shift": 3, "running_sum": 2, "sort": 3},
    "sign_flipped": {"divide": 2, "cos": 1, "squared_distance": 2, "cross_entropy": 3},
    "swapped_inputs": {"multiply": 2, "linear": 3, "affine": 3},
    "wrong_at_edge": {"prod": 1, "integer_power": 1, "exp_ratio": 1, "huber": 1},
    "wrong_at_kink": {"leaky_relu": 1, "elu": 1, "hard_swish": 1},
    "wrong_axis": {"softmax": 2, "cumsum": 2, "center": 2},
    "wrong_count": {"multiply": 2, "linear": 3, "leaky_relu": 1},
    "wrong_dtype": {"embedding": 2, "linear": 2, "exp": 3},
    "wrong_element": {"diff": 2, "trapezoid": 2},
    "wrong_for_0d": {"leaky_relu": 1, "sin": 1, "sigmoid": 1},
    "wrong_for_empty": {"cumsum": 0, "score": 1, "sample_energy": 0},
    "wrong_for_noncontiguous": {"square": 4, "largest": 4, "complex_square": 4},
    "wrong_scale": {"square": 1, "mean": 3, "mean_squared_error": 6},
    "wrong_shape": {"matvec": 2, "flat_linear": 12, "energy": 1},  # flat_linear has fixed sizes
    "wrong_tie": {"maximum": 2, "minimum": 2, "max": 2},
    "wrong_unbroadcast_axis": {"bias": 3, "scale_rows": 3, "multiply": 4},
    "zero_gradient": {"power": 2, "prelu": 2, "blend": 3},
}


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of time is for slow forwards, and not for slow machines that run tests."""
    monkeypatch.setattr(gradcheck_cli.shrink, "SECONDS", 600.0)


def entries(finding: Finding) -> int:
    return sum(x.size for x in finding.case.inputs)


def shown(report: Report) -> Finding:
    """The finding of the first story that is no warning."""
    return next(s.finding for s in report.result.stories if s.finding.severity >= Severity.FAILURE)


def shown_of(name: str, op: str) -> Finding:
    """What is shown of an op in fixtures/wrong."""
    return shown(report_of(name, op))


def values(finding: Finding) -> list[Any]:
    """The inputs and cotangents as lists."""
    return [x.tolist() for x in (*finding.case.inputs, *finding.case.cotangents)]


def test_every_wrong_op_has_a_row() -> None:
    """The table is complete."""
    assert {path.stem: set(ops_of(path.stem)) for path in WRONG} == {name: set(ops) for name, ops in LARGEST.items()}


@pytest.mark.parametrize("name", LARGEST)
def test_the_case_that_is_shown_is_small(name: str) -> None:
    """Of every op in fixtures/wrong, as small as a person would have made it."""
    sizes = {op: entries(shown_of(name, op)) for op in LARGEST[name]}

    assert {op: size for op, size in sizes.items() if size > LARGEST[name][op]} == {}


# What a person would have written down.


def test_a_missing_unbroadcast_needs_one_axis() -> None:
    """A batch of one row against one number."""

    def backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
        return grad @ np.swapaxes(b, -1, -2), np.swapaxes(a, -1, -2) @ grad

    op = Op(np.matmul, backward, "(n,k),(k,m)->(n,m)", loops=True)
    story = next(s for s in check(op, shapes=[(2, 3, 4), (4, 5)]).result.stories if s.finding.input == "b")

    assert story.finding.cause == "missing_unbroadcast"
    assert all(n <= m for n, m in zip(story.finding.case.shapes[0], (2, 1, 1), strict=True))
    assert story.finding.case.shapes[1] == (1, 1)


def test_a_missing_transpose_needs_two_rows() -> None:
    """And as few numbers that are not zero."""
    finding = shown_of("not_transposed", "recurrent")

    assert finding.case.shapes == ((1, 2), (2, 2))
    assert sum(int(np.count_nonzero(x)) for x in (*finding.case.inputs, *finding.case.cotangents)) <= 3


def test_a_repeated_index_needs_two_of_them() -> None:
    """The same row, twice."""
    table, rows = shown_of("overwrites_instead_of_accumulates", "embedding").case.inputs

    assert (table.shape, rows.tolist()) == ((1, 1), [0, 0])


def test_a_tie_needs_two_numbers() -> None:
    """The same ones."""
    a, b = shown_of("wrong_tie", "maximum").case.inputs

    assert (a.shape, b.shape) == ((), ())
    assert a == b


def test_a_layout_stays_where_it_is_the_cause() -> None:
    """In C order nothing is wrong."""
    assert shown_of("wrong_for_noncontiguous", "square").case.layout != "C"
    assert shown_of("wrong_scale", "square").case.layout == "C"


def test_the_first_choice_of_a_param_is_kept_if_it_fails() -> None:
    """Which of the axes does not matter here."""

    def total(x: Array, axis: int) -> Array:
        return np.asarray(x.sum(axis))

    def backward(grad: Array, out: Array, x: Array, axis: int) -> Array:
        return np.asarray(-np.expand_dims(grad, axis) * np.ones_like(x))

    finding = max(
        check(Op(total, backward, "(2,3)", params={"axis": [0, 1]}), edges=False).findings,
        key=lambda f: f.case.params["axis"],
    )

    assert finding.case.params == {"axis": 1}
    assert shrink(finding, Judging()).case.params == {"axis": 0}


# It is the same failure.

SOME = [
    ("missing_unbroadcast", "bias"),
    ("not_transposed", "recurrent"),
    ("wrong_axis", "softmax"),
    ("wrong_scale", "mean"),
    ("sign_flipped", "divide"),
    ("nan_at_edge", "sinc"),
    ("wrong_tie", "max"),
]


@pytest.mark.parametrize(("name", "op"), SOME)
def test_the_same_case_is_found_again(name: str, op: str) -> None:
    """A second run shows the same numbers."""
    first, second = shown_of(name, op), shown(check(ops_of(name)[op], cases=FEW))

    assert values(first) == values(second)
    assert first.message == second.message


@pytest.mark.parametrize(("name", "op"), SOME)
def test_a_smaller_case_fails_in_the_same_way(name: str, op: str) -> None:
    """Each failure of a check, shrunk by itself, keeps code, cause and input."""
    found = [f for f in report_of(name, op).findings if f.severity >= Severity.FAILURE]

    for finding in found[:4]:
        smaller = shrink(finding, Judging())
        assert (smaller.code, smaller.cause, smaller.input) == (finding.code, finding.cause, finding.input)
        assert entries(smaller) <= entries(finding)


@pytest.mark.parametrize(("name", "op"), SOME)
def test_what_is_shown_can_be_seen_again(name: str, op: str) -> None:
    """The shrunk case, examined once more, has the finding: message and numbers are its own."""
    finding = shown_of(name, op)
    again = [f for f in examine(finding.case, Judging()).findings if f.code == finding.code]

    assert finding.message in [f.message for f in again]


def test_a_shrunk_case_stays_in_the_domain() -> None:
    """Zero would be simpler, were it allowed; 3.5 is neither."""
    for domain, low, high in ((POSITIVE, 0, np.inf), (interval(2, 3), 2, 3)):
        finding = shown(check(Op(np.log, lambda grad, out, x: -grad / x, "()->()", domain=domain), cases=4))
        assert finding.cause == "sign_flipped"
        assert low < finding.case.inputs[0] < high


def test_a_shrunk_index_stays_in_its_dimension() -> None:
    """Which has become shorter."""

    def take(table: Array, rows: Array) -> Array:
        return table[rows]

    def backward(grad: Array, out: Array, table: Array, rows: Array) -> Array:
        slope = np.zeros_like(table)
        np.add.at(slope, rows, -grad)
        return slope

    op = Op(take, backward, "(v),(k)->(k)", domain=[interval(-2, 2), index("v")], loops=False)
    table, rows = shown(check(op, cases=4)).case.inputs

    assert (table.shape, rows.tolist()) == ((1,), [0])


def test_fixed_sizes_are_not_cut() -> None:
    """A signature that says 3 gets 3."""

    def cross(a: Array, b: Array) -> Array:
        return np.cross(a, b)

    def backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
        return np.cross(grad, b), np.cross(grad, a)

    finding = shown(check(Op(cross, backward, "(3),(3)->(3)", loops=False), cases=4))

    assert finding.case.shapes == ((3,), (3,))


# The search.


def test_the_search_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number of cases, not of seconds."""
    tried: Counter[str] = Counter()

    def counted(*arguments: Any) -> Any:
        tried["cases"] += 1
        return examine(*arguments)

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return -grad * np.ones_like(x) * (x.size > 11)  # nothing smaller fails

    def forward(x: Array) -> Array:
        return x.copy()

    (finding, *_) = check(forward, backward, shapes=[(3, 4)], edges=False, cases=1).findings
    monkeypatch.setattr(gradcheck_cli.shrink, "examine", counted)
    shrink(finding, Judging())

    assert 0 < tried["cases"] <= TRIES


def test_what_comes_and_goes_is_looked_at_more_than_once() -> None:
    """A small case in which randomness happens not to show is no proof that it is gone."""
    calls = itertools.count()

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return grad * (1 + (next(calls) if x.size > 1 else next(calls) // 13))

    def forward(x: Array) -> Array:
        return x.copy()

    found = shown(check(forward, backward, shapes=[(3, 4)], edges=False, cases=1))

    assert (found.cause, entries(found)) == ("nondeterministic", 1)


def test_what_cannot_be_smaller_is_left_alone() -> None:
    """The finding itself, not a copy."""
    finding = shown_of("wrong_scale", "square")

    assert shrink(finding, Judging()) is finding


def test_warnings_are_not_shrunk() -> None:
    """Only what closes a gate is worth the time."""

    def rows_backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
        return grad @ b.T, a.T @ grad

    report = check(Op(np.matmul, rows_backward, "(n,k),(k,m)->(n,m)"))
    finding = next(f for f in report.findings if f.severity is Severity.WARNING)

    assert shrink(finding, Judging()) is finding


def test_a_missing_term_stays_the_same_term() -> None:
    """Of the cosine of two vectors: with few numbers, some other product would do as well."""

    def cosine(a: Array, b: Array) -> Any:
        return np.sum(a * b, axis=-1) / np.sqrt(np.sum(a * a, axis=-1) * np.sum(b * b, axis=-1))

    def cosine_backward(grad: Array, out: Array, a: Array, b: Array) -> Any:
        norms = np.sqrt(np.sum(a * a, axis=-1) * np.sum(b * b, axis=-1))
        return grad * b / norms, grad * (a / norms - out * b / np.sum(b * b, axis=-1))

    op = Op(cosine, cosine_backward, "(n),(n)->()", domain=REAL.avoiding(0), loops=False)

    assert shown(check(op, edges=False, cases=4)).why == "What is missing is a times one number."
