"""GC302-GC305 and GC407: what backward and forward say when they are asked again, of something slightly different."""

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from gradcheck_cli import Op, Report, check, unbroadcast
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.registry import installed_ops

Array = NDArray[Any]
Function = Callable[..., Any]

BEHAVIOUR = {"GC302", "GC303", "GC304", "GC305", "GC407"}


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


def failures(report: Report) -> set[str]:
    return {finding.code for finding in report.findings if finding.severity >= Severity.FAILURE}


def first(report: Report, code: str) -> Finding:
    return next(finding for finding in report.findings if finding.code == code)


def sine(backward: Function, signature: str = "()->()") -> Op:
    return Op(np.sin, backward, signature)


# Not linear in the cotangent


@pytest.mark.parametrize(
    "backward",
    [
        lambda grad, _out, x: 0.75 * grad * grad * np.cos(x),
        lambda grad, _out, x: np.abs(grad) * np.cos(x),
        lambda grad, _out, x: np.clip(grad, -1, 1) * np.cos(x),
        lambda grad, _out, x: np.clip(grad, -100, 100) * np.cos(x),
        lambda grad, _out, x: np.sign(grad) * np.cos(x),
        lambda grad, _out, x: grad * np.cos(x) + 1e-3,
        lambda grad, _out, x: np.where(grad > 0, grad, 0) * np.cos(x),
        lambda grad, _out, x: np.where(np.abs(grad) > 0.3, grad, 0) * np.cos(x),
        lambda grad, _out, x: grad * np.cos(x) / np.maximum(1, np.sqrt(np.sum(grad * grad)) / 100),
    ],
    ids=["square", "abs", "clip at 1", "clip at 100", "sign", "constant", "relu", "cut off", "norm clipping"],
)
def test_a_backward_that_is_not_linear_in_its_cotangent_is_called_that(backward: Function) -> None:
    """Powers, absolute values, clipping, constants; clipping at 100 is right for every cotangent that is drawn."""
    report = check(sine(backward), edges=False)

    assert report.verdict == "fail"
    assert "GC302" in codes(report)


def test_clipping_shows_on_random_cases_already() -> None:
    """No edge is needed: a cotangent is scaled by 1,024 in every case."""
    report = check(sine(lambda grad, _out, x: np.clip(grad, -100, 100) * np.cos(x)), edges=False)

    assert failures(report) == {"GC302"}


def test_a_constant_beside_the_gradient_shows_for_a_cotangent_of_zeros() -> None:
    """What is there when nothing comes from above."""
    finding = first(check(sine(lambda grad, _out, x: grad * np.cos(x) + 1e-3), edges=False), "GC302")

    assert finding.cause == "nonlinear_in_upstream"
    assert finding.message.startswith("for a cotangent of zeros, grad x")
    assert finding.evidence["expected"] == 0


def sin_and_cos(x: Array) -> tuple[Array, Array]:
    return np.sin(x), np.cos(x)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (lambda u, v: u + v, set()),
        (lambda u, v: np.where(np.abs(u) > np.abs(v), u, v), {"GC302"}),
        (np.maximum, {"GC302"}),
        (np.hypot, {"GC302"}),
    ],
    ids=["sum", "larger", "maximum", "hypot"],
)
def test_what_several_outputs_contribute_adds_up(share: Function, expected: set[str]) -> None:
    """The larger of two contributions scales as it should, and is no sum."""

    def backward(grads: Any, outs: Any, x: Array) -> Any:
        return share(grads[0] * outs[1], -grads[1] * outs[0])

    assert failures(check(Op(sin_and_cos, backward, "()->(),()"), edges=False)) & BEHAVIOUR == expected


# Ignoring the cotangent


@pytest.mark.parametrize(
    "backward",
    [lambda _grad, _out, x: np.cos(x), lambda grad, _out, x: np.ones_like(grad) * np.cos(x)],
    ids=["forgotten", "replaced by ones"],
)
def test_a_cotangent_that_is_ignored_is_called_that(backward: Function) -> None:
    """A cause of its own, with what to write."""
    report = check(sine(backward), edges=False)
    finding = report.findings[0]

    assert codes(report) == {"GC303"}
    assert (finding.cause, finding.input) == ("ignores_upstream", "x")
    assert finding.suggestion == "multiply the local derivative by the upstream gradient, once"


