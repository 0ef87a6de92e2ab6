"""The difference ladder: bars that hold, kinks that are named, and nothing believed that was not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special as sp
from sampled import Directions, Points, inside, one, slope_of

from gradcheck_cli.numeric.estimate import Outcome, Samples
from gradcheck_cli.numeric.ladder import SECOND_LOOK, differentiate

RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal(300)
POSITIVE = RNG.uniform(0.05, 5, 300)

SMOOTH: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Any]] = {
    "exp": (np.exp, np.exp, NORMAL),
    "log": (np.log, lambda x: 1 / x, POSITIVE),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2, NORMAL),
    "sigmoid": (sp.expit, lambda x: sp.expit(x) * sp.expit(-x), NORMAL),
    "cube": (lambda x: x**3, lambda x: 3 * x * x, NORMAL),
    "sin(2 pi x)": (lambda x: np.sin(2 * np.pi * x), lambda x: 2 * np.pi * np.cos(2 * np.pi * x), NORMAL),
    "constant": (lambda x: 0 * x + 3, lambda x: 0 * x, NORMAL),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0, NORMAL),
    "round": (np.round, lambda x: 0 * x, NORMAL),
    "huge": (lambda x: 1e8 * np.exp(x), lambda x: 1e8 * np.exp(x), NORMAL),
    "tiny": (lambda x: 1e-300 * np.exp(x), lambda x: 1e-300 * np.exp(x), NORMAL),
    "x ~ 1e6": (np.sin, np.cos, 1e6 * NORMAL),
    "x ~ 1e-8": (np.exp, np.exp, 1e-8 * NORMAL),
    "x ~ 1e-12": (np.sqrt, lambda x: 0.5 / np.sqrt(x), 1e-12 * POSITIVE),
}

NASTY: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Any]] = {
    "(1e8 + sin) - 1e8": (lambda x: (1e8 + np.sin(x)) - 1e8, np.cos, NORMAL),
    "(1e12 + sin) - 1e12": (lambda x: (1e12 + np.sin(x)) - 1e12, np.cos, NORMAL),
    "float32 inside": (lambda x: np.sin(x.astype(np.float32)), np.cos, NORMAL),
    "float16 inside": (lambda x: np.sin(x.astype(np.float16)), np.cos, NORMAL),
    "1e10 + 3x": (lambda x: 1e10 + 3 * x, lambda x: 3 + 0 * x, NORMAL),
    "sin(1e4 x)": (lambda x: np.sin(1e4 * x), lambda x: 1e4 * np.cos(1e4 * x), NORMAL),
    "sin(1e6 x)": (lambda x: np.sin(1e6 * x), lambda x: 1e6 * np.cos(1e6 * x), NORMAL),
    "sin at 1e12": (np.sin, np.cos, 1e12 * NORMAL),
    "relu near 0": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0, 1e-5 * NORMAL),
    "elu near 0": (
        lambda x: np.where(x > 0, x, np.expm1(x)),
        lambda x: np.where(x > 0, 1, np.exp(x)),
        1e-5 * NORMAL,
    ),
    "x|x|": (lambda x: x * np.abs(x), lambda x: 2 * np.abs(x), 1e-3 * NORMAL),
    "cube root near 0": (np.cbrt, lambda x: 1 / (3 * np.cbrt(x) ** 2), 1e-5 * NORMAL),
    "|x|^3 at 0": (lambda x: np.abs(x) ** 3, lambda x: 0 * x, 0 * NORMAL[:1]),
    "x^2 at 0": (np.square, lambda x: 0 * x, 0 * NORMAL[:1]),
    "|x|^1.5 at 0": (lambda x: np.abs(x) ** 1.5, lambda x: 0 * x, 0 * NORMAL[:1]),
    "floor(1000x)/1000": (lambda x: np.floor(1000 * x) / 1000, lambda x: 0 * x, NORMAL),
    "narrow bell": (
        lambda x: np.exp(-((1e4 * x) ** 2)),
        lambda x: -2e8 * x * np.exp(-((1e4 * x) ** 2)),
        1e-4 * NORMAL,
    ),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_the_truth_lies_inside_the_bar(name: str) -> None:
    """A closed-form slope is inside every bar, and every bar is a verdict."""
    f, slope, x = SMOOTH[name]

    found = slope_of(f, x)

    rounding = 4 * np.finfo(float).eps * np.abs(slope(x))  # of the closed form itself
    assert np.all(np.abs(found.value[:, 0] - slope(x)) <= found.bar[:, 0] + rounding)
    assert np.all(found.outcome == Outcome.SMOOTH)


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid", "cube", "relu"])
def test_the_truth_lies_inside_the_bar_in_float32(name: str) -> None:
    """The same with a forward that computes in single precision."""
    f, slope, x = SMOOTH[name]
    points = Points(f, x, np.float32)

    found = differentiate(points)

    assert inside(found, slope(points.x.astype(float)))
    assert np.median(found.bar) < 2e-5


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_function_is_right_or_inconclusive(name: str) -> None:
    """What cannot be judged is given a reason; what is claimed is true."""
    f, slope, x = NASTY[name]

    found = slope_of(f, x)

    # The closed form rounds too: as much as an ulp of x moves it, and by two ulps of itself.
    moved = [np.abs(slope(np.nextafter(x, side)) - slope(x)) for side in (-np.inf, np.inf)]
    floor = 4 * np.maximum(*moved) + 2 * np.finfo(float).eps * np.abs(slope(x))
    claimed = found.outcome[:, 0] == Outcome.SMOOTH
    assert np.all((np.abs(found.value[:, 0] - slope(x)) <= found.bar[:, 0] + floor) | ~claimed)


def test_bars_are_tight() -> None:
    """The median bar of a smooth function is thirteen digits."""
    found = slope_of(np.exp, NORMAL)

    assert np.median(found.bar / found.value) < 3e-13


def test_a_line_is_known_to_the_last_digits() -> None:
    """Nothing is assumed of a line: the largest consistent step wins, and its noise is small."""
    found = slope_of(lambda x: 3.3 * x + 0.7, NORMAL)

    assert inside(found, 3.3 + 0 * NORMAL)
    assert np.max(found.bar) < 5e-13


def test_smooth_functions_finish_in_the_core() -> None:
    """Repeat, probe and nine rungs: 28 evaluations and not one more."""
    found = slope_of(np.exp, NORMAL)

    assert found.calls == 28 * len(NORMAL)


@pytest.mark.parametrize(
    ("f", "at", "low", "high"),
    [
        (lambda x: np.maximum(x, 0), 0.0, 0.0, 1.0),
        (np.abs, 0.0, -1.0, 1.0),
        (lambda x: np.abs(np.sin(x)) + x, 0.0, 0.0, 2.0),
        (lambda x: np.maximum(np.exp(x), np.exp(0.3)), 0.3, 0.0, np.exp(0.3)),
        (lambda x: np.clip(x, -1, 1), 1.0, 0.0, 1.0),
        (lambda x: 1e-6 * np.abs(x) + np.sin(x), 0.0, 1 - 1e-6, 1 + 1e-6),
        (lambda x: 1e-6 * np.abs(x) + np.exp(x), 0.0, 1 - 1e-6, 1 + 1e-6),
        # Around which f bends so much that large steps cannot tell it from smooth.
        (lambda x: np.sqrt(np.abs(x) + 1e-3) + x, 0.0, 1 - 1000**0.5 / 2, 1 + 1000**0.5 / 2),
        (lambda x: np.abs(x) + np.sqrt(x * x / (x * x + 1e-5) + 1), 0.0, -1.0, 1.0),
    ],
)
def test_a_kink_has_two_slopes(f: Callable[[Any], Any], at: float, low: float, high: float) -> None:
    """At a kink low and high are the one-sided slopes, within the bar, and the bar is small."""
    found = slope_of(f, at)

    assert one(found)[2] == Outcome.KINK
    assert abs(found.low[0, 0] - low) <= found.bar[0, 0] + 1e-15
    assert abs(found.high[0, 0] - high) <= found.bar[0, 0] + 1e-15
    assert found.bar[0, 0] < 1e-8


def test_a_side_that_grows_steeper_and_steeper_is_followed_down() -> None:
    """The slope of x log(x + 1e-6) changes until x is far below 1e-6."""
    found = slope_of(lambda x: np.maximum(x, 0) * np.log(np.maximum(x, 0) + 1e-6), 0.0)

    assert one(found)[2] == Outcome.KINK
    assert abs(found.low[0, 0] - np.log(1e-6)) <= found.bar[0, 0] < 1e-2


def test_a_kink_in_float32_has_two_slopes() -> None:
    """Single precision sees the corner of a relu as well."""
    found = slope_of(lambda x: np.maximum(x, 0), 0.0, dtype=np.float32)

    assert one(found)[2] == Outcome.KINK
    assert (found.low[0, 0], found.high[0, 0]) == pytest.approx((0, 1), abs=1e-5)


@pytest.mark.parametrize(
    ("f", "at"),
    [(np.sign, 0.0), (np.round, 0.5), (lambda x: np.sin(x) + 1e-3 * (x > 0.3), 0.3)],
)
def test_a_jump_is_a_jump(f: Callable[[Any], Any], at: float) -> None:
    """A step at the point is called one, and nothing is claimed about the slope."""
    _, bar, outcome = one(slope_of(f, at))

    assert outcome == Outcome.JUMP
    assert bar == np.inf


@pytest.mark.parametrize("f", [np.sqrt, np.cbrt, lambda x: np.sqrt(np.abs(x))])
def test_an_infinite_slope_is_not_a_number(f: Callable[[Any], Any]) -> None:
    """Roots at 0 have no finite slope, and none is given."""
    _, bar, outcome = one(slope_of(f, 0.0))

    assert outcome != Outcome.SMOOTH
    assert bar == np.inf


def test_float16_inside_float64_keeps_both_candidates() -> None:
    """Flat in the small, sloping in the large: low and high hold both, and it is inconclusive."""
    found = slope_of(lambda x: x.astype(np.float16), 0.3001)

    assert one(found)[2] == Outcome.QUANTISED
    assert found.low[0, 0] <= 0
    assert found.high[0, 0] + found.bar[0, 0] >= 1


def test_a_function_that_differs_from_call_to_call_is_told_so() -> None:
    """The same input twice must give the same output."""
    rng = np.random.default_rng(1)

    found = slope_of(lambda x: np.sin(x) + 1e-6 * rng.standard_normal(x.shape), 0.5)

    assert one(found)[2] == Outcome.NONDETERMINISTIC


def test_noise_that_drowns_the_slope_is_noise() -> None:
    """A function of x that looks random is called noisy."""

    def rough(x: Any) -> Any:
        return 1 + 0.1 * np.modf(np.sin(1e9 * x) * 1e5)[0]

    assert one(slope_of(rough, 0.5))[2] == Outcome.NOISY


def test_a_function_that_is_nowhere_finite_is_outside() -> None:
    """NaN at the point leaves nothing to say."""
    value, bar, outcome = one(slope_of(np.log, -1.0))

    assert outcome == Outcome.OUTSIDE
    assert (np.isnan(value), bar) == (True, np.inf)


def test_steps_stay_inside_the_domain() -> None:
    """No sample leaves the interval, and the bar still holds near its border."""
    x = np.array([1e-3, 0.1, 0.5, 0.999])
    points = Points(np.arcsin, x, low=0.0, high=1.0)

    found = differentiate(points)

    rows = np.concatenate([points.low[None], points.high[None]])
    assert min(points.asked) >= rows[0].min()
    assert max(points.asked) <= rows[1].max()
    assert inside(found, 1 / np.sqrt((1 - x) * (1 + x)))
    assert np.all(found.bar[:, 0] < 1e-8)


@pytest.mark.parametrize("at", [0.0, 1.0, 1e-9])
def test_on_the_border_one_side_is_enough(at: float) -> None:
    """At the edge of a declared domain differences are one-sided, with an honest bar."""
    found = slope_of(np.exp, at, low=0.0, high=1.0)

    assert one(found)[2] == Outcome.SMOOTH
    assert inside(found, np.exp(at))
    assert found.bar[0, 0] < 1e-10


def test_an_undeclared_border_costs_rungs_and_no_more() -> None:
    """Steps over the edge give NaN; the smaller ones do."""
    found = slope_of(np.log, 0.01)

    assert inside(found, 100.0)
    assert found.bar[0, 0] < 1e-8


def test_one_bad_rung_does_not_spoil_the_rest() -> None:
    """A single NaN at one step of one element leaves the others as they were."""

    def f(x: Any) -> Any:
        return np.where(x == 1.0 + 2.0**-5, np.nan, np.exp(x))

    found = slope_of(f, np.array([1.0, 2.0]))

    assert inside(found, np.exp([1.0, 2.0]))
    assert np.all(found.bar < 1e-9)
    assert found.value[1, 0] == slope_of(np.exp, 2.0).value[0, 0]


def test_the_second_look_shares_no_step_with_the_first() -> None:
    """Other steps, another estimate, the same truth."""
    first, second = Points(np.exp, NORMAL), Points(np.exp, NORMAL)

    a, b = differentiate(first), differentiate(second, stretch=SECOND_LOOK)

    assert set(np.abs(first.asked)) & set(np.abs(second.asked)) == {0.0}
    assert inside(a, np.exp(NORMAL))
    assert inside(b, np.exp(NORMAL))


def test_several_outputs_are_judged_one_by_one() -> None:
    """A curve in R^3 with a smooth entry, a kink and a constant."""

    class Three(Points):
        def __call__(self, rows: Any, t: Any) -> Samples:
            x = self.x[rows] + t
            value = np.stack([np.exp(x), np.abs(x), 0 * x + 1], axis=-1)
            return Samples(t, value, np.abs(value))

    found = differentiate(Three(np.exp, [0.0, 0.5]))

    assert found.outcome.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert found.value == pytest.approx(np.array([[1, 0, 0], [np.exp(0.5), 1, 0]]), abs=1e-12)


def test_many_elements_cost_one_pass() -> None:
    """A row of 10^5 outputs with one hard element among them."""
    wave = np.ones(100_000)
    wave[7] = 1e3

    class Wide(Points):
        def __call__(self, rows: Any, t: Any) -> Samples:
            value = np.sin((self.x[rows] + t)[:, None] * wave)
            return Samples(t, value, np.abs(value))

    found = differentiate(Wide(np.sin, [0.5]))

    assert inside(found, (wave * np.cos(0.5 * wave))[None])


SOFTMAX_SHAPE = (8, 16)


def softmax(x: Any) -> Any:
    """Over the last axis."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_vjp(x: Any, w: Any) -> Any:
    """s (w - <w, s>)."""
    s = softmax(x)
    return s * (w - (w * s).sum(-1, keepdims=True))


