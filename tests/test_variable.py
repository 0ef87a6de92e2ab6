"""Variable: the worked examples of the documents it comes from, graphs of every form, and errors."""

import copy
import gc
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradcheck_cli import (
    REAL,
    Op,
    Variable,
    apply,
    backward,
    hvp,
    index,
    jacobian,
    jvp,
    no_grad,
    unbroadcast,
    using,
    vjp,
)  # fmt: skip
from gradcheck_cli.errors import LoadError, TapeError
from gradcheck_cli.variable import dispatch, tape
from gradcheck_cli.variable.dispatch import Entry

DIGITS = [[1, 2, 3], [4, 5, 6]]
ONES = [[1, 1, 1], [1, 1, 1]]


def ramp(*shape: int) -> np.ndarray:
    """Values of both signs, none of them 0, none twice."""
    return np.arange(1.0, np.prod(shape) + 1).reshape(shape) / 7 - 1.05


# The documents


def test_tensors_are_added_and_summed() -> None:
    """t = x + c, y = sum(t): every gradient is ones, of its data's shape."""
    x, c = Variable(np.array(DIGITS)), Variable(np.array([[10, 20, 30], [40, 50, 60]]))
    t = x + c
    y = np.sum(t)
    y.backward(retain_grad=True)

    assert repr(t) == "Variable([[11 22 33]\n          [44 55 66]])"
    assert y.grad == 1
    assert t.grad.tolist() == x.grad.tolist() == c.grad.tolist() == ONES


def test_intermediate_gradients_are_dropped() -> None:
    """Unless they are asked for."""
    x = Variable(DIGITS)
    t = x * 2
    y = t.sum()
    y.backward()

    assert t.grad is None
    assert y.grad is None
    assert x.grad.tolist() == [[2, 2, 2], [2, 2, 2]]


@pytest.mark.parametrize(
    ("function", "printed"),
    [
        (lambda x: x.reshape(6), "Variable([1 2 3 4 5 6])"),
        (lambda x: x.reshape((6,)), "Variable([1 2 3 4 5 6])"),
        (np.transpose, "Variable([[1 4]\n          [2 5]\n          [3 6]])"),
        (lambda x: x.T, "Variable([[1 4]\n          [2 5]\n          [3 6]])"),
        (lambda x: x.sum(), "Variable(21)"),
    ],
)
def test_shapes_are_changed(function: Callable[[Any], Any], printed: str) -> None:
    """reshape, transpose and sum; backward starts from ones of the output's shape."""
    x = Variable(np.array(DIGITS))
    y = function(x)
    y.backward()

    assert repr(y) == printed
    assert str(x.grad) == "[[1 1 1]\n [1 1 1]]"


def test_a_tensor_is_separated() -> None:
    """One op with two outputs, whose backward gets both cotangents."""

    def separate_backward(grads: Any, outs: Any, x: Any) -> Any:
        return np.concatenate(grads)

    separate = Op(lambda x: (x[:1], x[1:]), separate_backward, "(2,3)", name="separate")
    x = Variable(np.array(DIGITS))
    y, z = apply(separate, x)
    w = y + z
    w.backward()

    assert [repr(v) for v in (y, z, w)] == ["Variable([[1 2 3]])", "Variable([[4 5 6]])", "Variable([[5 7 9]])"]
    assert x.grad.tolist() == ONES


@pytest.mark.parametrize(
    ("a", "b", "product"),
    [
        ((3,), (3,), ()),
        ((3, 4), (4,), (3,)),
        ((2, 3, 4), (4,), (2, 3)),
        ((5, 2, 3, 4), (4,), (5, 2, 3)),
        ((3,), (3, 4), (4,)),
        ((2, 3), (3, 4), (2, 4)),
        ((2, 3, 4, 5), (2, 3, 5, 6), (2, 3, 4, 6)),
        ((2, 3, 4, 5), (3, 5, 6), (2, 3, 4, 6)),
    ],
)
def test_products_have_the_shapes_of_the_documents(a: Any, b: Any, product: Any) -> None:
    """dot, mv and mm; dL/dX = dL/dY W^T and dL/dW = X^T dL/dY, summed where one was broadcast."""
    x, w = Variable(ramp(*a)), Variable(ramp(*b))
    y = x @ w
    grad = ramp(*product)
    y.backward(grad)

    assert (y.shape, x.grad.shape, w.grad.shape) == (product, a, b)
    if len(a) > 1 and len(b) > 1:
        np.testing.assert_allclose(x.grad, grad @ np.swapaxes(w.data, -1, -2), rtol=1e-14)
        expected = np.swapaxes(x.data, -1, -2) @ grad
        np.testing.assert_allclose(w.grad, expected.sum(axis=0) if len(b) < len(a) else expected, rtol=1e-13)


