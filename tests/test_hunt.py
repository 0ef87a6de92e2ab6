"""Slips as they were met in ops written from outside: the main story names them, and what is right passes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcheck_cli import REAL, Op, check, index
from gradcheck_cli.checks.finding import Finding

Array = NDArray[Any]


def main_story(op: Op) -> Finding:
    """What is told first."""
    report = check(op)
    assert report.verdict.bad
    return report.result.stories[0].finding


def logistic(x: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def silu(x: Array) -> Array:
    return np.asarray(x * logistic(x))


def silu_one_factor(grad: Array, out: Array, x: Array) -> Array:
    return np.asarray(grad * logistic(x))


def silu_negative_only(grad: Array, out: Array, x: Array) -> Array:
    s = logistic(x)
    return np.asarray(np.where(x < 0, -grad, grad) * (s + x * s * (1 - s)))


def gram(x: Array) -> Array:
    return np.asarray(np.swapaxes(x, -1, -2) @ x)


def gram_twice(grad: Array, out: Array, x: Array) -> Array:
    return np.asarray(x @ (grad + grad))


def gram_once(grad: Array, out: Array, x: Array) -> Array:
    return np.asarray(x @ grad)


def bags(w: Array, rows: Array) -> Array:
    return np.asarray(w[rows].sum(1))


def bags_overwritten(grad: Array, out: Array, w: Array, rows: Array) -> Array:
    slope = np.zeros_like(w)
    slope[rows] = grad[:, None, :]
    return slope


def tiled(x: Array) -> Array:
    return np.tile(x, (2, 3))


def tiled_as_repeated(grad: Array, out: Array, x: Array) -> Array:
    return np.asarray(grad.reshape(len(x), 2, x.shape[1], 3).sum((1, 3)))


def linear(x: Array, b: Array) -> Array:
    return x + b


def linear_kept(grad: Array, out: Array, x: Array, b: Array) -> tuple[Array, Array]:
    return grad, grad.sum(0, keepdims=True)


@pytest.mark.parametrize(
    ("forward", "backward", "signature", "domain", "cause"),
    [
        (silu, silu_one_factor, "()->()", REAL, "missing_term"),
        (silu, silu_negative_only, "()->()", REAL, "sign_flipped"),
        (gram, gram_twice, "(n,m)->(m,m)", REAL, "not_transposed"),
        (gram, gram_once, "(n,m)->(m,m)", REAL, "missing_term"),
        (bags, bags_overwritten, "(v,d),(b,l)->(b,d)", (REAL, index("v")), "overwrites_instead_of_accumulates"),
        (tiled, tiled_as_repeated, "(n,m)", REAL, "permuted_or_reversed"),
        (linear, linear_kept, "(n,m),(m)->(n,m)", REAL, "wrong_shape"),
    ],
)
def test_the_main_story_names_the_slip(
    forward: Callable[..., Any], backward: Callable[..., Any], signature: str, domain: Any, cause: str
) -> None:
    """And none of them is unexplained."""
    assert main_story(Op(forward, backward, signature, domain=domain)).cause == cause


def test_a_slip_in_part_is_told_of_a_case_where_the_rest_is_right() -> None:
    """Of a single negative number, "times -1 it agrees" would be no help."""
    story = main_story(Op(silu, silu_negative_only, "()->()"))

    assert "where x is negative" in story.why


def symmetric(a: Array, b: Array) -> Array:
    return np.asarray((a * b).sum(-1) ** 2)


def symmetric_wrong(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    both = (a * b).sum(-1, keepdims=True)
    return grad[..., None] * both**2 * b, 2 * grad[..., None] * both * a


def test_the_right_gradient_of_the_other_is_no_swap() -> None:
    """With f(a, b) = f(b, a), exchanging the inputs makes a's gradient of b's, which says nothing."""
    report = check(Op(symmetric, symmetric_wrong, "(n),(n)->()", loops=False))

    assert "swapped_inputs" not in {finding.cause for finding in report.findings}


def transformed(x: Array) -> tuple[Array, Array]:
    angles = (np.outer(np.arange(x.size), np.arange(x.size)) * (2 * np.pi / max(x.size, 1))).astype(x.dtype)
    return x @ np.cos(angles), -(x @ np.sin(angles))


def transformed_backward(grads: tuple[Array, Array], outs: Any, x: Array) -> Array:
    angles = (np.outer(np.arange(x.size), np.arange(x.size)) * (2 * np.pi / max(x.size, 1))).astype(x.dtype)
    return np.asarray(grads[0] @ np.cos(angles).T - grads[1] @ np.sin(angles).T)


def median(x: Array) -> Array:
    return np.median(x, 0)


def median_backward(grad: Array, out: Array, x: Array) -> Array:
    slope = np.zeros_like(x)
    slope[np.argsort(x, 0, kind="stable")[len(x) // 2], np.arange(x.shape[1])] = grad
    return slope


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "op",
    [
        # A sum of equal numbers that cancels is rounding, whose digits depend on the layout.
        Op(transformed, transformed_backward, "(n)->(n),(n)", loops=False),
        # Of four equal numbers, one is the middle one in few of the ways to break the tie.
        Op(median, median_backward, "(5,m)->(m)", loops=False),
    ],
)
def test_what_is_right_passes(op: Op, seed: int) -> None:
    assert check(op, seed=seed).passed
