"""Edges: for each a wrong op that it catches and random cases let through, beside the right one; their bounds."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import Gradcheck
from numpy.typing import NDArray

from gradcheck_cli import NONNEGATIVE, POSITIVE, REAL, SPD, Op, check, index, integers, interval, unbroadcast
from gradcheck_cli.case import Case
from gradcheck_cli.checks.finding import Severity
from gradcheck_cli.draw import Sampling
from gradcheck_cli.edges.values import landmarks
from gradcheck_cli.registry import installed_ops
from gradcheck_cli.sample import Sampler

Array = NDArray[Any]
Function = Callable[..., Any]

BUILT_IN = {op.name: op for op in installed_ops()}
RANDOM = ""  # the `edge` of a random case


def caught(op: Op, **options: Any) -> set[str]:
    """The edges at which an op fails, beside a few random cases."""
    report = check(op, **{"cases": 3, **options})
    return {f.case.edge for f in report.findings if f.severity >= Severity.FAILURE}


def edges(op: Op, **sampling: Any) -> list[Case]:
    return [case for case in Sampler(op, Sampling(**sampling)) if case.edge]


def at(op: Op, edge: str, **sampling: Any) -> Case:
    """The first case of an edge."""
    return next(case for case in edges(op, **sampling) if case.edge == edge)


def copying(signature: str = "()->()", **declaration: Any) -> Op:
    """An op that accepts everything and is right."""
    return Op(
        lambda *x, **_: x[0].copy(), lambda grad, _out, *_, **__: grad.copy(), signature, name="copy", **declaration
    )


# Values


def product_right(grad: Array, out: Array, x: Array) -> Any:
    others = [np.prod(np.delete(x, i)) for i in range(len(x))]
    return grad * np.array(others, x.dtype)


def product_without_zeros(grad: Array, out: Array, x: Array) -> Array:
    return grad * np.divide(out, x, out=np.zeros_like(x), where=x != 0)


def norm(x: Array) -> Any:
    return np.sqrt(np.sum(x * x))


def norm_right(grad: Array, out: Array, x: Array) -> Array:
    return grad * (x / out if out else np.zeros_like(x))


def norm_wrong(grad: Array, out: Array, x: Array) -> Array:
    return grad * (x / out)


def maximum_right(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return unbroadcast(grad * (a > b), a), unbroadcast(grad * (a <= b), b)


def maximum_wrong(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return unbroadcast(grad * (a >= b), a), unbroadcast(grad * (a <= b), b)


def largest_right(grad: Array, out: Array, x: Array) -> Any:
    return grad * (np.arange(len(x)) == np.argmax(x))


def largest_wrong(grad: Array, out: Array, x: Array) -> Any:
    return grad * (x == out)


def relu6(x: Array) -> Array:
    return np.minimum(np.maximum(x, 0), 6)


def relu6_right(grad: Array, out: Array, x: Array) -> Array:
    return grad * ((x > 0) & (x < 6))


def relu6_wrong(grad: Array, out: Array, x: Array) -> Any:
    """The pieces overlap where they meet."""
    return grad * ((x > 0) & (x <= 6)) + grad * (x == 6)


def relu6_shifted(grad: Array, out: Array, x: Array) -> Array:
    """A threshold that is off by a little."""
    return grad * ((x > 0) & (x < 6.02))


def root_cubed(x: Array) -> Array:
    return x * np.sqrt(x)


def root_cubed_right(grad: Array, out: Array, x: Array) -> Any:
    return grad * (x.dtype.type(1.5) * np.sqrt(x))


def root_cubed_wrong(grad: Array, out: Array, x: Array) -> Any:
    return grad * x.dtype.type(1.5) * out / x


def log_clamped(grad: Array, out: Array, x: Array) -> Any:
    return grad / np.clip(x, x.dtype.type(1e-3), None)


def dead_zone(grad: Array, out: Array, x: Array) -> Array:
    return grad * np.where(np.abs(x) < 1e-5, 0, np.cos(x))


def softplus(x: Array) -> Array:
    return np.logaddexp(0, x)


def softplus_right(grad: Array, out: Array, x: Array) -> Array:
    return grad * np.exp(-np.logaddexp(0, -x))


def softplus_wrong(grad: Array, out: Array, x: Array) -> Any:
    return grad * np.exp(x) / (1 + np.exp(x))


class Pair(NamedTuple):
    """A forward with a wrong and a right backward, and the edge that tells them apart."""

    edge: str
    forward: Function
    wrong: Function
    right: Function
    signature: str = "()->()"
    declaration: dict[str, Any] = {}  # noqa: RUF012 (never changed)

    def op(self, backward: Function) -> Op:
        return Op(self.forward, backward, self.signature, **self.declaration)


def sin_right(grad: Array, out: Array, x: Array) -> Array:
    return grad * np.cos(x)


def log_right(grad: Array, out: Array, x: Array) -> Array:
    return grad / x


UNLUCKY = 5  # a seed at which no random value happens to be a tie, a zero or a knee

VALUES = [
    Pair("one zero", np.prod, product_without_zeros, product_right, "(n)", {"loops": False}),
    Pair("zeros", norm, norm_wrong, norm_right, "(n)", {"loops": False}),
    Pair("ties", np.maximum, maximum_wrong, maximum_right, "(),()->()"),
    Pair("all equal", np.max, largest_wrong, largest_right, "(n)", {"loops": False}),
    Pair("landmarks", relu6, relu6_wrong, relu6_right),
    Pair("near landmarks", relu6, relu6_shifted, relu6_right),
    Pair("border", root_cubed, root_cubed_wrong, root_cubed_right, "()->()", {"domain": NONNEGATIVE}),
    Pair("near border", np.log, log_clamped, log_right, "()->()", {"domain": POSITIVE}),
    Pair("near border", np.log, log_clamped, log_right, "()->()", {"domain": interval(0, 1)}),
    Pair("tiny", np.sin, dead_zone, sin_right),
    Pair("huge", softplus, softplus_wrong, softplus_right),
    Pair("wide", softplus, softplus_wrong, softplus_right),
]


def ids(pairs: list[Pair]) -> list[str]:
    return [f"{pair.edge}-{pair.wrong.__name__}" for pair in pairs]


@pytest.mark.parametrize("pair", VALUES, ids=ids(VALUES))
def test_an_edge_value_catches_what_random_values_let_through(pair: Pair) -> None:
    """The right op passes, and so does the wrong one without edges."""
    assert check(pair.op(pair.wrong), edges=False, seed=UNLUCKY).passed
    assert pair.edge in caught(pair.op(pair.wrong), seed=UNLUCKY)
    assert check(pair.op(pair.right), cases=3).passed


# The numbers that an op mentions


def leaky(x: Array, knee: float = 1.75) -> Any:
    return np.where(x < knee, 0.25 * (x - knee), x - knee)


def leaky_overlapping(grad: Array, out: Array, x: Array, knee: float = 1.75) -> Any:
    return grad * (0.25 * (x <= knee) + (x >= knee))


def leaky_in_code(x: Array) -> Any:
    return leaky(x, 2.25)


def leaky_in_code_overlapping(grad: Array, out: Array, x: Array) -> Any:
    return leaky_overlapping(grad, out, x, 2.25)


@pytest.mark.parametrize(
    "op",
    [
        Op(leaky_in_code, leaky_in_code_overlapping, "()->()", name="in_code"),
        Op(leaky, leaky_overlapping, "()->()", name="in_defaults"),
        Op(leaky, leaky_overlapping, "()->()", name="in_params", params={"knee": [0.5, 2.75]}),
    ],
    ids=lambda op: op.name,
)
def test_kinks_are_looked_for_at_the_numbers_that_an_op_mentions(op: Op) -> None:
    """In its code, in its defaults and in its params; at the knee this backward gives both slopes."""
    assert check(op, edges=False, seed=UNLUCKY).passed
    assert "landmarks" in caught(op, seed=UNLUCKY)


def test_landmarks_are_few_and_small() -> None:
    """0, 1 and -1 first; 1e30 is no place to look for a kink."""

    def busy(x: Array, low: float = -2.5, eps: float = 1e30) -> Array:
        return np.where(x > 3, np.clip(x, low, 7.5), eps)

    found = landmarks(Op(busy, sin_right, "()->()"), [{"k": 0.125, "mode": "fast"}])

    assert found.tolist()[:4] == [0, 1, -1, 0.125]
    assert {-2.5, 3, 7.5} <= set(found.tolist())
    assert np.all(np.abs(found) < 1e3)
    assert len(found) <= 8


# Shapes


def no_scalars(grad: Array, out: Array, x: Array) -> Array:
    return np.array([g * np.cos(y) for g, y in zip(grad, x, strict=True)])


def no_empties(grad: Array, out: Array, x: Array) -> Any:
    largest = np.abs(x).max()
    return grad * np.cos(x) * np.isfinite(largest)


def four_axes(grad: Array, out: Array, x: Array) -> Array:
    return grad * np.cos(x).reshape(x.shape[:4])


def squeezed(grad: Array, out: Array, x: Array) -> Array:
    return np.squeeze(grad * np.cos(x))


def spread(x: Array) -> Any:
    return np.sum((x - x.mean()) ** 2) / max(len(x) - 1, 1)


def spread_right(grad: Array, out: Array, x: Array) -> Any:
    return grad * 2 * (x - x.mean()) / max(len(x) - 1, 1)


def spread_wrong(grad: Array, out: Array, x: Array) -> Any:
    return grad * 2 * (x - x.mean()) / (len(x) - 1)


def add_right(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return unbroadcast(grad, a), unbroadcast(grad, b)


def add_left_forgotten(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return grad, unbroadcast(grad, b)


def add_right_forgotten(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return unbroadcast(grad, a), grad


def add_one_at_a_time(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Whoever needs no sum is believed to be whole, and the other to be a row."""
    if a.shape == out.shape:
        return grad, unbroadcast(grad, b)
    return unbroadcast(grad, a), grad


