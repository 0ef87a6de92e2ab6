"""The Variable: an array that remembers how it was computed, for plain NumPy code."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import ArrayLike

from gradcheck_cli.errors import TapeError
from gradcheck_cli.op import DTYPES, Op
from gradcheck_cli.variable import tape
from gradcheck_cli.variable.dispatch import op_named
from gradcheck_cli.variable.handle import Handle
from gradcheck_cli.variable.tape import Array, Edge, Node

# ndarray methods that are NumPy functions of the same name, that change the array, and that leave arrays behind.
_TWINS = frozenset({
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "astype", "choose", "clip", "compress", "conj",
    "conjugate", "copy", "cumprod", "cumsum", "diagonal", "dot", "max", "mean", "min", "nonzero", "prod", "ptp",
    "ravel", "repeat", "round", "searchsorted", "squeeze", "std", "sum", "swapaxes", "take", "trace", "var",
})  # fmt: skip
_CHANGING = frozenset({"fill", "partition", "put", "resize", "sort", "byteswap"})
_LEAVING = frozenset({"item", "tolist", "tobytes", "tofile", "dump", "dumps", "view"})


class Variable(Handle, NDArrayOperatorsMixin):
    """An array on a tape: NumPy functions and operators work on it, and `backward` differentiates what they made.

    `data` is the plain array; `grad`, of the same shape, is None until a backward arrives here: a plain array, or a
    Variable after `backward(create_graph=True)`. Arrays that were computed from no Variable are constants.
    What the tape cannot follow raises TapeError, which says what to do instead; nothing detaches silently.
    """

    __slots__ = ()

    def __new__(cls, data: ArrayLike) -> Self:
        array = np.asarray(data)
        if array.dtype.kind not in "biufc":
            raise TapeError(f"Variable({data!r}): write numbers")
        leaf = Node(None)
        variable = cls._of(array, (leaf, 0))
        leaf.handles.append(weakref.ref(variable))
        return variable

    # What an array says about itself.

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the data, and of the gradient."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the entries."""
        return self.data.dtype

    @property
    def T(self) -> Variable:  # noqa: N802 (NumPy's name)
        """Transposed: all dimensions in reverse."""
        return self.transpose()

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __iter__(self) -> Iterator[Variable]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Variable({str(self.data).replace(chr(10), chr(10) + ' ' * len('Variable('))})"

    def __format__(self, spec: str) -> str:
        return format(self.data[()], spec) if spec else repr(self)

    __hash__ = object.__hash__  # == compares entries, as for arrays; a Variable is still one of a kind

    # NumPy's ways in.

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """A ufunc on a Variable: the op whose forward it is."""
        if method == "__call__":
            return self._call(ufunc, inputs, kwargs)
        if method == "reduce" and ufunc in _REDUCTIONS:
            return self._call(_REDUCTIONS[ufunc], inputs, {"axis": 0, **kwargs})
        return self._call(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, func: Any, types: Iterable[type], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Another NumPy function on a Variable: the op whose forward it is, or whose overloads= name it."""
        if not all(issubclass(t, (Variable, np.ndarray)) for t in types):
            return NotImplemented
        return self._call(func, args, kwargs)

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TapeError(
            "a Variable would become a plain array here, and its gradient would be lost. Call NumPy functions on the "
            "Variable itself; write on np.zeros_like(variable) instead of np.zeros(shape); join several by "
            "np.concatenate instead of np.array; or take .data, where the gradient may end"
        )

    def _to_number(self, *_: Any) -> NoReturn:
        raise TapeError("a Variable would become a plain number here; write float(variable.data), or keep the Variable")

    __float__ = __int__ = __complex__ = __index__ = _to_number

    def __reduce_ex__(self, _: Any) -> NoReturn:
        raise TapeError(
            "a Variable would be copied or pickled without its graph; write np.copy(variable), or "
            "Variable(variable.data.copy()) for another leaf"
        )

    # Methods and indexing.

    def __getattr__(self, name: str) -> Any:
        if name in _TWINS:
            function = getattr(np, name)
            return lambda *args, **kwargs: function(self, *args, **kwargs)
        if name in _CHANGING:
            raise TapeError(f"Variable.{name} would change it in place; write variable[...] = values, or use .data")
        if name in _LEAVING:
            raise TapeError(f"Variable.{name} would lose the gradient; write variable.data.{name}")
        raise AttributeError(f"Variable has no attribute {name!r}")

    def reshape(self, *shape: Any) -> Variable:
        """np.reshape; the shape as one tuple or as several numbers."""
        reshaped: Variable = self._call(np.reshape, (self, _one(shape)), {})
        return reshaped

    def transpose(self, *axes: Any) -> Variable:
        """np.transpose; the axes as one tuple or as several numbers."""
        transposed: Variable = self._call(np.transpose, (self, _one(axes) if axes else None), {})
        return transposed

    def flatten(self) -> Variable:
        """A copy of it, in one dimension."""
        copied: Variable = self._call(np.copy, (self,), {})
        return copied.reshape(-1)

    def __getitem__(self, key: Any) -> Variable:
        picked: Variable = self._call(operator.getitem, (self, key), {})
        if self._may_write and self._shares(picked):
            picked._base = self, key
        return picked

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, Variable) and value._base is not None and value._base[0] is self and value._base[1] is key:
            return  # `self[key] += x` has written through the view that self[key] is
        self._call(operator.setitem, (self, key, value), {})

    # Differentiation.

    def backward(self, gradient: Any = None, retain_grad: bool = False, create_graph: bool = False) -> None:
        """Add d<gradient, self>/dx to the `grad` of every leaf x that this was computed from.

        `gradient` has this Variable's shape, ones if not given. `retain_grad` keeps the gradients of what lies
        between as well; `create_graph` makes all of them Variables, to be differentiated again.
        """
        backward([self], [gradient], retain_grad=retain_grad, create_graph=create_graph)


_REDUCTIONS: dict[Any, Callable[..., Any]] = {np.add: np.sum, np.multiply: np.prod, np.maximum: np.max}


def backward(
    roots: Sequence[Variable],
    gradients: Sequence[Any] | None = None,
    *,
    retain_grad: bool = False,
    create_graph: bool = False,
) -> None:
    """`Variable.backward` from several roots at once: what they share is walked through once."""
    seeds = seeded(roots, gradients if gradients is not None else [None] * len(roots))
    with tape.recording(create_graph):
        for node, grads in tape.flow(seeds, Variable._lift if create_graph else None):
            if retain_grad or node.op is None:
                _deposit(node, grads, create_graph)


def _deposit(node: Node, grads: Sequence[Any], create_graph: bool) -> None:
    for index, (reference, grad) in enumerate(zip(node.handles, grads, strict=True)):
        variable = reference()
        if variable is None or grad is None or variable._edge != (node, index):  # gone, or written on since
            continue
        total = fitted(grad, variable.dtype)
        total = np.array(total) if variable.grad is None and not create_graph else total  # others may hold it
        total = total if variable.grad is None else variable.grad + total
        variable.grad = _recorded(total) if create_graph else total


def fitted(grad: Any, dtype: np.dtype[Any]) -> Any:
    """A gradient of its data's dtype: beside wider numbers, or complex ones, it was computed as one of these."""
    if dtype.kind not in "fc" or getattr(grad, "dtype", None) == dtype:
        return grad
    return apply(_CAST, grad, dtype=dtype) if isinstance(grad, Variable) else _cast(np.asarray(grad), dtype)


def _cast(x: Array, dtype: np.dtype[Any]) -> Array:
    return (x if dtype.kind == "c" else x.real).astype(dtype)


_CAST = Op(_cast, lambda grad, *_, dtype: grad, "(...)", params={"dtype": DTYPES}, dtypes=DTYPES)  # noqa: ARG005


def _recorded(grad: Any) -> Variable:
    """A gradient as a Variable; one that depends on nothing is a leaf, so that it can be differentiated as well."""
    if isinstance(grad, Variable):
        return Variable._of(grad.data, grad._edge) if grad._edge is not None else Variable(grad.data)
    return Variable(grad)


def seeded(roots: Sequence[Variable], gradients: Sequence[Any]) -> list[tuple[Edge, Any]]:
    """Where gradients start from: ones where none is given; raises TapeError for a wrong shape or a constant."""
    seeds: list[tuple[Edge, Any]] = []
    for root, gradient in zip(roots, gradients, strict=True):
        if not isinstance(root, Variable) or root._edge is None:
            raise TapeError(
                "backward of a constant: it was computed from no Variable, or inside no_grad(); "
                "make its inputs Variables, or compute it outside"
            )
        seed = np.ones_like(root.data) if gradient is None else gradient
        seed = seed if isinstance(seed, Variable) else np.asarray(seed)
        if seed.shape != root.shape:
            raise TapeError(f"the gradient has shape {seed.shape}, the Variable {root.shape}; they must be the same")
        seeds.append((root._edge, seed))
    return seeds


def apply(op: Op | str, *inputs: Any, **params: Any) -> Any:
    """Call an op, or the installed op of that name, on Variables: a Variable, or a tuple where there are several.

    Raises TapeError for a Variable among the params: no gradient comes back to these.
    """
    if not isinstance(op, (Op, str)):
        raise TapeError(f"apply takes an op, or the name of one; {op!r} is neither")
    return Variable._apply(op_named(op) if isinstance(op, str) else op, inputs, params)


def _one(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else values
