"""Measure the ladder: python -m benchmarks.numerics [--points N] [--alarms N] [--quick]. Prints Markdown.

Coverage and error against truth at 60 digits, planted errors, false alarms, and other people's rules beside it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks import hostile
from benchmarks.catalogue import Function
from benchmarks.functions import LISTED, UNSEEN
from benchmarks.rivals import RIVALS, Points, second_look, verdicts
from gradcheck_cli.numeric.estimate import Outcome
from gradcheck_cli.numeric.ladder import differentiate

SEED = 20240
PLANTED: dict[Any, tuple[float, ...]] = {
    np.float64: (0.0, 1e-4, 1e-6, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12),
    np.float32: (0.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5),
}
OURS = "the ladder"


@dataclass
class Row:
    """What one rule did on one function, point by point."""

    error: Any
    bar: Any
    scale: Any
    calls: float
    caught: dict[float, int] = field(default_factory=dict)
    planted: int = 0
    alarms: int = 0
    checks: int = 0
    undecided: int = 0


def floor_of(function: Function, x: Any, others: Sequence[Any], gradient: Any) -> Any:
    """The closed form's own rounding, as `analytic.rounding` has it: twice what 4 ulps of x do to it, and 10 ulps."""
    with np.errstate(all="ignore"):
        near = [function.gradient(x + x.dtype.type(ulps) * np.spacing(x), *others) for ulps in (-4, 4)]
    moved = np.max([np.abs(g.astype(float) - gradient) for g in near], axis=0)
    return np.nan_to_num(2 * moved) + 10 * np.finfo(x.dtype).eps * np.abs(gradient)


def gradient_of(function: Function, x: Any, others: Sequence[Any]) -> Any:
    """The closed form, rounded to the working dtype."""
    with np.errstate(all="ignore"):
        return np.asarray(function.gradient(x, *others)).astype(x.dtype).astype(float)


def ours(function: Function, dtype: type, points: int, alarms: int) -> Row:
    """The ladder, with its second look on whatever the first calls wrong."""
    x, others = function.points(alarms, dtype, SEED)

    def forward(y: Any, *rest: Any) -> Any:
        return function.evaluate(y, rest)

    found = differentiate(Points(forward, x, others))
    truth = function.truth(x[:points], [o[:points] for o in others])
    row = Row(np.abs(found.value[:points, 0] - truth), found.bar[:points, 0], truth, found.calls / len(x))
    kink = found.outcome[:points, 0] == Outcome.KINK
    between = (truth >= found.low[:points, 0]) & (truth <= found.high[:points, 0])
    row.error = np.where(kink & between, 0, row.error)
    gradient = gradient_of(function, x, others)
    floor = floor_of(function, x, others, gradient)
    row.undecided = int(np.sum(found.outcome > Outcome.KINK))
    row.checks, row.planted = len(x), int(np.count_nonzero(gradient))
    for r in PLANTED[dtype]:
        wrong, _ = verdicts(found, gradient * (1 + r), floor)
        suspects = np.flatnonzero(wrong)
        if suspects.size:
            again, _ = verdicts(
                second_look(forward, x, suspects, others), (gradient * (1 + r))[suspects], floor[suspects]
            )
            wrong[suspects] = again
        row.caught[r] = int(np.sum(wrong & (gradient != 0)))
        if r == 0:
            row.alarms = int(np.sum(wrong))
    return row


def theirs(name: str, function: Function, dtype: type, points: int) -> Row | None:
    """One rival; None where its package is not installed."""
    x, others = function.points(points, dtype, SEED)
    try:
        value, bar, calls = RIVALS[name](lambda y: function.evaluate(y, others), x)
    except ImportError:
        return None
    truth = function.truth(x, others)
    gradient = gradient_of(function, x, others)
    row = Row(np.abs(value - truth), bar, truth, calls, planted=int(np.count_nonzero(gradient)), checks=points)
    for r in PLANTED[dtype]:
        wrong = np.abs(gradient * (1 + r) - value) > bar
        row.caught[r] = int(np.sum(wrong & (gradient != 0)))
        if r == 0:
            row.alarms = int(np.sum(wrong))
    return row


def measure(task: tuple[str, str, type, int, int]) -> tuple[str, str, Row | None]:
    """One rule on one function (in a worker)."""
    name, which, dtype, points, alarms = task
    function = next(f for f in (*LISTED, *UNSEEN) if f.name == which)
    row = ours(function, dtype, points, alarms) if name == OURS else theirs(name, function, dtype, points)
    return name, function.name, row


