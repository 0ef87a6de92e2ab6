"""What one object tells about its class: which of its arrays are parameters with gradients, and where both are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck_cli.adapters import slots
from gradcheck_cli.adapters.carriers import OverVariables
from gradcheck_cli.adapters.inputs import Inputs, attempt
from gradcheck_cli.adapters.objects import Run
from gradcheck_cli.adapters.words import RATES, gradient_names, plain, returned_names
from gradcheck_cli.errors import UsageError
from gradcheck_cli.foreign import quiet
from gradcheck_cli.op import Array

Late = tuple[slots.Place, Array]


def learn(run: Run, inputs: Inputs) -> None:
    """Look at one object before and after its backward, and tell the run what was seen."""
    if isinstance(run.carrier, OverVariables):
        run.carrier.learn(inputs.arrays)
    with run.steady:
        thing, _ = run.fresh(inputs.arrays, inputs.params)
    every = list(slots.places(thing))
    before = {p.name: np.array(run.dialect.outward(p.get(thing))) for p in every}
    built = dict(zip(run.built_arrays, inputs.arrays[len(run.arrays) :], strict=False))
    try:
        out = attempt(run.outputs, inputs)
        ones = tuple(map(np.ones_like, out)) if isinstance(out, (tuple, list)) else np.ones_like(np.asarray(out))
        with quiet():
            after, run.returned, _ = run.backwarded(ones, out, inputs.fresh()[0], inputs.fresh()[1])
    except UsageError:
        raise
    except Exception:  # A finding of the check; without one backward nothing is known about the parameters.
        after = thing
    if isinstance(run.returned, tuple) and run.returned and all(isinstance(part, list) for part in run.returned):
        raise UsageError(
            f"{run.backward} returns lists of gradients, and nothing says of what; leave them on self, as self.dweights"
        )
    rate = _rate_of(run, every, after)
    moved = _moved(run, every, before, after, inputs) if (rate or run.rates) and after is not thing else set()
    run.own_rate = rate if moved else ""
    _learn_built(run, every, before, built, after)
    _learn_own(run, every, before, built, after, moved)
    run.places = [_felt(run, place, inputs) for place in run.places]
    _learn_late(run, before, after, inputs)
    _learn_order(run, every, before)
    _note(run, every, inputs)


def _moved(run: Run, every: Sequence[slots.Place], before: Mapping[str, Array], after: Any, inputs: Inputs) -> set[str]:
    """The parameters that backward has changed: what forward itself changes, or does not feel, is none of them."""
    arrays, params = inputs.fresh()
    with quiet():
        thing, _ = run.forwarded(arrays, params)
    found = set()
    for place in every:
        old, new = (np.asarray(run.dialect.outward(place.get(each))) for each in (thing, after))
        if not np.array_equal(old, new) and _matters(run, place, before[place.name], inputs):
            found.add(place.name)
    return found


def _rate_of(run: Run, every: Sequence[slots.Place], after: Any) -> str:
    """The only learning rate among the attributes, unless backward takes one or has left gradients."""
    rates = [n for n, v in getattr(after, "__dict__", {}).items() if RATES.fullmatch(n) and isinstance(v, float)]
    left = any(run.gradient_of(after, place) is not None for place in every)
    return rates[0] if len(rates) == 1 and not run.rates and not left else ""


def _learn_built(
    run: Run, every: Sequence[slots.Place], before: Mapping[str, Array], built: Mapping[str, Array], after: Any
) -> None:
    """Arrays that the constructor takes: their gradients are where the object keeps them, or by their name.

    Of fun(x) and grad(x) they are data, if they have none.
    """
    for name, value in built.items():
        kept = [p for p in every if before[p.name].shape == value.shape and np.array_equal(before[p.name], value)]
        kept.sort(key=lambda p: p.name.lower() != name.lower())
        if kept:
            run.places.append(replace(kept[0], name=name, gradient=_any_gradient(kept, name)))
        else:
            run.places.append(slots.nowhere(name))
        if not run.call.takes_cotangent and run.gradient_of(after, run.places[-1]) is None:
            run.data.append(name)


def _learn_own(
    run: Run,
    every: Sequence[slots.Place],
    before: Mapping[str, Array],
    built: Mapping[str, Array],
    after: Any,
    moved: Collection[str],
) -> None:
    """Parameters that the object makes itself, if it has a gradient for them or moves them."""
    values = list(built.values())
    for place in every:
        x = before[place.name]
        if any(x.shape == v.shape and np.array_equal(x, v) for v in values) or slots.is_gradient(place.name):
            continue
        known = {p.name for p in run.places} | {p.name for p in every}
        has = place.gradient(after) is not None or slots.abbreviated(after, place.name, known) is not None
        if place.name in moved if run.updates else has:
            run.places.append(place)
            run.own_values[place.name] = x


def _felt(run: Run, place: slots.Place, inputs: Inputs) -> slots.Place:
    """A parameter's place; one that is written on where others hold that array, too, and would not feel another."""
    x = run.own_values.get(place.name)
    if x is None or _matters(run, place, x, inputs):
        return place
    with run.steady:
        held = [place.get(run.fresh(inputs.arrays, inputs.params)[0]) for _ in range(2)]
    shared = slots.written_on(place)
    own = isinstance(held[0], np.ndarray) and held[0] is not held[1]
    return shared if own and _matters(run, shared, x, inputs) else place


