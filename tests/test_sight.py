"""What the whole check sees and what it does not object to: planted errors, kinks, float32, complex numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcheck_cli import SPD, Op, Report, check, interval, unbroadcast
from gradcheck_cli.registry import installed_ops

Array = NDArray[Any]
Function = Callable[..., Any]

MATMUL = next(op for op in installed_ops() if op.name == "matmul")
SQUARE_64 = [(64, 64), (64, 64)]


def tanh_backward(grad: Array, out: Array, x: Array) -> Any:
    return grad * (1 - out * out)


def spoiled(backward: Function, spoil: Callable[[Array], Any]) -> Function:
    """A backward whose first gradient is changed in place."""

    def wrong(grad: Array, out: Array, *inputs: Array) -> Any:
        returned = backward(grad, out, *inputs)
        several = isinstance(returned, tuple)
        first = np.array(returned[0] if several else returned)
        spoil(first)
        return (first, *returned[1:]) if several else first

    return wrong


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


# One direction through all entries.


def test_directions_through_a_64x64_matmul_resolve_single_entries() -> None:
    """1e-11 of the largest entry, in each of 4,096, for some hundred forward calls."""
    report = check(MATMUL, shapes=SQUARE_64, mode="probe")

    assert report.passed
    assert report.resolution is not None
    assert report.resolution <= 1e-11
    assert {entry.method for entry in report.result.cases[0].inputs} == {"probe"}


def zero_one(gradient: Array) -> None:
    gradient[17, 40] = 0


def double_one(gradient: Array) -> None:
    gradient[17, 40] *= 2


def nudge_one(gradient: Array) -> None:
    gradient[17, 40] += 1e-8 * gradient[17, 41]


def nudge_all(gradient: Array) -> None:
    gradient *= 1.00095


@pytest.mark.parametrize("spoil", [zero_one, double_one, nudge_one, nudge_all])
def test_a_wrong_entry_of_a_matmul_is_caught(spoil: Callable[[Array], None]) -> None:
    """Along random directions alone; torch's fast mode needs 5 % in one entry."""
    wrong = spoiled(MATMUL.backward, spoil)
    report = check(np.matmul, wrong, signature="(n,k),(k,m)->(n,m)", shapes=SQUARE_64, mode="probe")

    assert codes(report) == {"GC201"}
    assert {finding.input for finding in report.findings} == {"x1"}


def alternate(gradient: Array) -> None:
    gradient[::2] *= 1.5
    gradient[1::2] *= 0.5


def turn_round(gradient: Array) -> None:
    gradient[:] = gradient[::-1].copy()


@pytest.mark.parametrize(("size", "spoil"), [(1000, alternate), (10_000, turn_round)])
def test_errors_that_average_out_are_caught(size: int, spoil: Callable[[Array], None]) -> None:
    """Both pass torch's fast mode, whose directions are positive."""
    report = check(np.tanh, spoiled(tanh_backward, spoil), signature="()->()", shapes=[(size,)])

    assert codes(report) == {"GC201"}


@pytest.mark.parametrize("factor", [1 + 1e-8, 1 - 1e-10])
def test_a_tiny_scale_error_is_caught_along_coordinates(factor: float) -> None:
    """And the same without it passes."""
    assert codes(check(np.tanh, lambda g, o, x: factor * tanh_backward(g, o, x), shapes=[(5,)])) == {"GC201"}
    assert check(np.tanh, tanh_backward, shapes=[(5,)]).findings == ()


# float32: judged by the forward in float64 where there is one.


def test_float32_gradients_are_not_rejected() -> None:
    """torch and autograd reject practically all of them at their defaults."""
    report = check(MATMUL, dtype="float32", seed=3, edges=False)

    assert report.passed
    assert report.findings == ()


def test_a_float32_gradient_that_is_off_by_a_ten_thousandth_is_caught() -> None:
    wrong = spoiled(tanh_backward, lambda gradient: np.multiply(gradient, np.float32(1.0001), out=gradient))

    assert "GC201" in codes(check(np.tanh, wrong, signature="()->()", dtype="float32"))


def test_a_forward_for_float32_alone_is_judged_by_itself() -> None:
    """Its bars are wider, and it still passes, and a wrong gradient still does not."""

    def single(x: Array) -> Array:
        return np.sin(x.astype(np.float32))

    def backward(factor: float) -> Function:
        return lambda grad, _out, x: (grad * np.float32(factor) * np.cos(x)).astype(x.dtype)

    right = check(single, backward(1), signature="()->()", dtype="float32")
    wrong = check(single, backward(1.1), signature="()->()", dtype="float32")

    assert right.passed
    assert "GC201" in codes(wrong)