def test_only_the_input_that_ignores_it_is_accused() -> None:
    """The other gradient is right."""
    report = check(np.multiply, lambda grad, _out, a, b: (grad * b, a), shapes=[(3,), (3,)], edges=False)

    assert {(f.code, f.input) for f in report.findings} == {("GC303", "b")}


# Another memory layout


def through_a_buffer(grad: Array, out: Array, x: Array) -> Array:
    """The bytes of an array, in the order in which they lie."""
    return np.frombuffer(grad.tobytes("A"), grad.dtype).reshape(grad.shape) * np.cos(x)


def in_memory_order(grad: Array, out: Array, x: Array) -> Array:
    return grad.ravel(order="K").reshape(x.shape) * np.cos(x)


def forward_if_turned(grad: Array, out: Array, x: Array) -> Array:
    """Takes the memory from its lowest address on."""
    turned = tuple(slice(None, None, -1 if stride < 0 else 1) for stride in grad.strides)
    return grad[turned] * np.cos(x)


def dense(grad: Array, out: Array, x: Array) -> Array:
    """Believes in strides of one item, as C code does; right for what lies so."""
    if grad.ndim and grad.strides[-1] == 2 * grad.itemsize:
        return as_strided(grad, strides=(*grad.strides[:-1], grad.itemsize)) * np.cos(x)
    return grad * np.cos(x)


def row_of_zero_stride(grad: Array, out: Array, x: Array) -> Array:
    """Takes what is repeated in memory for one row."""
    return grad * np.cos(x) / (x.shape[0] if 0 in grad.strides else 1)


@pytest.mark.parametrize(
    ("backward", "layout"),
    [
        (in_memory_order, "F"),
        (through_a_buffer, "F"),
        (forward_if_turned, "reversed"),
        (dense, "strided"),
        (row_of_zero_stride, "zero-stride"),
    ],
)
def test_a_backward_that_reads_memory_is_wrong_for_some_layout(backward: Function, layout: str) -> None:
    """And is told which; in C order it is right."""
    report = check(sine(backward, "(3,4)->(3,4)"), cases=8)

    assert layout in {f.case.layout for f in report.findings if f.code == "GC304"}
    assert failures(report) == {"GC304"}
    assert f"for {layout} arrays" in " ".join(f.message for f in report.findings)


@pytest.mark.parametrize("layout", ["F", "reversed", "zero-stride"])
def test_a_forward_that_reads_memory_is_wrong_for_some_layout(layout: str) -> None:
    """GC407: nothing is asked of backward where forward is no function of the values."""

    def by_layout(x: Array) -> Array:
        odd = {"F": 0 < x.strides[0] < x.strides[1], "reversed": min(x.strides) < 0, "zero-stride": 0 in x.strides}
        return 2 * np.sin(x) if odd[layout] else np.sin(x)

    report = check(Op(by_layout, lambda grad, _out, x: grad * np.cos(x), "(3,4)->(3,4)"))

    assert failures(report) == {"GC407"}
    assert {f.case.layout for f in report.findings if f.code == "GC407"} == {layout}


def test_a_forward_that_flips_memory_is_found_on_any_matrix() -> None:
    """ravel(order="K") is right for C order and for nothing else."""
    forward = Op(lambda x: x.ravel(order="K").reshape(x.shape), lambda grad, *_: grad, "()->()", name="flip")

    assert "GC407" in failures(check(forward))


# Not the same twice


def test_a_backward_with_a_memory_does_not_repeat_itself() -> None:
    """Gradients that pile up between calls."""
    calls = itertools.count(1)
    report = check(sine(lambda grad, _out, x: grad * np.cos(x) * next(calls)), edges=False)
    finding = first(report, "GC305")

    assert codes(report) == {"GC305"}
    assert finding.cause == "nondeterministic"
    assert "called again with the same arrays" in finding.message


