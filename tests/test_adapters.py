"""What somebody's functions are taken for: decided by names, number and shapes, never by what makes them right."""

import textwrap
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gradcheck_cli import UsageError, adapt, check
from gradcheck_cli.adapters import Given, ops_of, targets_of
from gradcheck_cli.domain import Index, Integers
from gradcheck_cli.op import Op

HEAD = "import numpy as np\n\n"


@pytest.fixture
def module(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A user's file, imported."""

    def write(text: str) -> ModuleType:
        path = tmp_path / "theirs.py"
        path.write_text(HEAD + textwrap.dedent(text), encoding="utf-8")
        made = ModuleType("theirs")
        made.__dict__["__file__"] = str(path)
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), made.__dict__)
        return made

    return write


def op_in(module: ModuleType, *shapes: tuple[int, ...], name: str | None = None, **given: Any) -> Op:
    (op,) = ops_of(module, "theirs.py", name, Given(shapes, **given))
    return op


def passes(op: Op, *shapes: tuple[int, ...]) -> bool:
    return check(op, shapes=shapes, cases=2, edges=False).passed


def refused(module: ModuleType, *shapes: tuple[int, ...], **given: Any) -> str:
    with pytest.raises(UsageError) as caught:
        op_in(module, *shapes, **given)
    return str(caught.value)


@pytest.mark.parametrize(
    ("forward", "backward", "name"),
    [
        ("f_forward", "f_backward", "f"),
        ("f", "f_backward", "f"),
        ("f", "df", "f"),
        ("f", "d_f", "f"),
        ("f", "f_prime", "f"),
        ("f", "f_derivative", "f"),
        ("f", "f_grad", "f"),
        ("f", "grad_f", "f"),
        ("f", "f_vjp", "f"),
        ("forward_f", "backward_f", "f"),
        ("fForward", "fBackward", "f"),
        ("SquareForward", "SquareBackward", "Square"),
        ("square_forward_naive", "square_backward_naive", "square_naive"),
        ("square", "dsquare", "square"),
        ("fun", "jac", "fun"),
        ("loss", "gradient", "loss"),
        ("forward", "backward", "forward"),
        ("f_fwd", "f_bwd", "f"),
        ("sigmoid_function", "sigmoid_derivative", "sigmoid"),
        ("mse_loss", "mse_grad", "mse_loss"),
        ("compute_cost", "compute_gradient", "compute_cost"),
        ("loss_fn", "grad_fn", "loss_fn"),
        ("forward_propagation", "back_propagation", "forward_propagation"),
    ],
)
def test_pairs_are_found_by_name(module: Any, forward: str, backward: str, name: str) -> None:
    """Whichever way the two are called."""
    theirs = module(f"def {forward}(x):\n    return x * x\n\ndef {backward}(dout, x):\n    return 2 * dout * x\n")

    assert [target.name for target in targets_of(theirs, "theirs.py")] == [name]


def test_functions_that_belong_to_nothing_are_left_alone(module: Any) -> None:
    """Helpers, and what others are made of."""
    helpers = "def numerical_gradient(g, x):\n    return x\n\ndef _g_backward(dout, x):\n    return dout\n"

    assert targets_of(module(f"def f(x):\n    return x\n\n{helpers}"), "theirs.py") == []


def test_a_gradient_of_nobody_knows_what_is_told(module: Any) -> None:
    """Silence would say that it was checked."""
    alone = "def g_backward(dout, x):\n    return dout\n"
    told = "write theirs.py::its_forward,g_backward"

    assert told in refused(module(alone), (3,))
    beside = module(f"{alone}\ndef f(x):\n    return x\n\ndef df(x):\n    return x * 0 + 1\n")
    orphan, pair = ops_of(beside, "theirs.py", None, Given(((3,),)))
    assert told in orphan.gufunc.text
    assert pair.name == "f"


def test_a_backward_is_not_paired_with_a_part_of_its_name(module: Any) -> None:
    """The gradient of a loss of a softmax is no gradient of the softmax."""
    theirs = module("def softmax(x):\n    return x\n\ndef softmax_loss_grad(x):\n    return x\n")

    assert [t.parts for t in targets_of(theirs, "theirs.py")] == [("its_forward", "softmax_loss_grad")]


AFFINE = """
    def f(x, w):
        out = x @ w
        return {returned}

    def f_backward({parameters}):
        {unpack}
        return dout @ w.T, x.T @ dout
"""


