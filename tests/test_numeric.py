"""The numeric derivative: whatever the engine does inside, its bars hold the truth and say when there is none."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcheck_cli.checks.judgement import differentiate  # type: ignore[attr-defined]  # the engine in use
from gradcheck_cli.numeric import classic
from gradcheck_cli.numeric.classic import Classic
from gradcheck_cli.numeric.curves import ForwardCurves
from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.numeric.estimate import Estimates, FloatArray, IntArray, Outcome, Samples

Function = Callable[[Any], Any]
STRETCHES = [1.0, 91 / 128]


@dataclass
class Points:
    """One function at many points: curve k is t -> f(x_k + t)."""

    function: Function
    x: FloatArray
    low: FloatArray = field(default_factory=lambda: np.array(-np.inf))
    high: FloatArray = field(default_factory=lambda: np.array(np.inf))
    epsilon: float = 2.0**-52
    scale: FloatArray = field(init=False)
    size: FloatArray = field(init=False)
    visited: list[FloatArray] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.low = np.broadcast_to(self.low, self.x.shape) - self.x
        self.high = np.broadcast_to(self.high, self.x.shape) - self.x
        self.size = np.abs(self.x)
        self.scale = 2.0 ** np.floor(np.log2(np.maximum(self.size, 1)))

    def __call__(self, rows: IntArray, t: FloatArray) -> Samples:
        here = self.x[rows]
        there = here + t
        self.visited.append(there)
        with np.errstate(all="ignore"):
            value, base = self.function(there), self.function(here)
        level = np.maximum(np.abs(value), np.abs(base))
        return Samples(there - here, (value - base)[:, None], level[:, None])


class Smooth(NamedTuple):
    """A function, its derivative, and where it is asked."""

    function: Function
    derivative: Function
    low: float
    high: float


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


SMOOTH = {
    "constant": Smooth(lambda x: 0 * x + 3, lambda x: 0 * x, -3, 3),
    "line": Smooth(lambda x: 3 * x - 1, lambda x: 0 * x + 3, -3, 3),
    "square": Smooth(np.square, lambda x: 2 * x, -3, 3),
    "cube": Smooth(lambda x: x**3, lambda x: 3 * x**2, -3, 3),
    "polynomial": Smooth(lambda x: x**7 - 2 * x**4, lambda x: 7 * x**6 - 8 * x**3, -2, 2),
    "exp": Smooth(np.exp, np.exp, -3, 3),
    "log": Smooth(np.log, lambda x: 1 / x, 0.05, 5),
    "sqrt": Smooth(np.sqrt, lambda x: 0.5 / np.sqrt(x), 0.05, 5),
    "sin": Smooth(np.sin, np.cos, -6, 6),
    "sin 20x": Smooth(lambda x: np.sin(20 * x), lambda x: 20 * np.cos(20 * x), -3, 3),
    "tanh": Smooth(np.tanh, lambda x: 1 / np.cosh(x) ** 2, -3, 3),
    "sigmoid": Smooth(sigmoid, lambda x: sigmoid(x) * sigmoid(-x), -4, 4),
    "arctan": Smooth(np.arctan, lambda x: 1 / (1 + x**2), -4, 4),
    "reciprocal": Smooth(lambda x: 1 / x, lambda x: -1 / x**2, 0.1, 4),
    "offset": Smooth(lambda x: 1e6 + np.sin(x), np.cos, -3, 3),
    "large": Smooth(lambda x: 1e30 * np.sin(x), lambda x: 1e30 * np.cos(x), -3, 3),
    "small": Smooth(lambda x: 1e-30 * np.sin(x), lambda x: 1e-30 * np.cos(x), -3, 3),
}


def points_of(smooth: Smooth, count: int = 500) -> FloatArray:
    """Points all over the interval, on no grid."""
    return np.random.default_rng(0).uniform(smooth.low, smooth.high, count)


def rounding_of(truth: FloatArray) -> FloatArray:
    """How exactly the closed form is known."""
    return 8 * 2.0**-52 * np.abs(truth)


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize("name", SMOOTH)
def test_the_bar_holds_the_truth(name: str, stretch: float) -> None:
    """At 500 points of a smooth function, for both looks."""
    smooth = SMOOTH[name]
    x = points_of(smooth)
    found = differentiate(Points(smooth.function, x), stretch=stretch)
    truth = smooth.derivative(x)
    missed = np.abs(found.value[:, 0] - truth) > found.bar[:, 0] + rounding_of(truth)

    assert x[missed & (found.outcome[:, 0] == Outcome.SMOOTH)].tolist() == []


@pytest.mark.parametrize("name", SMOOTH)
def test_a_smooth_function_is_called_smooth(name: str) -> None:
    """At all but a few points: nothing is inconclusive that need not be."""
    smooth = SMOOTH[name]
    found = differentiate(Points(smooth.function, points_of(smooth)))

    assert np.mean(found.outcome == Outcome.SMOOTH) >= 0.99


@pytest.mark.parametrize("name", ["line", "square", "cube", "exp", "sin", "tanh", "sigmoid"])
def test_the_bar_is_narrow(name: str) -> None:
    """A bar that holds everything says nothing: 1e-6 of the slope's size suffices to see any bug."""
    smooth = SMOOTH[name]
    x = points_of(smooth)
    bars = differentiate(Points(smooth.function, x)).bar[:, 0]

    assert np.median(bars) < 1e-6 * np.max(np.abs(smooth.derivative(x)))