@pytest.mark.parametrize(("a", "b"), [((2, 3), (2,)), ((2,), (1, 2)), ((), (3,)), ((2, 1), ())])
def test_the_outer_product_flattens(a: Any, b: Any) -> None:
    """Arrays of any shape are taken in one dimension, and get their own back."""
    x, w = Variable(ramp(*a)), Variable(ramp(*b))
    y: Any = np.outer(x, w)
    grad = ramp(*y.shape)
    y.backward(grad)

    np.testing.assert_allclose(x.grad, (grad @ w.data.ravel()).reshape(a), rtol=1e-14)
    np.testing.assert_allclose(w.grad, (x.data.ravel() @ grad).reshape(b), rtol=1e-14)


@pytest.mark.parametrize("axis", [0, (0, -1), [0, -1]])
def test_new_axes_may_be_a_list(axis: Any) -> None:
    """As np.expand_dims takes them, and only that."""
    assert vjp(lambda x: np.expand_dims(x, axis), ramp(2)).tolist() == [1, 1]


def test_gates_of_a_sigmoid_circuit() -> None:
    """An add gate distributes, a multiply gate swaps, a copy gate adds."""

    def circuit(w0: Any, x0: Any, w1: Any, x1: Any, w2: Any) -> Any:
        return 1 / (1 + np.exp(-(w0 * x0 + w1 * x1 + w2)))

    w0, x0, w1, x1, w2 = leaves = [Variable(v) for v in (2.0, -1.0, -3.0, -2.0, -3.0)]
    y = circuit(w0, x0, w1, x1, w2)
    y.backward()
    s = y.data * (1 - y.data)

    assert f"{y:.2f} {s:.3f}" == "0.73 0.197"
    expected = [s * x0.data, s * w0.data, s * x1.data, s * w1.data, s]
    np.testing.assert_allclose([v.grad for v in leaves], expected, rtol=1e-15)


def test_the_sigmoid_gate_is_one_op() -> None:
    """The whole circuit's last gate by name, its gradient out (1 - out)."""
    x = Variable(1.0)
    y = apply("sigmoid", x)
    y.backward()

    assert x.grad == pytest.approx(y.data * (1 - y.data), rel=1e-15)


@pytest.mark.parametrize("upstream", [2.0])
def test_swap_and_copy_gates(upstream: float) -> None:
    """z = xy sends 2y to x and 2x to y; z = x + x sends both to x."""
    x, y = Variable(3.0), Variable(5.0)
    (x * y).backward(upstream)
    (x + x).backward(upstream)

    assert (x.grad, y.grad) == (2 * 5 + 4, 2 * 3)


def test_relu_has_a_sparse_jacobian() -> None:
    """x = (1, -2, 3, -1), upstream (4, -1, 5, 9): downstream (4, 0, 5, 0)."""
    x = np.array([1.0, -2, 3, -1])

    def relu(x: Any) -> Any:
        return apply("relu", x)

    assert jacobian(relu, x).tolist() == np.diag([1.0, 0, 1, 0]).tolist()
    assert vjp(relu, x, [4.0, -1, 5, 9]).tolist() == [4, 0, 5, 0]


def test_a_vector_is_seeded() -> None:
    """y.backward([3, 2, 1]) is 3 dy1/dx + 2 dy2/dx + dy3/dx."""
    x1, x2, x3 = Variable(1.0), Variable(2.0), Variable(3.0)
    y: Any = np.zeros_like(x1, shape=3)
    y[0] = x1**3 + 2 * x2**2 + 3 * x3
    y[1] = 3 * x1 + 2 * x2**2 + x3**3
    y[2] = 2 * x1 + x2**3 + 3 * x3**2
    y.backward([3, 2, 1])

    assert y.data.tolist() == [18, 38, 37]
    assert (x1.grad, x2.grad, x3.grad) == (17, 52, 81)


