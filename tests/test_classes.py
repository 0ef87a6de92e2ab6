"""Classes as they are written: what their methods, attributes and arguments say, and what is refused."""

from typing import Any

import numpy as np
import pytest
from test_adapters import module, op_in, passes, refused  # noqa: F401 (a fixture)

from gradcheck_cli import adapt, check
from gradcheck_cli.domain import Integers

DENSE = """
    class Layer:
        def weights(self, shape):
            return draw(shape)

    def draw(shape):
        return np.random.uniform(-1, 1, shape)

    class Dense(Layer):
        def __init__(self, n_out):
            self.n_out, self.params, self.grads, self.built, self.X = n_out, {"W": None}, {}, False, []

        def forward(self, x):
            if not self.built:
                self.params["W"], self.built = self.weights((x.shape[1], self.n_out)), True
                self.grads["W"] = np.zeros_like(self.params["W"])
            self.X.append(x)
            return x @ self.params["W"]

        def backward(self, dout):
            return self._bwd(dout, self.X[0])[0]

        def _bwd(self, dy, x):
            self.grads["W"] += x.T @ dy * 1.0
            return dy @ self.params["W"].T, self.grads["W"]
"""


def test_a_public_backward_is_meant_rather_than_its_part(module: Any) -> None:  # noqa: F811
    """_bwd, which backward calls, gets other things."""
    made = op_in(module(DENSE), (4, 3), params={"n_out": 2})

    assert "backward(dout)" in made.taken_for


def test_parameters_that_forward_makes_once_are_checked(module: Any) -> None:  # noqa: F811
    """Behind a flag, of random numbers that a helper draws."""
    made = op_in(module(DENSE), (4, 3), params={"n_out": 2})
    wrong = op_in(module(DENSE.replace("* 1.0", "* 2.0")), (4, 3), params={"n_out": 2})

    assert made.names == ("x", "W")
    assert passes(made, (4, 3))
    assert not passes(wrong, (4, 3))


def test_parameters_of_what_goes_on_from_where_it_was_are_mentioned(module: Any) -> None:  # noqa: F811
    """An object that remembers what it saw cannot be sent ahead."""
    text = DENSE.replace('return x @ self.params["W"]', 'return sum(self.X) @ self.params["W"]')
    made = op_in(module(text), (4, 3), params={"n_out": 2})

    assert made.names == ("x",)
    assert made.notes == ("W is made by forward whatever is there, so its gradient is not checked",)


def test_what_forward_remembers_is_no_parameter(module: Any) -> None:  # noqa: F811
    """self.z with a self.dz: another input has another."""
    made = op_in(
        module(
            """
            class Square:
                def forward(self, x):
                    self.x, self.z = x, 3 * x
                    return self.z**2

                def backward(self, dout):
                    self.dz = dout * 2 * self.z
                    return 3 * self.dz
            """
        ),
        (4, 3),
    )

    assert made.notes == ()
    assert passes(made, (4, 3))


def test_a_slope_needs_to_be_told_where(module: Any) -> None:  # noqa: F811
    """grad(x) of an object that remembers nothing; of one that does, it could be what came back through the output."""
    text = """
        class Square:
            def __call__(self, z):
                {}
                return z**2

            def grad(self, x):
                return {}
    """

    assert passes(op_in(module(text.format("pass", "2 * x")), (3,)), (3,))
    assert not passes(op_in(module(text.format("pass", "3 * x")), (3,)), (3,))
    assert "--call 'dout, z'" in refused(module(text.format("self.z = z", "2 * self.z * x")), (3,))
    assert passes(op_in(module(text.format("self.z = z", "2 * self.z * x")), (3,), call="dout"), (3,))


@pytest.mark.parametrize(("slope", "right"), [("2", True), ("3", False)])
def test_a_gradient_need_not_say_of_what(module: Any, slope: str, right: bool) -> None:  # noqa: F811
    """self.derivatives, of the only input there is."""
    text = f"""
        class Square:
            def forward(self, inputs):
                self.inputs = inputs
                self.output = inputs**2

            def backward(self, dout):
                self.derivatives = dout * {slope} * self.inputs
    """

    assert passes(op_in(module(text), (3,)), (3,)) == right


def test_none_for_a_target_is_no_gradient(module: Any) -> None:  # noqa: F811
    """A cross entropy that makes integers of its labels takes any numbers; of an input, None is a missing gradient."""
    text = """
        class {}:
            def forward(self, x, t):
                self.x, self.t = x, t.astype(int)
                return ((x - self.t) ** 2).sum()

            def backward(self, dout):
                return 2 * (self.x - self.t) * dout, None
    """

    made = op_in(module(text.format("SquaredError")), (3,), (3,))
    assert passes(made, (3,), (3,))
    assert made.notes == ("no gradient of t is returned, so none is checked",)
    assert not passes(op_in(module(text.format("Gate")), (3,), (3,)), (3,), (3,))


