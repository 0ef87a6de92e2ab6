"""torch: arrays into tensors and back, gradients as Functions return them, before torch's engine makes them fit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck_cli.adapters.dialect import Dialect
from gradcheck_cli.adapters.given import Given
from gradcheck_cli.adapters.inputs import Inputs, attempt
from gradcheck_cli.errors import UsageError, describe
from gradcheck_cli.foreign import call, quiet
from gradcheck_cli.op import Array


def torch() -> Any:
    """The torch that the user's file has imported; it is never imported for anybody."""
    return sys.modules["torch"]


def dialect(given: Given) -> Dialect:
    """Tensors on the device that is asked for."""
    device = device_of(given)
    return Dialect("torch", lambda x: tensor(x, device), outward)


def device_of(given: Given) -> str:
    """The device to compute on; raises UsageError where torch has none of that name."""
    name = given.device or "cpu"
    try:
        torch().zeros(1, device=name)
    except Exception as error:  # Not built for it, or no such device.
        raise UsageError(f"--device {name}: torch cannot use it: {describe(error)}") from None
    return name


def tensor(x: Array, device: str = "cpu") -> Any:
    """A tensor over the memory of an array, so that what is changed in place is noticed; of the same layout if it can.

    torch knows no negative strides and no memory that must not be written to: these are copied.
    """
    x = np.asarray(x)
    if any(stride < 0 for stride in x.strides):
        x = np.ascontiguousarray(x)
    shape = x.shape
    if not x.flags.writeable:  # Repeated entries stay repeated.
        bare = tuple(slice(0, 1) if n > 1 and s == 0 else slice(None) for n, s in zip(shape, x.strides, strict=True))
        x = np.array(x[bare], order="K")
    made = torch().from_numpy(x)
    return (made if made.shape == shape else made.expand(shape)).to(device)


def outward(value: Any) -> Any:
    """A tensor as an array; anything else as it is."""
    if not isinstance(value, torch().Tensor):
        return value
    value = value.detach().resolve_conj().resolve_neg()
    return (value.float() if value.dtype in (torch().bfloat16, torch().float16) else value).cpu().numpy()


class Differentiable:
    """A function of tensors, called with arrays: its outputs, and its gradients by its own backward.

    `function(*tensors, **params)` returns a tensor, or several.
    """

    def __init__(self, function: Callable[..., Any], given: Given) -> None:
        self.function, self.device = function, device_of(given)
        self.in_place = False  # whether it is meant to change its inputs (mark_dirty): it gets copies
        self.seeded = False  # whether torch's random numbers must be the same in each call: dropout
        self.wanted: Sequence[int] | None = None  # the inputs that have gradients, where these are known
        self.singles = False  # whether it refuses double precision on its device; the CPU may not

    def raw(self, *arrays: Any, **params: Any) -> Any:
        """What the function returns for tensors that need no gradient."""
        with torch().no_grad():
            return self._called([tensor(x, self._home(arrays)) for x in arrays], params)

    def outputs(self, *arrays: Any, **params: Any) -> Any:
        """The outputs, as arrays."""
        returned = self.raw(*arrays, **params)
        if isinstance(returned, Mapping):
            returned = tuple(returned.values())
        return tuple(map(outward, returned)) if isinstance(returned, (tuple, list)) else outward(returned)

    def gradients(self, grad: Any, _out: Any, /, *arrays: Any, **params: Any) -> tuple[Any, ...]:
        """One gradient per array, as its Function returned it where the function is one Function; else the engine's."""
        home = self._home(arrays)
        leaves = [tensor(x, home) for x in arrays]
        for position, leaf in enumerate(leaves):
            wanted = self.wanted is None or position in self.wanted
            if wanted and (leaf.is_floating_point() or leaf.is_complex()):
                leaf.requires_grad_()
        with torch().enable_grad():
            returned = self._called(leaves, params)
        several = isinstance(returned, (tuple, list))
        outputs = list(returned) if several else [returned]
        cotangents = [tensor(w, home) for w in (grad if several else (grad,))]
        node = _single_function(outputs, leaves)
        if node is not None:
            return _as_returned(node, leaves, cotangents)
        return _by_engine(outputs, leaves, cotangents)

    def tried(self, inputs: Inputs) -> list[Any]:
        """The gradients of the example, None for what has none; something for each where backward raises."""
        arrays, params = inputs.fresh()
        try:
            with quiet():
                out = self.outputs(*arrays, **params)
                ones = tuple(map(np.ones_like, out)) if isinstance(out, tuple) else np.ones_like(out)
                found = iter(self.gradients(ones, out, *arrays, **params))
        except Exception:  # A finding of the check.
            return arrays
        return [next(found, None) if x.dtype.kind in "fc" else None for x in arrays]

    def learn(self, inputs: Inputs) -> Inputs:
        """The example, in single precision where it takes no double. Raises what the function raises."""
        try:
            returned = attempt(self.outputs, inputs)
        except Exception:
            floats = tuple(x.astype(np.float32) if x.dtype.kind == "f" else x for x in inputs.arrays)
            single = Inputs(inputs.names, floats, inputs.domains, inputs.signature, inputs.params)
            returned, inputs = attempt(self.outputs, single), single
            self.singles = True
        again = attempt(self.outputs, inputs)
        self.seeded = not all(
            np.array_equal(a, b, equal_nan=True) for a, b in zip(_listed(returned), _listed(again), strict=True)
        )
        return inputs

    def _called(self, tensors: Sequence[Any], params: Mapping[str, Any]) -> Any:
        tensors = [x.clone() for x in tensors] if self.in_place else tensors
        if not self.seeded:
            return call(self.function, *tensors, **params)
        # The generators themselves: torch.manual_seed formats a traceback each time.
        device = torch().device(self.device)
        chosen = (
            torch().cuda.default_generators[device.index or 0] if device.type == "cuda" else torch().default_generator
        )
        state = chosen.get_state()
        chosen.manual_seed(0)
        try:
            return call(self.function, *tensors, **params)
        finally:
            chosen.set_state(state)

    def _home(self, arrays: Sequence[Array]) -> str:
        """Where to compute: a kernel for single precision alone may have a twin on the CPU that takes double."""
        double = any(np.asarray(x).dtype == np.float64 for x in arrays)
        return "cpu" if self.singles and double else self.device