def test_two_hidden_layers_learn() -> None:
    """L = (y - t)^2 / 2 with s = W2 z, z = W1 x, y = v s: dL/dW1 = (y - t) (W2^T v) x^T."""
    x, t = np.array([1.0, 2.0]), 3.0
    w1, w2, v = (Variable(ramp(*shape)) for shape in ((2, 2), (2, 2), (2,)))
    y = v @ (w2 @ (w1 @ x))
    loss = (y - t) ** 2 / 2
    loss.backward()
    off = y.data - t

    np.testing.assert_allclose(v.grad, off * (w2.data @ w1.data @ x), rtol=1e-14)
    np.testing.assert_allclose(w2.grad, off * np.outer(v.data, w1.data @ x), rtol=1e-14)
    np.testing.assert_allclose(w1.grad, off * np.outer(w2.data.T @ v.data, x), rtol=1e-14)


def test_forward_and_reverse_mode_agree() -> None:
    """<w, Jv> = <J^T w, v>, and an elementwise Jacobian is diagonal."""
    x, v, w = ramp(5), ramp(5)[::-1], ramp(5) ** 2

    assert jacobian(np.sin, x).tolist() == np.diag(np.cos(x)).tolist()
    f = lambda x: np.tanh(x) * x[::-1] + np.sum(x**2)  # noqa: E731
    assert w @ jvp(f, x, v) == pytest.approx(vjp(f, x, w) @ v, rel=1e-14)


# Graphs


def test_a_diamond_costs_no_more_than_a_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """30 levels: 2^30 ways, 30 calls of backward."""
    calls = itertools.count()
    pull = tape.Node.pull
    monkeypatch.setattr(tape.Node, "pull", lambda *args: (next(calls), pull(*args))[1])
    x = y = Variable(1.0)
    for _ in range(30):
        y = y + y
    y.backward()

    assert x.grad == 2**30
    assert next(calls) == 30


def test_a_deep_chain_needs_no_recursion() -> None:
    """10^5 ops, and freeing them."""
    x = y = Variable(1.0)
    for _ in range(100_000):
        y = y + 1.0
    y.backward()
    del y

    assert x.grad == 1


def test_gradients_accumulate_out_of_place() -> None:
    """Over calls of backward, and nobody else's array changes."""
    x, y = Variable([1.0, 2.0]), Variable([3.0, 4.0])
    seed = np.ones(2)
    z = x + y
    z.backward(seed)
    first = x.grad
    z.backward(seed)

    assert first.tolist() == [1, 1]
    assert x.grad.tolist() == y.grad.tolist() == [2, 2]
    x.grad += 1
    assert y.grad.tolist() == [2, 2]
    assert seed.tolist() == [1, 1]


def test_several_roots_are_walked_through_once() -> None:
    """What they share gets the sum."""
    x = Variable(2.0)
    shared = x**2
    backward([shared * 3, np.exp(shared), x], [1.0, None, 10.0])

    assert x.grad == pytest.approx(3 * 4 + 4 * np.exp(4) + 10)


def test_outputs_that_are_not_used_get_zeros() -> None:
    """np.split returns three parts, and one of them matters."""
    x = Variable(np.arange(6.0))
    y: Any = np.sum(np.split(x, 3)[1] ** 2)
    y.backward()

    assert x.grad.tolist() == [0, 0, 4, 6, 0, 0]


def test_a_leaf_may_call_backward() -> None:
    """It is its own root."""
    x = Variable([1.0, 2.0])
    x.backward()

    assert x.grad.tolist() == [1, 1]


def test_no_grad_makes_constants() -> None:
    """Nothing is recorded inside; a root that depends on nothing is an error."""
    x = Variable(2.0)
    with no_grad():
        y = x * 3
    z = x * y
    z.backward()

    assert x.grad == 6
    with pytest.raises(TapeError, match="backward of a constant"):
        y.backward()


