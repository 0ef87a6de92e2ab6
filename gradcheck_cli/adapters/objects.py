"""An object of somebody's class for every call: built, filled with parameters, sent forward and backward."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradcheck_cli.adapters import slots
from gradcheck_cli.adapters.building import gradients_of
from gradcheck_cli.adapters.calls import Call
from gradcheck_cli.adapters.carriers import OverVariables, WithContext, carrier_of
from gradcheck_cli.adapters.derivatives import entries_of, pulled_back
from gradcheck_cli.adapters.dialect import Dialect, Steady
from gradcheck_cli.adapters.inputs import Inputs, attempt, parameters
from gradcheck_cli.adapters.words import gradient_names, listed, plain, returned_names
from gradcheck_cli.errors import UsageError
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
    forward_params: Mapping[str, Any] = field(default_factory=dict)
    built_params: Mapping[str, Any] = field(default_factory=dict)
    call: Call = field(default_factory=lambda: Call((("dout", 0),), 1, ("dout",), 1))
    names: tuple[str, ...] = ()
    wanted: Sequence[str] = ()
    places: list[slots.Place] = field(default_factory=list)  # of the parameters that have gradients
    own_values: dict[str, Array] = field(default_factory=dict)
    rates: list[str] = field(default_factory=list)  # backward's learning rate: then it updates
    in_order: bool = False  # whether backward returns the gradients of parameters too
    returned: Any = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.steady = Steady(self.cls)
        self.carrier = carrier_of(self.cls, self.forward, self.backward)

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
            zip(self.built_arrays, copy.deepcopy(inward[count:]) if self.rates else inward[count:], strict=False)
        )
        mine = {k: copy.deepcopy(params.get(k, v)) for k, v in self.built_params.items()}
        thing = self.carrier.build({**mine, **built})
        own = inward[count + len(self.built_arrays) :]
        own_places = [place for place in self.places if place.name in self.own_values]
        for place, x in zip(own_places, own, strict=False):
            place.put(thing, copy.deepcopy(x))  # It is the object's own, to be changed as it likes.
        return thing, inward[:count]

    def forwarded(self, arrays: Sequence[Any], params: Mapping[str, Any]) -> tuple[Any, Any]:
        """The object after its forward, and what that returned."""
        with self.steady, self.dialect.around():
            thing, given = self.fresh(arrays, params)
            before = dict(vars(thing)) if hasattr(thing, "__dict__") else {}
            mine = {k: copy.deepcopy(params.get(k, v)) for k, v in self.forward_params.items()}
            returned = self.carrier.forward(thing, given, mine)
        if returned is None and hasattr(thing, "__dict__"):
            returned = slots.output_of(thing, before)
        return thing, returned

    def raw(self, *arrays: Any, **params: Any) -> Any:
        """What forward itself returns."""
        return self.forwarded(arrays, params)[1]

    def outputs(self, *arrays: Any, **params: Any) -> Any:
        """The outputs alone."""
        return self.dialect.everything_outward(self.call.outputs_of(self.raw(*arrays, **params)))

    def backwarded(self, grad: Any, out: Any, arrays: Sequence[Any], params: Mapping[str, Any]) -> tuple[Any, Any]:
        """The object after its backward, and what that returned."""
        thing, returned = self.forwarded(arrays, params)
        inward = self.dialect.inward
        grad, out = (tuple(map(inward, v)) if isinstance(v, tuple) else inward(v) for v in (grad, out))
        params = copy.deepcopy(dict(params))
        given = [inward(x) for x in arrays[: len(self.arrays)]]
        values, named = self.call.arguments(grad, out, returned, given, params)
        named |= dict.fromkeys(self.rates, _RATE)
        if self.rates:
            values, named = [], dict(zip(self.call.names, values, strict=False)) | named
        with self.dialect.around():
            answer = self.carrier.backward(thing, values, named)
        return thing, answer

    def gradients(self, grad: Any, out: Any, *arrays: Any, **params: Any) -> Any:
        """The gradients of forward's arrays, as returned or left on self, then those of the parameters."""
        thing, answer = self.backwarded(grad, out, arrays, params)
        outward = self.dialect.everything_outward
        answer = outward(answer)
        if self.in_order:
            return gradients_of(answer, self.names, self.wanted)
        first = [n for n in self.wanted if n in self.arrays]
        if answer is None:
            entries = [outward(slots.left_for(thing, name)) for name in first]
        elif self.call.takes_cotangent:
            found = gradients_of(answer, self.arrays, first)
            entries = list(found) if isinstance(found, tuple) else [found]
        else:
            positions = [self.arrays.index(name) for name in first]
            found = entries_of(answer, len(first))
            entries = [pulled_back(grad, e, arrays[p]) for e, p in zip(found, positions, strict=False)]
        behind = [
            self._left(thing, place, x) for place, x in zip(self.places, arrays[len(self.arrays) :], strict=False)
        ]
        return (*entries, *map(outward, behind))

    def _left(self, thing: Any, place: slots.Place, before: Array) -> Any:
        """The gradient that backward left for a parameter, or by how much it moved it."""
        if not self.rates:
            return self._gradient(thing, place)
        return (before - np.asarray(self.dialect.outward(place.get(thing)))) / _RATE

    def _gradient(self, thing: Any, place: slots.Place) -> Any:
        found = place.gradient(thing)
        return found if found is not None else slots.abbreviated(thing, place.name, {p.name for p in self.places})

    def learn(self, inputs: Inputs) -> None:
        """Look at one object before and after its backward: which parameters have gradients, and where."""
        if isinstance(self.carrier, OverVariables):
            self.carrier.learn(inputs.arrays)
        with self.steady:
            thing, _ = self.fresh(inputs.arrays, inputs.params)
        every = list(slots.places(thing))
        before = {p.name: np.array(self.dialect.outward(p.get(thing))) for p in every}
        built = dict(zip(self.built_arrays, inputs.arrays[len(self.arrays) :], strict=False))
        try:
            out = attempt(self.outputs, inputs)
            ones = tuple(map(np.ones_like, out)) if isinstance(out, (tuple, list)) else np.ones_like(np.asarray(out))
            with quiet():
                after, self.returned = self.backwarded(ones, out, inputs.fresh()[0], inputs.fresh()[1])
        except UsageError:
            raise
        except Exception:  # A finding of the check; without one backward nothing is known about the parameters.
            after = thing
        self._learn_built(every, before, built)
        self._learn_own(every, before, built, after)
        self._learn_late(before, after, inputs)
        self._learn_order(every, before)
        self._note(every, inputs)

    def _learn_built(
        self, every: Sequence[slots.Place], before: Mapping[str, Array], built: Mapping[str, Array]
    ) -> None:
        """Arrays that the constructor takes: their gradients are where the object keeps them, or by their name."""
        for name, value in built.items():
            kept = [p for p in every if before[p.name].shape == value.shape and np.array_equal(before[p.name], value)]
            kept.sort(key=lambda p: p.name.lower() != name.lower())
            if kept:
                self.places.append(replace(kept[0], name=name, gradient=_any_gradient(kept, name)))
            else:
                self.places.append(slots.nowhere(name))

    def _learn_own(
        self, every: Sequence[slots.Place], before: Mapping[str, Array], built: Mapping[str, Array], after: Any
    ) -> None:
        """Parameters that the object makes itself, if it has a gradient for them or moves them."""
        values = list(built.values())
        for place in every:
            x = before[place.name]
            if any(x.shape == v.shape and np.array_equal(x, v) for v in values) or slots.is_gradient(place.name):
                continue
            moved = self.rates and not np.array_equal(np.asarray(self.dialect.outward(place.get(after))), x)
            known = {p.name for p in self.places} | {p.name for p in every}
            has = place.gradient(after) is not None or slots.abbreviated(after, place.name, known) is not None
            if moved if self.rates else has:
                self.places.append(place)
                self.own_values[place.name] = x

    def _learn_late(self, before: Mapping[str, Array], after: Any, inputs: Inputs) -> None:
        """Parameters that forward makes when it first sees an input: what it takes instead, if that is put there."""
        for place in slots.places(after):
            x = np.array(self.dialect.outward(place.get(after)))
            known = any(x.shape == a.shape and np.array_equal(x, a) for a in inputs.arrays)
            if known or place.name in before or slots.is_gradient(place.name) or self._gradient(after, place) is None:
                continue
            with self.steady:
                thing, given = self.fresh(inputs.arrays, inputs.params)
                place.put(thing, self.dialect.inward(x * 1.25 + 0.5))
                if self._differs(thing, given, inputs):
                    self.places.append(place)
                    self.own_values[place.name] = x

    def _learn_order(self, every: Sequence[slots.Place], before: Mapping[str, Array]) -> None:
        """Where backward returns more than forward's arrays: by the names in its return statement, or the number."""
        answer = self.returned
        count = len(answer) if isinstance(answer, (tuple, list)) else 1
        if count <= len(self.arrays):
            return
        if self.built_arrays and count == len(self.arrays) + len(self.built_arrays) and not self.own_values:
            self.in_order = True
            return
        names = returned_names(getattr(self.cls, self.backward))[len(self.arrays) :]
        found = [next((p for p in every if _is_of(name, p.name)), None) for name in names]
        if names and all(found) and len(names) + len(self.arrays) == count:
            self.places = [place for place in found if place is not None]
            self.own_values = {place.name: before[place.name] for place in self.places}
            self.in_order = True

    def _note(self, every: Sequence[slots.Place], inputs: Inputs) -> None:
        """Say which arrays of the object matter, but have no gradient that could be found."""
        known = {place.name for place in self.places}
        silent = [p for p in every if p.name not in known and not slots.is_gradient(p.name)]
        built = [np.asarray(x) for x in inputs.arrays[len(self.arrays) :]]
        for place in silent:
            value = None
            with self.steady:
                thing, given = self.fresh(inputs.arrays, inputs.params)
                value = np.asarray(self.dialect.outward(place.get(thing)))
                if any(value.shape == v.shape and np.array_equal(value, v) for v in built):
                    continue
                place.put(thing, self.dialect.inward(value * 1.25 + 0.5))
                if self._differs(thing, given, inputs):
                    self.notes.append(f"no gradient of {place.name} was found, so it is not checked")

    def _differs(self, thing: Any, given: Sequence[Any], inputs: Inputs) -> bool:
        try:
            with quiet():
                before = dict(vars(thing))
                returned = self.carrier.forward(thing, given, copy.deepcopy(dict(self.forward_params)))
                returned = slots.output_of(thing, before) if returned is None else returned
                moved = np.asarray(self.dialect.outward(self.call.outputs_of(returned)))
                return not np.array_equal(moved, np.asarray(attempt(self.outputs, inputs)), equal_nan=True)
        except Exception:  # It does not work with other values.
            return False

    def described(self, inputs: Inputs) -> str:
        """What the class was taken for."""
        where = "returned" if self.returned is not None else "left on self"
        own = [n for n in inputs.names if n not in self.arrays]
        kept = f"; parameters {listed(own)}" if own else ""
        kept += ", whose gradients are what backward subtracts" if own and self.rates else ""
        takes = f"{self.backward}({listed(self.call.names)})"
        over = f" over {self.carrier.box.__name__}s" if isinstance(self.carrier, OverVariables) else ""
        return f"a class{over}, {self.forward}({listed(self.arrays)}) and {takes}, gradients {where}{kept}"


def _any_gradient(kept: Sequence[slots.Place], name: str) -> Callable[[Any], Any]:
    def gradient(thing: Any) -> Any:
        for place in kept:
            found = place.gradient(thing)
            if found is not None:
                return found
        return slots.left_for(thing, name)

    return gradient


def _is_of(gradient: str, name: str) -> bool:
    return plain(gradient) in gradient_names(name)