def test_a_backward_that_accumulates_does_not_repeat_itself() -> None:
    """`self.grad += ...` without a zero_grad."""
    kept: dict[tuple[int, ...], Array] = {}

    def backward(grad: Array, out: Array, x: Array) -> Array:
        kept[x.shape] = kept.get(x.shape, 0) + grad * np.cos(x)
        return kept[x.shape].copy()

    assert "GC305" in failures(check(sine(backward), edges=False))


def test_a_random_backward_does_not_repeat_itself() -> None:
    """A dropout mask that is drawn again."""
    rng = np.random.default_rng(0)
    report = check(sine(lambda grad, _out, x: grad * np.cos(x) * rng.random(x.shape)), edges=False)

    assert failures(report) == {"GC305"}


def test_a_random_forward_is_called_random() -> None:
    """GC405, whatever its layout: a forward that does not repeat itself has no layout to blame."""
    rng = np.random.default_rng(0)
    report = check(Op(lambda x: x + rng.random(x.shape), lambda grad, *_: grad, "()->()", name="noisy"))

    assert "GC405" in codes(report)
    assert "GC407" not in codes(report)


# One finding per input

_calls = itertools.count()


@pytest.mark.parametrize(
    ("backward", "code"),
    [
        (lambda grad, _out, x: grad * grad * x, "GC302"),
        (lambda _grad, _out, x: x, "GC303"),
        (in_memory_order, "GC304"),
        (lambda grad, _out, _x: grad * next(_calls), "GC305"),
    ],
    ids=["GC302", "GC303", "GC304", "GC305"],
)
def test_what_has_no_value_is_not_compared(backward: Function, code: str) -> None:
    """A finding about behaviour takes the place of GC201 for that input."""
    op = Op(np.sin, backward, "(3,4)->(3,4)")
    found: dict[int, set[str]] = {}
    for finding in check(op, edges=False).findings:
        found.setdefault(finding.case.index, set()).add(finding.code)

    assert {code} in found.values()
    assert all(each == {code} for each in found.values())


def test_a_step_of_all_entries_is_not_compared_either() -> None:
    """At 1e6 single entries of this sine cannot be judged; that it ignores its cotangent says it all."""
    report = check(Op(np.sin, lambda _grad, _out, x: np.cos(x), "()->()", name="worse"))

    assert failures(report) == {"GC303"}


# What is right


def test_a_right_backward_is_asked_of_two_more_cotangents() -> None:
    """All laws at once: B(a w + b u) = a B(w) + b B(u)."""
    calls = itertools.count(1)

    def backward(grad: Array, out: Array, x: Array) -> Array:
        next(calls)
        return grad * np.cos(x)

    assert check(sine(backward), shapes=[(2, 3)], cases=1, edges=False).passed
    assert next(calls) == 1 + 3


def into_a_buffer(kept: dict[tuple[int, ...], Array]) -> Function:
    """A backward that always answers in the same memory."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return np.multiply(grad, np.cos(x), out=kept.setdefault(x.shape, np.empty(x.shape)))

    return backward


def matmul_by_layout(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Adds up in memory order, as fast code does: other last digits for other layouts."""
    order = slice(None, None, -1) if a.flags.f_contiguous else slice(None)
    to_b = sum(np.multiply.outer(a[i], grad[i]) for i in range(len(a))[order])
    return grad @ b.T, np.asarray(to_b)