def _learn_late(run: Run, before: Mapping[str, Array], after: Any, inputs: Inputs) -> None:
    """Parameters that forward makes when it first sees an input: what it takes instead, if that is put there.

    Some forwards make them whatever is there, but not a second time: these are sent ahead once.
    """
    late: list[Late] = []
    for place in slots.places(after):
        x = np.array(run.dialect.outward(place.get(after)))
        known = any(x.shape == a.shape and np.array_equal(x, a) for a in inputs.arrays)
        if known or place.name in before or slots.is_gradient(place.name) or run.gradient_of(after, place) is None:
            continue
        if _lasts(run, place, inputs):
            late.append((place, x))
    taken = [entry for entry in late if _matters(run, *entry, inputs)]
    if len(taken) < len(late) and _repeats(run, inputs):
        run.warm = True
        taken = [entry for entry in late if _matters(run, *entry, inputs)]
    for place, x in taken:
        run.places.append(place)
        run.own_values[place.name] = x
    for place, _ in late:
        if place.name not in run.own_values:
            run.notes.append(f"{place.name} is made by forward whatever is there, so its gradient is not checked")


def _learn_order(run: Run, every: Sequence[slots.Place], before: Mapping[str, Array]) -> None:
    """Where backward returns more than forward's arrays: by the names in its return statement, or the number."""
    answer = run.returned
    count = len(answer) if isinstance(answer, (tuple, list)) else 1
    if count <= len(run.arrays):
        return
    if run.built_arrays and count == len(run.arrays) + len(run.built_arrays) and not run.own_values:
        run.in_order = True
        return
    names = returned_names(getattr(run.cls, run.backward))[len(run.arrays) :]
    found = [next((p for p in every if _is_of(name, p.name)), None) for name in names]
    if not all(found) or len(found) + len(run.arrays) != count:
        found = _by_shape(run, answer[len(run.arrays) :], every, before)
    if found and all(found):
        run.places = [place for place in found if place is not None]
        run.own_values = {place.name: before[place.name] for place in run.places}
        run.in_order = True


def _by_shape(
    run: Run, gradients: Sequence[Any], every: Sequence[slots.Place], before: Mapping[str, Array]
) -> list[slots.Place | None]:
    """The parameters that gradients without names are of, if each has the shape of one of these alone."""
    shapes = [np.shape(run.dialect.outward(g)) for g in gradients]
    own = [p for p in every if not slots.is_gradient(p.name)]
    alike = [[p for p in own if before[p.name].shape == shape] for shape in shapes]
    return [places[0] if len(places) == 1 else None for places in alike] if len(set(shapes)) == len(shapes) else []


def _note(run: Run, every: Sequence[slots.Place], inputs: Inputs) -> None:
    """Say which arrays of the object matter, but have no gradient that could be found."""
    known = {place.name for place in run.places}
    silent = [p for p in every if p.name not in known and not slots.is_gradient(p.name)]
    built = [np.asarray(x) for x in inputs.arrays[len(run.arrays) :]]
    for place in silent:
        with run.steady:
            thing, _ = run.fresh(inputs.arrays, inputs.params)
            value = np.asarray(run.dialect.outward(place.get(thing)))
        if any(value.shape == v.shape and np.array_equal(value, v) for v in built):
            continue
        if _matters(run, place, value, inputs):
            run.notes.append(f"no gradient of {place.name} was found, so it is not checked")


def _matters(run: Run, place: slots.Place, x: Array, inputs: Inputs) -> bool:
    """Whether forward returns something else where another value is put there."""
    with run.steady:
        thing, given = run.fresh(inputs.arrays, inputs.params)
        place.put(thing, run.dialect.inward(_other(x)))
        return _differs(run, thing, given, inputs)


def _lasts(run: Run, place: slots.Place, inputs: Inputs) -> bool:
    """Whether a parameter stays as it is where forward sees another input: else it is what forward remembers of one."""
    others = [_other(x) if x.dtype.kind == "f" else x for x in inputs.arrays]
    with run.steady, run.dialect.around(), quiet():
        thing, given = run.fresh(inputs.arrays, inputs.params)
        try:
            run.ahead(thing, given, inputs.params)
            first = np.array(run.dialect.outward(place.get(thing)))
            run.ahead(thing, run.fresh(others, inputs.params)[1], inputs.params)
            return np.array_equal(first, np.asarray(run.dialect.outward(place.get(thing))))
        except Exception:  # It takes one input in its life.
            return True


def _repeats(run: Run, inputs: Inputs) -> bool:
    """Whether a second forward of the same object returns the same: no RNN that goes on from where it was."""
    with run.steady, run.dialect.around(), quiet():
        thing, given = run.fresh(inputs.arrays, inputs.params)
        try:
            run.ahead(thing, run.fresh(inputs.arrays, inputs.params)[1], inputs.params)
        except Exception:  # Not without an array that is put there.
            return False
        return not _differs(run, thing, given, inputs)


def _differs(run: Run, thing: Any, given: Sequence[Any], inputs: Inputs) -> bool:
    try:
        with quiet():
            returned = run.ahead(thing, given, inputs.params)
            moved = np.asarray(run.dialect.outward(run.call.outputs_of(returned)))
            return not np.array_equal(moved, np.asarray(attempt(run.outputs, inputs)), equal_nan=True)
    except Exception:  # It does not work with other values.
        return False


def _other(x: Array) -> Array:
    """Other values than x, and not all moved by the same: a softmax would not feel that."""
    return np.asarray(x * 1.25 + np.linspace(0.5, 1, x.size, dtype=x.dtype).reshape(x.shape))


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