def matmul_right(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return grad @ b.T, a.T @ grad


def matmul_by_shape(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Transposed until it fits, which a square matrix always does."""
    to_a = b @ grad.T
    return to_a if to_a.shape == a.shape else to_a.T, a.T @ grad


def total(x: Array) -> Any:
    return np.sum(x, axis=-1)


def total_right(grad: Array, out: Array, x: Array) -> Array:
    return np.broadcast_to(np.asarray(grad)[..., None], x.shape)


def total_for_two_loops(grad: Array, out: Array, x: Array) -> Array:
    grad = np.asarray(grad)
    return np.broadcast_to(grad[..., None] if grad.ndim < 3 else grad.sum(0)[None, ..., None], x.shape)


SHAPES = [
    Pair("0-d", np.sin, no_scalars, sin_right),
    Pair("empty", np.sin, no_empties, sin_right),
    Pair("first axis empty", np.sin, no_empties, sin_right),
    Pair("last axis empty", np.sin, no_empties, sin_right),
    Pair("rank 5", np.sin, four_axes, sin_right),
    Pair("size 1", np.sin, squeezed, sin_right),
    Pair("first axis 1", np.sin, squeezed, sin_right),
    Pair("last axis 1", np.sin, squeezed, sin_right),
    Pair("n=1", spread, spread_wrong, spread_right, "(n)", {"loops": False}),
    Pair(
        "n=0",
        np.cumsum,
        lambda g, _o, x: np.cumsum(g[::-1])[::-1] + 0 * x.max(),
        lambda g, *_: np.cumsum(g[::-1])[::-1],
        "(n)",
        {"loops": False},
    ),
    Pair("square", np.matmul, matmul_by_shape, matmul_right, "(n,k),(k,m)->(n,m)", {"loops": False}),
    Pair("left broadcast", np.add, add_left_forgotten, add_right, "(),()->()"),
    Pair("left of lower rank", np.add, add_left_forgotten, add_right, "(),()->()"),
    Pair("right broadcast", np.add, add_right_forgotten, add_right, "(),()->()"),
    Pair("right without loops", np.add, add_right_forgotten, add_right, "(),()->()"),
    Pair("both broadcast", np.add, add_one_at_a_time, add_right, "(),()->()"),
    Pair("three loops", total, total_for_two_loops, total_right, "(n)->()", {"loops": True}),
]


def lucky_seed(op: Op) -> int:
    """A seed whose one random case does not show the bug, as may happen to anybody."""
    return next(seed for seed in range(50) if check(op, seed=seed, cases=1, edges=False).passed)


@pytest.mark.parametrize("pair", SHAPES, ids=[pair.edge for pair in SHAPES])
def test_an_edge_shape_catches_what_one_random_shape_lets_through(pair: Pair) -> None:
    """By name, whatever the random shapes were; the right op passes."""
    wrong, right = pair.op(pair.wrong), pair.op(pair.right)
    failed = caught(wrong, seed=lucky_seed(wrong), cases=1)

    assert pair.edge in failed
    assert RANDOM not in failed
    assert caught(right) == set()


@pytest.mark.parametrize(
    ("edge", "shapes"),
    [
        ("0-d", [(), ()]),
        ("size 1", [(1, 1), (1, 1)]),
        ("empty", [(0,), (0,)]),
        ("rank 5", [(2, 1, 2, 1, 2), (2, 1, 2, 1, 2)]),
        ("left broadcast", [(1, 3), (2, 3)]),
        ("right broadcast", [(2, 3), (2, 1)]),
        ("both broadcast", [(2, 1), (1, 3)]),
        ("left of lower rank", [(3,), (2, 3)]),
        ("right without loops", [(2, 3), ()]),
        ("broadcast to nothing", [(0, 2), (1,)]),
    ],
)
def test_edge_shapes_are_what_they_say(edge: str, shapes: list[Any]) -> None:
    """Of an elementwise op with two operands."""
    assert list(at(BUILT_IN["add"], edge).shapes) == shapes


# Memory, cotangents, dtypes


def writes(grad: Array, out: Array, x: Array) -> Array:
    """Changes nothing, but needs the right to."""
    grad += 0
    return grad * np.cos(x)


def minds_zero_strides(grad: Array, out: Array, x: Array) -> Array:
    """Believes that what has a stride of 0 is a scalar in disguise."""
    return np.full(x.shape, np.cos(x.flat[0]) * grad.flat[0]) if 0 in x.strides else grad * np.cos(x)


def flips_memory(grad: Array, out: Array, x: Array) -> Array:
    return (grad * np.cos(x)).ravel(order="K").reshape(x.shape)


def divides_by_its_norm(grad: Array, out: Array, x: Array) -> Array:
    length = np.sqrt(np.sum(grad * grad))
    return length * (grad / length) * np.cos(x) if grad.size else grad


def divides_by_its_spread(grad: Array, out: Array, x: Array) -> Any:
    middle, width = np.mean(grad), np.std(grad)
    return (middle + width * ((grad - middle) / width)) * np.cos(x)


def divides_by_it(grad: Array, out: Array, x: Array) -> Array:
    return grad * grad / grad * np.cos(x)


def keyed_by_identity(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    found = {id(a): grad, id(b): -grad}
    return found[id(a)], found[id(b)]


def subtract_right(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return grad, -grad


OTHERS = [
    Pair("read-only", np.sin, writes, sin_right),
    Pair("zero-stride", np.sin, minds_zero_strides, sin_right),
    Pair("Fortran order", np.sin, flips_memory, sin_right, "(2,3)->(2,3)", {"loops": False}),
    Pair("zero cotangent", np.sin, divides_by_its_norm, sin_right),
    Pair("ones cotangent", np.sin, divides_by_its_spread, sin_right, "(3)->(3)", {"loops": False}),
    Pair("one-hot cotangent", np.sin, divides_by_it, sin_right),
    Pair("same array", np.subtract, keyed_by_identity, subtract_right, "(n),(n)->(n)", {"loops": False}),
]


@pytest.mark.parametrize("pair", OTHERS, ids=[pair.edge for pair in OTHERS])
def test_memory_and_cotangents_have_edges(pair: Pair) -> None:
    """Each catches a backward that looks at what it should not, or divides by it."""
    wrong, right = pair.op(pair.wrong), pair.op(pair.right)
    failed = caught(wrong, seed=lucky_seed(wrong), cases=1)

    assert pair.edge in failed
    assert RANDOM not in failed
    assert caught(right) == set()


def drifts(grad: Array, out: Array, x: Array) -> Array:
    return grad * np.cos(x.astype(np.float64))


@pytest.mark.parametrize(
    ("declaration", "severities"),
    [
        ({}, {Severity.WARNING}),
        ({"dtypes": ["float64", "float32"]}, {Severity.FAILURE}),
        ({"dtypes": ["float64"]}, set()),
    ],
    ids=["undeclared", "both", "float64"],
)
def test_a_gradient_that_drifts_from_float32_is_noticed(declaration: dict[str, Any], severities: set[Severity]) -> None:
    """A warning where nobody mentioned float32, a failure where it was declared, nothing where it was ruled out."""
    findings = check(Op(np.sin, drifts, "()->()", **declaration)).findings

    assert {f.severity for f in findings} == severities
    assert {(f.code, f.case.edge) for f in findings} <= {("GC104", "float32")}


# Indices


def take(x: Array, i: Array) -> Array:
    return x[i]


def take_right(grad: Array, out: Array, x: Array, i: Array) -> Array:
    result = np.zeros_like(x)
    np.add.at(result, i, grad)
    return result


def take_wrong(grad: Array, out: Array, x: Array, i: Array) -> Array:
    result = np.zeros_like(x)
    result[i] += grad
    return result


def test_indices_are_repeated() -> None:
    """`+=` through an index writes the last of equal indices alone."""
    wrong, right = (
        Op(take, b, "(n),(m)->(m)", domain=[REAL, index("n")], loops=False) for b in (take_wrong, take_right)
    )
    failed = caught(wrong, seed=lucky_seed(wrong), cases=1)

    assert failed >= {"zeros", "ties", "all equal"}
    assert RANDOM not in failed
    assert caught(right) == set()


# The same every time


def contents(drawn: list[Case]) -> list[Any]:
    return [
        (
            c.edge,
            c.params,
            c.layout,
            [(x.shape, x.strides, str(x.dtype), x.tolist()) for x in (*c.inputs, *c.cotangents)],
        )
        for c in drawn
    ]


@pytest.mark.parametrize("name", ["add", "getitem", "matmul", "maximum", "softmax", "split"])
def test_edges_do_not_depend_on_how_many_cases_are_drawn(name: str) -> None:
    """Nor on the run."""
    assert contents(edges(BUILT_IN[name], cases=3)) == contents(edges(BUILT_IN[name]))


@pytest.mark.parametrize("name", ["add", "matmul"])
def test_edges_have_no_second_name(name: str) -> None:
    """Without params, each is drawn once."""
    names = [case.edge for case in edges(BUILT_IN[name])]

    assert len(names) == len(set(names))


def test_another_seed_draws_other_edges() -> None:
    """Of the same names."""
    first, second = (edges(BUILT_IN["add"], seed=seed) for seed in (0, 1))

    assert [case.edge for case in first] == [case.edge for case in second]
    assert contents(first) != contents(second)


def test_without_edges_none_are_drawn() -> None:
    """`edges=False` leaves the random cases as they are."""
    assert edges(BUILT_IN["add"], edges=False) == []
    assert {case.case.edge for case in check(BUILT_IN["add"], edges=False).result.cases} == {RANDOM}


def test_no_edges_on_the_command_line(gradcheck: Gradcheck) -> None:
    """Twenty cases and no more."""
    assert " 20 " in gradcheck("run", "sin", "cos", "--no-edges").stdout
    assert " 20 " not in gradcheck("run", "sin", "cos").stdout.partition("passed")[0]


@pytest.mark.parametrize(
    ("shape", "asked", "drawn"),
    [((8, 8), None, True), ((9, 8), None, False), ((9, 8), True, True), ((8, 8), False, False)],
)
def test_beside_given_shapes_edges_are_drawn_where_they_are_cheap(
    shape: tuple[int, ...], asked: bool | None, drawn: bool
) -> None:
    """Up to 64 entries, or on request; they have the given shapes."""
    found = edges(BUILT_IN["sin"], shapes=(shape,), edges=asked)

    assert bool(found) is drawn
    assert {case.shapes for case in found} <= {(shape,)}


# What forward says to them


def picky(x: Array) -> Array:
    if x.ndim == 0 or x.size == 0:
        raise ValueError("a vector, please")
    return np.sin(x)


def test_an_edge_that_forward_refuses_is_listed_and_no_failure() -> None:
    """By name and shape."""
    result = check(Op(picky, sin_right, "()->()")).result

    assert result.verdict == "pass"
    assert {text for text in result.refused if ":" in text} >= {"0-d: ()", "empty: (0,)"}


@pytest.mark.parametrize("error", [RuntimeError, ZeroDivisionError, AssertionError])
def test_a_forward_may_refuse_an_edge_with_any_exception(error: type[Exception]) -> None:
    """Nobody said that it takes an empty array."""

    def asserting(x: Array) -> Array:
        if not x.size:
            raise error
        return np.sin(x)

    result = check(Op(asserting, sin_right, "()->()")).result

    assert result.verdict == "pass"
    assert "empty: (0,)" in result.refused


def test_a_forward_that_is_not_finite_at_an_edge_is_a_note() -> None:
    """exp overflows at 1e6, and the author knows."""
    report = check(Op(np.exp, lambda grad, out, _x: grad * out, "()->()"))

    assert report.passed
    assert {(f.code, f.severity) for f in report.findings} == {("GC402", Severity.NOTE)}
    assert "huge" in {f.case.edge for f in report.findings}


# Domains


def values_at_edges(op: Op, position: int = 0) -> Array:
    return np.concatenate([case.inputs[position].reshape(-1) for case in edges(op)])


def test_a_point_that_is_avoided_is_no_edge() -> None:
    """Who rules 0 out is not asked about it; infinity is far, and 1 stays."""
    found = values_at_edges(copying(domain=REAL.avoiding(0)))

    assert np.min(np.abs(found)) > 0.05
    assert 1 in found


@pytest.mark.parametrize(
    ("domain", "low", "high", "has_zero"),
    [
        (POSITIVE, 0, np.inf, False),
        (NONNEGATIVE, 0, np.inf, True),
        (interval(0, 1), 0, 1, False),
        (interval(-1, 1), -1, 1, True),
        (interval(2, np.inf), 2, np.inf, False),
        (interval(-np.inf, 0), -np.inf, 0, False),
    ],
    ids=str,
)
def test_edges_stay_in_the_domain(domain: Any, low: float, high: float, has_zero: bool) -> None:
    """On the border only where it belongs to the domain; near it in any case."""
    found = values_at_edges(copying(domain=domain))

    assert np.all((found >= low) & (found <= high))
    assert (0 in found) is has_zero
    assert np.min(np.abs(np.concatenate([found - low, found - high]))) < 1e-5


def test_spd_matrices_stay_positive_definite() -> None:
    """Tiny and huge ones, too."""
    found = [case.inputs[0] for case in edges(copying("(n,n)->(n,n)", domain=SPD))]

    assert any(np.max(x, initial=0) > 1e5 for x in found)
    assert all(np.array_equal(x, np.swapaxes(x, -1, -2)) for x in found)
    assert min(np.linalg.eigvalsh(x).min() for x in found if x.size) > 0


def test_integers_and_indices_stay_valid() -> None:
    """An edge is one of them: the first, the last, all the same."""
    op = Op(
        lambda x, i, k: x[i] * k,
        lambda g, _o, x, i, k: x,
        "(n),(m),(m)",
        domain=[REAL, index("n"), integers(-2, 5)],
        name="f",
    )
    for case in edges(op):
        x, i, k = case.inputs

        assert (i.dtype.kind, k.dtype.kind) == ("i", "i")
        assert np.all((i >= 0) & (i < max(len(x), 1)))
        assert np.all((k >= -2) & (k <= 5))


def test_the_border_of_integers_is_met() -> None:
    """Both ends."""
    op = Op(lambda x, k: x * k, lambda g, _o, _x, k: g * k, "(n),(n)->(n)", domain=[REAL, integers(-2, 5)], name="f")

    assert {-2, 5} <= set(at(op, "border").inputs[1].tolist())


# Options


@pytest.mark.parametrize("name", ["add", "matmul", "sum", "softmax", "linear"])
@pytest.mark.parametrize("side", [1, 2])
def test_max_side_holds_for_edges(name: str, side: int) -> None:
    """No dimension is longer, in any of them."""
    assert max(s for case in edges(BUILT_IN[name], max_side=side) for shape in case.shapes for s in shape) <= side


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_rank_holds_for_edges(rank: int) -> None:
    """And leaves the edge values."""
    found = edges(BUILT_IN["add"], rank=rank)

    assert {max(map(len, case.shapes)) for case in found} == {rank}
    assert {"zeros", "ties", "huge"} <= {case.edge for case in found}


def test_no_broadcast_holds_for_edges() -> None:
    """Both operands have one shape."""
    assert all(len(set(case.shapes)) == 1 for case in edges(BUILT_IN["add"], broadcast=False))


def test_a_fixed_param_holds_for_edges() -> None:
    """The other params vary."""
    found = edges(BUILT_IN["sum"], params={"keepdims": True})

    assert {case.params["keepdims"] for case in found} == {True}
    assert len({case.params["axis"] for case in found}) > 1


def test_a_dtype_holds_for_edges() -> None:
    """Who asks for float32 gets float32 alone."""
    found = edges(BUILT_IN["add"], dtype="float32")

    assert {str(x.dtype) for case in found for x in case.inputs} == {"float32"}
    assert "float64" not in {case.edge for case in found}


def test_every_edge_meets_params() -> None:
    """A wrong axis=-1 shows at some edge, too."""
    assert {-1, None, 0} <= {case.params["axis"] for case in edges(BUILT_IN["sum"])}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_op_has_edges(name: str) -> None:
    """None of the built-in ops refuses them all."""
    assert len(edges(BUILT_IN[name])) >= 10


def test_zeros_are_drawn_beside_a_mask_that_is_not_zero() -> None:
    """A mask that is zero with everything else would hide what a zero does."""
    op = Op(np.multiply, lambda grad, out, x, mask: grad * mask, "(n),(n)->(n)", domain=[REAL, integers(0, 1)])

    zeros = [case.inputs for case in edges(op) if case.edge == "zeros"]

    assert all(not np.any(x) for x, _ in zeros)
    assert {bool(np.any(mask)) for _, mask in zeros} == {True, False}
