"""What a Variable is to the tape: an array and where it came from, recorded calls, and writes that are followed."""

from __future__ import annotations

import functools
import operator
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.errors import TapeError
from gradcheck_cli.op import Op
from gradcheck_cli.variable import tape
from gradcheck_cli.variable.dispatch import BUFFERS, QUERIES, WRITERS, as_arrays, entry_of, refusal, shown
from gradcheck_cli.variable.tape import Edge, Node

Array = NDArray[Any]


class Handle:
    """An array, the edge it came along (None for a constant), and what is needed to write on it.

    Writing rebinds: the array that others recorded stays as it was, and this handle shows a new one. So do the views
    of it that are still alive, and what it is a view of, as NumPy would have it.
    """

    __slots__ = ("__weakref__", "_base", "_edge", "_number", "_views", "_writable", "data", "grad")

    data: Array
    grad: Any
    _edge: Edge | None
    _writable: bool  # whether this owns its memory, so that nobody else could see a write
    _number: bool  # whether NumPy would have a number here, of which += makes another
    _base: tuple[Self, Any] | None  # of a view: what it is a view of, and its key
    _views: list[tuple[weakref.ref[Self], Callable[[Self], Self]]]  # and how to look again

    @classmethod
    def _of(cls, data: Any, edge: Edge | None = None, writable: bool = False, number: bool = False) -> Self:
        """Another handle of an array that is on a tape; a constant without an edge."""
        handle = object.__new__(cls)
        handle.data, handle.grad, handle._edge = data, None, edge
        handle._writable, handle._number, handle._base, handle._views = writable, number, None, _NO_VIEWS
        return handle

    @classmethod
    def _lift(cls, value: Any, edge: Edge | None) -> Self:
        """What backward gets when it is recorded: it must not write on it, others hold it too."""
        if isinstance(value, Handle):
            return cls._of(value.data, value._edge)
        return cls._of(np.asarray(value), edge)

    # Calls of ops.

    @classmethod
    def _call(cls, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """A NumPy function, or an operator, on arguments among which there is a Variable."""
        out = kwargs.get("out")
        if out is not None:
            kwargs = {name: value for name, value in kwargs.items() if name != "out"}
        if entry := entry_of(function):
            answer = cls._apply(entry.op, *entry.bind(args, kwargs))
        elif function in QUERIES:
            answer = function(*map(_plain, args), **{name: _plain(value) for name, value in kwargs.items()})
        elif function in BUFFERS:
            answer = cls._of(function(_plain(args[0]), *args[1:], **kwargs), writable=True)
        else:
            raise refusal(function)
        if function in WRITERS:
            _target(args[0], function)._write(answer)
            return None
        if out is None:
            return answer
        target = _target(out[0] if isinstance(out, tuple) else out, function)
        if target._number:
            return answer
        target._assign(answer)
        return target

    @classmethod
    def _apply(cls, op: Op, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
        """Call an op and record it: a Variable, or a tuple of them where forward returns several arrays."""
        params = params and {name: _settled(op, name, value) for name, value in params.items()}
        # Every call of every op comes through here: loops are plain, and nothing is made twice.
        differentiated = tape.slots(op, len(inputs))
        arrays, edges, tracked, recording = [], [], False, tape.is_recording()
        for position, x in enumerate(inputs):
            edge = None
            if isinstance(x, Handle):
                arrays.append(x.data)
                if position in differentiated and (edge := x._edge) is not None:
                    tracked = True
            elif recording and isinstance(x, np.ndarray) and x.flags.writeable:
                arrays.append(x.copy())  # which its owner may write on before backward comes
            else:
                arrays.append(x)
            edges.append(edge)
        arrays = as_arrays(arrays)
        answer = op.forward(*arrays, **params)
        several = isinstance(answer, (tuple, list))
        answers = answer if several else (answer,)
        outputs = tuple([np.asarray(y) for y in answers])
        recorded = tracked and recording
        node = Node(op, tuple(arrays), tuple(edges), params, outputs, several) if recorded else None
        made, shared = [], False
        for i, y in enumerate(outputs):
            number = y is not answers[i] and y.ndim == 0
            own = not number and y.base is None and id(y) not in map(id, arrays)
            shared = shared or not (own or number)
            handle = cls._of(y, None if node is None else (node, i), own, number)
            made.append(handle)
            if node is not None:
                node.handles.append(weakref.ref(handle))
        if shared:
            for x in inputs:
                if isinstance(x, Handle) and x._may_write:
                    x._remember_views(made, op, inputs, params)
        return tuple(made) if several else made[0]

    # Writing.

    @property
    def _may_write(self) -> bool:
        return self._writable or self._base is not None

    def _write(self, new: Self) -> None:
        """Show `new` from now on, and so do what this is a view of and what are views of this."""
        if self._base is not None:
            base, key = self._base
            base._call(operator.setitem, (base, key, new), {})  # which looks at this view again
        elif self._writable:
            self._rebind(new)
        else:
            raise TapeError(
                "this Variable cannot be written on: it is a leaf, a gradient, or shares memory with another array. "
                "Write on np.copy(variable) or np.zeros_like(variable), or out of place: y = y + x, not y += x"
            )

    def _rebind(self, new: Self) -> None:
        self.data, self._edge = new.data, new._edge
        if new._edge is not None:
            node, index = new._edge
            node.handles[index] = weakref.ref(self)
        self._views, views = _NO_VIEWS, self._views
        for reference, look in views:
            if (view := reference()) is not None:
                view._rebind(look(self))
                self._views = [*self._views, (reference, look)]

    def _shares(self, view: Self) -> bool:
        """Whether another array, made of this one, shows the same memory."""
        owner = self.data if self.data.base is None else self.data.base
        return view.data.base is owner or view.data is self.data

    def _remember_views(self, made: Sequence[Self], op: Op, inputs: Sequence[Any], params: Mapping[str, Any]) -> None:
        """What an op made of this may share its memory: it must show what is written here later."""
        others = [None if x is self else x for x in inputs]  # nothing that is remembered may hold on to this

        def look(base: Self, index: int) -> Any:
            again = base._apply(op, [base if x is None else x for x in others], params)
            return again[index] if isinstance(again, tuple) else again

        for index, view in enumerate(made):
            if self._shares(view):
                self._views = [*self._views, (weakref.ref(view), functools.partial(look, index=index))]

    def _assign(self, new: Any) -> None:
        """`out=`, and `+=`: as NumPy, no other shape, and no cast from float to int."""
        new = new if isinstance(new, Handle) else self._of(np.asarray(new))
        if not np.can_cast(new.data.dtype, self.data.dtype, "same_kind"):
            raise TapeError(
                f"an array of {new.data.dtype} cannot be written on one of {self.data.dtype}, here as in NumPy"
            )
        if new.data.shape == self.data.shape and new.data.dtype == self.data.dtype:
            self._write(new)
        else:
            self._call(operator.setitem, (self, Ellipsis, new), {})


_NO_VIEWS: Any = ()


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, Handle) else value


def _target(target: Any, function: Callable[..., Any]) -> Handle:
    if not isinstance(target, Handle):
        raise TapeError(
            f"{shown(function)} would write a Variable into a plain array, and its gradient would be lost; "
            "write on np.zeros_like(variable) instead of np.zeros(shape)"
        )
    return target


def _settled(op: Op, name: str, value: Any) -> Any:
    """A param that nobody will change; raises TapeError for a Variable, also within a tuple or list."""
    if isinstance(value, Handle):
        raise TapeError(f"{name} of op {op.name} is a param, to which no gradient comes back; give it .data")
    if type(value) in (tuple, list):
        return type(value)([_settled(op, name, entry) for entry in value])
    return value.copy() if isinstance(value, np.ndarray) else value
