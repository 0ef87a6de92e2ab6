"""Every hypothesis about a cause, on one small example; and what is named when none of them explains."""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcheck_cli import POSITIVE, REAL, Op, check, index, interval
from gradcheck_cli.checks import CaseResult
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.diagnose import reconcile

Array = NDArray[Any]
Function = Callable[..., Any]
Row = tuple[Function, Function, list[tuple[int, ...]], tuple[str, str, str]]  # forward, backward, shapes, what is told


def failures(op: Op | Function, backward: Function | None = None, **options: Any) -> list[Finding]:
    """What fails, without edges unless they are asked for: a cause is looked for in every case alike."""
    report = check(op, backward, **{"edges": False, **options})
    return [f for f in report.findings if f.severity >= Severity.FAILURE]


def first(op: Op | Function, backward: Function | None = None, **options: Any) -> Finding:
    """What fails in the first case."""
    return failures(op, backward, cases=1, **options)[0]


def told(finding: Finding) -> tuple[str, str, str]:
    """Cause, why (without how well it agrees) and what to write."""
    return finding.cause, re.sub(r" agrees to (the last digit|\de-\d+)", " agrees", finding.why), finding.suggestion


# Functions, and backwards with one thing wrong.


def mean(x: Array) -> Any:
    return x.mean()


def bias(x: Array, b: Array) -> Array:
    return np.asarray(x + b)


def running_sum(x: Array, axis: int) -> Array:
    return np.asarray(np.cumsum(x, axis))


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.1 * x)


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def softmax(x: Array) -> Array:
    y = np.exp(x - x.max())
    return np.asarray(y / y.sum())


def waves(x: Array) -> tuple[Array, Array]:
    return np.sin(x), np.cos(x)


def roll(x: Array) -> Array:
    return np.roll(x, 1)


def shuffle(x: Array) -> Array:
    return x[[3, 1, 4, 0, 2]]


def pick(x: Array) -> Array:
    return x[[0, 0, 1]]


def pick_backward(grad: Array, out: Array, x: Array) -> Array:
    slope = np.zeros_like(x)
    slope[[0, 0, 1]] = grad
    return slope


def last_off(grad: Array, out: Array, x: Array) -> Array:
    slope = 2 * grad * x
    slope[-1] *= 1.01
    return slope


def noise(grad: Array, out: Array, x: Array) -> Array:
    """Numbers that have nothing to do with x, but are linear in grad."""
    return np.asarray(grad * np.sin(1 + 7.3 * np.arange(x.size, dtype=x.dtype).reshape(x.shape)))


def wobble(x: Array) -> Array:
    """Factors within 1 % of 1."""
    return np.asarray(1 + 0.01 * np.cos(np.arange(x.size, dtype=x.dtype)))


# values

