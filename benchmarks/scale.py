"""What a check costs as arrays grow: python -m benchmarks.scale [--largest 1e7] [--only OP]. Prints Markdown.

Every row is a process of its own: one given case, all checks, default mode; the median of five runs, from 1e7 on
one run after a small one. `calls` are the forward and backward calls it makes and what these alone take; `memory` is
the peak of all arrays, the inputs among them, in multiples of these.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck_cli import Op
from gradcheck_cli.case import make_case
from gradcheck_cli.checks import examine
from gradcheck_cli.checks.value import Judging


class Timed:
    """A function that notes how often it was called, and how long that took."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.calls, self.seconds = function, 0, 0.0

    def __call__(self, *args: Any) -> Any:
        start = time.perf_counter()
        found = self.function(*args)
        self.seconds += time.perf_counter() - start
        self.calls += 1
        return found


def _matmul_backward(grad: Any, out: Any, a: Any, b: Any) -> Any:
    return grad @ b.T, a.T @ grad


OPS: dict[str, tuple[Callable[..., Any], Callable[..., Any], str, int]] = {
    "relu": (lambda x: np.maximum(x, 0.0), lambda grad, out, x: grad * (x > 0), "()->()", 1),
    "add": (lambda a, b: a + b, lambda grad, out, a, b: (grad, grad), "(),()->()", 2),
    "exp": (np.exp, lambda grad, out, x: grad * out, "()->()", 1),
    "tanh": (np.tanh, lambda grad, out, x: grad * (1 - out * out), "()->()", 1),
    "sum": (np.sum, lambda grad, out, x: np.broadcast_to(grad, x.shape), "(n)->()", 1),
    "matmul": (lambda a, b: a @ b, _matmul_backward, "(n,k),(k,m)->(n,m)", 2),
}


def measure(name: str, size: int, wrong: bool) -> dict[str, Any]:
    """One check of one op, whose inputs have `size` entries each."""
    forward, backward, signature, count = OPS[name]
    ahead, behind = Timed(forward), Timed(backward)

    def planted(grad: Any, out: Any, *inputs: Any) -> Any:
        found = behind(grad, out, *inputs)
        first = np.array(found[0] if isinstance(found, tuple) else found)
        first.reshape(-1)[size // 3] *= 1.01
        return (first, *found[1:]) if isinstance(found, tuple) else first

    op = Op(ahead, planted if wrong else behind, signature, name=name)
    shape = (math.isqrt(size),) * 2 if name == "matmul" else (size,)
    random = np.random.default_rng(0)
    inputs = tuple(random.uniform(0.1, 2, shape) * (1 - 2 * random.integers(0, 2, shape)) for _ in range(count))
    data = sum(x.nbytes for x in inputs)
    small = tuple(x.reshape(-1)[:9].reshape((3, 3) if name == "matmul" else (9,)) for x in inputs)
    examine(make_case(op, small, {}, seed=0, index=0), Judging())  # What is imported late is imported now.
    runs = []
    for _ in range(5 if size < 1e7 else 1):
        ahead.calls = behind.calls = 0
        ahead.seconds = behind.seconds = 0.0
        start = time.perf_counter()
        result = examine(make_case(op, inputs, {}, seed=0, index=0), Judging())
        runs.append((time.perf_counter() - start, ahead.calls + behind.calls, ahead.seconds + behind.seconds))
    seconds, calls, inside = sorted(runs)[len(runs) // 2]
    tracemalloc.start()  # which costs time, so that everything is done again
    examine(make_case(op, inputs, {}, seed=0, index=0), Judging())
    return {
        "size": size,
        "seconds": seconds,
        "calls": calls,
        "inside": inside,
        "memory": (tracemalloc.get_traced_memory()[1] + data) / data,
        "verdict": str(result.verdict),
        "resolution": max((i.resolution or 0.0 for i in result.inputs), default=0.0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=float, default=1e7)
    parser.add_argument("--only", action="append", choices=list(OPS))
    parser.add_argument("--wrong", action="store_true", help="plant an error of 1 %% in one entry")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], int(options.one[1]), options.wrong)))
        return
    print("| op | entries | total, ms | calls | these alone, ms | ratio | memory, x inputs | resolution | verdict |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.only or OPS:
        for exponent in range(2, round(math.log10(options.largest)) + 1):
            command = [sys.executable, "-m", "benchmarks.scale", "--one", name, str(10**exponent)]
            command += ["--wrong"] if options.wrong else []
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
            row = json.loads(output)
            print(
                f"| {name} | 1e{exponent} | {1e3 * row['seconds']:.3g} | {row['calls']} | {1e3 * row['inside']:.3g} "
                f"| {row['seconds'] / row['inside']:.2g} | {row['memory']:.1f} | {row['resolution']:.1g} "
                f"| {row['verdict']} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
