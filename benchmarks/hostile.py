"""Functions that break difference quotients: each must be judged right or called inconclusive, never failed.

The gradient given is that of the function as meant. Where the program itself has another slope than was meant
(a table, an iteration stopped early) it is that of the program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sp

from benchmarks.rivals import Points, second_look, verdicts
from gradcheck_cli.numeric.estimate import Outcome
from gradcheck_cli.numeric.ladder import differentiate

Draw = Callable[[np.random.Generator, int], Any]
GRID = np.arange(-8, 8.0005, 1e-3)
COARSE = 1e-3  # of the gradient: a bar wider than this is no verdict but "inconclusive: resolution"


def normal(scale: float = 1.0, shift: float = 0.0) -> Draw:
    """Normal numbers."""
    return lambda rng, n: shift + scale * rng.standard_normal(n)


def uniform(scale: float) -> Draw:
    """Between 0.05 and 5, times a scale."""
    return lambda rng, n: scale * rng.uniform(0.05, 5, n)


def newton(x: Any) -> tuple[Any, Any]:
    """The square root by Newton's iteration, stopped at a step of 1e-2, and its slope, carried along."""
    y = np.maximum(x, 1.0)
    slope, live = (x > 1) * 1.0, np.ones(x.shape, bool)
    for _ in range(60):
        following, carried = (y + x / y) / 2, (slope + 1 / y - x * slope / y**2) / 2
        large = np.abs(following - y) >= 1e-2
        y, slope = np.where(live, following, y), np.where(live, carried, slope)
        live &= large
    return y, slope


def scatter(x: Any) -> Any:
    """Normal noise that is a function of x: from a hash of its bits."""
    bits = np.asarray(x, np.float64).view(np.uint64)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        bits = (bits ^ (bits >> np.uint64(33))) * np.uint64(factor)
    bits ^= bits >> np.uint64(33)
    return sp.ndtri((bits >> np.uint64(12)).astype(float) * 2.0**-52 + 2.0**-53)


def table_slope(x: Any) -> Any:
    """Of the sine interpolated on the grid."""
    i = np.searchsorted(GRID, x) - 1
    return (np.sin(GRID[i + 1]) - np.sin(GRID[i])) / (GRID[i + 1] - GRID[i])


def in_float16(x: Any) -> Any:
    """A sine whose author saved memory."""
    return np.sin(x.astype(np.float16)).astype(float)


SMOOTH: list[tuple[str, Callable[[Any], Any], Draw, Callable[[Any], Any]]] = [
    ("(1e8 + sin x) - 1e8", lambda x: (1e8 + np.sin(x)) - 1e8, normal(), np.cos),
    ("(1e12 + sin x) - 1e12", lambda x: (1e12 + np.sin(x)) - 1e12, normal(), np.cos),
    ("float32 inside", lambda x: np.sin(x.astype(np.float32)).astype(float), normal(), np.cos),
    ("float16 inside", in_float16, normal(), np.cos),
    ("sin x + N(0, 1e-6)", lambda x: np.sin(x) + 1e-6 * scatter(x), normal(), np.cos),
    ("sin x + N(0, 1e-3)", lambda x: np.sin(x) + 1e-3 * scatter(x), normal(), np.cos),
    ("Newton sqrt to 1e-2", lambda x: newton(x)[0], uniform(1), lambda x: newton(x)[1]),
    ("1e10 + 3x", lambda x: 1e10 + 3 * x, normal(), lambda x: 3 + 0 * x),
    ("sin(1e4 x)", lambda x: np.sin(1e4 * x), normal(), lambda x: 1e4 * np.cos(1e4 * x)),
    ("sin(1e6 x)", lambda x: np.sin(1e6 * x), normal(), lambda x: 1e6 * np.cos(1e6 * x)),
    ("sin, x ~ 1e6", np.sin, normal(1e6), np.cos),
    ("log, x ~ 1e-6", np.log, uniform(1e-6), lambda x: 1 / x),
    ("sqrt, x ~ 1e-8", np.sqrt, uniform(1e-8), lambda x: 0.5 / np.sqrt(x)),
    ("1/(x^2 + 1e-6)", lambda x: 1 / (x * x + 1e-6), normal(1e-3), lambda x: -2 * x / (x * x + 1e-6) ** 2),
    ("softplus(1e4 x)/1e4", lambda x: np.logaddexp(0, 1e4 * x) / 1e4, normal(1e-3), lambda x: sp.expit(1e4 * x)),
    ("relu, x ~ 1e-5", lambda x: np.maximum(x, 0), normal(1e-5), lambda x: (x > 0) * 1.0),
    ("elu, x ~ 1e-5", lambda x: np.where(x > 0, x, np.expm1(x)), normal(1e-5),
     lambda x: np.where(x > 0, 1, np.exp(x))),
    ("x|x|, x ~ 1e-3", lambda x: x * np.abs(x), normal(1e-3), lambda x: 2 * np.abs(x)),
    ("table, grid 1e-3", lambda x: np.interp(x, GRID, np.sin(GRID)), normal(), table_slope),
    ("floor(1000x)/1000, meant 0", lambda x: np.floor(1000 * x) / 1000, normal(), lambda x: 0 * x),
    ("floor(1000x)/1000, meant 1", lambda x: np.floor(1000 * x) / 1000, normal(), lambda x: 1 + 0 * x),
    ("sin, x ~ 1e12", np.sin, normal(1e12), np.cos),
    ("cbrt, x ~ 1e-5", np.cbrt, normal(1e-5), lambda x: 1 / (3 * np.cbrt(x) ** 2)),
    ("exp * 1e-300", lambda x: 1e-300 * np.exp(x), normal(), lambda x: 1e-300 * np.exp(x)),
    ("exp(-(1e4 x)^2)", lambda x: np.exp(-((1e4 * x) ** 2)), normal(1e-4),
     lambda x: -2e8 * x * np.exp(-((1e4 * x) ** 2))),
]  # fmt: skip

