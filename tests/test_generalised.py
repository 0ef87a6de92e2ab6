"""At ties and on staircases more than one slope is right: what passes there, and what still does not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcheck_cli import NONNEGATIVE, Op, Report, check

Array = NDArray[Any]
Function = Callable[..., Any]

TIED = [1.0, 2.5, 1.0, -0.5, 1.0]  # three equal numbers, one above and one below
PLACES = np.array([0, 2, 4])


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


def judge(forward: Function, backward: Function, numbers: list[float] | None = None) -> Report:
    """The check of one vector, and of random ones."""
    op = Op(forward, backward, "(n)", samples=[[numbers or TIED]], loops=False, name="f")
    return check(op, cases=1, edges=False)


# One of five numbers: its gradient goes to any of those that are equal to it, or is shared among them.


def median(x: Array) -> Any:
    return np.median(x)


def shared(*shares: float) -> Function:
    """The median's backward, where three equal numbers in the middle get these shares."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        order = np.argsort(x, kind="stable")
        middle = [order[len(x) // 2]] if len(x) % 2 else order[len(x) // 2 - 1 : len(x) // 2 + 1]
        gradient = np.zeros_like(x)
        gradient[middle] = 1 / len(middle)
        if x.tolist() == TIED:
            gradient[:] = 0
            gradient[PLACES] = shares
        return grad * gradient

    return backward


@pytest.mark.parametrize(
    "shares", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1 / 3, 1 / 3, 1 / 3), (0.5, 0.5, 0), (0.2, 0.3, 0.5)]
)
def test_any_share_of_a_median_is_right(shares: tuple[float, ...]) -> None:
    """One of the equal numbers is the median, or all of them are a little."""
    assert judge(median, shared(*shares)).findings == ()


@pytest.mark.parametrize("shares", [(1, 1, 1), (2, 0, 0), (0.5, 0, 0), (1, 1, -1), (-1, 1, 0.5), (0, 0, 0)])
def test_what_is_no_share_of_a_median_is_wrong(shares: tuple[float, ...]) -> None:
    """One for each, doubled, halved, negative, nothing."""
    assert codes(judge(median, shared(*shares))) == {"GC201"}


def test_a_share_for_a_number_outside_the_ties_is_wrong() -> None:
    """The largest of all is not the median."""

    def backward(grad: Array, out: Array, x: Array) -> Any:
        return grad * (x == x.max()) if x.tolist() == TIED else shared(1, 0, 0)(grad, out, x)

    assert codes(judge(median, backward)) == {"GC201"}


# Sorted: each place of the output is one of the equal inputs, in any order.


def sort_by(order: tuple[int, ...] | None) -> Function:
    """sort's backward; three equal numbers come out in that order, or each place takes them all."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        places = np.argsort(x, kind="stable")
        if x.tolist() == TIED:
            if order is None:
                return np.array([np.sum(grad[out == number]) for number in x])
            places[1:4] = PLACES[list(order)]
        gradient = np.zeros_like(x)
        gradient[places] = grad
        return gradient

    return backward


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_equal_numbers_may_be_sorted_in_any_order(order: tuple[int, ...]) -> None:
    """Which of them came first is nobody's business."""
    assert judge(np.sort, sort_by(order)).findings == ()


def sort_wrong_place(grad: Array, out: Array, x: Array) -> Array:
    gradient: Array = sort_by((0, 1, 2))(grad, out, x)
    if x.tolist() == TIED:
        gradient[[1, 3]] = gradient[[3, 1]]
    return gradient


def sort_doubled(grad: Array, out: Array, x: Array) -> Array:
    gradient: Array = sort_by((0, 1, 2))(grad, out, x)
    return gradient * np.where((x == 1) & (x.tolist() == TIED), 2, 1)


