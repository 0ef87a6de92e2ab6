"""Every built-in op against torch: same inputs, same signed cotangents, same outputs and gradients."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcheck_cli.registry import resolve

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

Array = NDArray[np.float64]
Shape = tuple[int, ...]
Params = dict[str, Any]

OPS = {op.name: op for op in resolve([])}


class Case(NamedTuple):
    """Input shapes and params of one call."""

    shapes: tuple[Shape, ...]
    params: Params


class Peer(NamedTuple):
    """An op in torch's words (params go by position), and the cases that both are asked."""

    function: Callable[..., Any]
    cases: Sequence[Case]
    positive: bool = False


def each(*texts: str, **choices: Sequence[Any]) -> list[Case]:
    """Every text ("2,3 ()": a matrix and a 0-d array) with every combination of params."""
    return [
        Case(tuple(shape(word) for word in text.split()), dict(zip(choices, row, strict=True)))
        for text, *row in product(texts, *choices.values())
    ]


def shape(text: str) -> Shape:
    return tuple(int(size) for size in text.strip("()").split(",") if size)


def getitem(x: Any, key: Any) -> Any:
    """x[key] by way of flat indices: torch refuses negative steps."""
    return torch.take(x, flat_index(x, key))


def flat_index(x: Any, key: Any) -> Any:
    return torch.tensor(np.array(np.arange(x.numel()).reshape(x.shape)[key], order="C"))


def setitem(x: Any, value: Any, key: Any) -> Any:
    flat = flat_index(x, key)
    return x.flatten().index_put((flat,), value.expand(flat.shape)).reshape(x.shape)


def add_at(x: Any, value: Any, key: Any) -> Any:
    flat = flat_index(x, key)
    return x.flatten().index_put((flat,), value.expand(flat.shape), accumulate=True).reshape(x.shape)


def squeeze(x: Any, axis: Any) -> Any:
    return x.reshape(np.squeeze(np.empty(x.shape), axis).shape)


def expand_dims(x: Any, axis: Any) -> Any:
    return x.reshape(np.expand_dims(np.empty(x.shape), axis).shape)


def softmax(x: Any, axis: Any) -> Any:
    axes = tuple(range(x.ndim)) if axis is None else axis
    return torch.exp(x - torch.logsumexp(x, axes, keepdim=True))


def linear(x: Any, w: Any, b: Any) -> Any:
    if x.ndim == 1:
        return linear(x.unsqueeze(0), w, b).squeeze(-2)
    return torch.einsum("...nk,...km->...nm", x, w) + b.unsqueeze(-2)


UNARY = each("()", "1", "0,3", "4", "2,3,4")
BINARY = each("() ()", "3 ()", "3 3", "0,3 1,3", "2,1 1,4", "3 2,3", "2,3,4 3,1", "2,1,4 5,1,3,1")
REDUCTIONS = [
    *each("2,3,4", axis=[None, 0, -2, (0, 2), (-1, 0)], keepdims=[False, True]),
    *each("()", axis=[None], keepdims=[False, True]),
    *each("1", "3,0", axis=[0], keepdims=[False, True]),
]