@pytest.mark.parametrize(
    ("returned", "parameters", "unpack"),
    [
        ("out, (x, w)", "dout, cache", "x, w = cache"),
        ("out, (x, w)", "cache, dout", "x, w = cache"),
        ("out, (x, w)", "dout, stuff", "x, w = stuff"),
        ("out, (x, w)", "stuff, cache", "dout, (x, w) = stuff, cache"),
        ("out, {'x': x, 'w': w}", "dout, saved", "x, w = saved['x'], saved['w']"),
        ("out", "dout, x, w", "pass"),
        ("out", "x, w, dout", "pass"),
        ("out", "dout, out, x, w", "pass"),
        ("out", "x, w, out, dout", "pass"),
        ("out", "dout, left, right", "x, w = left, right"),
        ("out", "x, w, whatever", "dout = whatever"),
        ("out", "p, q, m, n", "dout, x, w = p, m, n"),
        ("out, x, w", "dout, x, w", "pass"),
    ],
)
def test_backward_is_called_as_it_wants_to_be(module: Any, returned: str, parameters: str, unpack: str) -> None:
    """The upstream gradient first or last, with a cache, the inputs or the output."""
    theirs = module(AFFINE.format(returned=returned, parameters=parameters, unpack=unpack))

    assert passes(op_in(theirs, (4, 3), (3, 2)), (4, 3), (3, 2))


def test_what_cannot_be_told_is_refused(module: Any) -> None:
    """No guess: a wrong one might make a wrong gradient pass, or a right one fail."""
    theirs = module("def f(x, w):\n    return x * w\n\ndef f_backward(p, q):\n    return p, q\n")

    message = refused(theirs, (3,), (3,))

    assert message.startswith("f: cannot tell which of p, q of f_backward is what; name the upstream gradient dout")
    assert "--call 'dout, x, w'" in message


@pytest.mark.parametrize("more", ["a=0.1", "v=None", "e=1", "axis=0, eps=1e-5"])
def test_what_has_a_default_keeps_it(module: Any, more: str) -> None:
    """Unless its name surely tells: a slope is no output, and one upstream gradient is enough."""
    theirs = module(f"""
        def f(x):
            return x * x

        def f_backward(dout, x, {more}):
            assert f_backward.__defaults__ == tuple(v for k, v in locals().items() if k not in ("dout", "x"))
            return 2 * dout * x
    """)

    assert passes(op_in(theirs, (3,)), (3,))


def test_a_cache_that_nobody_returns_is_refused(module: Any) -> None:
    theirs = module("def f(x):\n    return x * x\n\ndef f_backward(dout, cache):\n    return 2 * dout * cache\n")

    assert refused(theirs, (3,)).startswith("f: f_backward takes a cache, but f returns none beside its output")
    assert passes(op_in(theirs, (3,), call="dout, x"), (3,))
    assert not passes(op_in(theirs, (3,), call="dout, out"), (3,))


@pytest.mark.parametrize(
    ("forward", "derivative", "shape"),
    [
        ("np.sin(x)", "np.cos(x)", (2, 3)),  # f', elementwise
        ("np.sum(x ** 2)", "2 * x", (2, 3)),  # the gradient of a number
        ("np.array([x[0] * x[1], x[0]])", "np.array([[x[1], x[0], 0], [1, 0, 0]])", (3,)),  # a Jacobian
        ("x[0] * x[1]", "[x[1], x[0]]", (2,)),  # as a list
    ],
)
def test_derivatives_are_multiplied_by_the_upstream_gradient(
    module: Any, forward: str, derivative: str, shape: tuple[int, ...]
) -> None:
    """What they are, their shapes say."""
    theirs = module(f"def f(x):\n    return {forward}\n\ndef df(x):\n    return {derivative}\n")

    assert passes(op_in(theirs, shape), shape)


def test_a_derivative_of_the_output_is_known_by_its_parameter_alone(module: Any) -> None:
    """s * (1 - s) would be right for the output; called x, it gets the input, and is wrong."""
    text = "def f(x):\n    return 1 / (1 + np.exp(-x))\n\ndef f_prime({0}):\n    return {0} * (1 - {0})\n"

    assert passes(op_in(module(text.format("out")), (3,)), (3,))
    assert not passes(op_in(module(text.format("x")), (3,)), (3,))


