"""Random compositions on Variables against torch: up to 50 ops, diamonds, broadcasting, first and second order."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradcheck_cli import Variable, backward

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

LEAVES = [(3, 4), (4,), (3, 1), (), (4, 4)]

# NumPy and torch have the same names and meanings for these.
UNARY: list[Callable[[Any, Any], Any]] = [
    lambda m, x: m.sin(x),
    lambda m, x: m.cos(x),
    lambda m, x: m.tanh(x),
    lambda m, x: m.exp(-m.square(x) / 4),
    lambda m, x: m.sqrt(m.square(x) + 1),
    lambda m, x: m.log(m.square(x) + 2),
    lambda m, x: m.where(x > 0.25, x, x * 0.5),
    lambda m, x: -x,
    lambda m, x: x.reshape(-1)[::2].sum() * x / 4,
    lambda m, x: x - x.mean(),
    lambda m, x: 1 / (x * x + 1),
    lambda m, x: (m.abs(x) + 1) ** 1.5 / 3,
]
BINARY: list[Callable[[Any, Any, Any], Any]] = [
    lambda m, a, b: a + b,
    lambda m, a, b: a - b,
    lambda m, a, b: a * b / 2,
    lambda m, a, b: a / (b * b + 1),
    lambda m, a, b: m.maximum(a, b),
]
MATRIX: list[Callable[[Any, Any, Any], Any]] = [lambda m, a, b: m.tanh(a @ b / 2), lambda m, a, b: (a @ b).sum(0) / 4]


def compose(m: Any, leaves: list[Any], seed: int) -> Any:
    """A scalar out of up to 50 ops, each of whatever was computed so far: the same for NumPy and torch."""
    rng = np.random.default_rng(seed)
    values = list(leaves)
    for _ in range(int(rng.integers(10, 50))):
        kind, which, first, second = rng.integers(3), rng.integers(1000), rng.integers(1000), rng.integers(1000)
        a, b = values[-1 - first % min(6, len(values))], values[second % len(values)]
        if kind == 0:
            values.append(UNARY[which % len(UNARY)](m, a))
        elif kind == 1 and a.ndim and b.ndim == 2 and a.shape[-1] == b.shape[0]:
            values.append(MATRIX[which % len(MATRIX) if a.ndim == 2 else 0](m, a, b))
        else:
            b = b if fit(a, b) else b.mean()
            values.append(BINARY[which % len(BINARY)](m, a, b))
    return sum((value * value).mean() for value in values)


def fit(a: Any, b: Any) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(a.shape[::-1], b.shape[::-1], strict=False))


@pytest.mark.parametrize("seed", range(30))
def test_compositions_agree_with_torch(seed: int) -> None:
    """Value, gradient and Hessian times a vector, to 1e-12 of the largest entry."""
    rng = np.random.default_rng(1000 + seed)
    arrays = [rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape) for shape in LEAVES]
    vectors = [rng.normal(size=shape) for shape in LEAVES]

    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    loss = compose(torch, theirs, seed)
    first = torch.autograd.grad(loss, theirs, create_graph=True, allow_unused=True, materialize_grads=True)
    second = torch.autograd.grad(first, theirs, [torch.tensor(v) for v in vectors], allow_unused=True)

    ours = [Variable(x) for x in arrays]
    our_loss = compose(np, ours, seed)
    our_loss.backward(create_graph=True)
    our_first = [x.grad for x in ours]
    for x in ours:
        x.grad = None
    backward(our_first, vectors)

    np.testing.assert_allclose(our_loss.data, loss.detach().numpy(), rtol=1e-12)
    for mine, other in zip(our_first, first, strict=True):
        close(mine.data, other)
    for x, other in zip(ours, second, strict=True):
        close(np.zeros(x.shape) if x.grad is None else x.grad, other)


def close(mine: Any, other: Any) -> None:
    expected = np.zeros(mine.shape) if other is None else other.detach().numpy()
    assert mine.shape == expected.shape
    np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected), initial=1e-3))