@pytest.mark.parametrize("backward", [sort_by(None), sort_wrong_place, sort_doubled], ids=["all", "place", "doubled"])
def test_a_sort_that_gives_too_much_or_to_the_wrong_number_is_wrong(backward: Function) -> None:
    """Everything to each of them, the largest mistaken for the smallest, or twice as much."""
    assert codes(judge(np.sort, backward)) == {"GC201"}


# The largest


TOP = [2.0, -1.0, 2.0, 0.5, 2.0]


def top_two(x: Array) -> Any:
    return np.sum(np.sort(x)[-2:])


def top_with(*shares: float) -> Function:
    """The two largest of three equal numbers."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        gradient = np.zeros_like(x)
        gradient[np.argsort(x, kind="stable")[-2:]] = 1
        if x.tolist() == TOP:
            gradient[PLACES] = shares
        return grad * gradient

    return backward


@pytest.mark.parametrize("shares", [(1, 1, 0), (0, 1, 1), (1, 0, 1), (2 / 3, 2 / 3, 2 / 3), (1, 0.5, 0.5)])
def test_any_two_of_three_equal_numbers_are_the_largest(shares: tuple[float, ...]) -> None:
    """Or two thirds of each."""
    assert judge(top_two, top_with(*shares), TOP).findings == ()


@pytest.mark.parametrize("shares", [(1, 1, 1), (2, 0, 0), (1, 0, 0), (2, 1, -1), (0, 0, 0)])
def test_more_than_two_largest_numbers_are_wrong(shares: tuple[float, ...]) -> None:
    """Three, one twice, one alone, a negative share, none."""
    assert codes(judge(top_two, top_with(*shares), TOP)) == {"GC201"}


def largest_with(*shares: float) -> Function:
    def backward(grad: Array, out: Array, x: Array) -> Array:
        gradient = np.zeros_like(x)
        gradient[np.argmax(x)] = 1
        if x.tolist() == TOP:
            gradient[PLACES] = shares
        return grad * gradient

    return backward


@pytest.mark.parametrize(
    ("shares", "found"),
    [
        ((1, 0, 0), set()),
        ((0, 0, 1), set()),
        ((1 / 3, 1 / 3, 1 / 3), set()),
        ((1, 1, 1), {"GC201"}),
        ((2, 0, 0), {"GC201"}),
        ((0, 0, 0), {"GC201"}),
    ],
)
def test_a_largest_number_may_be_any_of_the_equal_ones(shares: tuple[float, ...], found: set[str]) -> None:
    """But only one, all in all."""
    assert codes(judge(np.max, largest_with(*shares), TOP)) == found


# Equal eigenvalues and singular values


def eigenvalues(a: Array) -> Any:
    return np.linalg.eigvalsh((a + a.T) / 2)


def eigenvalues_backward(grad: Array, out: Array, a: Array) -> Array:
    vectors = np.linalg.eigh((a + a.T) / 2)[1]
    gradient: Array = (vectors * grad) @ vectors.T
    return gradient


def singular_values(a: Array) -> Any:
    return np.linalg.svd(a, compute_uv=False)


def singular_values_backward(grad: Array, out: Array, a: Array) -> Array:
    left, _, right = np.linalg.svd(a, full_matrices=False)
    gradient: Array = (left * grad) @ right
    return gradient


@pytest.mark.parametrize(
    ("forward", "backward", "matrix"),
    [
        (eigenvalues, eigenvalues_backward, np.eye(3)),
        (eigenvalues, eigenvalues_backward, np.zeros((4, 4))),
        (singular_values, singular_values_backward, np.zeros((3, 2))),
    ],
    ids=["eigenvalues of 1", "eigenvalues of 0", "singular values of 0"],
)
@pytest.mark.parametrize("factor", [1.0, 1.3])
def test_unit_vectors_belong_to_equal_eigenvalues(
    forward: Function, backward: Function, matrix: Array, factor: float
) -> None:
    """Whichever of them belongs to which is a generalised gradient; one that is too long is none."""

    def scaled(grad: Array, out: Array, a: Array) -> Array:
        gradient: Array = backward(grad, out, a)
        return gradient * factor if np.array_equal(a, matrix) else gradient

    signature = f"({matrix.shape[0]},{matrix.shape[1]})"
    op = Op(forward, scaled, signature, samples=[[matrix.tolist()]], loops=False, name="spectrum")

    assert codes(check(op, cases=1, edges=False)) == (set() if factor == 1 else {"GC201"})


# Staircases


@pytest.mark.parametrize("forward", [np.floor, np.round], ids=lambda f: f.__name__)
@pytest.mark.parametrize(("slope", "passes"), [(0, True), (1, False)])
def test_a_staircase_is_flat_also_where_its_steps_look_small(forward: Function, slope: int, passes: bool) -> None:
    """From a distance floor looks like x at 1e6; its slope is 0 all the same."""
    op = Op(forward, lambda grad, _out, _x: slope * grad, "()->()", name="steps")
    report = check(op, cases=2)

    assert report.passed is passes
    assert "huge" not in {f.case.edge for f in report.findings if passes and f.code == "GC201"}


def test_a_curve_is_no_staircase() -> None:
    """Over a small step the slope of a square differs by that step to either side: no excuse for an error."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return grad * 2 * x * (1 + 1e-6)

    report = check(np.square, backward, shapes=[(2, 3)])

    assert codes(report) == {"GC201"}
    assert {"tiny", "wide"} <= {f.case.edge for f in report.findings}


