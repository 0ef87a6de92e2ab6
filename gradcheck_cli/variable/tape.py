"""The tape: which op made which array out of which, and gradients flowing back along it.

A node is one call of an op, or a leaf. Nodes hold plain arrays and know the nodes they came from, never the Variables:
whoever drops the last Variable of a computation frees all of it at once, without a garbage collector.
"""

from __future__ import annotations

import itertools
import operator
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.errors import TapeError
from gradcheck_cli.op import Op

Array = NDArray[Any]
Edge = tuple["Node", int]  # one output of a node
Lift = Callable[[Any, "Edge | None"], Any]  # an array and where it came from -> a Variable

_serials = itertools.count()
_SERIAL = operator.attrgetter("serial")
_recording: ContextVar[bool] = ContextVar("recording", default=True)


class Node:
    """One call of an op: what went in, what came out, and the edges along which gradients go back.

    `edges` has one entry per input, None for a constant. `handles` are weak references to the Variables that show
    the outputs. Serial numbers grow, so that descending order is a reverse topological order. A leaf has no op.

    Raises TapeError for complex numbers, if the op is not for them.
    """

    __slots__ = ("edges", "handles", "inputs", "op", "outputs", "params", "serial", "several")

    def __init__(
        self,
        op: Op | None,
        inputs: Sequence[Any] = (),
        edges: Sequence[Edge | None] = (),
        params: Mapping[str, Any] | None = None,
        outputs: Sequence[Array] = (),
        several: bool = False,
    ) -> None:
        if op is not None and "c" in [x.dtype.kind for x in (*inputs, *outputs)]:
            _refuse_complex(op)
        self.op = op
        self.inputs = inputs
        self.edges = edges
        self.params = params or {}
        self.outputs = outputs
        self.several = several
        self.serial = next(_serials)
        self.handles: list[weakref.ref[Any]] = []

    def pull(self, grads: Sequence[Any], lift: Lift | None) -> list[tuple[Edge, Any]]:
        """Call backward: the gradient of each tracked input, with its edge.

        `grads` has a gradient, or None beside others, for each output. With `lift`, backward gets Variables and is
        recorded; without, plain arrays. Raises TapeError for gradients that are too few or of a wrong shape.
        """
        op, inputs, outputs, cotangents = self.op, self.inputs, self.outputs, grads
        assert op is not None
        wanted = slots(op, len(inputs))
        if self.several:
            cotangents = [np.zeros_like(y) if g is None else g for g, y in zip(grads, outputs, strict=True)]
        if lift is not None:
            inputs = [lift(x, e) if i in wanted else x for i, (x, e) in enumerate(zip(inputs, self.edges, strict=True))]
            outputs = [lift(y, (self, i)) for i, y in enumerate(outputs)]
            cotangents = [lift(g, None) for g in cotangents]
        try:
            if self.several:
                answer = op.backward(tuple(cotangents), tuple(outputs), *inputs, **self.params)
            else:
                answer = op.backward(cotangents[0], outputs[0], *inputs, **self.params)
        except Exception as error:
            self._blame(error)
            raise
        gradients: Sequence[Any] = answer if isinstance(answer, (tuple, list)) else (answer,)
        if len(gradients) != len(wanted):
            gradients = self._wanted(gradients, wanted)
        pairs = []
        for i, gradient in zip(wanted, gradients, strict=True):
            edge = self.edges[i]
            if edge is not None:
                if getattr(gradient, "shape", None) != inputs[i].shape:
                    self._check_shape(i, gradient)
                pairs.append((edge, gradient))
        return pairs

    def _blame(self, error: Exception) -> None:
        """Say whose backward raised; raises TapeError for one that cannot run on Variables."""
        op = self.op
        assert op is not None
        cause = error.__cause__ if isinstance(error.__cause__, TapeError) else error  # NumPy wraps it: plain[0] = v
        if isinstance(cause, TapeError):
            raise TapeError(f"backward of {op.name} ({op.place}) cannot run on Variables: {cause}") from error
        error.add_note(f"raised in backward of op {op.name}")

    def _wanted(self, gradients: Sequence[Any], wanted: Sequence[int]) -> Sequence[Any]:
        """One gradient for each wanted input; raises TapeError where there are too few or too many."""
        if len(gradients) == len(self.inputs):  # it may also return one (or None) for every input
            return [gradients[i] for i in wanted]
        assert self.op is not None
        raise TapeError(
            f"op {self.op.name}: backward ({self.op.place}) returned {len(gradients)} gradients for {len(wanted)} "
            "inputs; return one each"
        )

    def _check_shape(self, position: int, gradient: Any) -> None:
        shape = self.inputs[position].shape
        if gradient is None or np.shape(gradient) != shape:
            assert self.op is not None
            got = "None" if gradient is None else f"an array of shape {np.shape(gradient)}"
            raise TapeError(
                f"op {self.op.name}: backward ({self.op.place}) returned {got} for input {position}, whose shape is "
                f"{shape}; gradcheck run checks it"
            )