def test_float16_inside_float64_is_never_called_wrong() -> None:
    """A forward that moves in steps of a thousandth has a slope in the large and none in the small."""

    def coarse(x: Array) -> Array:
        return np.sin(x).astype(np.float16).astype(np.float64)

    report = check(coarse, lambda grad, _out, x: grad * np.cos(x), signature="()->()", edges=False, cases=8)

    assert "GC201" not in codes(report)
    assert report.verdict == "inconclusive"


# Ties: felt only where all inputs move together.


def to_both(grad: Array, _out: Array, a: Array, b: Array) -> Any:
    return unbroadcast(np.where(a >= b, grad, 0), a), unbroadcast(np.where(b >= a, grad, 0), b)


def to_one(grad: Array, _out: Array, a: Array, b: Array) -> Any:
    return unbroadcast(np.where(a >= b, grad, 0), a), unbroadcast(np.where(b > a, grad, 0), b)


@pytest.mark.parametrize("ties", [(np.ones(3), np.ones(3)), (np.array([1.0, 2.0]), np.array(1.0)), (2.0, 2.0)])
def test_a_maximum_that_gives_both_sides_everything_fails(ties: Any) -> None:
    """Each side by itself is a subgradient; together they are twice the slope."""
    wrong = Op(np.maximum, to_both, "(),()->()", samples=[ties])
    right = Op(np.maximum, to_one, "(),()->()", samples=[ties])

    assert codes(check(wrong)) == {"GC201"}
    assert "moving every entry" in check(wrong).findings[0].message
    assert check(right).findings == ()


def test_a_maximum_over_an_axis_with_ties_must_share_its_cotangent() -> None:
    """Any share is right; one for each is not."""

    def is_largest(out: Array, x: Array) -> Any:
        return x == np.expand_dims(out, -1)

    def all_of_them(grad: Array, out: Array, x: Array) -> Any:
        return is_largest(out, x) * np.expand_dims(grad, -1)

    def evenly(grad: Array, out: Array, x: Array) -> Any:
        return all_of_them(grad, out, x) / np.sum(is_largest(out, x), axis=-1, keepdims=True)

    def largest(x: Array) -> Any:
        return np.max(x, axis=-1)

    ties = [np.array([3.0, 1.0, 3.0])]
    assert codes(check(Op(largest, all_of_them, "(n)->()", samples=ties, loops=True))) == {"GC201"}
    assert check(Op(largest, evenly, "(n)->()", samples=ties, loops=True, dtypes=["float64"])).findings == ()


def test_a_jump_is_inconclusive_and_says_so() -> None:
    """Nothing is right or wrong where the function leaps; elsewhere its slope is 0."""
    report = check(Op(np.sign, lambda grad, _out, x: 0 * grad, "()->()", samples=[0.0]), edges=False)

    assert report.passed
    assert [finding.cause for finding in report.findings] == ["jump"]


# Complex numbers: as pairs of reals, dL/dx + i dL/dy.


def complex_op(forward: Function, backward: Function, signature: str) -> Op:
    return Op(forward, backward, signature, name="f", dtypes=["complex128"])


@pytest.mark.parametrize(
    ("forward", "right", "wrong"),
    [
        (np.exp, lambda g, o, x: g * np.conj(o), lambda g, o, x: g * o),
        (np.square, lambda g, o, x: g * np.conj(2 * x), lambda g, o, x: np.conj(g) * 2 * x),
        (np.conj, lambda g, o, x: np.conj(g), lambda g, o, x: g),
        (np.abs, lambda g, o, x: g * x / o, lambda g, o, x: g * np.conj(x) / o),
    ],
    ids=["exp", "square", "conj", "abs"],
)
def test_complex_gradients_follow_torch_s_convention(forward: Function, right: Function, wrong: Function) -> None:
    """The gradient of a real L, whether the op is holomorphic or not."""
    assert check(complex_op(forward, right, "()->()"), edges=False).findings == ()
    assert codes(check(complex_op(forward, wrong, "()->()"), edges=False)) == {"GC201"}


