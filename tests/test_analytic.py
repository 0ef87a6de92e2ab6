"""Backward's gradients: called once, sorted by input, kept from changing anything, with a rounding of their own."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcheck_cli import NONNEGATIVE, POSITIVE, REAL, Op, check, integers
from gradcheck_cli.analytic import Gradients, gradients, rounding
from gradcheck_cli.case import Case
from gradcheck_cli.draw import Sampling
from gradcheck_cli.registry import installed_ops
from gradcheck_cli.sample import Sampler

Array = NDArray[Any]
Function = Callable[..., Any]

BUILT_IN = {op.name: op for op in installed_ops()}


def case_of(op: Op, index: int = 0, **sampling: Any) -> Case:
    return list(Sampler(op, Sampling(edges=False, **sampling)))[index]


def multiply_case(backward: Function, **declaration: Any) -> Case:
    return case_of(Op(np.multiply, backward, "(),()->()", **declaration), shapes=((2, 3), (2, 3)))


def multiply_backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return grad * b, grad * a


# Entries


def test_one_entry_per_input() -> None:
    """In the order of the inputs."""
    case = multiply_case(multiply_backward)
    returned = gradients(case)
    (a, b), (w,) = case.inputs, case.cotangents

    assert (returned.count, returned.error, returned.mutated) == (2, None, ())
    assert np.array_equal(returned.entries, [w * b, w * a])


def test_a_bare_array_is_one_entry() -> None:
    """A backward of one input need not wrap it."""
    case = case_of(BUILT_IN["exp"])

    assert gradients(case).count == 1


@pytest.mark.parametrize(
    ("returned", "entries", "count"),
    [
        ((1, 2), (1, 2), 2),
        ([1, 2], (1, 2), 2),
        ((1, None), (1, None), 2),
        ((1,), (1,), 1),
        ((1, 2, 3), (1, 2, 3), 3),
        ((), (), 0),
        (None, (None,), 1),
        ({"a": 1}, ({"a": 1},), 1),
    ],
)
def test_entries_are_counted_as_they_come(returned: Any, entries: tuple[Any, ...], count: int) -> None:
    """Whether that is right is asked elsewhere."""
    found = gradients(multiply_case(lambda grad, out, _a, _b: returned))

    assert (found.entries, found.count) == (entries, count)


def take_backward(grad: Array, out: Array, x: Array, i: Array) -> Any:
    result = np.zeros_like(x)
    np.add.at(result, i, grad)
    return result


@pytest.mark.parametrize("backward", [take_backward, lambda *args: (take_backward(*args), None)])
def test_entries_are_sorted_by_differentiated_input(backward: Function) -> None:
    """An input that is not differentiated has no entry, whether backward returns something for it or not."""
    op = Op(lambda x, i: x[i % len(x)], backward, "(n),(m)", domain=[REAL, integers(0, 0)], name="take")
    returned = gradients(case_of(op))

    assert returned.count == 1
    assert isinstance(returned.entries[0], np.ndarray)


def test_several_outputs_come_as_tuples() -> None:
    """Cotangents and outputs, one each."""
    seen: list[Any] = []

    def backward(grads: Any, outs: Any, x: Array) -> Array:
        seen.append((type(grads), type(outs), len(grads), len(outs)))
        return x

    gradients(case_of(Op(lambda x: [x + 1, x + 2, x + 3], backward, "()->(),(),()", name="three")))

    assert seen == [(tuple, tuple, 3, 3)]


def test_params_are_passed_on() -> None:
    """As keywords, those of the case."""
    seen: list[Mapping[str, Any]] = []

    def backward(grad: Array, out: Array, x: Array, **params: Any) -> Array:
        seen.append(params)
        return grad

    gradients(case_of(Op(lambda x, k: k * x, backward, "()->()", params={"k": [3]}, name="scale")))

    assert seen == [{"k": 3}]


def test_what_backward_raises_is_kept() -> None:
    """It is a finding, not our crash."""

    def backward(grad: Array, out: Array, a: Array, b: Array) -> Array:
        raise KeyError("gone")

    returned = gradients(multiply_case(backward))

    assert isinstance(returned.error, KeyError)


# Mutation


def changing(victim: str) -> Function:
    """A right backward that spoils one of its arguments."""

    def backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
        result = grad * b, grad * a
        {"grad": grad, "out": out, "a": a, "b": b}[victim][0] = 99.0
        return result

    return backward


@pytest.mark.parametrize(("victim", "said"), [("a", "a"), ("b", "b"), ("grad", "the cotangent"), ("out", "the output")])
def test_a_mutation_is_detected_and_undone(victim: str, said: str) -> None:
    """By name; and the case is what it was."""
    case, untouched = multiply_case(changing(victim)), multiply_case(multiply_backward)
    returned = gradients(case)

    assert returned.mutated == (said,)
    assert case.outputs is not None
    assert untouched.outputs is not None
    for kind in ("inputs", "cotangents"):
        assert np.array_equal(getattr(case, kind), getattr(untouched, kind))
    assert np.array_equal(case.outputs.arrays, untouched.outputs.arrays)
    assert np.array_equal(returned.entries, gradients(untouched).entries)


def test_a_gradient_that_is_the_changed_cotangent_keeps_its_values() -> None:
    """`grad *= b; return grad`: undoing the change must not undo the gradient."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        grad *= 2
        return grad

    case = case_of(Op(lambda x: 2 * x, backward, "()->()", name="double"), shapes=((3,),))
    returned = gradients(case)

    assert returned.mutated == ("the cotangent",)
    assert np.array_equal(returned.entries[0], 2 * case.cotangents[0])