VALUES: dict[str, Row] = {
    "zeros": (
        np.exp,
        lambda grad, out, x: np.zeros_like(x),
        [(2, 3)],
        (
            "zero_gradient",
            "The gradient is zero everywhere; the slope is up to 3.27: x does have an effect.",
            "compute grad_x instead of returning zeros",
        ),
    ),
    "sign": (
        np.square,
        lambda grad, out, x: -2 * grad * x,
        [(2, 3)],
        ("sign_flipped", "Times -1 the gradient agrees.", "-grad_x"),
    ),
    "factor 2": (
        np.square,
        lambda grad, out, x: grad * x,
        [(5,)],
        ("wrong_scale", "Times 2 the gradient agrees.", "grad_x * 2"),
    ),
    "factor 3/2, of a power": (
        lambda x: x**3,
        lambda grad, out, x: 2 * grad * x**2,
        [(3,)],
        ("wrong_scale", "Times 3/2 (or 3/2 (3 is the length of axis 0 of x)) the gradient agrees.", "grad_x * 3 / 2"),
    ),
    "a factor close to 1": (
        np.square,
        lambda grad, out, x: 2.0000002 * grad * x,
        [(5,)],
        ("wrong_scale", "Times 0.9999999 the gradient agrees.", "grad_x * 0.9999999"),
    ),
    "sum instead of mean": (
        mean,
        lambda grad, out, x: np.full_like(x, grad),
        [(5,)],
        (
            "wrong_scale",
            (
                "Times 1/5, one over the length of axis 0 of x (or 1/5, one over the number of entries of x) "
                "the gradient agrees."
            ),
            "grad_x * 1 / (x.shape[0])",
        ),
    ),
    "n instead of n - 1": (
        np.square,
        lambda grad, out, x: 8 / 5 * grad * x,
        [(5,)],
        (
            "wrong_scale",
            (
                "Times 5/4 (5 is the length of axis 0 of x) (or 5/4 (5 is the length of axis 0 of the output)) "
                "the gradient agrees."
            ),
            "grad_x * x.shape[0] / (x.shape[0] - 1)",
        ),
    ),
    "some factor": (
        np.square,
        lambda grad, out, x: -2.2 * grad * x,
        [(5,)],
        ("wrong_scale", "Times -0.909091 the gradient agrees.", "grad_x * -0.909091"),
    ),
    "reversed": (
        np.flip,
        lambda grad, out, x: grad.copy(),
        [(4,)],
        ("permuted_or_reversed", "Reversed along axis 0, the gradient agrees.", "np.flip(grad_x, 0)"),
    ),
    "rolled": (
        roll,
        lambda grad, out, x: np.roll(grad, 1),
        [(5,)],
        ("permuted_or_reversed", "Rolled by 3 along axis 0, the gradient agrees.", "np.roll(grad_x, 3, axis=0)"),
    ),
    "shuffled": (
        shuffle,
        lambda grad, out, x: grad.copy(),
        [(5,)],
        (
            "permuted_or_reversed",
            "In another order, the gradient agrees: each of its numbers is right somewhere.",
            "put every number where its input entry is",
        ),
    ),
    "one entry": (
        np.square,
        last_off,
        [(4,)],
        (
            "wrong_element",
            "Only [3] of 4 entries is wrong: the last along axis 0; the others are right.",
            "look at where the loop or slice that fills them begins and ends",
        ),
    ),
}


def check_row(row: Row, code: str, **options: Any) -> None:
    """The first case of a table's row has the cause that stands there."""
    forward, backward, shapes, expected = row
    finding = first(forward, backward, shapes=shapes, **options)

    assert finding.code == code
    assert told(finding) == expected


@pytest.mark.parametrize("row", VALUES)
def test_wrong_values_have_a_cause(row: str) -> None:
    """The plainest change that makes the gradient right, in words and in code."""
    check_row(VALUES[row], "GC201")


@pytest.mark.parametrize("row", ["sign", "factor 2", "sum instead of mean", "one entry"])
def test_single_precision_is_explained_as_well(row: str) -> None:
    """With its own error bars, the words are the same."""
    check_row(VALUES[row], "GC201", dtype="float32")


def test_a_gradient_with_the_digits_of_a_float32_is_named() -> None:
    """Where a float64 was asked for."""
    finding = first(np.exp, lambda grad, out, x: (grad * out).astype(np.float32).astype(np.float64), shapes=[(2, 3)])

    assert (finding.code, finding.cause) == ("GC201", "wrong_dtype")
    assert finding.why.startswith("The gradient has the digits of a float32")
    assert finding.suggestion == "compute in the dtype of the inputs: no float32 on the way"


# axes


