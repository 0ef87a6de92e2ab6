"""What rounding hides: far out in the tails of a function, the last digits of 1 are all that is left of its slope."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcheck_cli import POSITIVE, REAL, Op, check, interval

Array = NDArray[Any]
Function = Callable[[Array], Any]


def far_out(forward: Function, slope: Function, reach: float, name: str = "op") -> Op:
    """An elementwise op whose inputs are drawn up to `reach`."""
    return Op(
        forward,
        lambda grad, out, x: grad * slope(x),
        "()->()",
        domain=interval(-reach, reach),
        dtypes=["float64"],
        name=name,
    )


def sigmoid(x: Array) -> Any:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def entropy(x: Array) -> Any:
    """Of the first class."""
    return -np.log(softmax(x)[..., 0])


def entropy_backward(grad: Array, out: Array, x: Array) -> Any:
    return grad[..., None] * (softmax(x) - np.eye(x.shape[-1])[0])


def binary(x: Array, t: Array) -> Any:
    """Cross entropy, kept from log(0) as everybody does it: steps of 1 - sigmoid(30) become steps of 1e-4."""
    return -(t * np.log(sigmoid(x) + 1e-12) + (1 - t) * np.log(1 - sigmoid(x) + 1e-12))


def binary_backward(grad: Array, out: Array, x: Array, t: Array) -> Any:
    s = sigmoid(x)
    to_x = (-t / (s + 1e-12) + (1 - t) / (1 - s + 1e-12)) * s * (1 - s)
    return grad * to_x, grad * (np.log(1 - s + 1e-12) - np.log(s + 1e-12))


RIGHT = {
    "softplus": far_out(lambda x: np.log(1 + np.exp(x)), sigmoid, 60),
    "1 - tanh^2": far_out(np.tanh, lambda x: 1 - np.tanh(x) ** 2, 50),
    "s (1 - s)": far_out(sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x)), 100),
    "log of a sigmoid": far_out(lambda x: np.log(sigmoid(x)), lambda x: 1 - sigmoid(x), 60),
    "swish": far_out(lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x))), 100),
    "entropy": Op(entropy, entropy_backward, "(n)->()", domain=interval(-40, 40), dtypes=["float64"], name="entropy"),
    "binary entropy": Op(
        binary,
        binary_backward,
        "(),()->()",
        domain=[interval(-40, 40), interval(0, 1)],
        loops=False,
        dtypes=["float64"],
        name="binary",
    ),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_backward_is_not_wrong_in_the_tails(name: str, seed: int) -> None:
    """What cannot be told there is not judged, and drawn anew."""
    report = check(RIGHT[name], seed=seed)

    assert report.verdict == "pass", report.findings


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "pass"), (1.01, "fail")])
def test_a_small_number_hides_what_is_taken_from_one(factor: float, verdict: str) -> None:
    """The pseudo-Huber loss of a residual of 0.03 is small, and its backward takes a root of 1.0002 from 1."""

    def huber(d: Array, r: Array) -> Any:
        return r**2 / (1 + np.sqrt(1 + (r / d) ** 2))

    def backward(grad: Array, out: Array, d: Array, r: Array) -> Any:
        root = np.sqrt(1 + (r / d) ** 2)
        return factor * grad * (2 * d * (root - 1) - r**2 / d / root), grad * r / root

    sample = [[1.394, 1.891, 2.167, 1.807], [0.03] * 4]
    op = Op(huber, backward, "(n),(n)->(n)", domain=[POSITIVE, REAL], samples=[sample], loops=False, name="huber")

    assert check(op, cases=1, edges=False).verdict == verdict


@pytest.mark.parametrize(
    "op",
    [
        far_out(lambda x: np.log(1 + np.exp(x)), lambda x: 1 - sigmoid(x), 60),
        far_out(np.tanh, lambda x: 1 - np.tanh(x), 50),
        far_out(sigmoid, lambda x: 1.0001 * sigmoid(x) * (1 - sigmoid(x)), 100),
        far_out(lambda x: 1e-20 * np.maximum(x, 0), lambda x: 1e-20 * np.ones_like(x), 2),
        far_out(lambda x: 1e-20 * np.tanh(x), lambda x: 1.01e-20 * (1 - np.tanh(x) ** 2), 2),
    ],
    ids=["1 - s", "no square", "a factor", "no mask, and tiny", "a factor, and tiny"],
)
def test_a_wrong_one_is_wrong(op: Op) -> None:
    """Also where all values of an op are smaller than any rounding of 1."""
    assert check(op, edges=False).verdict == "fail"


@pytest.mark.parametrize(
    ("forward", "slope"),
    [
        (np.abs, lambda x: np.where(np.abs(x) < 0.01, 0, np.sign(x))),
        (lambda x: np.maximum(x, 0), lambda x: np.where(np.abs(x) < 0.01, 0.5, x > 0)),
        (lambda x: np.where(x > 0, x, -11 * x), lambda x: np.where(np.abs(x) < 0.01, 0, np.sign(x))),
    ],
    ids=["abs", "relu", "steep"],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_bend_nearby_is_no_step(forward: Function, slope: Function, seed: int) -> None:
    """Across it the slope is another one, too, but so it is inside."""
    near = Op(
        forward,
        lambda grad, out, x: grad * slope(x),
        "()->()",
        domain=interval(0.001, 0.009),
        dtypes=["float64"],
        name="op",
    )
    report = check(near, seed=seed, edges=False)

    assert {finding.code for finding in report.findings} == {"GC201"}


@pytest.mark.parametrize(
    ("forward", "slope"),
    [
        (np.floor, np.ones_like),
        (lambda x: np.round(8 * x) / 8, np.ones_like),
        (lambda x: x + 1e-3 * np.sin(1000 * x), np.ones_like),
    ],
    ids=["floor", "round", "fine structure"],
)
def test_what_looks_right_from_afar_is_wrong(forward: Function, slope: Function) -> None:
    """Steps that are wide enough to be meant, and a slope that is another one at every point."""
    assert check(far_out(forward, slope, 2), edges=False).verdict == "fail"
