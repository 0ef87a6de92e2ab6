"""What other checkers compute and believe, each as (value, bar, calls) over many points of one function."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradcheck_cli.numeric.estimate import Outcome, Samples
from gradcheck_cli.numeric.ladder import SECOND_LOOK, differentiate

Forward = Callable[[Any], Any]  # over all points at once: shape (..., n) -> (..., n), in the dtype under test


class Points:
    """n points of an elementwise forward as n curves with one output; `others` go with the points."""

    def __init__(self, forward: Callable[..., Any], x: Any, others: Sequence[Any] = ()) -> None:
        n = len(x)
        self.forward, self.x, self.others = forward, x, others
        self.size = np.abs(x).astype(float)
        self.scale = 2.0 ** np.floor(np.log2(np.maximum(self.size, 1)))
        self.epsilon = float(np.finfo(x.dtype).eps)
        self.low, self.high = np.full(n, -np.inf), np.full(n, np.inf)

    def __call__(self, rows: Any, t: Any) -> Samples:
        """Evaluate where x + t is a number of the dtype; report the t that it amounts to."""
        x = self.x[rows]
        moved = (x + t.astype(x.dtype)).astype(x.dtype)
        value = np.asarray(self.forward(moved, *(o[rows] for o in self.others)), dtype=float)[:, None]
        return Samples(moved.astype(float) - x.astype(float), value, np.abs(value))


def central(step: float, absolute: float, relative: float) -> Callable[[Forward, Any], tuple[Any, Any, float]]:
    """Two values at a fixed step, and a fixed tolerance."""

    def rule(forward: Forward, x: Any) -> tuple[Any, Any, float]:
        ahead, behind = (x + x.dtype.type(step)), (x - x.dtype.type(step))
        value = (forward(ahead).astype(float) - forward(behind).astype(float)) / (2 * step)
        return value, absolute + relative * np.abs(value), 2

    return rule


def torch_like(forward: Forward, x: Any) -> tuple[Any, Any, float]:
    """torch.autograd.gradcheck: eps 1e-6, atol 1e-5, rtol 1e-3."""
    return central(1e-6, 1e-5, 1e-3)(forward, x)


def jax_like(forward: Forward, x: Any) -> tuple[Any, Any, float]:
    """jax.test_util.check_grads: eps 1e-4, tolerances 1e-5 (float64) and 1e-2 (float32)."""
    tolerance = 1e-5 if x.dtype == np.float64 else 1e-2
    return central(1e-4, tolerance, tolerance)(forward, x)


def numdifftools(forward: Forward, x: Any) -> tuple[Any, Any, float]:
    """numdifftools.Derivative with its own error estimate."""
    import numdifftools as nd

    calls = [0]

    def counted(y: Any) -> Any:
        calls[0] += np.size(y) // x.size
        return forward(np.asarray(y).astype(x.dtype)).astype(float)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = nd.Derivative(counted, full_output=True)(x.astype(float))
    # Two fields until 0.9, where the estimate came first and the record second.
    value, error = (found.estimate, found.error_estimate) if hasattr(found, "estimate") else (found[0], found[1][0])
    return value, error, calls[0]


def scipy_like(forward: Forward, x: Any) -> tuple[Any, Any, float]:
    """scipy.differentiate.derivative with its own error estimate."""
    from scipy.differentiate import derivative

    def columns(y: Any) -> Any:
        return forward(y) if y.ndim == 1 else np.stack([forward(c) for c in y.T], axis=-1)

    with np.errstate(all="ignore"):
        found = derivative(columns, x, preserve_shape=True)
    return found.df.astype(float), found.error.astype(float), float(np.mean(found.nfev))


RIVALS: dict[str, Callable[[Forward, Any], tuple[Any, Any, float]]] = {
    "central 1e-6 (torch)": torch_like,
    "central 1e-4 (jax)": jax_like,
    "numdifftools": numdifftools,
    "scipy.differentiate": scipy_like,
}


def verdicts(found: Any, gradient: Any, floor: Any) -> tuple[Any, Any]:
    """(wrong, judged) for one look: outside bar and floor; kinks accept all between their slopes."""
    slack = found.bar[:, 0] + floor
    low, high = found.low[:, 0] - slack, found.high[:, 0] + slack
    decided = np.isin(found.outcome[:, 0], (Outcome.SMOOTH, Outcome.KINK))
    outside = ~((gradient >= low) & (gradient <= high))
    return decided & outside, decided


def second_look(forward: Callable[..., Any], x: Any, where: Any, others: Sequence[Any] = ()) -> Any:
    """Estimates for some points by the other ladder."""
    return differentiate(Points(forward, x[where], [o[where] for o in others]), stretch=SECOND_LOOK)