def test_the_diagonal_of_a_softmax_is_no_derivative(module: Any) -> None:
    """f' as if it were elementwise: found wrong, not explained away by another convention."""
    theirs = module("""
        def softmax(x):
            e = np.exp(x - x.max())
            return e / e.sum()

        def softmax_prime(x):
            s = softmax(x)
            return s * (1 - s)
    """)

    assert not passes(op_in(theirs, (3,)), (3,))


def test_a_pullback_is_called_with_the_upstream_gradient(module: Any) -> None:
    theirs = module("def f(x):\n    return x * x\n\ndef f_vjp(x):\n    return x * x, lambda v: 2 * x * v\n")

    assert passes(op_in(theirs, (3,)), (3,))


def test_several_outputs_have_an_upstream_gradient_each(module: Any) -> None:
    theirs = module("""
        def f_forward(x):
            return np.sin(x), np.exp(x), (x,)

        def f_backward(dsin, dexp, cache):
            (x,) = cache
            return dsin * np.cos(x) + dexp * np.exp(x)
    """)

    assert passes(op_in(theirs, (3,)), (3,))


def test_gradients_may_be_named(module: Any) -> None:
    """A dict is read by names, in whatever order."""
    theirs = module("""
        def f(x, w):
            return x * w

        def f_backward(dout, x, w):
            return {"dw": dout * x, "dx": dout * w}
    """)

    assert passes(op_in(theirs, (3,), (3,)), (3,), (3,))


def test_a_gradient_that_is_not_returned_is_missed(module: Any) -> None:
    """Only what is called a target, or holds integers, needs none."""
    pair = "def f({0}, b):\n    return ({0} - b) ** 2\n\ndef f_grad({0}, b):\n    return -2 * ({0} - b)\n"
    wrong = check(op_in(module(pair.format("a")), (3,), (3,)), shapes=[(3,), (3,)], cases=2, edges=False)
    target = op_in(module(pair.format("y_true")), (3,), (3,))

    assert {finding.code for finding in wrong.findings} == {"GC102"}
    assert [target.names[i] for i in target.differentiated] == ["b"]


def test_a_forgotten_gradient_is_no_target(module: Any) -> None:
    """y is one of a loss only."""
    theirs = module("def mul(x, y):\n    return x * y\n\ndef mul_backward(dout, x, y):\n    return dout * y\n")
    report = check(op_in(theirs, (3,), (3,)), shapes=[(3,), (3,)], cases=2, edges=False)

    assert {finding.code for finding in report.findings} == {"GC102"}


def test_a_target_without_a_gradient_is_mentioned(module: Any) -> None:
    theirs = module("def mse(p, y):\n    return ((p - y) ** 2).sum()\n\ndef mse_grad(p, y):\n    return 2 * (p - y)\n")
    op = op_in(theirs, (3,), (3,))

    assert op.notes == ("no gradient of y is returned, so none is checked",)
    assert passes(op, (3,), (3,))


def test_what_is_wanted_as_integers_is_not_differentiated(module: Any) -> None:
    """And calls tell which dimension it indexes."""
    theirs = module("""
        def pick(x, labels):
            return x[np.arange(len(labels)), labels]

        def pick_backward(dout, x, labels):
            dx = np.zeros_like(x)
            dx[np.arange(len(labels)), labels] = dout
            return dx
    """)
    op = op_in(theirs, (4, 3), (4,))

    assert isinstance(op.domains[1], (Index, Integers))
    assert [op.names[i] for i in op.differentiated] == ["x"]
    assert check(op, shapes=[(4, 3), (4,)]).passed


def test_params_are_fresh_for_every_call(module: Any) -> None:
    """A running mean that forward writes into its param must not change what comes next."""
    theirs = module("""
        def f_forward(x, state):
            state["calls"] = state.get("calls", 0) + 1
            return x * state["calls"], state

        def f_backward(dout, cache):
            return dout * cache["calls"]
    """)

    assert passes(op_in(theirs, (3,), params={"state": {}}), (3,))


def test_a_mask_is_the_same_in_forward_and_backward(module: Any) -> None:
    """Of a pair with a cache; a backward that draws its own gets another."""
    text = """
        def drop_forward(x):
            mask = np.random.rand(*x.shape) < 0.5
            return x * mask, mask

        def drop_backward(dout, cache):
            return dout * {0}
    """

    assert passes(op_in(module(text.format("cache")), (3, 3)), (3, 3))
    drawn = module(text.format("(np.random.rand(*dout.shape) < 0.5)"))
    assert not passes(op_in(drawn, (3, 3)), (3, 3))