def line(cells: Iterable[Any]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(str(c) for c in cells) + " |"


def summary(name: str, rows: Sequence[Row], dtype: type) -> list[str]:
    """Figures of one rule over all functions: coverage line and detection line."""
    error, bar = np.concatenate([r.error for r in rows]), np.concatenate([r.bar for r in rows])
    inside = error <= bar
    known = error[np.isfinite(error)]
    planted, checks = sum(r.planted for r in rows), sum(r.checks for r in rows)
    caught = [f"{100 * sum(r.caught[p] for r in rows) / planted:.2f}" for p in PLANTED[dtype][1:]]
    alarms = sum(r.alarms for r in rows)
    return [
        line([name, len(error), f"{np.median(known):.1e}", f"{np.quantile(known, 0.99):.1e}", f"{known.max():.1e}",
              f"{100 * np.mean(inside):.3f}", int(np.sum(~inside)), f"{np.nanmedian(bar):.1e}",
              f"{np.mean([r.calls for r in rows]):.1f}", sum(r.undecided for r in rows)]),
        line([name, f"{alarms} of {checks}", *caught]),
    ]  # fmt: skip


def tables(title: str, dtype: type, results: dict[tuple[str, str], Row | None], names: Sequence[str]) -> None:
    """Coverage and detection for one set of functions."""
    print(f"\n### {title}, {dtype.__name__}\n")
    lines: list[list[str]] = []
    for rule in (OURS, *RIVALS):
        rows = [results[rule, n] for n in names]
        have = [r for r in rows if r is not None]
        lines.append(summary(rule, have, dtype) if have else [line([rule, "not installed"])] * 2)
    print(line(["rule", "points", "median error", "p99", "worst", "truth inside, %", "outside", "median bar",
                "calls", "inconclusive"]))  # fmt: skip
    print(line(["---"] * 10))
    print("\n".join(coverage for coverage, _ in lines))
    print()
    print(line(["rule", "false alarms", *(f"caught at {p:g}, %" for p in PLANTED[dtype][1:])]))
    print(line(["---"] * (1 + len(PLANTED[dtype]))))
    print("\n".join(detection for _, detection in lines))


def details(dtype: type, results: dict[tuple[str, str], Row | None]) -> None:
    """Where the ladder did worst."""
    print(f"\n### Per function, the ladder, {dtype.__name__}\n")
    hard = 1e-10 if dtype is np.float64 else 1e-4
    print(line(["function", "outside", "median error", "median bar", f"caught at {hard:g}, %", "alarms",
                "inconclusive", "calls"]))  # fmt: skip
    print(line(["---"] * 8))
    for (rule, name), row in results.items():
        if rule == OURS and row is not None:
            share = f"{100 * row.caught[hard] / row.planted:.2f}" if row.planted else "-"
            print(line([name, int(np.sum(row.error > row.bar)), f"{np.median(row.error):.1e}",
                        f"{np.median(row.bar):.1e}", share, row.alarms, row.undecided,
                        f"{row.calls:.1f}"]))  # fmt: skip


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=3000, help="points per function with a truth")
    parser.add_argument("--alarms", type=int, default=4500, help="points per function in all")
    parser.add_argument("--quick", action="store_true", help="200 points")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    points = 200 if given.quick else given.points
    alarms = points if given.quick else max(given.alarms, points)
    began = time.perf_counter()
    print(f"# Numeric derivatives, measured\n\n{points} points per function with a truth, {alarms} for false alarms.")
    with ProcessPoolExecutor(given.workers) as pool:
        for dtype in (np.float64, np.float32):
            tasks = [(rule, f.name, dtype, points, alarms) for f in (*LISTED, *UNSEEN) for rule in (OURS, *RIVALS)]
            results = {(rule, name): row for rule, name, row in pool.map(measure, tasks)}
            for title, functions in (("28 listed functions", LISTED), ("20 other functions", UNSEEN)):
                tables(title, dtype, results, [f.name for f in functions])
            tables("All 48", dtype, results, [f.name for f in (*LISTED, *UNSEEN)])
            details(dtype, results)
    hostile.report(200 if given.quick else 1000)
    print(f"\n{time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
