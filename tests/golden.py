"""Record fixtures/golden from torch: `python tests/golden.py` (torch must be installed).

Inputs and cotangents are short decimals from gradcheck's own streams; outputs and gradients are what torch computes in
float64 for the same values. Nothing of gradcheck's ops is called.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray
from test_peers_torch import OPS, PEERS, Params, Peer, Shape, each, listed, torch

from gradcheck_cli.case import Case
from gradcheck_cli.errors import ShapeError
from gradcheck_cli.fixtures import schema
from gradcheck_cli.fixtures.store import expected_of, record_of, write
from gradcheck_cli.op import Outputs
from gradcheck_cli.stream import Stream

Array = NDArray[np.float64]

FOLDER = Path(__file__).parents[1] / "fixtures" / "golden"
BY = schema.ComputedBy("torch", torch.__version__.partition("+")[0])
MOST, LARGEST = 8, 40  # cases of an op, entries of an input

# Ties, kinks and extremes, where conventions differ and formulas overflow.
SPECIAL: dict[str, list[tuple[Params, list[Any]]]] = {
    "maximum": [
        ({}, [[1.0, 2.0, -0.5], [1.0, 3.0, -0.5]]),
        ({}, [[[0.0], [1.0]], [0.0, 1.0, 2.0]]),
    ],
    "relu": [({}, [[-1.0, 0.0, 1.0]])],
    "sigmoid": [({}, [[-800.0, -40.0, 0.0, 800.0]])],
    "softmax": [({"axis": -1}, [[[900.0, -900.0, 899.0], [0.0, 0.0, 0.0]]])],
}
# The peers' own cases of these have fewer dimensions than the signature wants.
FURTHER = {"mean_squared_error": each("2,3 2,3", "1,3 4,1", "1,1 1,1", "1,4 3,4", "3,3 3,1")}


def draw(shape: Shape, *keys: object, signed: bool) -> Array:
    """Two-digit decimals between 0.5 and 2, clear of 0, where quotients grow and relu bends."""
    stream = Stream("golden", *keys)
    magnitude = (50 + stream.integers(151, shape)) / 100
    return np.where(stream.integers(2, shape) == 1, -magnitude, magnitude) if signed else magnitude


def cases_of(name: str, peer: Peer) -> list[tuple[Params, list[Array]]]:
    """Some of the cases that the peer tests ask, evenly chosen, and the special ones."""
    special = [(params, [np.array(x) for x in inputs]) for params, inputs in SPECIAL.get(name, [])]
    cases = [c for c in [*peer.cases, *FURTHER.get(name, [])] if fits(name, c.shapes)]
    small = [c for c in cases if max(int(np.prod(shape)) for shape in c.shapes) <= LARGEST]
    chosen = np.unique(np.linspace(0, len(small) - 1, MOST - len(special)).round().astype(int))
    drawn = [
        (c.params, [operand(name, peer, p, s, n) for p, s in enumerate(c.shapes)])
        for n, c in ((n, small[n]) for n in chosen.tolist())
    ]
    return drawn + special


def operand(name: str, peer: Peer, position: int, shape: Shape, number: int) -> NDArray[Any]:
    """One input: 0s and 1s where it is not differentiated."""
    if position not in OPS[name].differentiated:
        return Stream("golden", name, number, position).integers(2, shape)
    return draw(shape, name, number, position, signed=not peer.positive)


def fits(name: str, shapes: tuple[Shape, ...]) -> bool:
    """Whether the op's signature knows such shapes."""
    try:
        OPS[name].gufunc.bind(shapes, OPS[name].names)
    except ShapeError:
        return False
    return True


def golden(name: str, peer: Peer, number: int, params: Params, inputs: Sequence[Array]) -> schema.Record:
    """One case, with what torch makes of it."""
    op = OPS[name]
    tensors = [torch.tensor(x, requires_grad=i in op.differentiated) for i, x in enumerate(inputs)]
    sought = {op.names[i]: tensors[i] for i in op.differentiated}
    answer = peer.function(*tensors, *params.values())
    outputs = [np.array(y.detach().numpy()) for y in listed(answer)]
    cotangents = [draw(y.shape, name, number, "cotangent", i, signed=True) for i, y in enumerate(outputs)]
    gradients = torch.autograd.grad(listed(answer), list(sought.values()), [torch.tensor(w) for w in cotangents])
    packed = Outputs(tuple(outputs), isinstance(answer, (tuple, list)))
    case = Case(op, number, 0, tuple(inputs), params, packed, tuple(cotangents))
    named = dict(zip(sought, (g.numpy() for g in gradients), strict=True))
    side: dict[str, NDArray[Any]] = {}
    record = record_of(case, side, expected=expected_of(outputs, named, BY, side))
    assert not side, f"{name}: golden cases are small"
    record.drawn = UNSET  # gradcheck run would draw other values
    return record


def main() -> None:
    """One file per op."""
    for name, peer in PEERS.items():
        cases = enumerate(cases_of(name, peer))
        write(FOLDER / f"{name}.json", [golden(name, peer, n, params, x) for n, (params, x) in cases], {})


if __name__ == "__main__":
    main()