LAYER = """
    class Layer:
        def __init__(self, size):
            self.W = np.ones(size)
            {attributes}

        def forward(self, x):
            self.x = x
            return x * self.W

        def backward(self, dout):
            dW = (dout * self.x).sum(0)
            {left}
            return {returned}
"""


@pytest.mark.parametrize(
    ("attributes", "left", "returned"),
    [
        ("pass", "self.dW = dW", "dout * self.W"),
        ("pass", "self.grad_W = dW", "dout * self.W"),
        ("self.grads = {}", "self.grads['W'] = dW", "dout * self.W"),
        ("self.grads = {}", "self.grads['dW'] = dW", "dout * self.W"),
        ("pass", "pass", "dout * self.W, dW"),
        ("pass", "self.dW = dW; self.dx = dout * self.W", "None"),
    ],
)
def test_gradients_of_parameters_are_found(module: Any, attributes: str, left: str, returned: str) -> None:
    """Wherever the class leaves them."""
    theirs = module(LAYER.format(attributes=attributes, left=left, returned=returned))
    op = op_in(theirs, (4, 3), params={"size": 3})

    assert op.names == ("x", "W")
    assert passes(op, (4, 3))


def test_a_parameter_without_a_gradient_is_mentioned(module: Any) -> None:
    """Nothing says that it should have one; silence would say that it was checked."""
    theirs = module(LAYER.format(attributes="pass", left="pass", returned="dout * self.W"))
    op = op_in(theirs, (4, 3), params={"size": 3})

    assert op.notes == ("no gradient of W was found, so it is not checked",)
    assert "no gradient of W was found" in str(check(op, shapes=[(4, 3)], cases=2, edges=False))


def test_a_parameter_that_forward_makes_is_checked(module: Any) -> None:
    """Lazily, when the size of the input is known; what is computed anew in each forward is none."""
    theirs = module("""
        class Lazy:
            def __init__(self):
                self.W = None

            def forward(self, x):
                if self.W is None:
                    self.W = np.random.randn(x.shape[1], 2)
                self.x = x
                self.h = x @ self.W
                return np.tanh(self.h)

            def backward(self, dout):
                self.dh = dout * (1 - np.tanh(self.h) ** 2)
                self.dW = self.x.T @ self.dh
                return self.dh @ self.W.T
    """)
    op = op_in(theirs, (4, 3))

    assert op.names == ("x", "W")
    assert passes(op, (4, 3))


def test_a_wrong_gradient_of_a_parameter_is_caught(module: Any) -> None:
    theirs = module(LAYER.format(attributes="pass", left="self.dW = 2 * dW", returned="dout * self.W"))
    report = check(op_in(theirs, (4, 3), params={"size": 3}), shapes=[(4, 3)], cases=2, edges=False)

    assert {(f.input, f.code) for f in report.findings} == {("W", "GC201")}


def test_base_classes_are_no_layers(module: Any) -> None:
    theirs = module("""
        class Base:
            def forward(self, x):
                raise NotImplementedError

            def backward(self, dout):
                raise NotImplementedError

        class Empty:
            def forward(self, x):
                pass

            def backward(self, dout):
                pass
    """)

    assert targets_of(theirs, "theirs.py") == []


def test_a_value_with_its_gradient(module: Any) -> None:
    """As for scipy.optimize with jac=True; the gradient of one array is that of the first argument."""
    text = "def cost(w, data):\n    error = data @ w\n    return error @ error, {0} * data.T @ error\n"

    assert passes(op_in(module(text.format(2)), (3,), (4, 3)), (3,), (4, 3))
    assert not passes(op_in(module(text.format(3)), (3,), (4, 3)), (3,), (4, 3))


def test_check_takes_what_the_command_takes() -> None:
    """From Python: a gradient, a Hessian and its product, each an op of one report."""

    def hessp(x: Any, p: Any) -> Any:
        return 6 * x * p

    report = check(
        lambda x: np.sum(x**3),
        jac=lambda x: 3 * x**2,
        hess=lambda x: np.diag(6 * x),
        hessp=hessp,
        shapes=[(3,)],
        cases=2,
        edges=False,
    )

    assert len(report.run.ops) == 3
    assert report.passed


def test_a_hessian_needs_its_gradient() -> None:
    with pytest.raises(UsageError, match="needs jac="):
        check(lambda x: x @ x, hess=lambda x: 2 * np.eye(len(x)), shapes=[(3,)])