@pytest.mark.parametrize("create_graph", [False, True])
def test_memory_is_released_without_a_garbage_collector(create_graph: bool) -> None:
    """No cycle keeps a graph alive whose Variables are gone, nor the gradients between."""
    gc.disable()
    try:
        x = Variable(np.ones(3))
        middle = np.sin(x)
        data = weakref.ref(middle.data)
        y: Any = np.exp(middle)
        y.backward(retain_grad=True, create_graph=create_graph)
        del middle, y
        x.grad = None
        assert data() is None
    finally:
        gc.enable()


def test_an_op_is_forgotten_with_whoever_made_it() -> None:
    """Thousands of them, with arrays in their closures, must not add up."""
    double = Op(lambda x: 2 * x, lambda grad, out, x: 2 * grad, "()->()", name="double")
    apply(double, Variable(1.0)).backward()
    seen = weakref.ref(double)
    del double

    assert seen() is None


def test_types_are_numpys() -> None:
    """A Python number does not widen float32; integers have gradients, as in the documents."""
    x = Variable(np.ones(2, np.float32))
    y = x * 2.5 + 1
    y.backward()

    assert (y.dtype, x.grad.dtype) == (np.float32, np.float32)
    n = Variable([1, 2])
    (n / 2).backward()
    assert n.grad.tolist() == [0.5, 0.5]


def test_a_gradient_has_its_datas_type() -> None:
    """Beside wider constants, at any order; beside complex ones it is the real part."""
    x = Variable(np.ones(2, np.float32))
    energy = np.sum(x**3 * np.array([1.0, 2.0]))
    energy.backward(create_graph=True)
    slope, x.grad = x.grad, None
    slope.backward()

    assert (energy.dtype, slope.dtype, x.grad.dtype) == (np.float64, np.float32, np.float32)
    assert (slope.data.tolist(), x.grad.tolist()) == ([3, 6], [6, 12])
    assert jacobian(lambda x: x * np.ones(2), np.ones(2, np.float32)).dtype == np.float32
    turned = Op(lambda x: (3 + 4j) * x, lambda grad, out, x: (3 - 4j) * grad, "()->()", name="t", dtypes="complex128")
    assert vjp(lambda x: apply(turned, x), np.ones(2)).tolist() == [3, 3]


def test_queries_are_plain() -> None:
    """Shapes, comparisons and positions have no gradient."""
    x = Variable([[1.0, -2.0]])

    assert (np.shape(x), np.ndim(x), np.size(x), len(x), x.ndim, x.size) == ((1, 2), 2, 2, 1, 2, 2)
    assert (x > 0).tolist() == [[True, False]]
    assert np.argmax(x) == 0
    assert np.sign(x).tolist() == [[1, -1]]
    assert bool(x[0, 0] > 0)
    assert [float(row.data[1]) for row in x] == [-2]


def test_methods_are_their_numpy_twins() -> None:
    """And operators, also from the right and with plain arrays on the left."""
    x = Variable(ramp(2, 3))

    assert x.mean(axis=0).shape == (3,)
    assert x.swapaxes(0, 1).shape == x.transpose(1, 0).shape == (3, 2)
    assert x.ravel().shape == x.flatten().shape == (6,)
    assert isinstance(np.ones(2) @ x, Variable)
    assert isinstance(np.float64(2) * x.sum(), Variable)
    assert np.add.reduce(x).shape == (3,)
    np.testing.assert_array_equal((2 - x / 3).data, 2 - x.data / 3)


# Writing


def column_sums(x: Any) -> Any:
    total = np.zeros_like(x, shape=x.shape[1:])
    for row in x:
        total += row**2
    return total


def by_index(x: Any) -> Any:
    y = np.empty_like(x)
    y[0] = x[1] * x[0]
    y[1:] = x[:1] ** 3
    y[1] += x[1]
    y[..., -1] *= 2.0
    return y


def through_views(x: Any) -> Any:
    y = x * 1.0
    row = y[0]
    entry = row[1:]
    entry *= x[1, 1:]
    y[0, 0] = x[1, 2]
    return y * np.sum(row) + entry[0]


