"""Draws: the same on every machine and in every NumPy version, or no case could be drawn again."""

import numpy as np
import pytest

from gradcheck_cli.stream import Stream


@pytest.fixture
def stream() -> Stream:
    """The stream of one input of one case: the draws below are pinned for these keys."""
    return Stream("op", 0, 1, "input", 0)


def test_integers_are_pinned(stream: Stream) -> None:
    """The first draws of a stream, as they have been since 0.1.0."""
    assert stream.integers(100, (8,)).tolist() == [74, 51, 77, 2, 26, 42, 45, 85]


def test_draws_go_on_where_they_stopped(stream: Stream) -> None:
    """Draws in turn, of every kind, as they have been since 0.1.0."""
    stream.integers(100, (2, 4))

    assert stream.one(1000) == 203
    assert stream.choice("abcdef") == "b"
    assert stream.dyadic((2, 3)).tolist() == [[-1.125, 1.375, -1.375], [-1.5, 0.5, -0.75]]
    assert stream.distinct(10, (10,)).tolist() == [1, 8, 7, 0, 2, 4, 6, 9, 3, 5]


def test_bits_are_those_of_pcg64() -> None:
    """The generator by its definition (PCG XSL-RR 128/64, O'Neill 2014), from the state that NumPy documents."""
    bits = Stream("op")._bits
    state, increment = (int(bits.state["state"][name]) for name in ("state", "inc"))

    def following() -> int:
        nonlocal state
        state = (state * 0x2360ED051FC65DA44385DF649FCCF645 + increment) % 2**128
        folded, turn = (state >> 64 ^ state) % 2**64, state >> 122
        return (folded >> turn | folded << (-turn % 64)) % 2**64

    assert np.asarray(bits.random_raw(50)).tolist() == [following() for _ in range(50)]


def test_a_shape_is_only_a_shape() -> None:
    """The same draws, in whatever shape they are asked for."""
    flat, square = Stream("s").integers(10, (6,)), Stream("s").integers(10, (2, 3))

    assert flat.tolist() == square.ravel().tolist()


@pytest.mark.parametrize("other", [("op", 1), ("op", 0, 0), ("po", 0), ("op0",), ("op", "0", "")])
def test_other_keys_give_other_draws(other: tuple[object, ...]) -> None:
    """Op, seed and index each change the stream, and keys do not run into one another."""
    drawn = Stream("op", 0).integers(2**40, (4,))

    assert drawn.tolist() != Stream(*other).integers(2**40, (4,)).tolist()


def test_integers_stay_below_and_reach_everything(stream: Stream) -> None:
    """All of [0, below), and about equally often."""
    drawn = stream.integers(7, (7000,))

    assert np.bincount(drawn, minlength=7).tolist() == pytest.approx([1000] * 7, rel=0.15)
    assert drawn.dtype == np.int64


@pytest.mark.parametrize(("shape", "count"), [((), 1), ((0,), 0), ((2, 0, 3), 0), ((1,), 1)])
def test_small_shapes_can_be_drawn(stream: Stream, shape: tuple[int, ...], count: int) -> None:
    """Scalars and empty arrays are no exceptions."""
    for drawn in (stream.integers(5, shape), stream.distinct(5, shape), stream.dyadic(shape)):
        assert (drawn.shape, drawn.size) == (shape, count)


@pytest.mark.parametrize("seed", range(20))
def test_distinct_draws_differ(seed: int) -> None:
    """No ties among 100 draws out of 6000, the ratio that domains ask for."""
    drawn = Stream("distinct", seed).distinct(6000, (10, 10))

    assert len(set(drawn.ravel().tolist())) == 100


def test_distinct_settles_for_repeats_where_there_is_no_other_way(stream: Stream) -> None:
    """Ten draws out of three numbers end, and hold all three."""
    assert set(stream.distinct(3, (10,)).tolist()) == {0, 1, 2}


def test_dyadic_numbers_are_bounded_away_from_zero(stream: Stream) -> None:
    """Between 1/2 and 3/2 in magnitude, of both signs about equally often: no entry's error can hide."""
    drawn = stream.dyadic((40, 50))

    assert (np.abs(drawn).min(), np.abs(drawn).max()) == (0.5, 1.5)
    assert np.mean(drawn > 0) == pytest.approx(0.5, abs=0.05)


def test_dyadic_numbers_have_few_bits(stream: Stream) -> None:
    """Multiples of 1/8: t * v is exact for every power of two t, in float32 too."""
    drawn = stream.dyadic((1000,))

    assert np.array_equal(drawn * 8, np.round(drawn * 8))
    assert np.array_equal((drawn * 2.0**-20).astype(np.float32), drawn * 2.0**-20)


def test_bits_of_dyadic_numbers_can_be_chosen(stream: Stream) -> None:
    """One bit leaves halves only."""
    assert set(np.abs(stream.dyadic((100,), bits=1)).tolist()) == {0.5, 1.0, 1.5}