def test_adapt_is_for_op_files(module: Any) -> None:
    """With a signature, choices of params and whatever else an Op takes."""
    theirs = module(
        "def f_forward(x, k=1):\n    return k * x, k\n\ndef f_backward(dout, cache):\n    return cache * dout\n"
    )
    op = adapt(theirs.f_forward, theirs.f_backward, "()->()", params={"k": [2, 3]}, name="times")

    assert (op.name, op.params) == ("times", {"k": [2, 3]})
    assert check(op, cases=4, edges=False).passed


@pytest.mark.parametrize(("slope", "right"), [("1 - np.tanh(x) ** 2", True), ("1 + np.tanh(x) ** 2", False)])
@pytest.mark.parametrize(("head", "flag"), [("x, ", "deriv"), ("x, *, ", "derivative")])
def test_a_function_may_be_asked_for_its_derivative(module: Any, head: str, flag: str, slope: str, right: bool) -> None:
    """tanh(x, deriv=True): its own derivative is checked, rather than what another tool makes of it."""
    text = f"def f({head}{flag}=False):\n    return {slope} if {flag} else np.tanh(x)\n"
    made = op_in(module(text), (3,), name="f")

    assert made.taken_for.startswith(f"a function that returns its derivative for {flag}=True: x the input")
    assert passes(made, (3,)) == right


def test_a_derivative_behind_a_switch_may_take_the_output(module: Any) -> None:
    """As x * (1 - x) of a sigmoid does; only who wrote it can tell."""
    text = "def f(x, deriv=False):\n    return x * (1 - x) if deriv else 1 / (1 + np.exp(-x))\n"
    wrong = op_in(module(text), (3,), name="f")

    assert "if x is the output: --call out" in wrong.taken_for
    assert not passes(wrong, (3,))
    assert passes(op_in(module(text), (3,), name="f", call="out"), (3,))


def test_a_switch_may_add_the_gradient_to_the_value(module: Any) -> None:
    """Said so, it is what scipy.optimize knows as jac=True; grad is a name that backward's own argument has."""
    text = "def f(x, grad=False):\n    return (x @ x, {} * x) if grad else x @ x\n"

    assert "write --param grad=True" in refused(module(text.format(2)), (3,), name="f")
    assert passes(op_in(module(text.format(2)), (3,), name="f", params={"grad": True}), (3,))
    assert not passes(op_in(module(text.format(3)), (3,), name="f", params={"grad": True}), (3,))


def test_gradients_in_a_dict_that_are_of_no_input_are_mentioned(module: Any) -> None:
    """Of what came in by --param, say; where all are, it is refused. da_next is what came back through a_next."""
    text = """
        def cell_forward(x, parameters):
            a_next = parameters["W"] * x
            other = x + 1
            return a_next, other, (x, parameters)

        def cell_backward(da_next, cache):
            x, parameters = cache
            return {"dx": da_next * parameters["W"], "dW": (da_next * x).sum()}
    """
    given = {"parameters": {"W": 2.0}}
    made = op_in(module(text), (3,), params=given)

    assert passes(made, (3,))
    assert made.notes == ("what is returned for dW is of nothing that it takes, so it is not checked",)
    assert "gradients of nothing that it takes" in refused(module(text.replace('"dx"', '"dW0"')), (3,), params=given)


def test_gradients_may_come_before_the_value(module: Any) -> None:
    """grads, cost: of those that the dict names."""
    text = """
        def propagate(w, X):
            cost = ((w @ X) ** 2).sum()
            grads = {"dw": 2 * X @ (w @ X)}
            return grads, cost
    """

    made = op_in(module(text), (3,), (3, 4))
    assert made.differentiable == (True, False)
    assert passes(made, (3,), (3, 4))
    assert not passes(op_in(module(text.replace("2 * X", "X")), (3,), (3, 4)), (3,), (3, 4))


CLOSURE = """
    def backprop(dY):
        return dY @ w.T * {0}, x.T @ dY

    return x @ w, backprop"""
LAMBDA = """
    return x @ w, lambda g: (g @ w.T * {0}, x.T @ g)"""


@pytest.mark.parametrize(("slope", "right"), [("1", True), ("2", False)])
@pytest.mark.parametrize("inner", [CLOSURE, LAMBDA], ids=["def", "lambda"])
def test_a_function_may_return_its_pullback(module: Any, inner: str, slope: str, right: bool) -> None:
    """Beside its output, as a closure; what that returns is no output."""
    made = op_in(module(f"def product(x, w):{inner.format(slope)}\n"), (4, 3), (3, 2), name="product")

    assert made.taken_for.startswith("a function that returns its output and")
    assert passes(made, (4, 3), (3, 2)) == right