def with_repeated_indices(x: Any) -> Any:
    y = np.ones_like(x)
    np.add.at(y, ([0, 0, 1], [1, 1, 2]), x[0])
    np.put_along_axis(y, np.array([[0], [1]]), x[:, :1] ** 2, axis=1)
    y[[1, 1]] = x[:, ::-1]
    return y


def with_more_axes(x: Any) -> Any:
    y = np.copy(x)
    y[0] = x[1:] ** 2
    y[:, 0] = x[None, :1, 1]
    return y


def with_out(x: Any) -> Any:
    y = np.zeros_like(x)
    np.multiply(x, x, out=y)
    np.add(y, x, out=y)
    return y


@pytest.mark.parametrize("f", [column_sums, by_index, through_views, with_repeated_indices, with_more_axes, with_out])
def test_what_is_written_is_followed(f: Callable[[Any], Any]) -> None:
    """The same values as NumPy writes, and the slopes of these."""
    x, v = ramp(2, 3), ramp(2, 3)[::-1]
    step = 1e-6
    slope = (f(x + step * v) - f(x - step * v)) / (2 * step)

    np.testing.assert_array_equal(f(Variable(x)).data, f(x))
    np.testing.assert_allclose(jvp(f, x, v), slope, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(np.sum(vjp(f, x) * v), np.sum(slope), rtol=1e-7)
    assert x.tolist() == ramp(2, 3).tolist()


def test_writing_leaves_what_was_recorded() -> None:
    """An earlier use keeps the earlier value."""
    x = Variable(3.0)
    y: Any = np.copy(x)
    before = y * x
    y[...] = 100.0
    before.backward()

    assert x.grad == 6
    assert y.data == 100


def with_buffers_of_its_own(x: Any) -> Any:
    weights, rows, total = np.zeros(3), np.zeros(2, int), 0
    for step in range(2):
        weights[:] = step + 1, 0, 2
        rows[:] = 0, step
        total = total + np.sum(weights * x ** (step + 1)) + np.sum(x[rows] ** 2)
    return total


def test_what_is_no_variable_may_be_written_on() -> None:
    """A constant, and an index, are what they were when they were used."""
    x, v = ramp(2, 3), ramp(2, 3)[::-1]
    step = 1e-6 * v
    slope = (with_buffers_of_its_own(x + step) - with_buffers_of_its_own(x - step)) / 2e-6

    np.testing.assert_allclose(np.sum(vjp(with_buffers_of_its_own, x) * v), slope, rtol=1e-7)


def with_a_running_total(x: Any) -> Any:
    total = fit = np.sum(x**2)
    total += np.sum(x)
    entry = last = x[-1, -1]
    entry *= 2
    return fit * total + last * entry


def test_numbers_are_not_written_on() -> None:
    """NumPy sums to a number, of which += makes another: whoever holds the first keeps it."""
    x = ramp(2, 3)
    step = 1e-6 * np.ones_like(x)
    slope = (with_a_running_total(x + step) - with_a_running_total(x - step)) / 2e-6

    assert with_a_running_total(Variable(x)).data == with_a_running_total(x)
    np.testing.assert_allclose(np.sum(vjp(with_a_running_total, x)), slope, rtol=1e-7)


ONE_SLOPE = Op(np.sin, lambda grad, out, x: grad, "()->()", jvp=lambda tangents, out, x: 1.0, name="one")
V = Variable([1.0, 2.0, 3.0])
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "asarray": (lambda: np.array(V), "take .data"),
    "array": (lambda: np.array([V[0], V[1]]), "np.concatenate instead of np.array"),
    "float": (lambda: float(V[0]), r"float\(variable.data\)"),
    "item": (lambda: V[0].item(0), "variable.data.item"),
    "index": (lambda: [1, 2, 3][V[0]], "plain number"),
    "deepcopy": (lambda: copy.deepcopy({"w": V}), r"write np.copy\(variable\)"),
    "plain slice": (lambda: np.zeros(3).__setitem__(slice(None), V), "np.zeros_like"),
    "plain in place": (lambda: np.zeros(3).__iadd__(V), "np.add would write .* np.zeros_like"),
    "plain add.at": (lambda: np.add.at(np.zeros(3), [0], V[0]), "np.add.at would write"),
    "out": (lambda: np.exp(V, out=np.zeros(3)), "np.exp would write"),
    "leaf": (lambda: V.__setitem__(0, 1.0), "cannot be written on: it is a leaf"),
    "leaf in place": (lambda: V.__iadd__(1.0), "y = y [+] x"),
    "unregistered": (lambda: np.linalg.inv(V), "np.linalg.inv has no registered op"),
    "unregistered ufunc": (lambda: np.arctan2(V, V), "np.arctan2 has no registered op"),
    "unregistered method": (lambda: V.std(axis=0), "np.std has no registered op"),
    "ufunc method": (lambda: np.multiply.outer(V, V), "np.multiply.outer has no registered op"),
    "argument": (lambda: np.sum(V, initial=2.0), "np.sum was called with initial=2.0, which op sum does not know"),
    "complex": (lambda: V * 2j, "op multiply is for float64 and float32, and there are complex numbers here"),
    "dtype": (lambda: np.add(V, V, dtype=np.float32), "dtype"),
    "where": (lambda: np.exp(V, where=V > 1), "where="),
    "param": (lambda: np.sum(V, axis=V), "axis of op sum is a param"),
    "key": (lambda: V[Variable(1)], "key of op getitem is a param"),
    "in place": (lambda: V.sort(axis=0), "in place"),
    "seed": (lambda: (V * 2).backward(np.ones(2)), r"shape \(2,\), the Variable \(3,\)"),
    "no numbers": (lambda: Variable("text"), "write numbers"),
    "name": (lambda: apply("sigmoyd", V), "Did you mean 'sigmoid'"),
    "int buffer": (lambda: np.zeros_like(Variable([1])).__iadd__(V[0]), "cannot be written on one of int64"),
    "2-D result": (lambda: jvp(lambda x: (x, x), np.ones(2), np.ones(2)), "f returned a tuple"),
    "no result": (lambda: vjp(lambda x: None, np.ones(2)), "f returned a NoneType; return an array"),
    "direction": (lambda: hvp(lambda x: np.sum(x**3), np.ones(2), 1.0), r"v has shape \(\), x \(2,\)"),
    "directions": (lambda: hvp(lambda x, y: np.sum(x * y), (1.0, 2.0), (1.0,)), r"x \(\) and \(\); they must"),
    "wrong jvp": (lambda: jvp(lambda x: apply(ONE_SLOPE, x), np.ones(2), np.ones(2)), r"jvp returned shapes \[\(\)"),
    "no op": (lambda: apply(np.sin, V), "apply takes an op, or the name of one"),  # type: ignore[arg-type]
    "tangent": (lambda: jvp(np.sin, np.ones(2), np.ones(3)), r"v has shape \(3,\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_is_refused(name: str) -> None:
    """With the name of the function, and what to do instead."""
    attempt, message = REFUSED[name]
    with pytest.raises(TapeError, match=message):
        attempt()


def test_a_package_that_cannot_be_used_is_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its op may be the one that is missing; others work."""
    works = {np.sin: Entry(Op(np.sin, lambda grad, out, x: grad * np.cos(x), "()->()"), np.sin)}
    monkeypatch.setattr(dispatch, "_loaded", lambda: (works, [LoadError("entry point 'theirs': cannot import it")]))

    assert isinstance(np.sin(V), Variable)
    with pytest.raises(TapeError, match=r"np.arctan has no registered op.*; entry point 'theirs': cannot import it"):
        np.arctan(V)


def test_numpys_own_error_has_ours_as_its_cause() -> None:
    """One entry of a plain array: NumPy wraps what was raised."""
    with pytest.raises(ValueError, match="sequence") as caught:
        np.zeros(3)[0] = V[0]
    assert isinstance(caught.value.__cause__, TapeError)


# Ops of one's own


def cube_backward(grad: Any, out: Any, x: Any) -> Any:
    """dL/dx = 3 g x^2"""
    return 3 * grad * x**2


def test_an_op_in_use_answers_for_its_function() -> None:
    """Until the block ends, and before the installed ones."""
    cbrt = Op(np.cbrt, lambda grad, out, x: grad / (3 * out**2), "()->()")
    x = Variable(8.0)
    with using(cbrt):
        y: Any = np.cbrt(x)
        y.backward()

    assert x.grad == pytest.approx(1 / 12)
    with pytest.raises(TapeError, match=r"np\.cbrt has no registered op"):
        np.cbrt(x)


def test_params_are_bound_by_signature() -> None:
    """By position or by name, with forward's own defaults; an overload adapts another function."""
    seen = []

    def roll_backward(grad: Any, out: Any, x: Any, shift: Any, axis: Any) -> Any:
        seen.append((shift, axis))
        return np.roll(grad, -shift, axis)

    turned = {np.flip: lambda m: ((m,), {"shift": 1, "axis": 0})}
    roll = Op(np.roll, roll_backward, "(...)", params={"shift": [1], "axis": [None]}, overloads=turned)
    x = Variable(ramp(2, 3))
    with using(roll):
        rolled: list[Any] = [np.roll(x, 2), np.roll(x, shift=1, axis=1), np.flip(x)]
        backward(rolled)

    assert sorted(seen, key=str) == [(1, 0), (1, 1), (2, None)]


def test_a_constant_operand_gets_no_gradient() -> None:
    """Labels are integers: backward returns one gradient for two inputs, or None for the other."""

    def pick_backward(grad: Any, out: Any, x: Any, labels: Any) -> Any:
        grad_x = np.zeros_like(x)
        np.add.at(grad_x, (np.arange(len(labels)), labels), grad)
        return grad_x, None

    def pick(x: Any, labels: Any) -> Any:
        return x[np.arange(len(labels)), labels]

    op = Op(pick, pick_backward, "(n,k),(n)->(n)", domain=[REAL, index("k")])
    f = lambda x: np.sum(apply(op, x, np.array([2, 0])) ** 3)  # noqa: E731
    x = ramp(2, 3)

    assert vjp(f, x).tolist() == [[0, 0, 3 * x[0, 2] ** 2], [3 * x[1, 0] ** 2, 0, 0]]
    np.testing.assert_allclose(hvp(f, x, np.ones((2, 3))), [[0, 0, 6 * x[0, 2]], [6 * x[1, 0], 0, 0]])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda grad, out, a, b: grad, "returned 1 gradients for 2 inputs"),
        (lambda grad, out, a, b: (grad, grad), r"shape \(3,\) for input 1, whose shape is \(\)"),
        (lambda grad, out, a, b: (grad, None), "returned None for input 1"),
    ],
)
def test_a_wrong_backward_is_named(wrong: Callable[..., Any], message: str) -> None:
    """Its op, place and the gradient in question."""
    op = Op(lambda a, b: a * b, wrong, "(),()->()", name="product")
    with pytest.raises(TapeError, match=f"op product: .*{message}"):
        apply(op, V, Variable(2.0)).backward()