def total(x: Any) -> Any:
    """One sum over everything."""
    return np.sum(x, keepdims=True)


def total_vjp(x: Any, w: Any) -> Any:
    """The cotangent, spread."""
    return np.broadcast_to(w, x.shape)


MATRIX = RNG.standard_normal((64, 64))


def times_matrix(x: Any) -> Any:
    """x M."""
    return x @ MATRIX


def times_matrix_vjp(x: Any, w: Any) -> Any:
    """The cotangent times M', in the shape of x."""
    return (w @ MATRIX.T).reshape(x.shape)


@pytest.mark.parametrize(
    ("f", "vjp", "shape"),
    [
        (times_matrix, times_matrix_vjp, (64, 64)),
        (np.tanh, lambda x, w: w / np.cosh(x) ** 2, (32, 32)),
        (softmax, softmax_vjp, SOFTMAX_SHAPE),
        (total, total_vjp, (1000,)),
    ],
    ids=["matmul", "tanh", "softmax", "sum"],
)
def test_a_direction_resolves_single_elements(
    f: Callable[[Any], Any], vjp: Callable[[Any, Any], Any], shape: tuple[int, ...]
) -> None:
    """One signed dyadic direction through a whole array: honest, and 1e-11 of the largest entry."""
    x = RNG.standard_normal(shape)
    curves = Directions(f, x, 3)

    found = differentiate(curves)

    gradients = [vjp(x, w) for w in curves.w]
    truth = np.array([np.sum(g * v) for g, v in zip(gradients, curves.v, strict=True)])
    slack = np.array([np.finfo(float).eps * np.sum(np.abs(g * v)) for g, v in zip(gradients, curves.v, strict=True)])
    assert np.all(np.abs(found.value[:, 0] - truth) <= found.bar[:, 0] + slack)
    assert np.max(found.bar) / np.max(np.abs(gradients)) < 1e-11


@pytest.mark.parametrize("relative", [1e-8, 1e-10])
def test_a_planted_error_is_outside_the_bar(relative: float) -> None:
    """A gradient off by one part in 10^10 is wrong, twice."""
    for stretch in (1.0, SECOND_LOOK):
        found = differentiate(Points(np.exp, NORMAL), stretch=stretch)
        wrong = np.abs(found.value[:, 0] - np.exp(NORMAL) * (1 + relative)) > found.bar[:, 0]
        assert np.all(wrong)
