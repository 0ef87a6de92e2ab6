"""Forward against reverse mode: `python -m benchmarks.modes` prints the table of docs/variable.md.

The function is a chain of layers, x -> tanh(W x), n wide, that ends in n numbers or in one. By reverse mode one vector
is carried back, by forward mode one for each input; whoever multiplies Jacobians carries an n x n matrix along.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck_cli import jvp, vjp

LAYERS, RUNS = 5, 5
WIDTHS = (10, 100, 1000)


def layers(n: int) -> Callable[[Any], Any]:
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(n, n)) / np.sqrt(n) for _ in range(LAYERS)]

    def f(x: Any) -> Any:
        for w in weights:
            x = np.tanh(w @ x)
        return x

    return f


def jacobians(n: int) -> Callable[[Any], Any]:
    """The product of the layers' Jacobians, from the inputs on: what an n x n matrix for each step costs."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(n, n)) / np.sqrt(n) for _ in range(LAYERS)]

    def product(x: Any) -> Any:
        whole = np.eye(n)
        for w in weights:
            x = np.tanh(w @ x)
            whole = (np.diag(1 - x * x) @ w) @ whole  # diag: the n x n Jacobian of an elementwise function
        return whole.sum(axis=0)

    return product


def median(work: Callable[[], Any]) -> float:
    """Milliseconds."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def row(n: int) -> str:
    f, x, unit = layers(n), np.linspace(-1, 1, n), np.eye(n)

    def loss(x: Any) -> Any:
        return np.sum(f(x))

    once = median(lambda: vjp(loss, x))
    push = median(lambda: jvp(loss, x, unit[0]))
    few = min(n, 20)  # the others cost the same
    by_forward = median(lambda: [jvp(loss, x, unit[i]) for i in range(few)]) * n / few
    by_matrices = median(lambda: jacobians(n)(x))
    back = vjp(loss, x)
    forth = np.array([jvp(loss, x, unit[i]) for i in range(few)])
    assert np.allclose(back[:few], forth, rtol=1e-10)
    assert np.allclose(back, jacobians(n)(x), rtol=1e-10)
    return f"| {n} | {once:.2f} | {push:.2f} | {by_forward:.1f} | {by_matrices:.2f} | {push:.2f} | {once * n:.0f} |"


def main() -> None:
    print("| n | one vjp | one jvp | n -> 1 by n jvps | n -> 1 by Jacobians | 1 -> n by one jvp | 1 -> n by n vjps |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for n in WIDTHS:
        print(row(n), flush=True)


if __name__ == "__main__":
    main()