def test_a_class_is_told_what_its_methods_should_be_called(module: Any) -> None:
    """There is no `file.py::Class,its_backward`."""
    text = "class Cost:\n    def fn(self, a):\n        return a\n\n    def delta(self, a):\n        return 1\n"

    assert "call its methods forward and backward" in refused(module(text), (3,), name="Cost")


LED_PAIR = """
    def f_forward(alpha, x):
        return alpha * x

    def f_backward(dout, alpha, x):
        return dout * alpha
"""
LED_CLASS = """
    class F:
        def forward(self, alpha, x):
            self.alpha = alpha
            return alpha * x

        def backward(self, dout):
            return dout * self.alpha
"""
LED_VALUE = """
    def cost(alpha, x):
        grad = 2 * alpha * x
        return alpha * (x @ x), grad
"""


@pytest.mark.parametrize("text", [LED_PAIR, LED_CLASS, LED_VALUE], ids=["pair", "class", "value"])
def test_a_param_may_stand_in_front_of_an_array(module: Any, text: str) -> None:
    """scale(alpha, x), with alpha by --param."""
    made = op_in(module(text), (3,), params={"alpha": 2.0})

    assert made.names == ("x",)
    assert passes(made, (3,))


@pytest.mark.parametrize(("rows", "right"), [("s[:, :, None] * s[:, None, :]", True), ("s[:, :, None]", False)])
def test_rows_may_have_a_jacobian_each(module: Any, rows: str, right: bool) -> None:
    """Of a softmax over a batch."""
    text = f"""
        def softmax(x):
            e = np.exp(x - x.max(1, keepdims=True))
            return e / e.sum(1, keepdims=True)

        def softmax_derivative(x):
            s = softmax(x)
            return s[:, :, None] * np.eye(3) - {rows}
    """

    assert passes(op_in(module(text), (4, 3)), (4, 3)) == right


DATA = """
    def cost(theta, X):
        return 0.5 * (X @ theta) @ (X @ theta)

    def cost_grad(theta, X):
        return {}

    def fun(p, t):
        return p[0] * np.exp(-p[1] * t)

    def jac(p, t):
        return np.stack([np.exp(-p[1] * t), -{} * t * np.exp(-p[1] * t)], 1)
"""


@pytest.mark.parametrize("right", [True, False])
def test_the_gradient_of_a_loss_with_data_is_that_of_its_first_argument(module: Any, right: bool) -> None:
    """As in scipy.optimize, of scalars and of vectors; what is not differentiated is mentioned."""
    theirs = module(DATA.format("X.T @ X @ theta" if right else "X.T @ X @ theta * 2", "p[0]" if right else "p[1]"))
    cost = op_in(theirs, (3,), (4, 3), name="cost")
    fun = op_in(theirs, (2,), (5,), name="fun")

    assert cost.notes == ("no gradient of X is returned, so none is checked",)
    assert passes(cost, (3,), (4, 3)) == right
    assert passes(fun, (2,), (5,)) == right


def test_a_nameless_gradient_is_of_what_takes_the_same(module: Any) -> None:
    """Where `fun` and `cost` are both there."""
    theirs = module("def fun(t):\n    return t\n\ndef cost(w):\n    return w\n\ndef gradient(w):\n    return w\n")

    assert [t.parts for t in targets_of(theirs, "theirs.py")] == [("cost", "gradient")]


def test_partial_derivatives_may_be_stacked(module: Any) -> None:
    """np.array([df_dx, df_dy]) of a scalar f(x, y)."""
    text = "def f(x, y):\n    return x * x * y\n\ndef grad_f(x, y):\n    return np.array([2 * x * y, {} * x])\n"

    assert passes(op_in(module(text.format("x")), (), ()), (), ())
    assert not passes(op_in(module(text.format("y")), (), ()), (), ())


def test_a_derivative_takes_the_args_that_the_function_takes(module: Any) -> None:
    """f(x, *args) and its gradient."""
    text = "def f(x, *args):\n    return args[0] * x @ x\n\ndef f_grad(x, *args):\n    return 2 * args[0] * x\n"

    assert passes(op_in(module(text), (3,), ()), (3,), ())
