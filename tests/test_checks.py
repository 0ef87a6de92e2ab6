"""Checks: for every code a wrong op that triggers it, beside a right one that does not."""

import itertools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcheck_cli import POSITIVE, Finding, Op, Report, check, no_grad, one_of, unbroadcast
from gradcheck_cli.checks.finding import Severity
from gradcheck_cli.codes import CODES
from gradcheck_cli.draw import Sampling
from gradcheck_cli.sample import Sampler

Array = NDArray[Any]
Function = Callable[..., Any]


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


def only(report: Report) -> Finding:
    """The one finding of a report; several draws of the same shapes may all show it."""
    assert len({(f.code, f.cause, f.input) for f in report.findings}) == 1
    return report.findings[0]


# Small right functions, to be planted with bugs.


def copy(x: Array) -> Array:
    return x.copy()


def copy_backward(grad: Array, out: Array, x: Array) -> Array:
    return grad.copy()


def square_backward(grad: Array, out: Array, x: Array) -> Array:
    return 2 * grad * x


def multiply_backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return unbroadcast(grad * b, a), unbroadcast(grad * a, b)


def matmul_backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return grad @ b.T, a.T @ grad


MATMUL = "(n,k),(k,m)->(n,m)"


# And the same with one thing wrong.


def forgets_to_unbroadcast(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return unbroadcast(grad * b, a), grad * a


def forgets_an_input(grad: Array, out: Array, a: Array, b: Array) -> Array:
    return unbroadcast(grad * b, a)


def has_none(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, None]:
    return unbroadcast(grad * b, a), None


def narrows(grad: Array, out: Array, x: Array) -> Array:
    return (2 * grad * x).astype(np.float16)


def leaves_the_tape(grad: Array, out: Array, x: Array) -> Array:
    with no_grad():
        return square_backward(grad, out, x)


def makes_arrays(grad: Array, out: Array, x: Array) -> Any:
    return 2 * grad * np.asarray(x)


def has_words(grad: Array, out: Array, x: Array) -> str:
    return "two x"


def crashes(grad: Array, out: Array, x: Array) -> Array:
    raise KeyError("no such gradient")


def forgets_a_factor(grad: Array, out: Array, x: Array) -> Array:
    return grad * x


def divides_by_zero(grad: Array, out: Array, x: Array) -> Array:
    return 2 * grad * x * x / x


def works_in_place(grad: Array, out: Array, x: Array) -> Array:
    grad *= 2 * x
    return grad


def squares_its_cotangent(grad: Array, out: Array, x: Array) -> Array:
    return 2 * grad * grad * x


def ignores_its_cotangent(grad: Array, out: Array, x: Array) -> Array:
    return 2 * x


def reads_memory(grad: Array, out: Array, x: Array) -> Array:
    return (2 * grad * x).ravel(order="K").reshape(x.shape)


def fails(x: Array) -> Array:
    raise RuntimeError("out of order")


def returns_integers(x: Array) -> NDArray[np.int64]:
    return np.round(x).astype(np.int64)


_calls = itertools.count()


def drifts(x: Array) -> Array:
    return x + next(_calls)


def gradient_drifts(grad: Array, out: Array, x: Array) -> Array:
    return 2 * grad * x + next(_calls)


def flips_memory(x: Array) -> Array:
    return x.ravel(order="K").reshape(x.shape)


def adds_in_place(x: Array) -> Array:
    x += 1
    return x


def exists_nowhere_else(x: Array) -> Array:
    """Finite at 1/3 only."""
    return np.where(x == 1 / 3, x, np.nan)


def mumbles(x: Array) -> Array:
    """The identity, with a noise of a thousandth."""
    return x + 1e-3 * np.sin(1e12 * x)


class Pair(NamedTuple):
    """A wrong op with its verdict, and a right one."""

    verdict: str
    wrong: Op
    right: Op


SQUARE = Op(np.square, square_backward, "()->()")
MULTIPLY = Op(np.multiply, multiply_backward, "(),()->()")
COPY = Op(copy, copy_backward, "()->()")

PAIRS = {
    "GC101": Pair("fail", Op(np.multiply, forgets_to_unbroadcast, "(),()->()"), MULTIPLY),
    "GC102": Pair("fail", Op(np.multiply, forgets_an_input, "(),()->()"), MULTIPLY),
    "GC103": Pair("fail", Op(np.multiply, has_none, "(),()->()"), MULTIPLY),
    "GC104": Pair("fail", Op(np.square, narrows, "()->()"), SQUARE),
    "GC105": Pair("fail", Op(np.square, has_words, "()->()"), SQUARE),
    "GC106": Pair("error", Op(np.square, crashes, "()->()"), SQUARE),
    "GC201": Pair("fail", Op(np.square, forgets_a_factor, "()->()"), SQUARE),
    "GC202": Pair(
        "fail",
        Op(np.square, divides_by_zero, "()->()", samples=[0.0]),
        Op(np.square, square_backward, "()->()", samples=[0.0]),
    ),
    "GC301": Pair("fail", Op(np.square, works_in_place, "()->()"), SQUARE),
    "GC302": Pair("fail", Op(np.square, squares_its_cotangent, "()->()"), SQUARE),
    "GC303": Pair("fail", Op(np.square, ignores_its_cotangent, "()->()"), SQUARE),
    "GC304": Pair("fail", Op(np.square, reads_memory, "(2,3)->(2,3)"), SQUARE),
    "GC305": Pair("fail", Op(np.square, gradient_drifts, "()->()"), SQUARE),
    "GC401": Pair("error", Op(fails, copy_backward, "()->()"), COPY),
    "GC402": Pair(
        "fail",
        Op(np.log, lambda grad, _out, x: grad / x, "()->()"),
        Op(np.log, lambda grad, _out, x: grad / x, "()->()", domain=POSITIVE),
    ),
    "GC403": Pair("fail", Op(copy, copy_backward, "(n)->()"), Op(copy, copy_backward, "(n)->(n)")),
    "GC404": Pair("fail", Op(returns_integers, copy_backward, "()->()"), COPY),
    "GC405": Pair("fail", Op(drifts, copy_backward, "()->()"), COPY),
    "GC406": Pair("fail", Op(adds_in_place, copy_backward, "()->()"), COPY),
    "GC407": Pair("fail", Op(flips_memory, copy_backward, "()->()"), COPY),
    "GC501": Pair(
        "inconclusive",
        Op(exists_nowhere_else, copy_backward, "()->()", domain=one_of([1 / 3])),
        Op(copy, copy_backward, "()->()", domain=one_of([1 / 3])),
    ),
    "GC502": Pair("inconclusive", Op(mumbles, copy_backward, "()->()"), COPY),
    "GC601": Pair("fail", Op(np.square, leaves_the_tape, "()->()"), SQUARE),
    "GC602": Pair(
        "fail",
        Op(np.square, square_backward, "()->()", jvp=lambda tangents, _out, x: x * tangents[0]),
        Op(np.square, square_backward, "()->()", jvp=lambda tangents, _out, x: 2 * x * tangents[0]),
    ),
    "GC603": Pair("pass", Op(np.square, makes_arrays, "()->()"), SQUARE),
}


def order(code: str) -> int:
    """The order at which a code is found."""
    return 2 if code in ("GC601", "GC603") else 1


def test_every_code_has_a_wrong_and_a_right_op() -> None:
    """A code without a row has never been seen to fail; GC7xx ask for a fixture (test_fixtures.py)."""
    assert sorted(PAIRS) == sorted(code for code in CODES if not code.startswith("GC7"))


@pytest.mark.parametrize("code", PAIRS)
def test_a_wrong_op_triggers_its_code(code: str) -> None:
    """The code is found, and the verdict is as bad as it is."""
    report = check(PAIRS[code].wrong, edges=False, order=order(code))

    assert code in codes(report)
    assert report.verdict == PAIRS[code].verdict


@pytest.mark.parametrize("code", PAIRS)
def test_a_right_op_triggers_nothing(code: str) -> None:
    """Not this code, nor any other."""
    report = check(PAIRS[code].right, order=order(code))

    assert report.findings == ()
    assert report.passed


@pytest.mark.parametrize("code", PAIRS)
def test_a_finding_is_complete(code: str) -> None:
    """A cause in snake case, a sentence that names a function or an input, and the case."""
    op = PAIRS[code].wrong
    finding = next(f for f in check(op, edges=False, cases=8, order=order(code)).findings if f.code == code)
    named = {*op.names, op.forward.__name__, op.backward.__name__}

    assert finding.cause.replace("_", "").isalpha()
    assert finding.cause == finding.cause.lower()
    assert named & set(re.findall(r"\w+", finding.message))
    assert finding.case.op is op


# Structure


def transposed(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return (grad @ b.T).T, a.T @ grad


def flat(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return (grad @ b.T).ravel(), a.T @ grad


def cut(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return (grad @ b.T)[:-1], a.T @ grad


@pytest.mark.parametrize(
    ("backward", "cause", "message", "why"),
    [
        (transposed, "not_transposed", "grad a has shape (3,2); a has shape (2,3).", "Transposed, it agrees to "),
        (flat, "wrong_shape", "grad a has shape (6,); a has shape (2,3).", "Reshaped, it agrees to "),
        (cut, "wrong_shape", "grad a has shape (1,3); a has shape (2,3).", ""),
    ],
)
def test_a_wrong_shape_has_a_cause(backward: Function, cause: str, message: str, why: str) -> None:
    """Both shapes, and how the one might have come from the other."""
    finding = only(check(np.matmul, backward, shapes=[(2, 3), (3, 4)]))

    assert (finding.code, finding.cause, finding.input) == ("GC101", cause, "a")
    assert finding.message == message
    assert finding.why[: len("Transposed, it agrees to ")].startswith(why)
    assert bool(finding.why) is bool(why)
    assert finding.evidence["expected"] == [2, 3]


@pytest.mark.parametrize(
    ("b", "axes"), [((4,), "axis 0"), ((3, 1), "axis 1"), ((1, 4), "axis 0"), ((1, 1), "axes 0, 1"), ((), "axes 0, 1")]
)
def test_a_missing_unbroadcast_names_the_axes(b: tuple[int, ...], axes: str) -> None:
    """Along which to sum, and what to write."""
    report = check(Op(np.multiply, forgets_to_unbroadcast, "(),()->()"), shapes=[(3, 4), b])
    finding = next(f for f in report.findings if f.code == "GC101")

    assert (finding.cause, finding.input) == ("missing_unbroadcast", "b")
    assert finding.why.startswith(f"b was broadcast along {axes}: sum the gradient over ")
    assert finding.suggestion == "unbroadcast(grad_b, b)"


def test_the_other_gradients_are_judged_beside_a_wrong_shape() -> None:
    """One mistake hides no other."""

    def both(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
        return 3 * (grad @ b.T), a @ grad.T if a.shape == grad.T.shape else grad

    report = check(np.matmul, both, shapes=[(2, 3), (3, 4)])

    assert {(f.code, f.input) for f in report.findings} == {("GC201", "a"), ("GC101", "b")}


@pytest.mark.parametrize(
    "form",
    [float, np.float64, np.asarray, lambda g: [float(g)], lambda g: (g,), lambda g: g, lambda g: [np.asarray(g)]],
)
def test_a_scalar_gradient_may_come_in_any_form(form: Function) -> None:
    """A Python float, a NumPy scalar, a list of one, a 0-d array."""

    def backward(grad: Array, out: Array, x: Array) -> Any:
        return form(2 * grad * x)

    assert check(Op(np.square, backward, "()"), cases=3).findings == ()


@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
def test_a_real_gradient_of_complex_data_has_no_imaginary_part(dtype: str) -> None:
    """It is judged as that: right of the real part, wrong of a square; its dtype is wrong anyway."""

    def square_backward(grad: Array, out: Array, z: Array) -> Array:
        return (2 * grad * np.conj(z)).real

    wrong = check(np.square, square_backward, shapes=[(3,)], dtypes=[dtype], edges=False)
    right = check(np.real, lambda grad, out, z: grad.real, shapes=[(3,)], dtypes=[dtype], edges=False)

    assert codes(wrong) == {"GC104", "GC201"}
    assert codes(right) == {"GC104"}


def test_gradients_may_come_for_every_input() -> None:
    """With None, or anything, for those that are not differentiated."""

    def backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, None]:
        return unbroadcast(grad * b, a), None

    assert check(Op(np.multiply, backward, "(),()->()", differentiable=["a"])).findings == ()


@pytest.mark.parametrize(("victim", "cause"), [("grad", "mutates_upstream"), ("x", "mutates_input")])
def test_what_backward_changes_is_named(victim: str, cause: str) -> None:
    """The cotangent or an input; the gradient is judged all the same."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        result = 2 * grad * x
        {"grad": grad, "x": x}[victim][...] = 7
        return result

    assert {(f.code, f.cause) for f in check(Op(np.square, backward, "()->()"), edges=False).findings} == {
        ("GC301", cause)
    }


# Forward


def test_a_forward_that_narrows_its_input_is_warned_about() -> None:
    """float32 out of float64: legal, and hardly meant."""
    report = check(Op(lambda x: x.astype(np.float32), copy_backward, "()->()", name="narrow"), cases=1)

    assert ("GC404", Severity.WARNING) in {(f.code, f.severity) for f in report.findings}


def test_the_mean_of_nothing_is_no_failure() -> None:
    """NaN out of an empty array is a note at most."""
    mean = Op(np.mean, lambda grad, _out, x: np.broadcast_to(grad / x.size, x.shape), "(n)")

    assert check(mean, shapes=[(0,)]).passed


# Values


@pytest.mark.parametrize("factor", [1e-30, 1.0, 1e30])
def test_the_unit_does_not_matter(factor: float) -> None:
    """A right gradient passes and one that is 0.1 % off fails, in nanometres and in light years."""

    def scaled(x: Array) -> Array:
        return factor * np.sin(x)

    def right(grad: Array, out: Array, x: Array) -> Array:
        return factor * grad * np.cos(x)

    def wrong(grad: Array, out: Array, x: Array) -> Array:
        return 1.001 * factor * grad * np.cos(x)

    assert check(Op(scaled, right, "()->()"), edges=False).findings == ()
    assert codes(check(Op(scaled, wrong, "()->()"), edges=False)) == {"GC201"}


@pytest.mark.parametrize(
    ("forward", "slope"), [(np.sin, np.cos), (np.square, lambda x: 2 * x), (np.tanh, lambda x: 1 - np.tanh(x) ** 2)]
)
@pytest.mark.parametrize("entry", range(6))
def test_an_error_of_1e_6_in_one_element_is_caught(forward: Function, slope: Function, entry: int) -> None:
    """In float64, wherever it is; the element is named."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        gradient: Array = grad * slope(x)
        gradient.reshape(-1)[entry] *= 1 + 1e-6
        return gradient

    finding = only(check(forward, backward, shapes=[(2, 3)], edges=False))

    assert (finding.code, finding.evidence["entry"], finding.evidence["wrong"]) == ("GC201", entry, 1)
    assert f"grad x[{entry // 3}, {entry % 3}] is" in finding.message


@pytest.mark.parametrize("name", ["right", "wrong"])
def test_float32_is_judged_by_float64(name: str) -> None:
    """Its own rounding is no error; one of 1e-5 is."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        factor = np.float32(1 + 1e-5 * (name == "wrong"))
        gradient: Array = grad * (1 - out * out) * factor
        return gradient

    report = check(Op(np.tanh, backward, "()->()"), dtype="float32")

    assert codes(report) == ({"GC201"} if name == "wrong" else set())


def test_a_gradient_of_zero_is_judged() -> None:
    """Where the output does not depend on the input, zero is right and nothing else."""

    def constant(x: Array) -> Array:
        return np.ones_like(x)

    def small(grad: Array, out: Array, x: Array) -> Array:
        return 1e-6 * grad

    assert check(Op(constant, lambda _grad, _out, x: np.zeros_like(x), "()->()")).findings == ()
    assert codes(check(Op(constant, small, "()->()"))) == {"GC201"}


def sin_and_cos(x: Array) -> tuple[Array, Array]:
    return np.sin(x), np.cos(x)


def sin_and_cos_backward(grads: tuple[Array, Array], outs: tuple[Array, Array], x: Array) -> Any:
    return grads[0] * outs[1] - grads[1] * outs[0]


def sin_and_cos_swapped(grads: tuple[Array, Array], outs: tuple[Array, Array], x: Array) -> Any:
    return grads[1] * outs[1] - grads[0] * outs[0]


def sin_and_cos_half(grads: tuple[Array, Array], outs: tuple[Array, Array], x: Array) -> Any:
    return grads[0] * outs[1]


def test_several_outputs_are_judged_together() -> None:
    """Each with a cotangent of its own, so that swapping or forgetting one shows."""
    assert check(Op(sin_and_cos, sin_and_cos_backward, "()->(),()")).findings == ()
    assert codes(check(Op(sin_and_cos, sin_and_cos_swapped, "()->(),()"), edges=False)) == {"GC201"}
    assert codes(check(Op(sin_and_cos, sin_and_cos_half, "()->(),()"), edges=False)) == {"GC201"}


@pytest.mark.parametrize(
    ("backward", "code"),
    [
        (lambda grad, _out, a, b: (grad @ b.T, a.T @ grad * 2), "GC201"),
        (lambda grad, _out, a, b: (-grad @ b.T, a.T @ grad), "GC201"),
        (lambda grad, _out, _a, b: (grad @ b.T, b * np.sum(grad)), "GC201"),
        (lambda grad, _out, a, b: (np.ones_like(grad) @ b.T, a.T @ np.ones_like(grad)), "GC303"),
    ],
    ids=["factor", "sign", "formula", "cotangent"],
)
def test_wrong_products_are_caught(backward: Function, code: str) -> None:
    """A factor, a sign, another formula; an ignored cotangent has a code of its own."""
    assert check(Op(np.matmul, matmul_backward, MATMUL, loops=False)).findings == ()
    assert codes(check(Op(np.matmul, backward, MATMUL, loops=False), edges=False)) == {code}


def test_swapped_gradients_of_equal_shape_are_caught() -> None:
    """Right in shape, wrong in value."""

    def swapped(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
        return grad * a, grad * b

    assert codes(check(np.multiply, swapped, shapes=[(3,), (3,)])) == {"GC201"}


def test_a_transposed_square_gradient_is_caught() -> None:
    """No shape gives it away."""
    report = check(
        np.matmul, lambda grad, _out, a, b: ((grad @ b.T).T, a.T @ grad), shapes=[(3, 3), (3, 3)], name="matmul"
    )

    assert {(f.code, f.input) for f in report.findings} == {("GC201", "a")}


# Kinks


def relu_with(slope: float) -> Function:
    """relu's backward with a convention for relu'(0)."""
    return lambda grad, _out, x: grad * np.where(x == 0, slope, x > 0)


def abs_with(slope: float) -> Function:
    return lambda grad, _out, x: grad * np.where(x == 0, slope, np.sign(x))


def clip_with(slope: float) -> Function:
    return lambda grad, _out, x: grad * np.where(np.abs(x) == 1, slope, np.abs(x) < 1)


def maximum_with(share: float) -> Function:
    """maximum's backward, which gives `share` of a tie to a and the rest to b."""

    def backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
        to_a = grad * np.where(a == b, share, a > b)
        return unbroadcast(to_a, a), unbroadcast(grad - to_a, b)

    return backward


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def clip(x: Array) -> Array:
    return np.clip(x, -1, 1)


def norm(x: Array) -> Any:
    return np.sqrt(np.sum(x * x))


def norm_with(slope: float) -> Function:
    return lambda grad, out, x: grad * (x / out if out else np.full_like(x, slope))


class Kink(NamedTuple):
    """A forward that bends, its backward for a choice of slope there, and inputs where it does."""

    forward: Function
    backward_with: Callable[[float], Function]
    signature: str
    samples: list[Any]

    def op(self, slope: float) -> Op:
        return Op(self.forward, self.backward_with(slope), self.signature, samples=self.samples)


KINKS = {
    "relu": Kink(relu, relu_with, "()->()", [0.0, [[0.0, 0.0, 1.0, -1.0]]]),
    "abs": Kink(np.abs, abs_with, "()->()", [0.0, [[0.0, 0.0, 1.0, -1.0]]]),
    "clip": Kink(clip, clip_with, "()->()", [1.0, [[-1.0, 0.5, 1.0, 2.0]]]),
    "maximum": Kink(np.maximum, maximum_with, "(),()->()", [(0.0, 0.0), ([1.0, 2.0, 3.0], [1.0, 2.0, 2.0])]),
    "norm": Kink(norm, norm_with, "(n)", [[[0.0, 0.0, 0.0]]]),
}


@pytest.mark.parametrize(
    ("name", "slopes"),
    [
        ("relu", (0, 0.5, 1)),
        ("abs", (-1, 0, 0.3, 1)),
        ("clip", (0, 0.5, 1)),
        ("maximum", (0, 0.3, 0.5, 1)),
        ("norm", (0, 0.5)),
    ],
)
def test_any_subgradient_passes_at_a_kink(name: str, slopes: tuple[float, ...]) -> None:
    """There is no convention to argue over, and nothing that could not be judged."""
    for slope in slopes:
        assert check(KINKS[name].op(slope), cases=2, edges=False).findings == ()


@pytest.mark.parametrize(
    ("name", "slopes"),
    [
        ("relu", (-0.5, 1.01, 2)),
        ("abs", (-1.1, 2)),
        ("clip", (-0.1, 1.1)),
        ("maximum", (-0.1, 1.2, 2)),
        ("norm", (-1.1, 2)),
    ],
)
def test_what_is_no_subgradient_fails_at_a_kink(name: str, slopes: tuple[float, ...]) -> None:
    """Outside of the one-sided slopes is wrong."""
    for slope in slopes:
        report = check(KINKS[name].op(slope), cases=2, edges=False)

        assert codes(report) == {"GC201"}
        assert {f.case.index for f in report.findings} <= {-1, -2}


def test_a_kink_nearby_is_no_kink_here() -> None:
    """relu is judged sharply at 1e-4 off its kink."""
    points = [[[1e-4, -1e-4, 1e-3]]]

    assert check(Op(relu, relu_with(0), "()->()", samples=points), cases=1, edges=False).findings == ()
    wrong = Op(relu, lambda grad, _out, x: grad * np.where(x > 0, 0.5, 0), "()->()", samples=points)
    assert "GC201" in codes(check(wrong, cases=1, edges=False))


# Not finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_wrong_where_the_slope_is(value: float) -> None:
    """The entry is named, and what it should have been."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        gradient = grad * np.cos(x)
        gradient[1] = value
        return gradient

    finding = only(check(np.sin, backward, shapes=[(3,)]))

    assert (finding.code, finding.input) == ("GC202", "x")
    assert finding.message.startswith(f"grad x[1] is {value}; the numeric derivative there is ")


def test_a_gradient_that_is_infinite_where_the_slope_is_cannot_be_judged() -> None:
    """sqrt at 0: neither right nor wrong."""
    root = Op(np.sqrt, lambda grad, out, _x: grad / (2 * out), "()->()", domain=POSITIVE, samples=[0.0])

    assert codes(check(root)) <= {"GC501"}
    assert check(root).passed


# Large inputs


def planted(change: Callable[[Array], None]) -> Report:
    """The check of sin at n = 10,000, where `change` is made to the gradient."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        gradient: Array = grad * np.cos(x)
        change(gradient)
        return gradient

    return check(np.sin, backward, shapes=[(10_000,)])


def test_a_right_gradient_of_ten_thousand_entries_passes() -> None:
    """Sharply enough for a single wrong entry to have shown."""
    report = planted(lambda _: None)

    assert report.findings == ()
    assert report.resolution is not None
    assert report.resolution < 1e-3


@pytest.mark.parametrize(("entry", "factor"), [(0, 0.0), (4321, 2.0), (9999, 1.01)])
def test_one_wrong_entry_out_of_ten_thousand_is_caught_and_located(entry: int, factor: float) -> None:
    """Forgotten, doubled, or 1 % off: random directions see it, and the story names it."""

    def change(gradient: Array) -> None:
        gradient[entry] *= factor

    finding = only(planted(change))

    assert (finding.code, finding.evidence["entry"]) == ("GC201", entry)
    assert f"grad x[{entry}] is" in finding.message


def test_a_reversed_gradient_of_ten_thousand_entries_is_caught_and_located() -> None:
    """The right numbers in the wrong order."""

    def change(gradient: Array) -> None:
        gradient[:] = gradient[::-1].copy()

    finding = only(planted(change))

    assert finding.code == "GC201"
    assert isinstance(finding.evidence["entry"], int)


# Loops that nobody mentioned


def affine(x: Array, w: Array) -> Any:
    return np.matmul(x, w)


@pytest.mark.parametrize(
    ("loops", "verdict", "severities"),
    [(None, "pass", {Severity.WARNING}), (False, "pass", set()), (True, "error", {Severity.ERROR, Severity.FAILURE})],
)
def test_loops_are_forgiven_unless_they_are_declared(
    loops: bool | None, verdict: str, severities: set[Severity]
) -> None:
    """A plain x.T @ grad knows nothing of batches, and its author may never have meant them."""
    report = check(Op(affine, matmul_backward, MATMUL, loops=loops))

    assert report.verdict == verdict
    assert {f.severity for f in report.findings} <= severities
    assert bool(report.findings) is bool(severities)


# The classic test


@pytest.mark.parametrize(("error", "passes"), [(0, True), (1e-4, True), (1e-2, False)])
def test_the_classic_test_has_tolerances(error: float, passes: bool) -> None:
    """rtol 1e-3 lets 1e-4 through: whoever asks for it gets it."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return (1 + error) * 2 * grad * x

    assert check(Op(np.square, backward, "()->()"), rtol=1e-3).passed is passes
    assert check(Op(np.square, backward, "()->()"), edges=False).passed is (error == 0)


def test_every_built_in_case_is_judged_sharply() -> None:
    """A pass says what it would have caught: no worse than one part in a million for a square."""
    report = check(SQUARE, edges=False)

    assert report.resolution is not None
    assert report.resolution < 1e-6
    assert [r.judged for case in report.result.cases for r in case.inputs] == [True] * len(report.result.cases)


def test_a_finding_needs_a_known_code() -> None:
    """A code that the table does not explain is a slip of ours."""
    case = next(iter(Sampler(SQUARE, Sampling())))

    with pytest.raises(ValueError, match="GC999 is not in the table of codes"):
        Finding("GC999", "unexplained", Severity.FAILURE, case, "")


def test_a_finding_needs_a_known_cause() -> None:
    """Nor may a cause go unexplained."""
    case = next(iter(Sampler(SQUARE, Sampling())))

    with pytest.raises(ValueError, match="slip is not in the table of causes"):
        Finding("GC201", "slip", Severity.FAILURE, case, "")


def test_a_forward_that_sums_its_loops_is_told() -> None:
    """Its output has no loop dimension whose neighbour could be looked at."""
    report = check(Op(np.sum, lambda grad, out, x: np.full(x.shape, grad), "()->()", name="total"))

    assert {(f.code, f.cause) for f in report.findings if f.severity >= Severity.FAILURE} == {
        ("GC403", "contradicts_signature")
    }
