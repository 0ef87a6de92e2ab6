"""Domains: what they draw, what they keep away from, and which directions they allow."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcheck_cli import NONNEGATIVE, POSITIVE, REAL, SPD, index, integers, interval, one_of
from gradcheck_cli.domain import MARGIN, REACH, Domain
from gradcheck_cli.stream import Stream

Array = NDArray[Any]
Shape = tuple[int, ...]

SHAPES: list[Shape] = [(), (1,), (7,), (4, 5), (2, 3, 4), (0, 3)]


def draw(domain: Domain, shape: Shape = (4, 5), *, seed: int = 0, dtype: str = "float64", **sizes: int) -> Array:
    return domain.draw(Stream("test", seed), shape, dtype, sizes)


def draws(domain: Domain) -> Array:
    """Many values of one domain, from many streams."""
    return np.concatenate([draw(domain, seed=seed).ravel() for seed in range(50)])


CONTINUOUS = [
    (REAL, -math.inf, math.inf),
    (POSITIVE, 0.0, math.inf),
    (NONNEGATIVE, 0.0, math.inf),
    (interval(-1, 1), -1.0, 1.0),
    (interval(1e-3, 2e-3), 1e-3, 2e-3),
    (interval(1e6, 3e6), 1e6, 3e6),
    (interval(2, math.inf), 2.0, math.inf),
    (interval(-math.inf, -5), -math.inf, -5.0),
    (REAL.avoiding(0), -math.inf, math.inf),
    (POSITIVE.avoiding(1, 2), 0.0, math.inf),
]


@pytest.mark.parametrize(("domain", "low", "high"), CONTINUOUS)
def test_values_lie_inside(domain: Domain, low: float, high: float) -> None:
    """Strictly between the borders, and that is what steps are held to."""
    values = draws(domain)

    assert domain.limits == (low, high)
    assert low < values.min() < values.max() < high


@pytest.mark.parametrize(("domain", "low", "high"), CONTINUOUS)
def test_values_fill_the_domain(domain: Domain, low: float, high: float) -> None:
    """Over 1000 draws, from end to end of the range that random values come from."""
    values = draws(domain)
    ends = [max(low, min(high, REACH) - 2 * REACH), min(high, max(low, -REACH) + 2 * REACH)]
    span = min(ends[1] - ends[0], 2 * REACH if math.isinf(high - low) else high - low)

    assert np.ptp(values) > 0.4 * span


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("domain", [REAL, POSITIVE, interval(-1, 1), one_of([1.0, 2.0]), integers(0, 3), index("n")])
def test_every_shape_can_be_drawn(domain: Domain, shape: Shape) -> None:
    """Scalars and empty arrays too."""
    assert draw(domain, shape, n=3).shape == shape


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("domain", [REAL, POSITIVE, interval(-1, 1), one_of([1.0, 2.0])])
def test_values_have_the_dtype_that_was_asked_for(domain: Domain, dtype: str) -> None:
    """Continuous operands come in the dtype of the run."""
    assert draw(domain, dtype=dtype).dtype == np.dtype(dtype)


def test_spd_has_the_dtype_that_was_asked_for() -> None:
    """Matrices are no exception."""
    assert draw(SPD, (3, 3), dtype="float32").dtype == np.dtype("float32")


@pytest.mark.parametrize("count", [1, 12, 100])
@pytest.mark.parametrize("domain", [REAL, POSITIVE, interval(-1, 1), REAL.avoiding(0)])
def test_values_are_short_decimals(domain: Domain, count: int) -> None:
    """A failing input can be read aloud: a sign, a digit, a point and few decimals."""
    decimals = {12: 3, 1: 3, 100: 4}[count]
    longest = max((repr(float(x)) for seed in range(20) for x in draw(domain, (count,), seed=seed)), key=len)

    assert len(longest) <= len("-0.") + decimals, longest


@pytest.mark.parametrize("domain", [interval(1e-3, 2e-3), interval(1e6, 3e6), interval(0, 1e-12)])
def test_values_of_small_and_large_intervals_are_as_short(domain: Domain) -> None:
    """At most five digits, whatever the unit."""
    digits = [Decimal(repr(x)).normalize().as_tuple().digits for x in draws(domain).tolist()]

    assert max(map(len, digits)) <= 5


@pytest.mark.parametrize("seed", range(10))
def test_values_of_one_array_rarely_tie(seed: int) -> None:
    """A tie is an edge, drawn on purpose: max, sort and relu have no slope there."""
    values = draw(REAL, (10, 10), seed=seed)

    assert len(set(values.ravel().tolist())) == 100


@pytest.mark.parametrize(
    ("domain", "points"),
    [
        (REAL.avoiding(0), [0.0]),
        (REAL.avoiding(-1, 1), [-1.0, 1.0]),
        (REAL.avoiding(0).avoiding(2), [0.0, 2.0]),
        (interval(0, 10).avoiding(5), [5.0]),
        (POSITIVE.avoiding(1), [1.0]),
        (POSITIVE, [0.0]),
        (interval(-1, 1), [-1.0, 1.0]),
    ],
)
def test_values_keep_clear_of_borders_and_avoided_points(domain: Domain, points: list[float]) -> None:
    """By the margin, a fraction of the range: a step of a finite difference must not reach them."""
    values = draws(domain)
    low, high = (max(domain.limits[0], -REACH), min(domain.limits[1], REACH))
    clear = 0.9 * MARGIN * (high - low)

    for point in points:
        assert np.abs(values - point).min() > clear


def test_avoiding_leaves_both_sides() -> None:
    """Values come from both sides of the point."""
    values = draws(REAL.avoiding(0))

    assert 0.4 < np.mean(values > 0) < 0.6


def test_avoiding_everything_is_an_error() -> None:
    """An interval that the margins eat up has no values."""
    domain = interval(0, 1).avoiding(*(i / 50 for i in range(51)))

    with pytest.raises(ValueError, match="leaves nothing to draw between"):
        draw(domain)


@pytest.mark.parametrize("domain", [interval(-1e308, 1e308), interval(0, 1e-310)])
def test_the_widest_and_narrowest_intervals_are_drawn_or_refused_by_name(domain: Domain) -> None:
    """Never an arithmetic error of our own."""
    try:
        values = draw(domain)
    except ValueError as error:
        assert str(domain) in str(error)  # noqa: PT017 (either answer is fine)
    else:
        assert domain.limits[0] < values.min() < values.max() < domain.limits[1]


@pytest.mark.parametrize("domain", [SPD, one_of([1, 2]), integers(0, 2), index("n")])
def test_only_intervals_avoid_points(domain: Domain) -> None:
    """Elsewhere the request is refused, by name."""
    with pytest.raises(TypeError, match="only intervals can") as caught:
        domain.avoiding(0)

    assert str(caught.value).startswith(str(domain))


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (5, 5), (3, 4, 4), (0, 0), (2, 0, 0), (0, 2, 2)])
def test_spd_is_symmetric_and_positive_definite(shape: Shape) -> None:
    """Eigenvalues of every matrix in a stack are positive."""
    for seed in range(10):
        matrices = draw(SPD, shape, seed=seed)

        assert np.array_equal(matrices, np.swapaxes(matrices, -1, -2))
        assert np.min(np.linalg.eigvalsh(matrices), initial=np.inf) > 0


def test_spd_matrices_differ_off_the_diagonal() -> None:
    """A backward that ignores them, or mixes them up, shows."""
    matrix = draw(SPD, (4, 4))

    assert len(set(matrix[np.triu_indices(4, 1)].tolist())) == 6


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (3, 2, 4)])
def test_spd_needs_square_matrices(shape: Shape) -> None:
    """A signature that gives anything else is told so."""
    with pytest.raises(ValueError, match="SPD needs square matrices"):
        draw(SPD, shape)


def test_directions_in_spd_are_symmetric() -> None:
    """A step along a projected direction stays symmetric; a symmetric direction stays as it is."""
    direction = Stream("d").dyadic((2, 3, 3))
    projected = SPD.project(direction)

    assert np.array_equal(projected, np.swapaxes(projected, -1, -2))
    assert np.array_equal(SPD.project(projected), projected)


@pytest.mark.parametrize("domain", [REAL, POSITIVE, interval(0, 1).avoiding(0.5)])
def test_directions_elsewhere_are_free(domain: Domain) -> None:
    """An interval allows every direction."""
    direction = Stream("d").dyadic((2, 3))

    assert np.array_equal(domain.project(direction), direction)


@pytest.mark.parametrize(
    ("domain", "differentiable"),
    [
        (REAL, True),
        (POSITIVE, True),
        (interval(0, 1), True),
        (SPD, True),
        (one_of([0.5, 1.5]), True),
        (one_of([1, 2]), False),
        (one_of([True, False]), False),
        (one_of(["valid", "same"]), False),
        (integers(0, 4), False),
        (index("n"), False),
    ],
)
def test_only_continuous_values_are_differentiated(domain: Domain, differentiable: bool) -> None:
    """Slopes are asked for where a small step makes sense."""
    assert domain.differentiable is differentiable


@pytest.mark.parametrize("values", [[0.5, 1.5, -2.0], [1, 2, 3], [True, False], ["valid", "same"]])
def test_one_of_draws_all_its_values_and_no_others(values: list[Any]) -> None:
    """With their own type where they are no floats."""
    drawn = draws(one_of(values))

    assert set(drawn.tolist()) == set(values)


def test_integers_include_both_ends() -> None:
    """From low to high."""
    assert set(draws(integers(-2, 2)).tolist()) == {-2, -1, 0, 1, 2}


def test_integers_are_integers_in_every_run() -> None:
    """The dtype of the run is that of the floats."""
    assert draw(integers(0, 3), dtype="float32").dtype.kind == "i"


def test_an_index_is_valid_in_its_dimension() -> None:
    """Every index of a dimension of size three, and none beyond."""
    drawn = np.concatenate([draw(index("n"), seed=seed, n=3).ravel() for seed in range(10)])

    assert set(drawn.tolist()) == {0, 1, 2}


def test_an_empty_dimension_has_no_index() -> None:
    """Unless none is asked for."""
    assert draw(index("n"), (0,), n=0).shape == (0,)

    with pytest.raises(ValueError, match="no index fits the empty dimension n"):
        draw(index("n"), (2,), n=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: interval(1, 1), r"interval\(1, 1\) is empty: low must be below high"),
        (lambda: interval(2, 1), r"interval\(2, 1\) is empty"),
        (lambda: interval(math.nan, 1), r"is empty"),
        (lambda: integers(2, 1), r"integers\(2, 1\) is empty: low must not be above high"),
        (lambda: one_of([]), r"one_of\(\) needs at least one value"),
    ],
)
def test_an_empty_domain_is_refused_where_it_is_written(make: Callable[[], Domain], message: str) -> None:
    """On construction, not when something is drawn."""
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("domain", "text"),
    [
        (REAL, "REAL"),
        (POSITIVE, "POSITIVE"),
        (NONNEGATIVE, "NONNEGATIVE"),
        (SPD, "SPD"),
        (REAL.avoiding(0), "REAL.avoiding(0)"),
        (REAL.avoiding(-1, 0.5), "REAL.avoiding(-1, 0.5)"),
        (interval(-1, 2.5), "interval(-1, 2.5)"),
        (interval(0, math.inf), "POSITIVE"),
        (one_of([1, 2]), "one_of([1, 2])"),
        (integers(0, 3), "integers(0, 3)"),
        (index("n"), 'index("n")'),
    ],
)
def test_a_domain_reads_as_it_was_written(domain: Domain, text: str) -> None:
    """In `gradcheck show` and in messages."""
    assert str(domain) == text


@pytest.mark.parametrize("domain", [REAL, POSITIVE, interval(-1, 1), SPD])
def test_the_same_stream_draws_the_same_values(domain: Domain) -> None:
    """And another one draws others."""
    assert np.array_equal(draw(domain, (3, 3)), draw(domain, (3, 3)))
    assert not np.array_equal(draw(domain, (3, 3)), draw(domain, (3, 3), seed=1))


def test_values_are_pinned() -> None:
    """A case that failed on one machine is the same case on any other."""
    values = REAL.draw(Stream("add", 0, 0, 0, "input", 0), (2, 3), "float64", {})

    assert values.tolist() == [[-2.25, -0.32, 2.83], [0.96, 1.67, 0.08]]