def test_a_loss_is_known_by_its_base(module: Any) -> None:  # noqa: F811
    """An alias with a short name compares with the same targets."""
    made = op_in(
        module(
            """
            class SquaredError:
                def __call__(self, y, y_pred):
                    self.y, self.y_pred = y, y_pred
                    return ((y - y_pred) ** 2).sum()

                def gradient(self):
                    return 2 * (self.y_pred - self.y)

            class SE(SquaredError):
                pass
            """
        ),
        (3,),
        (3,),
        name="SE",
    )

    assert made.differentiable == (False, True)
    assert passes(made, (3,), (3,))


def test_the_only_input_may_be_integers(module: Any) -> None:  # noqa: F811
    """An embedding that makes its own table."""
    text = """
        class Embedding:
            def __init__(self, rows, columns):
                self.W = np.random.randn(rows, columns)

            def forward(self, ids):
                self.ids = ids
                return self.W[ids]

            def backward(self, dout):
                self.dW = np.zeros_like(self.W)
                {}
    """
    sizes = {"rows": 5, "columns": 2}
    right = op_in(module(text.format("np.add.at(self.dW, self.ids, dout)")), (4,), params=sizes)
    wrong = op_in(module(text.format("self.dW[self.ids] = dout")), (4,), params=sizes)

    assert passes(right, (4,))
    assert not passes(wrong, (4,))


def test_a_table_without_a_gradient_leaves_nothing_to_check(module: Any) -> None:  # noqa: F811
    """Integers go in, and nothing else."""
    text = """
        def lookup_forward(ids):
            return np.ones((5, 2))[ids]

        def lookup_backward(dout, ids):
            return None
    """

    assert "nothing to differentiate: ids takes integers only" in refused(module(text), (4,))


NET = """
    class Affine:
        def __init__(self, W, b):
            self.W, self.b = W, b

    class Net:
        def __init__(self, n_in, n_out):
            self.params = {"W": np.random.randn(n_in, n_out), "b": np.zeros(n_out)}
            self.affine = Affine(self.params["W"], self.params["b"])

        def probabilities(self, x):
            e = np.exp(x @ self.affine.W + self.affine.b)
            return e / e.sum(1, keepdims=True)
"""
LOSS = """
        def loss(self, x, t):
            return -np.log(self.probabilities(x)[range(len(x)), t]).mean()

        def gradient(self, x, t):
            d = self.probabilities(x)
            d[range(len(x)), t] -= 1
            return {"W": x.T @ d / len(x), "b": d.sum(0) / len(x)}
"""
BOTH = """
        def loss(self, x, t=None):
            p = self.probabilities(x)
            loss, d, grads = -np.log(p[range(len(x)), t]).mean(), p.copy(), {}
            d[range(len(x)), t] -= 1
            grads["W"], grads["b"] = x.T @ d / len(x), d.sum(0) / len(x)
            return loss, grads
"""


@pytest.mark.parametrize("methods", [LOSS, BOTH], ids=["loss and gradient", "loss returns both"])
def test_a_net_returns_the_gradients_of_its_parameters(module: Any, methods: str) -> None:  # noqa: F811
    """In a dict; its layers hold the same arrays, and a softmax does not feel a b that moves as a whole."""
    sizes, forgotten = {"n_in": 3, "n_out": 2}, methods.replace("d.sum(0) / len(x)", "d.sum(0)")
    right = op_in(module(NET + methods), (4, 3), (4,), params=sizes, name="Net")
    wrong = op_in(module(NET + forgotten), (4, 3), (4,), params=sizes, name="Net")

    assert right.names == ("x", "t", "W", "b")
    assert right.notes == ("no gradient of x is returned, so none is checked",)
    assert passes(right, (4, 3), (4,))
    assert not passes(wrong, (4, 3), (4,))


def test_labels_are_within_what_forward_takes() -> None:
    """No shape of an input says how many classes there are."""
    weights = np.ones((3, 2))

    def loss(x: Any, t: Any) -> Any:
        return (x @ weights)[range(len(x)), t].sum()

    def loss_backward(dout: Any, x: Any, t: Any) -> Any:
        return dout * weights[:, t].T

    op = adapt(loss, loss_backward, signature="(4,3),(4)")
    assert op.domains[1] == Integers(0, 1)
    assert check(op, cases=2, edges=False).passed


def test_data_of_an_objective_are_no_parameters(module: Any) -> None:  # noqa: F811
    """fun(x) and grad(x) of an object that was given arrays; a layer that forgot a gradient has forgotten one."""
    text = """
        class Objective:
            def __init__(self, A):
                self.A = A

            def fun(self, x):
                return (self.A @ x) @ (self.A @ x)

            def grad(self, x):
                return {} * self.A.T @ (self.A @ x)
    """
    right = op_in(module(text.format(2)), (3,), (4, 3))

    assert right.notes == ("no gradient of A is returned, so none is checked",)
    assert passes(right, (3,), (4, 3))
    assert not passes(op_in(module(text.format(3)), (3,), (4, 3)), (3,), (4, 3))