def _refuse_complex(op: Op) -> None:
    if not any(dtype.startswith("complex") for dtype in op.dtypes):
        raise TapeError(
            f"op {op.name} is for {' and '.join(op.dtypes)}, and there are complex numbers here; declare one that is "
            'for them, Op(..., dtypes="complex128"), or take .data, where the gradient may end'
        )


def slots(op: Op, count: int) -> tuple[int, ...]:
    """Which of `count` inputs backward differentiates; an op of *arrays treats more than it declares as those."""
    declared = op.differentiated
    return tuple(range(count)) if len(declared) == len(op.names) != count else declared


def flow(
    seeds: Iterable[tuple[Edge, Any]], lift: Lift | None = None, targets: Collection[Node] | None = None
) -> Iterator[tuple[Node, list[Any]]]:
    """Send gradients back from some roots: every node they reach, with its complete gradients (None for no gradient).

    Each node calls backward once, when all that flows into it has come together, so that diamonds cost no more than
    chains. A gradient is forgotten as soon as it was handed on. With `targets`, only the way to these is gone.
    """
    pending: dict[Node, list[Any]] = {}

    def add(edge: Edge, gradient: Any) -> None:
        node, index = edge
        waiting = pending.get(node)
        if waiting is None:
            if not node.several:
                pending[node] = [gradient]
                return
            waiting = pending[node] = [None] * len(node.outputs)
        # Out of place: what backward returned may be an array that somebody else holds.
        waiting[index] = gradient if waiting[index] is None else waiting[index] + gradient

    for edge, gradient in (seeds := list(seeds)):
        add(edge, gradient)
    order = ancestors([node for (node, _), _ in seeds])
    kept = None if targets is None else _leading_to(targets, order)
    for node in reversed(order):
        if (grads := pending.pop(node, None)) is None:
            continue
        yield node, grads
        if node.op is None or (kept is not None and not any(edge and edge[0] in kept for edge in node.edges)):
            continue
        for edge, gradient in node.pull(grads, lift):
            if kept is None or edge[0] in kept:
                add(edge, gradient)


def ancestors(roots: Iterable[Node]) -> list[Node]:
    """The roots and all that they came from, oldest first."""
    found = set(roots)
    waiting = list(found)
    while waiting:
        for edge in waiting.pop().edges:
            if edge is not None and edge[0] not in found:
                found.add(edge[0])
                waiting.append(edge[0])
    return sorted(found, key=_SERIAL)


def _leading_to(targets: Collection[Node], order: Sequence[Node]) -> set[Node]:
    """The targets, and the nodes of `order` (oldest first) that came from one."""
    kept = set(targets)
    for node in order:
        if any(edge is not None and edge[0] in kept for edge in node.edges):
            kept.add(node)
    return kept


def is_recording() -> bool:
    """Whether ops on Variables are recorded just now."""
    return _recording.get()


@contextmanager
def recording(wanted: bool) -> Iterator[None]:
    """Record the ops inside, or do not."""
    token = _recording.set(wanted)
    try:
        yield
    finally:
        _recording.reset(token)


def no_grad() -> Any:
    """A block whose results are constants: what is computed in it is not recorded."""
    return recording(wanted=False)
