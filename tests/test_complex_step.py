"""The complex step: believed only where it cannot be silently wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sampled import slope_of

from gradcheck_cli.numeric.complex_step import sharpen

X = np.random.default_rng(3).uniform(0.2, 2, 50)


class Imaginary:
    """Points that also step along the imaginary axis."""

    def __init__(self, f: Callable[[Any], Any]) -> None:
        self.f, self.epsilon = f, float(np.finfo(float).eps)

    def along_imaginary(self, rows: Any, t: Any) -> Any:
        start = np.asarray(self.f(X[rows]))
        value = np.asarray(self.f(X[rows] + 1j * t))
        return ((value - start)[:, None], np.abs(start)[:, None]) if np.iscomplexobj(value) else None


def sharpened(f: Callable[[Any], Any]) -> Any:
    """(before, after)."""
    before = slope_of(f, X)
    return before, sharpen(before, Imaginary(f))


def test_an_analytic_function_gets_a_tighter_bar() -> None:
    """exp keeps its truth inside a bar that shrank."""
    before, after = sharpened(np.exp)

    assert np.median(after.bar) < np.median(before.bar) / 5
    assert np.all(np.abs(after.value[:, 0] - np.exp(X)) <= after.bar[:, 0])


def test_a_function_that_drops_the_imaginary_part_is_not_believed() -> None:
    """abs of a complex number has no imaginary part: the ladder's word stands."""
    before, after = sharpened(np.abs)

    assert np.array_equal(before.value, after.value)
    assert np.array_equal(before.bar, after.bar)


def test_another_code_path_is_not_believed() -> None:
    """A forward that answers complex input with something else is noticed by its real part."""
    before, after = sharpened(lambda z: np.exp(z) * (1.001 if np.iscomplexobj(z) else 1))

    assert np.array_equal(before.bar, after.bar)


def test_a_wrong_imaginary_part_is_not_believed() -> None:
    """Conjugation somewhere inside flips the sign: it lies outside the ladder's bar."""
    before, after = sharpened(lambda z: np.conj(np.exp(z)))

    assert np.array_equal(before.value, after.value)