def test_float32_has_bars_of_its_own() -> None:
    """A function that rounds at 1e-7 has its truth inside a wider bar."""

    def rounded(x: FloatArray) -> FloatArray:
        return np.asarray(np.sin(x.astype(np.float32)), np.float64)

    x = points_of(SMOOTH["sin"]).astype(np.float32).astype(np.float64)

    class Points32(Points):
        def __call__(self, rows: IntArray, t: FloatArray) -> Samples:
            here = self.x[rows]
            actual = (here + t).astype(np.float32).astype(np.float64) - here
            return super().__call__(rows, actual)

    found = differentiate(Points32(rounded, x, epsilon=2.0**-23))
    smooth = found.outcome[:, 0] == Outcome.SMOOTH
    missed = smooth & (np.abs(found.value[:, 0] - np.cos(x)) > found.bar[:, 0])

    assert x[missed].tolist() == []
    assert np.mean(smooth) > 0.9
    assert np.median(found.bar) < 1e-2


# Kinks and worse


class Bend(NamedTuple):
    """A function, where it bends, and its slopes on the left and on the right."""

    function: Function
    x: float
    left: float
    right: float


BENDS = {
    "relu": Bend(lambda x: np.maximum(x, 0), 0.0, 0.0, 1.0),
    "abs": Bend(np.abs, 0.0, -1.0, 1.0),
    "clip": Bend(lambda x: np.clip(x, -1, 1), 1.0, 1.0, 0.0),
    "maximum": Bend(lambda x: np.maximum(np.exp(x), 1 + 3 * x), 0.0, 1.0, 3.0),
    "slope": Bend(lambda x: np.abs(np.sin(x)) + x, 0.0, 0.0, 2.0),
    "curved": Bend(lambda x: np.where(x > 0, np.sin(x), np.expm1(3 * x)), 0.0, 3.0, 1.0),
    "steep": Bend(lambda x: 1e8 * np.maximum(x, 0), 0.0, 0.0, 1e8),
    "far": Bend(lambda x: np.abs(x - 1000), 1000.0, -1.0, 1.0),
}


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize("name", BENDS)
def test_a_kink_has_two_slopes(name: str, stretch: float) -> None:
    """It is called a kink; both one-sided slopes are close, and none lies outside of low and high but for the bar."""
    bend = BENDS[name]
    found = differentiate(Points(bend.function, np.array([bend.x])), stretch=stretch)
    smaller, larger = sorted((bend.left, bend.right))
    bar, low, high = (float(x[0, 0]) for x in (found.bar, found.low, found.high))

    assert found.outcome[0, 0] == Outcome.KINK
    assert (low, high) == pytest.approx((smaller, larger), abs=1e-2 * abs(larger - smaller))
    assert low - bar <= smaller < larger <= high + bar


@pytest.mark.parametrize("name", SMOOTH)
def test_without_a_kink_there_is_one_slope(name: str) -> None:
    """Low and high are the value."""
    smooth = SMOOTH[name]
    found = differentiate(Points(smooth.function, points_of(smooth, 50)))
    single = found.outcome == Outcome.SMOOTH

    assert np.array_equal(found.low[single], found.value[single])
    assert np.array_equal(found.high[single], found.value[single])


@pytest.mark.parametrize("distance", [1e-5, -1e-5, 1e-4, -1e-4, 1e-3, 0.01, -0.1, 0.3])
def test_a_kink_nearby_does_not_mislead(distance: float) -> None:
    """Beside relu's kink the slope is 0 or 1: found within the bar, or said not to be smooth."""
    found = differentiate(Points(BENDS["relu"].function, np.array([distance])))
    truth = float(distance > 0)
    inside = abs(found.value[0, 0] - truth) <= found.bar[0, 0]
    between = found.low[0, 0] - found.bar[0, 0] <= truth <= found.high[0, 0] + found.bar[0, 0]

    assert inside or between or found.outcome[0, 0] > Outcome.KINK