@pytest.mark.parametrize("plain", [lambda x, g: np.asarray(x) * g, lambda x, g: np.zeros(3).__setitem__(0, g[0])])
def test_a_backward_that_cannot_be_recorded_is_named(plain: Callable[..., Any]) -> None:
    """Order 1 works, order 2 says whose backward it is and why."""
    op = Op(lambda x: x * 1, lambda grad, out, x: plain(x, grad), "()->()", name="opaque")
    y = apply(op, V)

    with pytest.raises(TapeError, match=r"backward of opaque \(.*test_variable.py.*cannot run on Variables"):
        y.backward(create_graph=True)


def test_an_error_in_backward_says_where() -> None:
    """As a note: the error itself is the author's."""
    op = Op(lambda x: x * 1, lambda grad, out, x: dict[str, Any]()["missing"], "()->()", name="broken")
    with pytest.raises(KeyError) as caught:
        apply(op, V).backward()
    assert caught.value.__notes__ == ["raised in backward of op broken"]


def test_jvp_asks_the_op() -> None:
    """Where it has one, with None for the tangent of a constant; the answers nest."""
    asked = []

    def product_jvp(tangents: Any, out: Any, a: Any, b: Any) -> Any:
        asked.append([t is None for t in tangents])
        return sum(t * x for t, x in zip(tangents, (b, a), strict=True) if t is not None)

    def product_backward(grad: Any, out: Any, a: Any, b: Any) -> Any:
        return unbroadcast(grad * b, a), unbroadcast(grad * a, b)

    op = Op(lambda a, b: a * b, product_backward, "(),()->()", name="product", jvp=product_jvp)
    x = ramp(3)

    np.testing.assert_allclose(jvp(lambda x: apply(op, x, 3.0), x, x), 3 * x)
    np.testing.assert_allclose(jvp(lambda x: jvp(lambda x: apply(op, x, x), x, x), x, np.ones(3)), 4 * x)
    assert [False, True] in asked