WAVES: dict[str, tuple[Function, Function]] = {
    "x + sin(x^2)": (lambda x: x + np.sin(x**2), lambda x: 1 + 2 * x * np.cos(x**2)),
    "x + sin(x^3)": (lambda x: x + np.sin(x**3), lambda x: 1 + 3 * x**2 * np.cos(x**3)),
    "x^2 + cos(x^2)": (lambda x: x**2 + np.cos(x**2), lambda x: 2 * x - 2 * x * np.sin(x**2)),
    "5 x + sin(100 x)": (lambda x: 5 * x + np.sin(100 * x), lambda x: 5 + 100 * np.cos(100 * x)),
}


@pytest.mark.parametrize("name", WAVES)
def test_waves_shorter_than_every_step_are_no_noise(name: str) -> None:
    """At 1e6, what large steps see of x + sin(x^3) is the line x, whose slope is not the function's."""
    forward, slope = WAVES[name]
    for seed in range(3):
        report = check(forward, lambda grad, out, x: grad * slope(x), shapes=[(3,)], seed=seed)

        assert "GC201" not in codes(report)


def test_beside_waves_a_wrong_slope_is_found_where_they_are_long() -> None:
    """At ordinary numbers, where steps follow them."""
    forward, slope = WAVES["x + sin(x^3)"]

    assert codes(check(forward, lambda grad, out, x: grad * slope(x) * 1.001, shapes=[(3,)])) >= {"GC201"}