@pytest.mark.parametrize(
    ("function", "x"),
    [
        (np.log, -1.0),
        (lambda x: np.where(x == 2, x, np.nan), 2.0),
        (lambda x: np.where(x == 2, x, np.inf), 2.0),
        (lambda x: x * np.nan, 1.0),
    ],
)
def test_where_a_function_is_not_finite_nothing_is_said(function: Function, x: float) -> None:
    """Outside, with a bar that excludes no answer."""
    found = differentiate(Points(function, np.array([x])))

    assert (found.outcome[0, 0], found.bar[0, 0]) == (Outcome.OUTSIDE, np.inf)


@pytest.mark.parametrize(
    ("function", "point"), [(np.sign, 0.0), (np.round, 0.5), (np.floor, 2.0), (lambda x: np.where(x < 0, 0, 1e-3), 0.0)]
)
def test_a_jump_is_never_called_sharp(function: Function, point: float) -> None:
    """A step at the point has no slope: no narrow bar may claim one."""
    found = differentiate(Points(function, np.array([point])))
    claimed = found.outcome[0, 0] in (Outcome.SMOOTH, Outcome.KINK)

    assert not (claimed and found.bar[0, 0] < 0.1 * abs(found.value[0, 0]))


def test_rows_do_not_disturb_one_another() -> None:
    """A NaN, a kink and a smooth point in one batch are judged as they are alone."""

    def function(x: FloatArray) -> FloatArray:
        return np.where(x < 5, np.abs(x), np.log(10 - x))

    x = np.array([0.0, 1.0, 20.0, -2.0])
    together = differentiate(Points(function, x))

    for row in range(len(x)):
        alone = differentiate(Points(function, x[row : row + 1]))
        assert np.array_equal(together.outcome[row], alone.outcome[0])
        assert np.array_equal(together.value[row], alone.value[0], equal_nan=True)


# Domains


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize("x", [1e-6, 1e-3, 0.02, 0.5, 0.98, 1 - 1e-6])
def test_no_step_leaves_the_domain(x: float, stretch: float) -> None:
    """log(x) + log(1 - x) is asked inside of (0, 1) only."""
    points = Points(lambda x: np.log(x) + np.log1p(-x), np.array([x]), np.array(0.0), np.array(1.0))
    found = differentiate(points, stretch=stretch)
    visited = np.concatenate(points.visited)
    truth = 1 / x - 1 / (1 - x)

    assert np.all((visited > 0) & (visited < 1))
    assert abs(found.value[0, 0] - truth) <= found.bar[0, 0] + 1e-12 * abs(truth)


@pytest.mark.parametrize("x", [0.0, 1.0])
def test_no_step_leaves_the_domain_from_its_border(x: float) -> None:
    """On the border there is one side to look at, or nothing to say."""
    points = Points(np.square, np.array([x]), np.array(0.0), np.array(1.0))
    found = differentiate(points)
    visited = np.concatenate([*points.visited, [x]])

    assert np.all((visited >= 0) & (visited <= 1))
    if found.outcome[0, 0] == Outcome.SMOOTH:
        assert abs(found.value[0, 0] - 2 * x) <= found.bar[0, 0]


# Curves of a forward


def curves(
    forward: Function, x: Any, steps: list[Any], weights: Any = None, limits: tuple[float, float] = (-np.inf, np.inf)
) -> ForwardCurves:
    """The curves of a forward of one input along some steps (flat coordinates or arrays)."""
    directions = [Direction(((0, step),)) for step in steps]
    projected = None if weights is None else np.asarray(weights, float)
    return ForwardCurves(lambda inputs: [forward(inputs[0])], [np.asarray(x, float)], directions, [limits], projected)


def test_coordinates_give_the_jacobian() -> None:
    """One row per entry of the input, one column per entry of the output."""
    x = np.array([0.3, -1.2, 0.7])
    found = differentiate(curves(lambda x: np.sin(x) * x[0], x, [0, 1, 2]))
    expected = np.diag(np.cos(x) * x[0])
    expected[0] += np.sin(x)

    assert np.all(np.abs(found.value - expected) <= found.bar + rounding_of(expected))