def _listed(returned: Any) -> list[Any]:
    return list(returned) if isinstance(returned, (tuple, list)) else [returned]


def _single_function(outputs: Sequence[Any], leaves: Sequence[Any]) -> Any:
    """The Function whose outputs these are, if its inputs are the leaves themselves; else None."""
    nodes = {id(y.grad_fn): y.grad_fn for y in outputs if getattr(y, "grad_fn", None) is not None}
    if len(nodes) != 1:
        return None
    (node,) = nodes.values()
    if not isinstance(node, torch().autograd.function.BackwardCFunction):
        return None
    sources = [getattr(source, "variable", None) for source, _ in node.next_functions if source is not None]
    mine = all(any(source is leaf for leaf in leaves) for source in sources)
    # One of several outputs alone is no answer of its Function.
    complete = len(getattr(node, "_input_metadata", outputs)) == len(outputs)
    in_order = complete and all(y.grad_fn is None or y.output_nr == i for i, y in enumerate(outputs))
    return node if sources and mine and in_order else None


def _as_returned(node: Any, leaves: Sequence[Any], cotangents: Sequence[Any]) -> tuple[Any, ...]:
    """What the Function's backward returns: the engine would sum a gradient of the wrong shape until it fits."""
    with torch().no_grad():
        answer = node.apply(*cotangents)
    entries = list(answer) if isinstance(answer, (tuple, list)) else [answer]
    needed = node.needs_input_grad
    if len(entries) < len(needed):
        return tuple(map(outward, entries))  # Too few: to be counted, and told.
    sources = iter([source.variable for source, _ in node.next_functions if source is not None])
    found: dict[int, Any] = {}
    for entry, need in zip(entries, needed, strict=False):
        if need:
            leaf = next(sources)
            position = next(i for i, known in enumerate(leaves) if known is leaf)
            both = position in found and found[position] is not None and entry is not None
            found[position] = found[position] + entry if both else entry
    return tuple(
        outward(found[i]) if i in found else np.zeros(x.shape) for i, x in enumerate(leaves) if x.requires_grad
    )


def _by_engine(outputs: Sequence[Any], leaves: Sequence[Any], cotangents: Sequence[Any]) -> tuple[Any, ...]:
    """What torch.autograd.grad says; zeros where nothing depends."""
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    pairs = [(y, w) for y, w in zip(outputs, cotangents, strict=True) if getattr(y, "requires_grad", False)]
    if not pairs:
        return tuple(np.zeros(tuple(leaf.shape)) for leaf in wanted)
    found = torch().autograd.grad([y for y, _ in pairs], wanted, [w for _, w in pairs], allow_unused=True)
    return tuple(
        outward(g) if g is not None else outward(torch().zeros_like(x)) for g, x in zip(found, wanted, strict=True)
    )