def upstream_turned(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return grad.T @ b.T, a.T @ grad


AXES: dict[str, Row] = {
    "an operand is not transposed": (
        np.matmul,
        lambda grad, out, a, b: (grad @ b, a.T @ grad),
        [(3, 3), (3, 3)],
        (
            "not_transposed",
            "With b transposed, backward agrees: it multiplies by b where it needs b^T.",
            "np.swapaxes(b, -1, -2)",
        ),
    ),
    "the output is not transposed": (
        np.linalg.inv,
        lambda grad, out, a: -out @ grad @ out,
        [(3, 3)],
        (
            "not_transposed",
            "With out transposed, backward agrees: it multiplies by out where it needs out^T.",
            "np.swapaxes(out, -1, -2)",
        ),
    ),
    "the gradient is not transposed": (
        np.matmul,
        lambda grad, out, a, b: ((grad @ b.T).T, a.T @ grad),
        [(3, 3), (3, 3)],
        ("not_transposed", "Transposed, the gradient agrees.", "np.swapaxes(grad_a, -1, -2)"),
    ),
    "the upstream gradient is not transposed": (
        np.matmul,
        upstream_turned,
        [(3, 3), (3, 3)],
        ("not_transposed", "With the upstream gradient transposed, backward agrees.", "np.swapaxes(grad, -1, -2)"),
    ),
    "gradients exchanged": (
        np.multiply,
        lambda grad, out, a, b: (grad * a, grad * b),
        [(3,), (3,)],
        (
            "swapped_inputs",
            "What is returned for b agrees with the slope of a.",
            "return grad_a, grad_b, in the order of the inputs",
        ),
    ),
    "summed along the other axis": (
        bias,
        lambda grad, out, x, b: (grad, grad.sum(1)),
        [(3, 3), (3,)],
        (
            "wrong_unbroadcast_axis",
            (
                "b was broadcast along axis 0; its gradient is summed over axis 1: "
                "so summed, the numeric derivative gives what is returned."
            ),
            "sum over axis 0: unbroadcast(grad_b, b)",
        ),
    ),
}


@pytest.mark.parametrize("row", AXES)
def test_wrong_axes_have_a_cause(row: str) -> None:
    """What was multiplied, summed or returned in the place of something else."""
    check_row(AXES[row], "GC201")


def test_two_inputs_in_each_others_place_are_named() -> None:
    """Backward is right once they are exchanged."""
    finding = first(
        np.divide,
        lambda grad, out, a, b: (grad / a, -grad * a / b**2),
        shapes=[(3,), (3,)],
        domain=POSITIVE,
    )

    assert told(finding) == (
        "swapped_inputs",
        "With a and b exchanged, backward agrees.",
        "a and b have each other's place in backward",
    )


def test_another_choice_of_a_param_is_named() -> None:
    """The axis that backward works along, and the one that it was given."""
    finding = first(
        running_sum,
        lambda grad, out, x, axis: np.flip(np.cumsum(np.flip(grad, 0), 0), 0),
        shapes=[(3, 3)],
        params={"axis": 1},
    )

    assert told(finding) == (
        "wrong_axis",
        "What is returned is the gradient for axis=0; the case has axis=1.",
        "use axis as forward does, negative ones too",
    )


def test_a_cotangent_repeated_along_another_axis_is_named() -> None:
    """The gradient of a sum over rows, spread over columns."""

    def total(x: Array) -> Array:
        return np.asarray(x.sum(0))

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return np.broadcast_to(grad[:, None], x.shape).copy()

    assert told(first(total, backward, shapes=[(3, 3, 3)])) == (
        "wrong_axis",
        "The upstream gradient is repeated along axis 1; the slopes vary otherwise.",
        "put back the axes that forward summed: np.expand_dims(grad, axis)",
    )


def test_a_diagonal_is_not_spread_along_an_axis() -> None:
    """Most of the entries have no slope at all: nothing was summed whose axis could be put back."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return np.array(np.broadcast_to(grad, x.shape))

    found = failures(lambda x: np.diag(x) * 1.0, backward, shapes=[(3, 3)], signature="(n,n)->(n)", loops=False)

    assert {finding.cause for finding in found} == {"unexplained"}


# terms


TERMS: dict[str, Row] = {
    "slopes of the two sides exchanged": (
        leaky,
        lambda grad, out, x: grad * np.where(x > 0, 0.1, 1.0),
        [(6,)],
        (
            "branch_swapped",
            "The slope is 0.1 or 1; the gradient has each where the other belongs.",
            "exchange the two sides of the condition",
        ),
    ),
    "the other side is zero": (
        relu,
        lambda grad, out, x: grad * (x < 0),
        [(6,)],
        (
            "branch_swapped",
            "The gradient is zero exactly where the slope is not, and the other way round.",
            "exchange the two sides of the condition",
        ),
    ),
    "repeated indices": (
        pick,
        pick_backward,
        [(2,)],
        (
            "overwrites_instead_of_accumulates",
            "x has entries that are used up to 2 times; their gradient is that of one use.",
            "np.add.at(grad_x, index, grad), or += for each use",
        ),
    ),
    "all but the diagonal of a softmax": (
        softmax,
        lambda grad, out, x: grad * out * (1 - out),
        [(4,)],
        (
            "missing_term",
            "Every entry of x moves several outputs; the gradient counts only the one at its own place.",
            "add what the other outputs contribute: usually a sum along an axis",
        ),
    ),
    "the sum in a softmax": (
        softmax,
        lambda grad, out, x: grad * out,
        [(4,)],
        (
            "missing_term",
            "Every entry of x moves several outputs; its gradient depends on the one at its own place alone.",
            "add what the other outputs contribute: usually a sum along an axis",
        ),
    ),
}


@pytest.mark.parametrize("row", TERMS)
def test_wrong_sums_have_a_cause(row: str) -> None:
    """One side for the other, one use for all, one term for two."""
    check_row(TERMS[row], "GC201")


def test_a_forgotten_output_is_named() -> None:
    """By its number."""

    def backward(grads: tuple[Array, Array], outs: tuple[Array, Array], x: Array) -> Array:
        return grads[1] * -outs[0]

    assert told(first(waves, backward, shapes=[(3,)])) == (
        "overwrites_instead_of_accumulates",
        "The gradient is what output 1 alone contributes; the other outputs count too.",
        "add up what every output contributes",
    )


# shapes


SHAPES: dict[str, Row] = {
    "not summed": (
        bias,
        lambda grad, out, x, b: (grad, grad),
        [(3, 4), (4,)],
        (
            "missing_unbroadcast",
            "b was broadcast along axis 0: sum the gradient over it",
            "unbroadcast(grad_b, b)",
        ),
    ),
    "transposed": (
        np.matmul,
        lambda grad, out, a, b: ((grad @ b.T).T, a.T @ grad),
        [(2, 3), (3, 4)],
        ("not_transposed", "Transposed, it agrees", "grad_a.T"),
    ),
    "exchanged": (
        np.matmul,
        lambda grad, out, a, b: (a.T @ grad, grad @ b.T),
        [(2, 3), (3, 4)],
        ("swapped_inputs", "It is the gradient of b: as that it agrees", "grad_a, grad_b"),
    ),
    "flat": (
        np.square,
        lambda grad, out, x: (2 * grad * x).ravel(),
        [(2, 3)],
        ("wrong_shape", "Reshaped, it agrees", "grad_x.reshape(x.shape)"),
    ),
    "flat and wrong": (
        np.square,
        lambda grad, out, x: np.sort((grad * x).ravel()),
        [(2, 3)],
        ("wrong_shape", "It has as many entries as (2,3), in another order", "return an array of x's shape"),
    ),
}


@pytest.mark.parametrize("row", SHAPES)
def test_wrong_shapes_have_a_cause(row: str) -> None:
    """What would give the right shape, with the right numbers in it."""
    check_row(SHAPES[row], "GC101")


def test_a_permutation_that_is_not_undone_is_named() -> None:
    """With the axes that would be right."""
    finding = first(
        np.transpose,
        lambda grad, out, x, axes: np.transpose(grad, axes),
        shapes=[(2, 3, 4)],
        params={"axes": (1, 2, 0)},
    )

    assert (finding.code, *told(finding)) == (
        "GC101",
        "permuted_or_reversed",
        "With its axes in the order (1, 2, 0), it agrees",
        "undo a permutation of axes with its inverse: np.argsort(axes)",
    )


# neighbours


def at_edges(op: Op, code: str) -> tuple[str, str, str]:
    """What is told of the first failure of that code in a whole check, edges included."""
    return told(next(f for f in failures(op, edges=True, cases=1) if f.code == code))


def test_what_is_wrong_beside_c_order_is_named() -> None:
    """With the layout: the same values in C order are right."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        assert x.flags.c_contiguous
        return 2 * grad * x

    found = failures(np.square, backward, signature="(n,m)->(n,m)", loops=False, cases=8)
    crash = next(f for f in found if f.case.layout == "reversed")

    assert (crash.code, *told(crash)) == (
        "GC106",
        "wrong_for_noncontiguous",
        "The arrays' memory is laid out otherwise (negative strides); in C order backward is right",
        "index and reshape arrays; do not read their memory",
    )


def test_what_is_wrong_for_empty_arrays_is_named() -> None:
    """It is right where the dimension has entries."""

    def total(x: Array) -> Array:
        return np.asarray(x.sum(-1))

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return np.stack([grad] * x.shape[-1], -1)

    assert at_edges(Op(total, backward, "(n)->()", loops=False), "GC106") == (
        "wrong_for_empty",
        "It is right where the empty dimension has entries",
        "let empty arrays through: no -1 in reshape, no first entry, no division by n",
    )


def test_what_is_wrong_for_scalars_is_named() -> None:
    """It is right where they have a dimension."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        slope = 2 * grad * x
        slope[0] *= 1
        return slope

    assert at_edges(Op(np.square, backward, "()->()"), "GC106") == (
        "wrong_for_0d",
        "It is right for inputs of shape (2), wrong for 0-d ones",
        "let 0-d arrays through: no len(), no x[0], no unpacking of shapes",
    )


def test_a_tie_is_named() -> None:
    """Right where values differ."""

    def backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
        return grad * (a >= b), grad * (b >= a)

    assert at_edges(Op(np.maximum, backward, "(n),(n)->(n)", loops=False), "GC201") == (
        "wrong_tie",
        "It is right where values differ, and wrong where they are equal: at a tie the gradient is shared out",
        "give it to one of them, or divide it by their number",
    )


def test_a_kink_is_named() -> None:
    """Right on both sides."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return np.asarray(grad * (np.sign(x) + 3 * (x == 0)))

    assert at_edges(Op(np.abs, backward, "()->()"), "GC201") == (
        "wrong_at_kink",
        "It is right beside the kink, and no subgradient at it",
        "return the slope of one side, or anything between",
    )


def test_a_special_value_is_named() -> None:
    """Right a little beside it."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return np.asarray(grad * np.where(x == 0, 7.0, np.cos(x)))

    cause, why, suggestion = at_edges(Op(np.sin, backward, "()->()"), "GC201")

    assert (cause, suggestion) == ("wrong_at_edge", "treat it on its own")
    assert why == "It is right a little beside the edge 'zeros'"


def test_few_special_numbers_are_shown() -> None:
    """Once the case has shrunk, they say more than its name."""
    report = check(Op(np.square, lambda grad, out, x: 2 * grad * x * x / x, "()->()"))

    why = report.result.stories[0].finding.why

    assert why == "It is right a little beside x = 0; look for 0/0, log(0) or inf - inf"


def test_what_is_wrong_from_there_on_is_not_right_beside() -> None:
    """A forgotten upper bound: random numbers do not come so far, and beside the first that does it is as wrong."""
    op = Op(lambda x: np.clip(x, 0, 6), lambda grad, out, x: grad * (x > 0), "()->()", name="relu6")

    cause, why, suggestion = at_edges(op, "GC201")

    assert (cause, suggestion) == (
        "wrong_at_edge",
        "look at the branch that such values take, and at what overflows",
    )
    assert why.startswith("It is right for ordinary values, and not for ")


def test_a_tie_is_named_where_a_row_is_repeated_in_memory_too() -> None:
    """Beside these values no row may be one and the same, or they would be tied again."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return np.asarray(grad[..., None] * (x == out[..., None]))

    found = failures(Op(lambda x: x.max(-1), backward, "(n)->()", name="largest"), edges=True)

    assert {(f.case.layout, f.cause) for f in found} == {("C", "wrong_tie"), ("zero-stride", "wrong_tie")}


def test_nan_at_a_special_value_is_named() -> None:
    """0/0, while the slope is finite."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return np.asarray(2 * grad * x * x / x)

    assert at_edges(Op(np.square, backward, "()->()"), "GC202") == (
        "nan_at_edge",
        "It is right a little beside the edge 'zeros'; look for 0/0, log(0) or inf - inf",
        "np.where on the operands, before the division",
    )


# Entries


def clipped(x: Array) -> Array:
    return np.asarray(np.clip(x, -1, 1))


def scores(x: Array, label: Array) -> Any:
    """A hinge loss."""
    margins = np.maximum(0, x - x[label] + 1)
    return np.sum(margins) - 1


def scores_backward(grad: Array, out: Array, x: Array, label: Array) -> Any:
    """Forgets the score of the label itself."""
    active = grad * (x - x[label] + 1 > 0)
    active[label] = 0
    return active


def test_entries_that_are_wrong_for_their_value_are_not_said_to_be_so_for_their_place() -> None:
    """In another order, the same numbers are wrong."""
    found = failures(clipped, lambda grad, out, x: grad * (x <= 1), shapes=[(12,)], cases=6)

    assert all(re.search(r"wrong: where x is (negative|-\d[.\d]* or less); the others are right", f.why) for f in found)
    assert {f.suggestion for f in found} == {"look at the branch that such values take"}


def test_a_few_wrong_complex_numbers_have_no_border() -> None:
    """Nor do they crash anything."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        gradient = np.asarray(2 * grad * np.conj(x))
        gradient[..., :2] *= 3
        return gradient

    found = failures(np.square, backward, shapes=[(5,)], dtypes=("complex128",), cases=1, signature="(n)->(n)")

    assert [f.cause for f in found] == ["wrong_element"]


def test_one_number_is_no_border() -> None:
    """Of two entries, one of them wrong, nobody knows from where on."""
    op = Op(clipped, lambda grad, out, x: grad * (x <= 1), "()->()", samples=[(np.array([0.0, -1.5]),)], name="clip")

    assert "where x is -1.5; the others are right" in first(op).why


def test_entries_that_are_wrong_for_a_label_are_said_to_be_so() -> None:
    """With another label, others are wrong."""
    op = Op(scores, scores_backward, "(n),()->()", domain=[REAL, index("n")], loops=False)

    found = failures(op, cases=6)

    assert {f.suggestion for f in found if f.cause == "wrong_element"} == {"look at the entries that label picks"}


# What is not explained


def test_noise_is_unexplained() -> None:
    """The numbers stand for themselves: no cause, no advice."""
    assert {told(finding) for finding in failures(np.square, noise, shapes=[(5,)])} == {("unexplained", "", "")}


@pytest.mark.parametrize(
    ("backward", "tempting"),
    [
        (lambda grad, out, x: -2 * grad * x * wobble(x), "sign_flipped"),
        (lambda grad, out, x: grad * x * wobble(x), "wrong_scale"),
        (lambda grad, out, x: np.flip(2 * grad * x) * wobble(x), "permuted_or_reversed"),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_almost_an_explanation_is_none(backward: Function, tempting: str, dtype: str) -> None:
    """One percent beside it, and nothing is claimed."""
    causes = {finding.cause for finding in failures(np.square, backward, shapes=[(5,)], dtype=dtype)}

    assert causes == {"unexplained"}
    assert tempting not in causes


@pytest.mark.parametrize("size", [2, 4])
def test_what_is_wrong_by_too_little_is_unexplained(size: int) -> None:
    """Where the gradient itself agrees as well as a cause would have to, "times 2/2 it agrees" explains nothing."""

    def around(x: Array) -> Array:
        return np.flip(x) + np.roll(x, 1)

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return np.flip(grad) * (1 + 4e-13) + np.roll(grad, -1)

    found = failures(around, backward, shapes=[(size,)], signature="(n)->(n)")

    assert {told(finding) for finding in found} == {("unexplained", "", "")}


def test_a_factor_near_one_has_the_digits_that_tell() -> None:
    """ "Times 1" would be no help."""
    found = first(np.square, lambda grad, out, x: 2 * grad * x * (1 + 1e-8), shapes=[(4,)])

    assert told(found)[1:] == ("Times 0.99999999 the gradient agrees.", "grad_x * 0.99999999")


def test_a_forgotten_epsilon_is_no_single_precision() -> None:
    """It is as small, but not as erratic; what is rounded to a float32 on the way is both."""

    def smooth_abs(x: Array) -> Any:
        return np.sqrt(x * x + 1e-7)

    def without(grad: Array, out: Array, x: Array) -> Any:
        return grad * np.sign(x)

    def rounded(grad: Array, out: Array, x: Array) -> Any:
        return grad * x / np.sqrt(x * x + 1e-7, dtype=np.float32).astype(np.float64)

    far = interval(0.5, 3)
    causes = [{f.cause for f in failures(smooth_abs, b, shapes=[(6,)], domain=far)} for b in (without, rounded)]

    assert causes == [{"unexplained"}, {"wrong_dtype"}]


def test_without_a_side_that_counts_no_sides_are_exchanged() -> None:
    """Numbers that move nothing and get a gradient are zero exactly where the slope is not, there being none."""
    found = first(lambda x: x * 0, lambda grad, out, x: grad * np.exp(x), shapes=[(4,)])

    assert told(found)[0] == "unexplained"


def test_one_number_is_no_multiple_of_another() -> None:
    """Any two numbers have a ratio: of a single entry only a plain factor is named."""
    assert {f.cause for f in failures(np.square, lambda grad, out, x: 2.2 * grad * x, shapes=[(1,)])} == {"unexplained"}
    assert {f.cause for f in failures(np.square, lambda grad, out, x: grad * x, shapes=[(1,)])} == {"wrong_scale"}


# Complex numbers


@pytest.mark.parametrize(
    ("backward", "cause"),
    [
        (lambda grad, out, x: np.zeros_like(x), "zero_gradient"),
        (lambda grad, out, x: -2 * grad * np.conj(x), "sign_flipped"),
        (lambda grad, out, x: grad * np.conj(x), "wrong_scale"),
        (lambda grad, out, x: 2 * grad * x, "unexplained"),
        (noise, "unexplained"),
        (lambda grad, out, x: (2 * grad * np.conj(x)).reshape(1, -1), "wrong_shape"),
    ],
)
def test_complex_gradients_are_explained_or_left(backward: Function, cause: str) -> None:
    """Whole numbers of them, as a real and an imaginary part."""
    found = failures(np.square, backward, shapes=[(4,)], dtypes=("complex128",), cases=2)

    assert {finding.cause for finding in found} == {cause}


def test_a_complex_output_of_real_data_is_not_taken_for_a_real_one() -> None:
    """Products that a gradient may be are products of real numbers; nothing warns."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return np.fft.irfft(grad, n=len(x)) * len(x)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "GC201" in str(check(np.fft.rfft, backward, shapes=[(5,)], cases=6, edges=False))


# Several cases


def matmul_failures(backward: Function) -> list[CaseResult]:
    """Results whose only finding is about `a`."""
    return list(check(np.matmul, backward, shapes=[(3, 3), (3, 3)], edges=False, cases=3).result.cases)


def causes_of(results: Sequence[CaseResult]) -> list[str]:
    return [finding.cause for result in results for finding in result.findings]


def test_the_common_cause_replaces_another_one_that_it_explains_as_well() -> None:
    """As where a matrix of one row fits two causes."""
    first_one, *others = matmul_failures(lambda grad, out, a, b: (grad @ b, a.T @ grad))
    (finding,) = first_one.findings
    doubtful = replace(first_one, findings=(replace(finding, cause="swapped_inputs", why=""),))

    assert len(others) >= 2
    assert reconcile([doubtful, *others])[0].findings[0].why == finding.why
    assert set(causes_of(reconcile([doubtful, *others]))) == {"not_transposed"}


def test_the_common_cause_replaces_none_that_it_does_not_explain() -> None:
    """However common it is."""
    often = matmul_failures(lambda grad, out, a, b: (grad @ b, a.T @ grad))
    once = matmul_failures(lambda grad, out, a, b: (-grad @ b.T, a.T @ grad))[0]

    assert causes_of(reconcile([once, *often]))[0] == "sign_flipped"


def test_two_inputs_may_have_two_causes() -> None:
    """What is common is asked of each input by itself."""
    found = failures(np.multiply, lambda grad, out, a, b: (-grad * b, 2 * grad * a), shapes=[(3,), (3,)])

    assert {(finding.input, finding.cause) for finding in found} == {("a", "sign_flipped"), ("b", "wrong_scale")}


def test_a_large_case_is_not_explained_and_not_slow() -> None:
    """Beyond some thousand entries the finding stays as it was found."""
    (finding,) = failures(np.square, lambda grad, out, x: -2 * grad * x, shapes=[(70, 70)], cases=1)

    assert (finding.code, finding.why) == ("GC201", "")