def test_a_direction_gives_a_sum_of_slopes() -> None:
    """The slope along v is J v, and projected on w it is w J v."""
    x, v, w = np.array([0.3, -1.2]), np.array([0.5, -1.25]), np.array([-1.0, 0.75])
    (along,) = differentiate(curves(np.sin, x, [v])).value
    ((projected,),) = differentiate(curves(np.sin, x, [v], w)).value

    assert along == pytest.approx(np.cos(x) * v, rel=1e-6)
    assert projected == pytest.approx(np.sum(w * np.cos(x) * v), rel=1e-6)


def test_an_untouched_output_has_no_slope_at_all() -> None:
    """However large it is, it cancels, but for the square of its rounding."""
    found = differentiate(curves(lambda x: np.array([1e12, x[0]]), [0.5, 0.5], [0, 1], [1.0, 1.0]))

    assert found.value[1, 0] == 0
    assert found.bar[1, 0] < 1e-15
    assert found.value[0, 0] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("step", [0, 1, np.array([1.0, -0.5]), np.array([0.0, 1.5])])
def test_the_borders_of_a_direction(step: Any) -> None:
    """From low to high every entry that moves stays inside, and one of them arrives."""
    x = np.array([0.25, 0.5])
    found = curves(np.square, x, [step], limits=(0.0, 1.0))
    v = np.eye(2)[step] if isinstance(step, int) else step

    for t in (float(found.low[0]), float(found.high[0])):
        ends = (x + t * v)[v != 0]
        assert np.all((ends >= 0) & (ends <= 1))
        assert np.any((ends == 0) | (ends == 1))


def test_a_forward_that_raises_is_not_finite_there() -> None:
    """One exception costs one sample."""

    def picky(x: NDArray[Any]) -> NDArray[Any]:
        if x[0] > 1:
            raise ValueError("too large")
        return np.array(x)

    samples = curves(picky, [0.5], [0])(np.array([0, 0]), np.array([0.25, 0.75]))

    assert samples.value[0, 0] == 0.25
    assert np.isnan(samples.value[1, 0])


@pytest.mark.parametrize(
    ("x", "scale"), [([0.1, 0.2], 1.0), ([3.0, 0.1], 2.0), ([-1000.0, 1.0], 512.0), ([np.nan, 1.0], 1.0)]
)
def test_the_unit_of_a_step_is_a_power_of_two(x: list[float], scale: float) -> None:
    """That of the largest entry that moves, and never below one."""
    assert curves(np.square, x, [np.ones(2)]).scale.tolist() == [scale]


def test_a_direction_is_multiplied_with_gradients() -> None:
    """<v, g>, and sum |v| floor."""
    gradients = {0: np.array([[1.0, 2.0], [3.0, 4.0]])}

    assert Direction(((0, 3),)).dot(gradients) == 4
    assert Direction(((0, np.array([[1.0, -1.0], [0.5, 0.0]])),)).dot(gradients) == 0.5
    assert Direction(((0, np.array([[1.0, -1.0], [0.5, 0.0]])),)).weigh(gradients) == 4.5


# The classic test


def test_the_classic_test_is_one_central_difference() -> None:
    """(f(x + eps) - f(x - eps)) / 2 eps, with atol + rtol |slope| for a bar."""
    x = np.array([0.5, 2.0])
    found = classic.differentiate(Points(np.square, x), Classic(eps=2.0**-10, rtol=0.25, atol=0.5))

    assert found.value[:, 0].tolist() == [1.0, 4.0]
    assert found.bar[:, 0].tolist() == [0.75, 1.5]


def test_the_classic_test_is_that_of_torch_by_default() -> None:
    """eps 1e-6, rtol 1e-3, atol 1e-5."""
    assert (Classic().eps, Classic().rtol, Classic().atol) == (1e-6, 1e-3, 1e-5)
    assert str(Classic()) == "classic test: eps 1e-06, rtol 0.001, atol 1e-05"


def test_the_classic_test_says_nothing_where_there_is_nothing() -> None:
    """Outside of the domain of log."""
    found = classic.differentiate(Points(np.log, np.array([-1.0])), Classic())

    assert (found.outcome[0, 0], found.bar[0, 0]) == (Outcome.OUTSIDE, np.inf)


@pytest.mark.parametrize("engine", [differentiate, lambda curves: classic.differentiate(curves, Classic())])
def test_the_calls_are_counted(engine: Callable[[Points], Estimates]) -> None:
    """What an estimate cost is told as it was."""
    points = Points(np.sin, np.array([0.5, 1.5]))

    assert engine(points).calls == sum(map(len, points.visited))