KINKS: list[tuple[str, Callable[[Any], Any], float, tuple[float, float] | None]] = [
    ("relu at 0", lambda x: np.maximum(x, 0), 0.0, (0.0, 1.0)),
    ("|sin x| + x at 0", lambda x: np.abs(np.sin(x)) + x, 0.0, (0.0, 2.0)),
    ("max(e^x, y) at the tie", lambda x: np.maximum(np.exp(x), np.exp(0.3)), 0.3, (0.0, float(np.exp(0.3)))),
    ("clip at its edge", lambda x: np.clip(x, -1, 1), 1.0, (0.0, 1.0)),
    ("1e-6 |x| + sin x at 0", lambda x: 1e-6 * np.abs(x) + np.sin(x), 0.0, (1 - 1e-6, 1 + 1e-6)),
    ("sign at 0", np.sign, 0.0, None),
    ("round at 0.5", np.round, 0.5, None),
    ("a step of 1e-3 at 0.3", lambda x: np.sin(x) + 1e-3 * (x > 0.3), 0.3, None),
]


def report(n: int) -> None:
    """Both tables."""
    print(f"\n### Hostile functions, float64, {n} points each\n")
    print("| function | right | inconclusive | failed | calls | reasons |\n| --- | --- | --- | --- | --- | --- |")
    for name, f, draw, slope in SMOOTH:
        x = draw(np.random.default_rng([7, *name.encode()]), n)
        print(judge(name, f, x, slope))
    print("\n| kink or step | flagged | slopes found | error of the slopes |\n| --- | --- | --- | --- |")
    for name, f, at, slopes in KINKS:
        found = differentiate(Points(f, np.array([at])))
        low, high = found.low[0, 0], found.high[0, 0]
        off = "-" if slopes is None else f"{max(abs(low - slopes[0]), abs(high - slopes[1])):.1e}"
        found_slopes = "-" if slopes is None else f"{low:.9g}, {high:.9g}"
        print(f"| {shown(name)} | {Outcome(found.outcome[0, 0]).name} | {found_slopes} | {off} |")


def shown(name: str) -> str:
    """A name inside a Markdown table."""
    return name.replace("|", "\\|")


def judge(name: str, f: Callable[[Any], Any], x: Any, slope: Callable[[Any], Any]) -> str:
    """One line: how a correct gradient fares."""
    with np.errstate(all="ignore"):
        gradient = slope(x)
        near = [np.abs(slope(np.nextafter(x, side)) - gradient) for side in (-np.inf, np.inf)]
        floor = 4 * np.maximum(*near) + 2 * np.finfo(float).eps * np.abs(gradient)

        found = differentiate(Points(f, x))
        wrong, decided = verdicts(found, gradient, floor)
        suspects = np.flatnonzero(wrong)
        if suspects.size:
            wrong[suspects] = verdicts(second_look(f, x, suspects), gradient[suspects], floor[suspects])[0]
        coarse = decided & (found.bar[:, 0] > COARSE * np.abs(gradient)) & (gradient != 0)
    reasons = Counter(Outcome(o).name for o in found.outcome[~decided, 0])
    if coarse.any():
        reasons["resolution"] = int(np.sum(coarse))
    told = ", ".join(f"{reason.lower()} {count}" for reason, count in reasons.most_common())
    undecided = int(np.sum(~decided | coarse & ~wrong))
    right = len(x) - undecided - int(np.sum(wrong))
    return f"| {shown(name)} | {right} | {undecided} | {int(np.sum(wrong))} | {found.calls / len(x):.0f} | {told} |"
