"""Every built-in op's backward runs on Variables, and its derivative is that of backward."""

from typing import Any

import numpy as np
import pytest

from gradcheck_cli import apply, vjp
from gradcheck_cli.case import Case
from gradcheck_cli.draw import Sampling
from gradcheck_cli.op import Op
from gradcheck_cli.registry import installed_ops
from gradcheck_cli.sample import Sampler

BUILT_IN = {op.name: op for op in installed_ops()}
SEEDS = range(4)


def drawn(op: Op, seed: int) -> list[Case]:
    return [case for case in Sampler(op, Sampling(edges=False, seed=seed, cases=5)) if case.outputs is not None]


def split(op: Op, values: tuple[Any, ...], constant: tuple[Any, ...]) -> tuple[list[Any], Any]:
    """All of an op's inputs, and its cotangents, out of what is differentiated and what is not."""
    moving = iter(values)
    inputs = [next(moving) if i in op.differentiated else x for i, x in enumerate(constant)]
    return inputs, list(moving)


def projected_backward(case: Case, u: list[Any], *values: Any) -> Any:
    """<u, backward(w)> as a function of the inputs and w: by calling backward, on Variables or on arrays."""
    inputs, w = split(case.op, values, case.inputs)
    answer = apply(case.op, *inputs, **case.params)
    assert case.outputs is not None
    upstream = (tuple(w), answer) if case.outputs.several else (w[0], answer)
    if not any(hasattr(x, "backward") for x in inputs):  # numbers, for the differences
        out = tuple(y.data for y in answer) if case.outputs.several else answer.data
        upstream = (upstream[0], out)
    gradients = case.op.backward(*upstream, *inputs, **case.params)
    gradients = gradients if isinstance(gradients, (tuple, list)) else [gradients]
    total: Any = sum(np.sum(g * v) for g, v in zip(gradients, u, strict=True))
    return total


@pytest.mark.parametrize("name", BUILT_IN)
def test_backward_is_differentiated(name: str) -> None:
    """Along random directions of inputs and cotangents, to what central differences tell."""
    op = BUILT_IN[name]
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        for case in drawn(op, seed):
            points = tuple(np.array(x) for x in (*(case.inputs[i] for i in op.differentiated), *case.cotangents))
            u = [rng.choice([-1.0, 0.5, 1.25], case.inputs[i].shape) for i in op.differentiated]
            v = [rng.choice([-1.0, 0.5, 1.25], x.shape) for x in points]

            def moved(t: float, case: Case = case, points: Any = points, u: Any = u, v: Any = v) -> Any:
                return projected_backward(case, u, *(x + t * d for x, d in zip(points, v, strict=True)))

            def at(*values: Any, case: Case = case, u: Any = u) -> Any:
                return projected_backward(case, u, *values)

            ours = sum(np.sum(g * d) for g, d in zip(vjp(at, points), v, strict=True))
            h = 1e-4
            first, second = ((moved(t) - moved(-t)) / (2 * t) for t in (h, 2 * h))
            size = 1 + abs(first) + sum(float(np.abs(x).sum()) for x in points)
            assert abs((4 * first - second) / 3 - ours) <= 1e-7 * size, (case.name, case.params)