def test_a_mutation_by_a_backward_that_raises_is_undone() -> None:
    """The next check gets the inputs as they were."""

    def backward(grad: Array, out: Array, a: Array, b: Array) -> Array:
        a[...] = 0
        raise RuntimeError("too late")

    case, untouched = multiply_case(backward), multiply_case(multiply_backward)
    returned = gradients(case)

    assert returned.mutated == ("a",)
    assert np.array_equal(case.inputs, untouched.inputs)


def test_a_harmless_backward_is_not_accused() -> None:
    """NaN in an input is the same NaN afterwards."""
    case = multiply_case(multiply_backward)
    case.inputs[0][0, 0] = np.nan

    assert gradients(case).mutated == ()


# Rounding


# float32 gradients round: these have cancellations, sums, divisions and elementary functions in them.
ROUNDING = ["add", "multiply", "divide", "exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "power"]
ROUNDING += ["mean", "matmul", "linear", "softmax", "outer", "mean_squared_error"]


def floor_of(case: Case, gradient: Array, position: int = 0) -> Array:
    return rounding(case, {position: gradient})[position]


def in_float64(case: Case) -> Gradients:
    """The gradients of the same inputs, computed in float64 throughout."""
    inputs = [x.astype(np.float64) for x in case.inputs]
    outputs = case.op.run(inputs, case.params)
    wide = replace(
        case,
        inputs=tuple(inputs),
        outputs=outputs,
        cotangents=tuple(w.astype(np.float64) for w in case.cotangents),
    )
    return gradients(wide)


@pytest.mark.parametrize("name", ROUNDING)
def test_the_floor_covers_the_rounding_of_float32(name: str) -> None:
    """In every entry of every gradient of twenty cases, against the same backward in float64."""
    for case in Sampler(BUILT_IN[name], Sampling(dtype="float32", edges=False)):
        for position, (rounded, exact) in enumerate(
            zip(gradients(case).entries, in_float64(case).entries, strict=True)
        ):
            floor = floor_of(case, np.asarray(rounded, np.float64), position)

            assert np.all(np.abs(rounded - exact) <= floor), case.name


@pytest.mark.parametrize("name", ROUNDING)
def test_the_floor_is_low(name: str) -> None:
    """In float64 it hides no error above 1e-11 of the gradient's largest entry."""
    for case in Sampler(BUILT_IN[name], Sampling(edges=False)):
        for position, entry in enumerate(gradients(case).entries):
            gradient = np.asarray(entry, np.float64)
            largest = np.max(np.abs(gradient), initial=0.0)

            assert np.all(floor_of(case, gradient, position) <= 1e-11 * max(largest, 1e-3)), case.name


def test_the_floor_knows_a_backward_that_loses_digits() -> None:
    """1 - out**2 near saturation is right and has few digits left: the floor covers the lost ones."""
    op = replace(BUILT_IN["tanh"], samples=[[[-9.0, -7.5, 6.0, 8.25, 12.0]]])
    case = case_of(op)
    gradient = gradients(case).entries[0]
    exact = case.cotangents[0] / np.cosh(case.inputs[0]) ** 2
    floor = floor_of(case, gradient)

    assert np.all(np.abs(gradient - exact) <= floor)
    assert np.max(floor / exact) > 1e-9


@pytest.mark.parametrize(
    ("forward", "backward", "x"),
    [
        (lambda x: np.maximum(x, 0), lambda grad, _, x: grad * (x > 0), [0.0, 1.0]),
        (lambda x: np.maximum(x, 1), lambda grad, _, x: grad * (x > 1), [1.0, 2.0]),
        (lambda x: np.clip(x, -1, 1), lambda grad, _, x: grad * (np.abs(x) < 1), [1.0, -1.0]),
        (np.abs, lambda grad, _, x: grad * np.sign(x), [0.0, 1.0]),
    ],
    ids=["relu", "relu at 1", "clip", "abs"],
)
def test_a_kink_is_no_rounding(forward: Function, backward: Function, x: list[float]) -> None:
    """Moving an input by an ulp across a kink changes the convention, not a last digit: the floor stays low."""
    op = Op(forward, backward, "(n)", name="kinked", samples=[[x]], domain=NONNEGATIVE)
    case = case_of(op)
    gradient = gradients(case).entries[0]

    assert np.max(floor_of(case, gradient)) < 1e-12


def test_what_cancels_is_no_kink() -> None:
    """Rounding that is a thousand times as large as usual differs each time; a jump is always the same."""

    def backward(grad: Array, out: Array, x: Array, y: Array) -> tuple[Array, Array]:
        log = np.log(x / y)
        return grad * (log - (x - y) / x) / log**2, grad * ((x - y) / y - log) / log**2

    def logarithmic_mean(x: Array, y: Array) -> Any:
        return (x - y) / np.log(x / y)

    x, y = 1.3, 1.3001
    case = case_of(Op(logarithmic_mean, backward, "(n),(n)->(n)", samples=[([x], [y])]))
    (gradient, _) = gradients(case).entries
    expected = case.cotangents[0] * (1 / 2 + (y - x) / 6 / x)  # but for (y - x)^2, some 1e-9
    floor = floor_of(case, gradient)

    assert 1e-9 < abs(gradient - expected) < floor < 1e-5


RANDOM = np.random.default_rng(0)
LONG = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps


@pytest.mark.skipif(not LONG, reason="a long double is a double here: what this test is about is not known")
@pytest.mark.parametrize("x", [3e-5, 1e-6, 2.5e-7])
def test_what_cancels_to_a_few_digits_is_known_from_long_doubles(x: float) -> None:
    """x e^x - e^x + 1 is a multiple of 2^-52 that no ulp of x moves, and is divided by x^2."""
    op = Op(
        lambda x: (np.exp(x) - 1) / x,
        lambda grad, _out, x: grad * (x * np.exp(x) - np.exp(x) + 1) / x**2,
        "()->()",
        name="phi",
        domain=POSITIVE,
        samples=[[x]],
    )
    case = case_of(op)
    (gradient,) = gradients(case).entries
    exact = case.cotangents[0] * (1 / 2 + x / 3 + x**2 / 8)

    assert abs(gradient - exact) <= floor_of(case, gradient) + 1e-12


@pytest.mark.parametrize(
    "backward",
    [
        lambda grad, _out, x: grad * RANDOM.uniform(1, 2, x.shape),
        lambda grad, _out, x: grad * (2 if x.itemsize == 8 and x is THE_INPUT[0] else 1),
    ],
    ids=["random", "by identity"],
)
def test_what_copies_change_is_no_rounding(backward: Function) -> None:
    """Of a backward that answers otherwise when it is asked again, nothing is excused by that."""
    case = case_of(Op(np.negative, backward, "(n)", samples=[[[1.0, 2.0]]]))
    THE_INPUT[:] = case.inputs
    (gradient,) = gradients(case).entries

    assert np.max(floor_of(case, gradient)) < 1e-12


THE_INPUT: list[Array] = []


@pytest.mark.parametrize("x", [-2.25 - k / 100 for k in range(8)])
def test_a_difference_that_moves_only_sometimes_is_rounding(x: float) -> None:
    """Two numbers that move to the same side leave 1 / (a - b)^2 as it is, a little way and a long one."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        slope = -grad / (x[0] - x[1]) ** 2
        return np.array([slope, -slope])

    op = Op(lambda x: 1 / (x[0] - x[1]), backward, "(2)->()", samples=[[[x, x - 0.03]]], loops=False, name="pole")
    (case,) = [case for case in Sampler(op, Sampling(edges=False, cases=1)) if case.index < 0]
    exact = backward(case.cotangents[0], case.outputs.arrays[0] if case.outputs else case.inputs[0], case.inputs[0])

    assert np.all(floor_of(case, exact) > np.abs(exact) * np.spacing(abs(x)) / 0.03)


def test_a_tie_is_no_rounding() -> None:
    """Two equal inputs are moved together, or an even split would seem to be noise."""
    case = case_of(replace(BUILT_IN["maximum"], samples=[([1.0, 2.0], [1.0, 3.0])]))
    gradient = gradients(case).entries[0]

    assert np.max(floor_of(case, gradient)) < 1e-12


@pytest.mark.parametrize("shape", [(), (0,), (1,), (40,)])
def test_the_floor_has_the_shape_of_the_gradient(shape: tuple[int, ...]) -> None:
    """Also where there is nothing in it."""
    case = case_of(BUILT_IN["exp"], shapes=(shape,))
    floor = floor_of(case, np.asarray(gradients(case).entries[0]))

    assert floor.shape == shape
    assert np.all(floor > 0)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_an_entry_that_is_not_finite_leaves_the_floor_of_the_others(value: float) -> None:
    """1 / x at 0 is infinite; what is beside it still rounds."""
    case = case_of(BUILT_IN["exp"], shapes=((3,),), dtype="float32")
    gradient = np.array(gradients(case).entries[0], np.float64)
    gradient[1] = value
    floor = floor_of(case, gradient)

    assert np.all(floor[[0, 2]] >= np.finfo(np.float32).eps * np.abs(gradient[[0, 2]]))
    assert np.all(np.isfinite(floor))


def test_the_floor_is_the_same_every_time() -> None:
    """It is drawn, and reproducible as everything that is drawn."""
    case = case_of(BUILT_IN["tanh"])
    gradient = gradients(case).entries[0]

    assert np.array_equal(floor_of(case, gradient), floor_of(case, gradient))


def test_what_a_mean_rounds_away_shows_when_its_numbers_move() -> None:
    """Were all of them moved by even steps, the sum of what is centred would be off by the same in every turn."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return np.asarray(grad + 100 * np.sum(x - np.mean(x)) * np.ones_like(x))

    pairs = [(np.array([a / 100, (a + 3) / 100]),) for a in range(101, 141)]
    op = Op(np.sum, backward, "(n)->()", samples=pairs, loops=False)

    assert any(np.any(backward(np.ones(()), np.ones(()), x) != 1) for (x,) in pairs)
    assert check(op, cases=1, edges=False).passed