@pytest.mark.parametrize("right", [True, False])
def test_a_real_gradient_of_a_complex_input_has_no_imaginary_part(right: bool) -> None:
    """It is judged as one whose imaginary part is 0, which it may be, and told for its dtype."""

    def forward(z: Array) -> Any:
        return z.real**2 if right else np.abs(z) ** 2

    op = Op(forward, lambda grad, out, z: 2 * grad * z.real, "()->()", dtypes=("complex128",))

    assert codes(check(op)) == ({"GC104"} if right else {"GC104", "GC201"})


def test_a_real_input_with_a_complex_output_has_a_real_gradient() -> None:
    """The Fourier transform of real numbers."""

    def right(grad: Array, _out: Array, x: Array) -> Array:
        return np.real(np.fft.ifft(grad) * x.shape[-1])

    def wrong(grad: Array, _out: Array, x: Array) -> Array:
        return np.real(np.fft.fft(grad))

    assert check(np.fft.fft, right, signature="(n)->(n)", loops=True).findings == ()
    assert codes(check(np.fft.fft, wrong, signature="(n)->(n)", loops=True)) == {"GC201"}


# Options.


@pytest.mark.parametrize("mode", ["full", "probe"])
def test_a_mode_is_a_method(mode: str) -> None:
    """The report says how each input was checked."""
    report = check(np.tanh, tanh_backward, shapes=[(3, 4)], mode=mode)

    assert report.passed
    assert {entry.method for case in report.result.cases for entry in case.inputs} == {mode}


def test_a_mode_of_its_own_goes_by_size() -> None:
    """Small inputs along every coordinate, large ones along directions."""
    small, large = (check(np.tanh, tanh_backward, shapes=[(size,)]) for size in (12, 2000))

    assert [r.result.cases[0].inputs[0].method for r in (small, large)] == ["full", "probe"]


def test_a_pass_coarser_than_the_least_resolution_is_none() -> None:
    """What could not have been seen is not called right."""
    report = check(np.tanh, tanh_backward, shapes=[(5,)], min_resolution=1e-16, edges=False)

    assert report.verdict == "inconclusive"
    assert codes(report) == {"GC502"}


def test_the_complex_step_narrows_what_the_ladder_leaves_wide() -> None:
    """Rounding in 1e8 + sin x hides its slope from differences, and not from an imaginary step."""

    def offset(x: Array) -> Array:
        return 1e8 + np.sin(x)

    def blind(x: Array) -> Array:
        return np.real(1e8 + np.sin(x)).astype(np.float64)

    reports = [check(f, lambda grad, _out, x: grad * np.cos(x), shapes=[(4,)], edges=False) for f in (offset, blind)]
    resolutions = [report.resolution or np.nan for report in reports]

    assert resolutions[0] < 0.5 * resolutions[1]


# Right ops that were once called wrong, each beside a wrong one.


def layernorm(x: Array) -> Any:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def layernorm_with(factor: float) -> Function:
    def backward(grad: Array, out: Array, x: Array) -> Any:
        mean = out * (grad * out).mean(-1, keepdims=True) * x.dtype.type(factor)
        return (grad - grad.mean(-1, keepdims=True) - mean) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)

    return backward


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_layernorm_that_uses_its_output_is_right(dtype: str) -> None:
    """In float32 the rounding of `out` is many ulps, which the backward in float64 shows."""
    right, wrong = (Op(layernorm, layernorm_with(f), "(n)->(n)", loops=True) for f in (1, 0))

    assert all(check(right, seed=seed, dtype=dtype).passed for seed in range(4))
    assert "GC201" in codes(check(wrong, dtype=dtype, edges=False))


def test_what_underflows_in_float32_is_not_wrong() -> None:
    """The slope is 1e-64, and a float32 can only say 0."""

    def bell(x: Array) -> Any:
        return np.exp(-30 * x * x)

    assert check(bell, lambda grad, out, x: -60 * x * out * grad, signature="()->()", dtype="float32").passed


