"""What the tape costs per op, beside autograd and torch, in the same run: `python -m benchmarks.tape` (needs both).

Scalars, so that arithmetic costs next to nothing: a chain of 10^5 ops, and a diamond of 30 levels with its 2^30 paths.
Forward and backward, medians of some runs taken in turn.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import autograd
import autograd.numpy
import numpy as np
import torch

from gradcheck_cli import Variable

CHAIN, LEVELS, DIAMONDS, RUNS = 100_000, 30, 500, 7
Function = Callable[[Any], Any]
Seconds = tuple[float, float]


def chain(m: Any) -> Function:
    def f(x: Any) -> Any:
        for _ in range(CHAIN):
            x = m.sin(x)
        return x

    return f


def diamond(_: Any) -> Function:
    def f(x: Any) -> Any:
        for _ in range(LEVELS):
            x = x + x
        return x

    return f


def by_tape(f: Function) -> Seconds:
    start = time.perf_counter()
    y = f(Variable(0.5))
    middle = time.perf_counter()
    y.backward()
    return middle - start, time.perf_counter() - middle


def by_autograd(f: Function) -> Seconds:
    start = time.perf_counter()
    pull, _ = autograd.make_vjp(f)(np.array(0.5))
    middle = time.perf_counter()
    pull(1.0)
    return middle - start, time.perf_counter() - middle


def by_torch(f: Function) -> Seconds:
    start = time.perf_counter()
    y = f(torch.tensor(0.5, dtype=torch.float64, requires_grad=True))
    middle = time.perf_counter()
    y.backward()
    return middle - start, time.perf_counter() - middle


RIVALS: dict[str, tuple[Any, Callable[[Function], Seconds]]] = {
    "the tape": (np, by_tape),
    "autograd": (autograd.numpy, by_autograd),
    "torch": (torch, by_torch),
}


def measure(build: Callable[[Any], Function], ops: int, repeat: int) -> dict[str, Seconds]:
    """Microseconds per op, forward and backward."""
    times: dict[str, list[Seconds]] = {name: [] for name in RIVALS}
    for _ in range(RUNS):
        for name, (module, run) in RIVALS.items():
            gc.collect()
            parts = [run(build(module)) for _ in range(repeat)]
            times[name].append((sum(p[0] for p in parts), sum(p[1] for p in parts)))
    scale = 1e6 / (ops * repeat)
    return {
        name: (scale * statistics.median(t[0] for t in runs), scale * statistics.median(t[1] for t in runs))
        for name, runs in times.items()
    }


def main() -> None:
    print(f"| us per op, medians of {RUNS} | forward | backward | both |")
    print("| --- | --- | --- | --- |")
    for collected in (True, False):
        (gc.enable if collected else gc.disable)()
        for title, build, ops, repeat in (
            (f"chain of {CHAIN:,}", chain, CHAIN, 1),
            (f"diamond of {LEVELS} levels", diamond, LEVELS, DIAMONDS),
        ):
            for name, (forward, backward) in measure(build, ops, repeat).items():
                where = "" if collected else ", garbage collector off"
                print(
                    f"| {title}{where}: {name} | {forward:.1f} | {backward:.1f} | {forward + backward:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
