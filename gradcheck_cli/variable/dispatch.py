"""A NumPy function -> the registered op that differentiates it, and its call as inputs and params."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.errors import GradcheckError, TapeError, suggestions
from gradcheck_cli.op import Op
from gradcheck_cli.registry import installed_ops

Function = Callable[..., Any]
Call = tuple[Sequence[Any], Mapping[str, Any]]  # inputs and params

# Answers that have no slope, or slope 0 wherever they have one: Variables go in as plain arrays, plain values come out.
QUERIES: frozenset[Function] = frozenset({
    np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj, np.shares_memory,
    np.may_share_memory, np.array_repr, np.array_str, np.array2string,
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal, np.isclose, np.allclose,
    np.array_equal, np.array_equiv, np.isnan, np.isfinite, np.isinf, np.signbit, np.isin, np.any, np.all,
    np.logical_and, np.logical_or, np.logical_xor, np.logical_not,
    np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.argsort, np.argpartition, np.argwhere, np.nonzero,
    np.flatnonzero, np.count_nonzero, np.searchsorted, np.digitize, np.lexsort,
    np.sign, np.floor, np.ceil, np.trunc, np.rint, np.round, np.around, np.fix, np.floor_divide,
})  # fmt: skip
# Fresh arrays of the same shape: constants on which writing is followed.
BUFFERS: frozenset[Function] = frozenset({np.zeros_like, np.ones_like, np.empty_like, np.full_like})
# Python's numbers, and the kinds of arrays that they do not change.
_WEAK: Mapping[type, str] = {bool: "biufc", int: "iufc", float: "fc", complex: "c"}
# These change their first argument.
WRITERS: frozenset[Function] = frozenset({operator.setitem, np.put_along_axis, np.add.at})

_temporary: ContextVar[Mapping[Function, Entry]] = ContextVar("temporary", default=MappingProxyType({}))


@dataclass(frozen=True)
class Entry:
    """An op that answers for a function; `adapter` turns a call of that function into one of the op."""

    op: Op
    function: Function
    adapter: Callable[..., Call] | None = None

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
        """The op's inputs and params in a call of the function.

        Raises TapeError for an argument that the op knows nothing of.
        """
        if self.adapter is not None:
            try:
                return self.adapter(*args, **kwargs)
            except TypeError as error:
                raise TapeError(
                    f"{shown(self.function)} on a Variable: {error} (in overloads= of op {self.op.name})"
                ) from error
        if not kwargs and len(args) == len(self.op.names) and not self.op.params:
            return args, {}
        return self._bind_by_name(args, kwargs)

    def _bind_by_name(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
        signature = self._signature
        if signature is None:
            count = len(self.op.names)
            given, values, defaults = dict(kwargs), list(args[:count]), dict.fromkeys(kwargs, inspect.Parameter.empty)
            given |= {f"argument {i}": x for i, x in enumerate(args) if i >= count}
        else:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            defaults = {name: p.default for name, p in signature.parameters.items()}
            names = [*defaults][: len(self.op.names)]
            values = [bound.arguments[name] for name in names]
            given = {name: value for name, value in bound.arguments.items() if name not in names}
        params = {}
        for name, value in given.items():
            if name in self.op.params:
                if value is not np._NoValue:
                    params[name] = value
            elif not (value is defaults.get(name) or _same(value, defaults.get(name))):
                raise TapeError(
                    f"{shown(self.function)} was called with {name}={value!r}, which op {self.op.name} does not know; "
                    f"leave it out, or declare an op with params={{{name!r}: [...]}}"
                )
        return values, params

    @functools.cached_property
    def _signature(self) -> inspect.Signature | None:
        if isinstance(self.function, np.ufunc):  # its keywords (where=, casting=) are no params
            return None
        try:
            return inspect.signature(self.function)
        except (TypeError, ValueError):
            return None


def _same(value: Any, default: Any) -> bool:
    return isinstance(value, (bool, int, float, str)) and type(value) is type(default) and value == default


def entry_of(function: Function) -> Entry | None:
    """The op that answers for a function, if there is one: those in use come before the installed ones."""
    return _temporary.get().get(function) or _loaded()[0].get(function)


def refusal(function: Function) -> TapeError:
    """The error for a function that no op answers for."""
    name = shown(function)
    told = (
        f"{name} has no registered op, so no gradient would come back through it; declare one, "
        f"Op({name}, backward, signature), and use it: with using(op). Or take .data, where the gradient may end"
    )
    return TapeError("; ".join([told, *map(str, _loaded()[1])]))  # a package that cannot be used may have one


def op_named(name: str) -> Op:
    """An op in use or an installed one; raises TapeError where there is none."""
    ops = {entry.op.name: entry.op for table in (_loaded()[0], _temporary.get()) for entry in table.values()}
    if name not in ops:
        raise TapeError(f"no op named {name!r} is installed{suggestions(name, ops)}")
    return ops[name]


@contextmanager
def using(*ops: Op) -> Iterator[None]:
    """Until the block ends, these ops answer for their NumPy functions, before the installed ones."""
    token = _temporary.set({**_temporary.get(), **_table(ops)})
    try:
        yield
    finally:
        _temporary.reset(token)


@functools.cache
def _loaded() -> tuple[Mapping[Function, Entry], Sequence[GradcheckError]]:
    """What installed ops answer for, and why a package's do not."""
    broken: list[GradcheckError] = []
    return _table(installed_ops(broken)), broken


def _table(ops: Iterable[Op]) -> Mapping[Function, Entry]:
    table: dict[Function, Entry] = {}
    for op in ops:
        if isinstance(op.forward, Hashable):
            table.setdefault(op.forward, Entry(op, op.forward))
        for function, adapter in (op.overloads or {}).items():
            table.setdefault(function, Entry(op, function, adapter))
    return table


def as_arrays(values: list[Any]) -> list[Any]:
    """Python numbers as 0-d arrays of the type that NumPy would compute with: float32 * 2.0 is float32."""
    for x in values:
        if type(x) is not np.ndarray:
            break
    else:  # as almost always
        return values
    weak = [type(x) in _WEAK for x in values]
    strong = [np.asarray(x) for x, is_weak in zip(values, weak, strict=True) if not is_weak]
    if not strong:
        return [np.asarray(x) for x in values]
    rest = iter(strong)
    return [_typed(x, strong) if is_weak else next(rest) for x, is_weak in zip(values, weak, strict=True)]


def _typed(number: Any, beside: Sequence[NDArray[Any]]) -> NDArray[Any]:
    dtype = beside[0].dtype
    if len(beside) > 1 or dtype.kind not in _WEAK[type(number)]:  # else np.result_type, which is slow, says the same
        dtype = np.result_type(*(x.dtype for x in beside), number)
    return np.asarray(number, dtype)


def shown(function: Function) -> str:
    """A function as its user writes it: np.max, np.linalg.inv."""
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc):  # np.add.at
        return f"{shown(owner)}.{function.__name__}"
    name = getattr(function, "__name__", repr(function))
    if isinstance(function, np.ufunc):
        return f"np.{name}" if getattr(np, name, None) is function else name
    module = getattr(function, "__module__", None) or ""
    return f"{module.replace('numpy', 'np', 1)}.{name}" if module else name