SEQUENTIAL = """
    class Dense:
        def __init__(self, units):
            self.units, self.W = units, None

        def forward(self, x):
            if self.W is None:
                self.W = np.random.randn(x.shape[1], self.units)
            self.x = x
            return x @ self.W

        def backward(self, dout):
            {}
            return dout @ self.W.T

    class Sequential:
        def __init__(self):
            self.layers = [Dense(4), Dense(2)]

        def forward(self, x):
            for layer in self.layers:
                x = layer.forward(x)
            return x

        def backward(self, dout):
            for layer in reversed(self.layers):
                dout = layer.backward(dout)
            return dout
"""


def test_parameters_of_layers_are_those_of_the_net(module: Any) -> None:  # noqa: F811
    """A list of layers: what these keep is checked, or said not to be."""
    right = op_in(module(SEQUENTIAL.format("self.dW = self.x.T @ dout")), (4, 3), name="Sequential")
    wrong = op_in(module(SEQUENTIAL.format("self.dW = self.x.T @ dout / 4")), (4, 3), name="Sequential")

    assert right.names == ("x", "layers0_W", "layers1_W")
    assert passes(right, (4, 3))
    assert not passes(wrong, (4, 3))


def test_lists_of_weights_and_biases_have_lists_of_gradients(module: Any) -> None:  # noqa: F811
    """self.dweights[0] is that of self.weights[0]."""
    text = """
        class Net:
            def __init__(self):
                self.weights = [np.random.randn(3, 4), np.random.randn(4, 2)]
                self.biases = [np.random.randn(4), np.random.randn(2)]

            def forward(self, x):
                self.x = [x]
                for w, b in zip(self.weights, self.biases):
                    self.x.append(self.x[-1] @ w + b)
                return self.x[-1]

            def backward(self, dout):
                self.dweights, self.dbiases = [], []
                for w, x in zip(self.weights[::-1], self.x[-2::-1]):
                    self.dweights.insert(0, x.T @ dout)
                    self.dbiases.insert(0, dout.sum(0) * {})
                    dout = dout @ w.T
                return dout
    """
    right = op_in(module(text.format(1)), (4, 3))

    assert right.names == ("x", "weights0", "weights1", "biases0", "biases1")
    assert passes(right, (4, 3))
    assert not passes(op_in(module(text.format(2)), (4, 3)), (4, 3))


BUNDLE = """
    class Linear:
        def __init__(self, n_in, n_out):
            self.w, self.b = np.random.randn(n_in, n_out), np.zeros(n_out)

        def forward(self, x):
            self.x = x
            return x @ self.w + self.b

        def backward(self, grad):
            return {}
"""


@pytest.mark.parametrize(("scale", "right"), [("1", True), ("2", False)])
@pytest.mark.parametrize("bundle", ["({0}, {1})", "[{0}, {1}]"], ids=["tuple", "list"])
def test_gradients_of_parameters_may_be_bundled(module: Any, bundle: str, scale: str, right: bool) -> None:  # noqa: F811
    """return dx, (dw, db): without names, of what alone has that shape."""
    parts = bundle.format("self.x.T @ grad", f"grad.sum(0) * {scale}")
    made = op_in(module(BUNDLE.format(f"grad @ self.w.T, {parts}")), (4, 3), params={"n_in": 3, "n_out": 2})

    assert made.names == ("x", "w", "b")
    assert passes(made, (4, 3)) == right


def test_lists_of_gradients_of_nobody_knows_what_are_refused(module: Any) -> None:  # noqa: F811
    """With what would do."""
    text = BUNDLE.format("[self.x.T @ grad], [grad.sum(0)]")

    assert "leave them on self, as self.dweights" in refused(module(text), (4, 3), params={"n_in": 3, "n_out": 2})


UPDATING = """
    class Linear:
        def __init__(self, n_in, n_out, learning_rate=0.1):
            self.w, self.learning_rate, self.mean = np.random.randn(n_in, n_out), learning_rate, np.zeros(n_in)

        def forward(self, x):
            self.x, self.mean = x, 0.9 * self.mean + 0.1 * x.mean(0)
            return x @ self.w

        def backward(self, grad):
            dx = grad @ self.w.T
            {} {} self.x.T @ grad
            return dx
"""


def test_a_backward_may_update_by_the_rate_of_its_object(module: Any) -> None:  # noqa: F811
    """What it subtracts is the rate times the gradient."""
    sizes = {"n_in": 3, "n_out": 2}
    right = op_in(module(UPDATING.format("self.w -=", "self.learning_rate *")), (4, 3), params=sizes)
    wrong = op_in(module(UPDATING.format("self.w -=", "self.learning_rate / 4 *")), (4, 3), params=sizes)

    assert right.names == ("x", "w")
    assert "whose gradients are what backward subtracts" in right.taken_for
    assert passes(right, (4, 3))
    assert not passes(wrong, (4, 3))


def test_what_forward_changes_is_no_update(module: Any) -> None:  # noqa: F811
    """A running mean beside a rate that something else is for."""
    made = op_in(module(UPDATING.format("self.dw =", "")), (4, 3), params={"n_in": 3, "n_out": 2})

    assert "subtracts" not in made.taken_for
    assert passes(made, (4, 3))