def test_a_gradient_that_cancels_to_nothing_is_not_wrong() -> None:
    """Softmax over +-50: what is left of 1 - 1 is rounding."""

    def softmax(x: Array) -> Any:
        powers = np.exp(x - x.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    def backward(grad: Array, out: Array, _x: Array) -> Any:
        return out * (grad - np.sum(grad * out, axis=-1, keepdims=True))

    op = Op(softmax, backward, "(n)->(n)", domain=interval(-50, 50), loops=True)

    assert all(check(op, seed=seed).passed for seed in range(4))


def batch_norm_backward(share: float) -> Function:
    """Of a layer with a batch norm behind it; its bias gets a share of what arrives there."""

    def backward(grad: Array, out: Array, x: Array, b: Array) -> tuple[Array, Array]:
        centred = grad - grad.mean(0) - out * (grad * out).mean(0)
        gradient = centred / np.sqrt(x.var(0) + 1e-5)
        return gradient, gradient.sum(0) + share * grad.sum(0)

    return backward


@pytest.mark.parametrize(("share", "verdicts"), [(0.0, {"pass"}), (1e-9, {"fail"})])
def test_a_gradient_that_is_zero_but_for_last_digits_is_judged(share: float, verdicts: set[str]) -> None:
    """A bias in front of a batch norm changes nothing: an error is seen beside what it might change."""

    def normed(x: Array, b: Array) -> Any:
        z = x + b
        return (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5)

    op = Op(normed, batch_norm_backward(share), "(4,d),(d)->(4,d)", loops=False)

    assert {case.verdict.value for case in check(op, shapes=[(4, 3), (3,)], edges=False).result.cases} == verdicts


def test_a_gradient_too_small_to_be_seen_is_not_judged() -> None:
    """1 + 1e-20 x is 1 for every x: whatever is claimed, nothing speaks for or against it."""
    report = check(lambda x: 1 + 1e-20 * x, lambda grad, _out, _x: 3e-20 * grad, shapes=[(3,)], edges=False)

    assert report.verdict == "inconclusive"


def test_a_slope_of_zero_is_nothing_to_be_relative_to() -> None:
    """Where last digits are measured and 1 is claimed, that is off by 100 %, not by 10^14 %."""

    def constant(x: Array) -> Any:
        return 1e3 * (np.exp(x) * np.exp(-x))

    report = check(constant, lambda grad, _out, _x: grad, shapes=[(3,)], edges=False)
    messages = [finding.message for finding in report.findings if finding.code == "GC201"]

    assert messages
    assert all("off by 100 %" in message for message in messages)


def test_a_large_offset_is_no_excuse() -> None:
    """The slope of 1e8 + sin x is 1, whatever the size of its values."""

    def offset(x: Array) -> Any:
        return np.asarray(1e8, x.dtype) + np.sin(x)

    for dtype in ("float64", "float32"):
        right = check(offset, lambda grad, _out, x: grad * np.cos(x), signature="()->()", dtype=dtype)
        wrong = check(offset, lambda grad, _out, x: -grad * np.cos(x), signature="()->()", dtype=dtype, edges=False)

        assert right.passed
        assert "GC201" in codes(wrong)


def test_a_kink_in_one_input_is_not_blamed_for_a_bug_in_another() -> None:
    """Each input is looked at again by itself."""

    def three(a: Array, b: Array) -> Any:
        return a.copy(), np.maximum(b, 0), np.maximum(-b, 0)

    def backward(grads: Any, _outs: Any, _a: Array, b: Array) -> Any:
        return 2 * grads[0], grads[1] * (b > 0) - grads[2] * (b < 0)

    kinked = [(np.linspace(0.1, 2, 20), np.zeros(3))]
    report = check(Op(three, backward, "(n),(m)", samples=kinked))

    assert {finding.input for finding in report.findings if finding.code == "GC201"} == {"_a"}


def test_a_wrong_gradient_of_a_symmetric_matrix_is_shown_by_its_entry() -> None:
    """A coordinate of an SPD matrix moves two entries, and is one question all the same."""

    def logdet(a: Array) -> Any:
        return np.linalg.slogdet(a)[1]

    def backward(factor: float) -> Function:
        return lambda grad, _out, a: factor * grad[..., None, None] * np.swapaxes(np.linalg.inv(a), -1, -2)

    right, wrong = (Op(logdet, backward(f), "(n,n)->()", domain=SPD, name="logdet") for f in (1, 2))

    assert check(right).passed
    assert any("grad a[" in finding.message for finding in check(wrong).findings)


@pytest.mark.parametrize("size", [19, 40])
def test_probe_means_directions_whatever_the_size(size: int) -> None:
    report = check(np.tanh, tanh_backward, shapes=[(size,)], mode="probe")

    assert {entry.method for case in report.result.cases for entry in case.inputs} == {"probe"}