PEERS = {
    "add": Peer(torch.add, BINARY),
    "subtract": Peer(torch.subtract, BINARY),
    "multiply": Peer(torch.multiply, BINARY),
    "divide": Peer(torch.divide, BINARY),
    "negative": Peer(torch.negative, UNARY),
    "power": Peer(torch.pow, BINARY, positive=True),
    "exp": Peer(torch.exp, UNARY),
    "log": Peer(torch.log, UNARY, positive=True),
    "sqrt": Peer(torch.sqrt, UNARY, positive=True),
    "sin": Peer(torch.sin, UNARY),
    "cos": Peer(torch.cos, UNARY),
    "tanh": Peer(torch.tanh, UNARY),
    "sigmoid": Peer(torch.sigmoid, UNARY),
    "relu": Peer(torch.relu, UNARY),
    "maximum": Peer(torch.maximum, BINARY),
    "absolute": Peer(torch.abs, UNARY),
    "square": Peer(torch.square, UNARY),
    "where": Peer(
        lambda condition, a, b: torch.where(condition > 0, a, b),
        each("() () ()", "3 3 ()", "2,1 1,4 4", "3 2,3 2,1", "0,3 1,3 ()", "5,1,3,1 2,1,4 4"),
    ),
    "sum": Peer(torch.sum, REDUCTIONS),
    "mean": Peer(torch.mean, REDUCTIONS),
    "sum_to": Peer(
        torch.Tensor.sum_to_size,
        [
            *each("2,3,4", shape=[(2, 3, 4), (3, 4), (2, 1, 4), (1, 4), (1, 1, 1), ()]),
            *each("0,3", shape=[(1, 3), (3,)]),
            *each("()", shape=[()]),
        ],
    ),
    "copy": Peer(torch.clone, UNARY),
    "broadcast_to": Peer(
        torch.broadcast_to,
        [
            *each("()", "1,3", "2,1,1", "3", shape=[(2, 2, 3)]),
            *each("1", shape=[(0, 3), (1,)]),
        ],
    ),
    "reshape": Peer(
        torch.reshape,
        [
            *each("2,3,4", "24", "4,1,6", shape=[(4, 6), (-1,), (2, -1, 2)]),
            *each("()", shape=[(), (1, 1)]),
            *each("0,3", shape=[(3, 0)]),
        ],
    ),
    "transpose": Peer(
        lambda x, axes: x.permute(axes or tuple(range(x.ndim))[::-1]),
        [
            *each("2,3,4", axes=[None, (1, 2, 0), (-1, 0, -2), [2, 0, 1]]),
            *each("()", axes=[None, ()]),
            *each("0,3", axes=[None, (1, 0)]),
        ],
    ),
    "swapaxes": Peer(torch.swapaxes, each("2,3,4", "0,3", axis1=[0, 1, -2], axis2=[-1, 0])),
    "expand_dims": Peer(
        expand_dims,
        [
            *each("2,3", axis=[0, 1, -1, -2, (0, -1), (1, -2)]),
            *each("()", axis=[0, -1, (-1, -2)]),
        ],
    ),
    "squeeze": Peer(
        squeeze,
        [
            *each("1,3,1", axis=[None, 0, -1, (0, 2), ()]),
            *each("()", "0,3", axis=[None, ()]),
        ],
    ),
    "getitem": Peer(
        getitem,
        [
            *each("()", key=[(), Ellipsis, None, True]),
            *each("4,3", key=[0, -1, (1, 2), slice(None, None, -1), (slice(-1, None, -2), slice(1, None))]),
            *each("4,3", key=[(Ellipsis, -1), (None, Ellipsis, slice(1)), slice(4, 4), []]),
            *each("4,3", key=[[0, 0, -1, 0], (Ellipsis, [2, 2]), ([0, 0, 3], [-1, -1, 2])]),
            *each("4,3", key=[[True, False, True, True], (slice(1, 3), [False, True, True])]),
        ],
    ),
    "setitem": Peer(setitem, each("4,3 3", "1,3 3", "4,3 1", key=[0, -1, Ellipsis, slice(None, None, -1)])),
    "add_at": Peer(add_at, each("4,3 3", "1,3 3", "4,3 1", key=[0, (None, -1), slice(None, None, -1), [0, -1, 0]])),
    "split": Peer(
        torch.tensor_split,
        [
            *each("6,2", indices_or_sections=[1, 2, 3, (1,), (1, 4), (2, 2), (-1,), (0, 9)], axis=[0]),
            *each("2,3,4", indices_or_sections=[4, (1, 3)], axis=[-1]),
        ],
    ),
    "concatenate": Peer(
        lambda a, b, axis: torch.cat((a, b), axis),
        [
            *each("2,3 4,3", "0,3 2,3", axis=[0, -2]),
            *each("2,3 2,1", "2,3 2,3", axis=[1, -1]),
            *each("2 3", axis=[0]),
        ],
    ),
    "matmul": Peer(
        torch.matmul,
        [
            *each("3 3", "2,3 3", "3 3,4", "2,3 3,4", "1,1 1,1", "2,0 0,3", "0,3 3"),
            *each("5,2,3 3", "3 5,3,4", "5,2,3 3,4", "2,3 5,3,4", "1,2,3 5,3,4", "5,1,2,3 6,3,4"),
        ],
    ),
    "outer": Peer(torch.outer, each("3 4", "1 1", "0 2")),
    "softmax": Peer(
        softmax,
        [
            *each("2,3,4", axis=[-1, 0, 1, None, (0, -1)]),
            *each("0,3", "1", axis=[0]),
            *each("()", axis=[None]),
        ],
    ),
    "linear": Peer(
        linear,
        [
            *each("3 3,4 4", "2,3 3,4 4", "5,2,3 3,4 4", "0,3 3,4 4", "1,1 1,1 1"),
            *each("3 5,3,4 6,1,4", "2,3 5,3,4 4", "2,3 3,4 5,4", "5,1,2,3 6,3,4 1,6,4", "2,2,3 1,3,4 2,4"),
        ],
    ),
    "mean_squared_error": Peer(
        lambda prediction, target: torch.mean((prediction - target) ** 2),
        [case for case in BINARY if (0, 3) not in case.shapes],
    ),
}
CASES = [
    pytest.param(name, *case, id=f"{name}-{case.shapes}-{case.params}")
    for name, peer in PEERS.items()
    for case in peer.cases
]


