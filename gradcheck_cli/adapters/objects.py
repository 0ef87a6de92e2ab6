"""An object of somebody's class for every call: built, filled with parameters, sent forward and backward."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradcheck_cli.adapters import slots
from gradcheck_cli.adapters.building import gradients_of
from gradcheck_cli.adapters.calls import Call, Leading, spread
from gradcheck_cli.adapters.carriers import OverVariables, WithContext, carrier_of
from gradcheck_cli.adapters.derivatives import entries_of, pulled_back
from gradcheck_cli.adapters.dialect import Dialect, Steady
from gradcheck_cli.adapters.inputs import Inputs, parameters
from gradcheck_cli.adapters.words import listed
from gradcheck_cli.foreign import quiet
from gradcheck_cli.op import Array

_RATE = 2.0**30  # the learning rate of a backward that updates: W - lr dW tells dW, to all its digits if lr is large


@dataclass
class Run:
    """A fresh object for every call, and what was learned about the class."""

    cls: type
    forward: str
    backward: str
    dialect: Dialect
    arrays: tuple[str, ...] = ()
    built_arrays: tuple[str, ...] = ()
    leading: Leading = ()
    forward_params: Mapping[str, Any] = field(default_factory=dict)
    built_params: Mapping[str, Any] = field(default_factory=dict)
    call: Call = field(default_factory=lambda: Call((("dout", 0),), 1, ("dout",), 1))
    names: tuple[str, ...] = ()
    wanted: Sequence[str] = ()
    places: list[slots.Place] = field(default_factory=list)  # of the parameters that have gradients
    data: list[str] = field(default_factory=list)  # arrays of the constructor that are no parameters
    own_values: dict[str, Array] = field(default_factory=dict)
    rates: list[str] = field(default_factory=list)  # backward's learning rate: then it updates
    own_rate: str = ""  # the learning rate that the object keeps itself, if its backward updates by that
    in_order: bool = False  # whether backward returns the gradients of parameters too
    warm: bool = False  # whether forward makes the parameters, and is sent ahead once so that they can be replaced
    returned: Any = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.steady = Steady()
        self.carrier = carrier_of(self.cls, self.forward, self.backward)

    @property
    def updates(self) -> bool:
        """Whether backward changes the parameters, rather than to leave or return their gradients."""
        return bool(self.rates or self.own_rate)

    def bound(self, method: Callable[..., Any], without: Sequence[str] = ()) -> Callable[..., Any]:
        """A method as its caller sees it: without self, or the cls of a class method."""
        static = isinstance(inspect.getattr_static(self.cls, method.__name__), staticmethod)
        first = (not static) + isinstance(self.carrier, WithContext) * static
        listed_parameters = parameters(method)[first:]
        kept = [p for p in listed_parameters if p.name not in without]

        def shown(*_args: Any, **_kwargs: Any) -> None:
            """Never called."""

        shown.__signature__ = inspect.Signature(kept)  # type: ignore[attr-defined]
        shown.__name__, shown.__wrapped__ = method.__name__, method  # type: ignore[attr-defined]
        return shown

    def fresh(self, arrays: Sequence[Any], params: Mapping[str, Any]) -> tuple[Any, list[Any]]:
        """A new object with its parameters in place, and the arguments of forward."""
        inward = [self.dialect.inward(x) for x in arrays]
        count = len(self.arrays)
        built = dict(
            zip(self.built_arrays, copy.deepcopy(inward[count:]) if self.updates else inward[count:], strict=False)
        )
        mine = {k: copy.deepcopy(params.get(k, v)) for k, v in self.built_params.items()}
        thing = self.carrier.build({**mine, **built})
        if self.warm:
            self.ahead(thing, copy.deepcopy(inward[:count]), params)
        own = inward[count + len(self.built_arrays) :]
        own_places = [place for place in self.places if place.name in self.own_values]
        for place, x in zip(own_places, own, strict=False):
            place.put(thing, copy.deepcopy(x))  # It is the object's own, to be changed as it likes.
        return thing, inward[:count]

    def ahead(self, thing: Any, given: Sequence[Any], params: Mapping[str, Any]) -> Any:
        """What forward returns for an object, or leaves on it instead."""
        mine = {k: copy.deepcopy(params.get(k, v)) for k, v in self.forward_params.items()}
        before = dict(vars(thing)) if hasattr(thing, "__dict__") else {}
        returned = self.carrier.forward(thing, *spread(given, mine, self.leading))
        return slots.output_of(thing, before) if returned is None and hasattr(thing, "__dict__") else returned

    def remembers(self, inputs: Inputs) -> bool:
        """Whether forward leaves anything on the object, so that backward may know its input."""
        with self.steady, self.dialect.around(), quiet():
            thing, given = self.fresh(*inputs.fresh())
            before = dict(vars(thing)) if hasattr(thing, "__dict__") else {}
            self.ahead(thing, given, inputs.params)
        return any(before.get(name) is not value for name, value in getattr(thing, "__dict__", {}).items())

    def forwarded(self, arrays: Sequence[Any], params: Mapping[str, Any]) -> tuple[Any, Any]:
        """The object after its forward, and what that returned."""
        with self.steady, self.dialect.around():
            thing, given = self.fresh(arrays, params)
            return thing, self.ahead(thing, given, params)

    def raw(self, *arrays: Any, **params: Any) -> Any:
        """What forward itself returns."""
        return self.forwarded(arrays, params)[1]

    def outputs(self, *arrays: Any, **params: Any) -> Any:
        """The outputs alone."""
        return self.dialect.everything_outward(self.call.outputs_of(self.raw(*arrays, **params)))

    def backwarded(self, grad: Any, out: Any, arrays: Sequence[Any], params: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        """The object after its backward, what that returned, and what it left under a name that says nothing else."""
        thing, returned = self.forwarded(arrays, params)
        inward = self.dialect.inward
        grad, out = (tuple(map(inward, v)) if isinstance(v, tuple) else inward(v) for v in (grad, out))
        params = copy.deepcopy(dict(params))
        given = [inward(x) for x in arrays[: len(self.arrays)]]
        values, named = self.call.arguments(grad, out, returned, given, params)
        named |= dict.fromkeys(self.rates, _RATE)
        if self.rates:
            values, named = [], dict(zip(self.call.names, values, strict=False)) | named
        if self.own_rate:
            setattr(thing, self.own_rate, _RATE)
        before = dict(getattr(thing, "__dict__", {}))
        with self.dialect.around():
            answer = self.carrier.backward(thing, values, named)
        answer = _flat(answer, len(self.arrays))
        if isinstance(answer, Mapping):  # It is looked up as if it had been left there.
            vars(thing)["_returned_gradients"] = answer
        return thing, answer, slots.nameless(thing, before) if answer is None else None

    def gradients(self, grad: Any, out: Any, /, *arrays: Any, **params: Any) -> Any:
        """The gradients of forward's arrays, as returned or left on self, then those of the parameters."""
        thing, answer, nameless = self.backwarded(grad, out, arrays, params)
        outward = self.dialect.everything_outward
        answer = outward(answer)
        if self.in_order:
            return gradients_of(answer, self.names, self.wanted)
        first = [n for n in self.wanted if n in self.arrays]
        if answer is None or isinstance(answer, Mapping):
            entries = [outward(slots.left_for(thing, name)) for name in first]
            entries = [outward(nameless)] if len(first) == 1 and entries[0] is None else entries
        elif self.call.takes_cotangent:
            found = gradients_of(answer, self.arrays, first)
            entries = list(found) if isinstance(found, tuple) else [found]
        else:
            entries = entries_of(answer, len(first))
        own = arrays[len(self.arrays) :]
        places = [(place, x) for place, x in zip(self.places, own, strict=False) if place.name not in self.data]
        behind = [outward(self._left(thing, place, x)) for place, x in places]
        if self.call.takes_cotangent:
            return (*entries, *behind)
        at = [arrays[self.arrays.index(name)] for name in first]
        return tuple(
            pulled_back(grad, e, x) for e, x in zip([*entries, *behind], [*at, *(x for _, x in places)], strict=False)
        )

    def _left(self, thing: Any, place: slots.Place, before: Array) -> Any:
        """The gradient that backward left for a parameter, or by how much it moved it."""
        if not self.updates:
            return self.gradient_of(thing, place)
        return (before - np.asarray(self.dialect.outward(place.get(thing)))) / _RATE

    def gradient_of(self, thing: Any, place: slots.Place) -> Any:
        """The gradient that an object was left with for a parameter; None where there is none."""
        found = place.gradient(thing)
        return found if found is not None else slots.abbreviated(thing, place.name, {p.name for p in self.places})

    def described(self, inputs: Inputs) -> str:
        """What the class was taken for."""
        where = "returned" if self.returned is not None else "left on self"
        own = [n for n in inputs.names if n not in self.arrays]
        kept = f"; parameters {listed(own)}" if own else ""
        kept += ", whose gradients are what backward subtracts" if own and self.updates else ""
        takes = f"{self.backward}({listed(self.call.names)})"
        takes += f", {self.call.described('forward', self.arrays)}" if len(self.call.names) > 1 else ""
        over = f" over {self.carrier.box.__name__}s" if isinstance(self.carrier, OverVariables) else ""
        return f"a class{over}, {self.forward}({listed(self.arrays)}) and {takes}, gradients {where}{kept}"


def _flat(answer: Any, count: int) -> Any:
    """`return dx, (dW, db)` as `return dx, dW, db`, where a bundle follows the gradients of forward's arrays."""
    bundled = isinstance(answer, tuple) and [isinstance(part, (tuple, list)) for part in answer] == [False] * count + [
        True
    ]
    if bundled:
        return (*answer[:-1], *answer[-1])
    return answer