# Higher orders


@pytest.fixture
def x() -> np.ndarray:
    return ramp(4)


@pytest.mark.parametrize(
    ("f", "derivatives"),
    [
        (np.exp, [np.exp] * 4),
        (
            np.tanh,
            [
                lambda x: 1 - np.tanh(x) ** 2,
                lambda x: -2 * np.tanh(x) * (1 - np.tanh(x) ** 2),
                lambda x: (6 * np.tanh(x) ** 2 - 2) * (1 - np.tanh(x) ** 2),
            ],
        ),
        (lambda x: x**4, [lambda x: 4 * x**3, lambda x: 12 * x**2, lambda x: 24 * x, lambda x: 24 + 0 * x]),
    ],
    ids=["exp", "tanh", "power"],
)
def test_any_order(f: Any, derivatives: list[Any], x: np.ndarray) -> None:
    """By backward(create_graph=True), again and again."""
    v = Variable(x)
    y = f(v)
    for derivative in derivatives:
        v.grad = None
        y.backward(create_graph=True)
        y = v.grad
        np.testing.assert_allclose(y.data, derivative(x), rtol=1e-12, atol=1e-13)


def test_third_order_of_matmul() -> None:
    """sum((x @ x)^2) is of degree four: its third derivative along v is linear in x."""

    def along(f: Any) -> Any:
        return lambda x: jvp(f, x, v)

    def f(x: Any) -> Any:
        return np.sum((x @ x) ** 2)

    x, v = ramp(3, 3), ramp(3, 3).T ** 2
    a, b, c = x @ x, x @ v + v @ x, v @ v

    assert along(f)(x) == pytest.approx(2 * np.sum(a * b))
    assert along(along(f))(x) == pytest.approx(2 * np.sum(b * b) + 4 * np.sum(a * c))
    assert along(along(along(f)))(x) == pytest.approx(12 * np.sum(b * c))
    third = jacobian(lambda x: jacobian(lambda x: vjp(f, x), x), x)
    assert np.einsum("abcdef,ab,cd,ef", third, v, v, v) == pytest.approx(12 * np.sum(b * c))


def test_hessians(x: np.ndarray) -> None:
    """One from Jacobians, and its product with a vector."""

    def f(x: Any) -> Any:
        return np.sum(np.sin(x) * x[::-1])

    hessian = jacobian(lambda x: vjp(f, x), x)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-15)
    np.testing.assert_allclose(hvp(f, x, x), hessian @ x, atol=1e-14)
    np.testing.assert_allclose(hvp(lambda a, b: np.sum(a * b * b), (x, x), (0 * x, x))[0], 2 * x * x)


def test_an_outer_point_is_a_constant_inside() -> None:
    """d/dx [x d/dy (x + y)] is 1, however the two are named."""
    assert vjp(lambda x: x * vjp(lambda y: x + y, x), 3.0) == 1


def test_constants_have_no_slope() -> None:
    """f that ignores x, in whole or in part."""
    assert jacobian(lambda x: np.ones(2), np.ones(3)).tolist() == np.zeros((2, 3)).tolist()
    assert jvp(lambda x: 1.0, np.ones(3), np.ones(3)) == 0
    assert vjp(lambda a, b: np.sum(a), (np.ones(2), np.ones(1)))[1].tolist() == [0]
    assert jacobian(lambda x: x[:0], np.ones(3)).shape == (0, 3)