def draw(rng: np.random.Generator, shape: Shape, *, signed: bool) -> Array:
    """Values clear of 0, where quotients grow and relu bends."""
    values = rng.uniform(0.5, 2, shape)
    return np.array(values * rng.choice([-1.0, 1.0], shape) if signed else values)


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def assert_close(ours: list[Any], theirs: Sequence[Any]) -> None:
    """Same shapes, and equal to 1e-12 of the largest entry."""
    for our, their in zip(ours, (tensor.detach().numpy() for tensor in theirs), strict=True):
        assert np.shape(our) == their.shape
        np.testing.assert_allclose(our, their, rtol=0, atol=1e-12 * np.max(np.abs(their), initial=0))


def compare(name: str, inputs: list[Array], params: Params, rng: np.random.Generator) -> None:
    """Hold outputs and gradients of one call against torch's."""
    tensors = [torch.tensor(x, requires_grad=i in OPS[name].differentiated) for i, x in enumerate(inputs)]
    their_out = listed(PEERS[name].function(*tensors, *params.values()))
    cotangents = [draw(rng, tuple(tensor.shape), signed=True) for tensor in their_out]
    sought = [tensor for tensor in tensors if tensor.requires_grad]
    theirs = torch.autograd.grad(their_out, sought, [torch.tensor(c) for c in cotangents])

    out = OPS[name].forward(*inputs, **params)
    upstream = (tuple(cotangents), tuple(out)) if isinstance(out, (tuple, list)) else (cotangents[0], out)
    ours = OPS[name].backward(*upstream, *inputs, **params)

    assert_close(listed(out), their_out)
    assert_close(listed(ours), theirs)


def test_every_built_in_op_has_a_peer() -> None:
    """An op without a row in PEERS would never meet torch."""
    assert sorted(PEERS) == sorted(OPS)


@pytest.mark.parametrize(("name", "shapes", "params"), CASES)
def test_backward_agrees_with_torch(name: str, shapes: tuple[Shape, ...], params: Params) -> None:
    """Outputs and gradients agree to 1e-12 for random inputs and signed cotangents."""
    rng = np.random.default_rng(0)
    inputs: list[Any] = [
        draw(rng, shape, signed=not PEERS[name].positive)
        if i in OPS[name].differentiated
        else rng.integers(2, size=shape)
        for i, shape in enumerate(shapes)
    ]
    compare(name, inputs, params, rng)


@pytest.mark.parametrize(
    ("name", "params", "inputs"),
    [
        ("maximum", {}, [[1.0, 2.0, -0.5], [1.0, 3.0, -0.5]]),
        ("maximum", {}, [[[0.0], [1.0]], [0.0, 1.0, 2.0]]),
        ("relu", {}, [[-1.0, 0.0, 1.0]]),
        ("power", {}, [[0.0, 0.0, 2.0, 0.0], [0.0, 1.0, -2.0, 2.0]]),
        ("sigmoid", {}, [[-800.0, -40.0, 0.0, 800.0]]),
        ("softmax", {"axis": -1}, [[[900.0, -900.0, 899.0], [0.0, 0.0, 0.0]]]),
    ],
)
def test_backward_agrees_with_torch_at_special_values(name: str, params: Params, inputs: list[Any]) -> None:
    """Ties, kinks and extremes follow the conventions of torch."""
    compare(name, [np.array(x) for x in inputs], params, np.random.default_rng(0))