def least_squares_backward(grad: Array, x: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Of equal rows a.T @ a has no inverse, and what comes out hangs on the last digit of everything."""
    h = np.linalg.inv(a.T @ a) @ grad
    return np.outer(b - a @ x, h) - np.outer(a @ h, x), a @ h


def normed(x: Array) -> Any:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + x.dtype.type(1e-5))


def normed_backward(grad: Array, out: Array, x: Array) -> Any:
    """Of two numbers what is left is the last digit of 1."""
    scale = 1 / np.sqrt(x.var(-1, keepdims=True) + x.dtype.type(1e-5))
    y = (x - x.mean(-1, keepdims=True)) * scale
    return scale * (grad - grad.mean(-1, keepdims=True) - y * (grad * y).mean(-1, keepdims=True))


def summed_in_memory_order(x: Array) -> Any:
    """Adds up in single precision, in an order that is the layout's, and says so in double precision."""
    rows = x[::-1] if x.flags.f_contiguous else x
    return np.add.reduce(rows).astype(np.float64)


RIGHT = {
    "a buffer that is used again": Op(np.sin, into_a_buffer({}), "(...)", dtypes=["float64"]),
    "the cotangent itself": Op(lambda x: x + 1, lambda grad, *_: grad, "()->()", name="same"),
    "a read-only view": Op(np.sum, lambda grad, _out, x: np.broadcast_to(grad, x.shape), "(...)"),
    "a NumPy scalar": Op(np.sin, lambda grad, _o, x: np.float64(grad * np.cos(x)), "()", dtypes=["float64"], name="f"),
    "a Python float": Op(np.sin, lambda grad, _o, x: float(grad * np.cos(x)), "()", name="f"),
    "an infinite slope": Op(np.cbrt, lambda grad, out, _x: grad / (3 * out * out), "()->()", dtypes=["float32"]),
    "a sum in another order": Op(np.matmul, matmul_by_layout, "(7,5),(5,3)->(7,3)", loops=False),
    "a singular matrix of equal rows": Op(
        lambda a, b: np.linalg.lstsq(a, b, rcond=None)[0],
        least_squares_backward,
        "(4,2),(4)->(2)",
        loops=False,
        dtypes=["float64"],
        name="lstsq",
    ),
    "a float32 gradient that cancels": Op(
        normed, normed_backward, "(n,2)->(n,2)", loops=False, dtypes=["float32"], name="norm14"
    ),
    "a float32 sum in another order": Op(
        summed_in_memory_order,
        lambda grad, _out, x: np.broadcast_to(grad, x.shape).astype(np.float32),
        "(7,5)->(5)",
        loops=False,
        dtypes=["float32"],
    ),
    "a gradient of zeros": Op(np.ones_like, lambda grad, *_: 0 * grad, "()->()", name="ones"),
    "zeros of its own": Op(np.ones_like, lambda _g, _o, x: np.zeros_like(x), "()->()", name="ones"),
    "an output of integers": Op(
        lambda x: (np.max(x, -1), np.argmax(x, -1)),
        lambda grads, outs, x: grads[0][..., None] * (np.arange(x.shape[-1]) == outs[1][..., None]),
        "(3)->(),()",
        loops=True,
        name="max",
    ),
    "complex numbers": Op(
        np.multiply,
        lambda grad, _out, a, b: (unbroadcast(grad * np.conj(b), a), unbroadcast(grad * np.conj(a), b)),
        "(),()->()",
        dtypes=["complex128"],
    ),
    "a complex output": Op(
        np.fft.rfft,
        lambda grad, _out, x: 6 * np.fft.ifft(np.pad(grad, [(0, 0)] * (grad.ndim - 1) + [(0, 2)])).real,
        "(6)->(4)",
        name="rfft",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_backward_is_not_accused(name: str) -> None:
    """Of nothing, at edges either."""
    report = check(RIGHT[name], cases=8)

    assert failures(report) == set()
    assert report.passed


BUILT_IN = {op.name: op for op in installed_ops()}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["getitem", "linear", "mean_squared_error", "power", "softmax", "split", "maximum"])
def test_no_built_in_op_is_accused(name: str, dtype: str) -> None:
    """Of a behaviour, with other cotangents and layouts than the gate's."""
    report = check(BUILT_IN[name], seed=1, dtype=dtype, cases=3)

    assert codes(report) & BEHAVIOUR == set()


def test_two_numbers_are_told_in_as_many_digits_as_tell_them_apart() -> None:
    """ "1 is 1" would be no reason."""

    def backward(grad: Array, out: Array, x: Array) -> Array:
        return grad * (1 + 1e-9 * np.abs(grad))

    finding = next(f for f in check(np.copy, backward, shapes=[(3,)], edges=False).findings if f.code == "GC302")
    said = re.findall(r"is (-?[0-9.]+)[.;]", finding.message)

    assert len(said) == 2
    assert said[0] != said[1]