def test_wrong_at_large_numbers_is_wrong() -> None:
    """Where nothing is rough."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return grad * np.where(np.abs(x) < 1e5, x / np.sqrt(1 + x * x), 0.5)

    report = check(lambda x: np.sqrt(1 + x * x), backward, shapes=[(3,)])

    assert {f.case.edge for f in report.findings if f.code == "GC201"} == {"huge", "wide"}


# Zeros


@pytest.mark.parametrize(("share", "passes"), [(0.5, True), (1.0, True), (0.0, True), (1.5, False), (-0.5, False)])
def test_pieces_may_meet_at_zero(share: float, passes: bool) -> None:
    """min(relu(b), |a|) of two zeros: along b alone nothing moves, and beside them it is b, a, -a or 0."""

    def forward(a: Array, b: Array) -> Array:
        return np.minimum(np.maximum(b, 0), np.abs(a))

    def backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
        takes_b = np.where(a == b, share, np.abs(a) > np.maximum(b, 0))
        return grad * np.sign(a) * (np.abs(a) < np.maximum(b, 0)), grad * takes_b * (b >= 0)

    op = Op(forward, backward, "(n),(n)->(n)", loops=False, samples=[([0.0, 1.0, 2.0], [0.0, 0.5, 3.0])])

    assert (codes(check(op, cases=1, edges=False)) == set()) is passes


# Near zero


def sinc_slope(x: Array) -> Array:
    """What remains of two numbers like 1, divided by x."""
    return np.where(x == 0, 0.0, (np.cos(np.pi * x) - np.sinc(x)) / np.where(x == 0, 1.0, x))


@pytest.mark.parametrize(
    ("slope", "passes"),
    [(sinc_slope, True), (lambda x: sinc_slope(np.where(np.abs(x) < 1e-4, -x, x)), False)],
    ids=["a last digit", "the wrong sign"],
)
def test_a_last_digit_that_is_divided_by_a_tiny_number_is_rounding(slope: Function, passes: bool) -> None:
    """At 1e-6 that digit is 1e-10 of a slope of 1e-6, and no estimate of rounding sees it; a wrong sign is more."""
    op = Op(np.sinc, lambda grad, _out, x: grad * slope(x), "()->()", dtypes=["float64"], name="sinc")
    report = check(op, shapes=[(3,)], edges=True)

    assert report.passed is passes
    assert {f.case.edge for f in report.findings if f.code == "GC201"} <= {"tiny", "wide"}


# Where nothing can be judged


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_inputs_that_cannot_be_judged_singly_are_not_accused_together(scale: float) -> None:
    """The kurtosis of equal numbers is 0/0, or a jump made of last digits; a wrong one is wrong of other numbers."""

    def moments(x: Array) -> tuple[Array, Any, Any, Any]:
        d = x - x.mean()
        return d, (d**2).mean(), (d**3).mean(), (d**4).mean()

    def kurtosis(x: Array) -> Any:
        _, second, _, fourth = moments(x)
        return fourth / second**2

    def backward(grad: Array, out: Array, x: Array) -> Array:
        d, second, third, fourth = moments(x)
        slopes: Array = 4 * (d**3 - third) / second**2 - 4 * fourth / second**3 * d
        return scale * grad * slopes / x.size

    report = check(Op(kurtosis, backward, "(5)->()", samples=[[[-0.42] * 5]], loops=False), cases=2, edges=False)

    assert report.passed is (scale == 1)
    assert "wrong_jointly" not in {f.cause for f in report.findings}
    assert not {f.code for f in report.findings if np.ptp(f.case.inputs[0]) == 0} & {"GC201"}


# Beside a border


def bent(x: Array) -> Array:
    """A kink of its own, 1e-7 above 0."""
    return np.where(x < 1e-7, x * 1e7, 1 + (x - 1e-7)) * np.ones_like(x)


@pytest.mark.parametrize(("factor", "passes"), [(1.0, True), (1.5, False)])
def test_a_kink_beside_a_border_is_no_reason_to_accuse(factor: float, passes: bool) -> None:
    """x = 1e-6 lies between a border and a kink; away from both, a wrong slope is wrong."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return factor * grad * np.where(x < 1e-7, 1e7, 1.0)

    report = check(Op(bent, backward, "()->()", domain=NONNEGATIVE, dtypes=["float64"]), cases=3)

    assert ("GC201" not in codes(report)) is passes
    assert report.passed is passes


@pytest.mark.parametrize("place", [0.0, 1e-7, 2e-7, 1e-6])
def test_slopes_around_a_kink_beside_a_border(place: float) -> None:
    """At the border, on the kink and right behind it."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return grad * np.where(x < 1e-7, 1e7, 1.0)

    op = Op(bent, backward, "(n)->(n)", domain=NONNEGATIVE, samples=[[[place, 1.0, 2.0]]], loops=False)

    assert "GC201" not in codes(check(op, cases=1, edges=False))
