"""How somebody's backward wants to be called: decided by names, arity and shapes, never by what makes a check pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck_cli.adapters.inputs import Parameters, parameters, positional
from gradcheck_cli.adapters.words import CACHES, OUTS, gradient_names, is_cotangent, listed, plain, returned_names
from gradcheck_cli.errors import UsageError
from gradcheck_cli.source import name_of

Role = tuple[str, Any]  # ("dout", 0) ("out", None) ("cache", None) ("input", 1) ("param", "axis") ("returned", 2)
Leading = Sequence[tuple[int, str]]  # params that stand in front of an array: where, and their names
_SPOKEN = {"dout": "dout", "grad": "dout", "g": "dout", "out": "out", "cache": "cache"}


@dataclass(frozen=True)
class Call:
    """The arguments of a backward, in order; `outputs` counts what of forward's values are outputs, None being all.

    Without an upstream gradient among the roles, backward is a derivative to be multiplied by it.
    """

    roles: tuple[Role, ...]
    outputs: int | None
    names: tuple[str, ...]
    leading: int  # how many are passed by position; the others, behind a parameter that is left out, by name

    @property
    def takes_cotangent(self) -> bool:
        """Whether backward multiplies by the upstream gradient itself."""
        return any(kind == "dout" for kind, _ in self.roles)

    @property
    def takes_state(self) -> bool:
        """Whether backward needs what forward left behind: a cache, or something else that it returned."""
        return any(kind in ("cache", "returned") for kind, _ in self.roles)

    def outputs_of(self, returned: Any) -> Any:
        """What of forward's answer is the output, or the tuple of outputs."""
        if self.outputs is None or not isinstance(returned, (tuple, list)):
            return returned
        return returned[0] if self.outputs == 1 else tuple(returned[: self.outputs])

    def arguments(
        self, grad: Any, out: Any, returned: Any, arrays: Sequence[Any], params: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """The arguments by position, and those by name."""
        several = self.outputs != 1 and isinstance(grad, tuple)
        spread = sum(kind == "dout" for kind, _ in self.roles) > 1
        values: list[Any] = []
        for kind, key in self.roles:
            match kind:
                case "dout":
                    values.append(grad[key] if several and spread else grad)
                case "out":
                    values.append(out)
                case "cache":
                    rest = returned[self.outputs or 1 :]
                    # Of outputs that get no upstream gradient and a bundle behind them, the bundle.
                    bundles = [isinstance(part, (tuple, list, Mapping)) for part in rest]
                    alone = len(rest) == 1 or (bundles[-1:] == [True] and not any(bundles[:-1]))
                    values.append(rest[-1] if alone else tuple(rest))
                case "returned":
                    values.append(returned[key])
                case "input":
                    values.append(arrays[key])
                case _:
                    values.append(params[key])
        rest = zip(self.names[self.leading :], values[self.leading :], strict=True)
        return values[: self.leading], dict(rest)

    def described(self, forward: str, inputs: Sequence[str]) -> str:
        """`dout is the upstream gradient, cache what affine_forward keeps`."""
        words = {"dout": "the upstream gradient", "out": "the output", "cache": f"what {forward} keeps"}
        parts = []
        for name, (kind, key) in zip(self.names, self.roles, strict=True):
            if kind == "input":
                parts.append(f"{name} the input" if name == inputs[key] else f"{name} the input {inputs[key]}")
            elif kind == "returned":
                parts.append(f"{name} what {forward} returns")
            elif kind != "param":
                parts.append(f"{name} {words[kind]}")
        return ", ".join(parts)


def spoken_call(text: str, inputs: Sequence[str], params: Sequence[str], returned: Any) -> Call:
    """The call that `--call "dout, cache"` describes; raises UsageError."""
    roles: list[Role] = []
    names = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if name in inputs:
            roles.append(("input", list(inputs).index(name)))
        elif name in params:
            roles.append(("param", name))
        elif name in _SPOKEN:
            roles.append((_SPOKEN[name], sum(kind == "dout" for kind, _ in roles) if _SPOKEN[name] == "dout" else None))
        else:
            raise UsageError(f"--call {text!r}: {name!r} is none of dout, out, cache, {listed([*inputs, *params])}")
    count = sum(kind == "dout" for kind, _ in roles)
    cached = any(kind == "cache" for kind, _ in roles)
    if cached and not isinstance(returned, (tuple, list)):
        raise UsageError(f"--call {text!r}: forward returns no cache beside its output")
    outputs = max(count, 1) if cached or count > 1 else None
    return Call(tuple(roles), outputs, tuple(names), len(names))


def decide(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    returned: Any,
    inputs: Sequence[str],
    params: Sequence[str],
    cotangents: Sequence[str] = (),
) -> Call:
    """How to call `backward`, given what forward returned for an example; raises UsageError where nothing tells.

    `cotangents` are further names that stand for the upstream gradient here.
    """
    taken = _parameters(backward)
    names = returned_names(forward) if isinstance(returned, (tuple, list)) else []
    left = names if names and len(names) == len(returned) else []
    known = {p.name: _role(p.name, inputs, params, left, cotangents) for p in taken}
    roles = {p.name: known[p.name] for p in taken if p.default is p.empty or _worth_passing(p, known)}
    unknown = [name for name, role in roles.items() if role is None]
    if len(unknown) == len(roles) == 2 + len(inputs):  # The contract of Op, by whatever names.
        return _as_declared(list(roles), inputs)
    if not roles or not _settled(roles, unknown, backward, returned, inputs):
        raise UsageError(undecided(backward, unknown, _cotangents_in(roles), inputs))
    douts = _cotangents_in(roles)
    settled = {name: ("dout", douts.index(name)) if name in douts else role for name, role in roles.items() if role}
    if len(taken) == len(settled) and any(p.kind is p.VAR_POSITIONAL for p in parameters(backward)):  # f_grad(x, *args)
        settled |= {inputs[i]: ("input", i) for i in _missing(settled, inputs)}
    leading = next((i for i, (p, n) in enumerate(zip(taken, settled, strict=False)) if p.name != n), len(settled))
    call = Call(tuple(settled.values()), _outputs(settled, douts, returned), tuple(settled), leading)
    _check_state(call, forward, backward, returned)
    return call


def _worth_passing(parameter: inspect.Parameter, known: Mapping[str, Role | None]) -> bool:
    """Whether a parameter with a default is surely meant: a=0.01 is a slope, and no output."""
    role = known[parameter.name]
    if role is not None and role[0] == "dout":  # backward(dout=1)
        return not [n for n in _cotangents_in(known) if n != parameter.name]
    return role is not None and role[0] != "out"


def _settled(
    roles: dict[str, Role | None],
    unknown: Sequence[str],
    backward: Callable[..., Any],
    returned: Any,
    inputs: Sequence[str],
) -> bool:
    """Whether everything has a role, what names do not tell being told by number: it gets what alone is left over."""
    if not unknown:
        return True
    several, douts = isinstance(returned, (tuple, list)), _cotangents_in(roles)
    missing = _missing(roles, inputs)
    outputs = len(returned) - 1 if several and _takes_cache(roles) else 1
    derivative = not douts and not named_backward(backward)
    more = outputs < len(roles) and (_takes_cache(roles) or len(roles) != len(inputs))
    if not douts and len(unknown) == outputs and more:
        roles |= dict.fromkeys(unknown, ("dout", 0))
    elif douts and several and len(returned) > len(douts) and len(unknown) == 1 and not _takes_cache(roles):
        roles[unknown[0]] = ("cache", None)
    elif len(unknown) == len(missing) and (derivative or (douts and len(missing) == len(inputs))):
        roles |= {name: ("input", position) for name, position in zip(unknown, missing, strict=True)}
    else:
        return False
    return True


def _cotangents_in(roles: Mapping[str, Role | None]) -> list[str]:
    return [name for name, role in roles.items() if role and role[0] == "dout"]


def _missing(roles: Mapping[str, Any], inputs: Sequence[str]) -> list[int]:
    """The inputs that no parameter stands for."""
    present = {role[1] for role in roles.values() if role and role[0] == "input"}
    return [i for i in range(len(inputs)) if i not in present]


def _parameters(backward: Callable[..., Any]) -> list[inspect.Parameter]:
    found = parameters(backward)
    return [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _role(
    name: str, inputs: Sequence[str], params: Sequence[str], left: Sequence[str], cotangents: Sequence[str]
) -> Role | None:
    """What a parameter of that name stands for; None where its name does not tell."""
    if name in inputs:
        return "input", list(inputs).index(name)
    if name in params:
        return "param", name
    if name in left:
        return ("returned", list(left).index(name)) if list(left).index(name) else ("out", None)
    if CACHES.fullmatch(name):
        return "cache", None
    if is_cotangent(name) or name in cotangents or any(plain(name) in gradient_names(output) for output in left):
        return "dout", 0
    if OUTS.fullmatch(name):
        return "out", None
    alike = [i for i, known in enumerate(inputs) if plain(known) == plain(name)]
    return ("input", alike[0]) if len(alike) == 1 else None


def _as_declared(names: Sequence[str], inputs: Sequence[str]) -> Call:
    """backward(grad, out, *inputs), as an Op has it."""
    roles: list[Role] = [("dout", 0), ("out", None), *(("input", i) for i in range(len(inputs)))]
    return Call(tuple(roles), None, tuple(names), len(names))


def _takes_cache(roles: dict[str, Role | None]) -> bool:
    return any(role and role[0] in ("cache", "returned") for role in roles.values())


def named_backward(backward: Callable[..., Any]) -> bool:
    """Whether a function is called backward, and not derivative or gradient: it should get an upstream gradient."""
    return any(word in name_of(backward).lower() for word in ("back", "bwd", "bprop", "vjp", "pullback"))


def _outputs(roles: dict[str, Role], douts: Sequence[str], returned: Any) -> int | None:
    """How many of the values that forward returned are outputs."""
    if not isinstance(returned, (tuple, list)):
        return None
    if any(kind in ("cache", "returned") for kind, _ in roles.values()):
        return max(len(douts), 1)
    if len(douts) != 1:
        return len(douts) or 1
    plural = douts[0].lower().endswith("s") and not douts[0].lower().endswith("loss")
    return None if plural and all(_is_output(value) for value in returned) else 1


def _is_output(value: Any) -> bool:
    try:
        return np.asarray(value).dtype.kind in "fc"
    except Exception:  # Ragged, or whatever its __array__ raises.
        return False


def _check_state(call: Call, forward: Callable[..., Any], backward: Callable[..., Any], returned: Any) -> None:
    """Refuse a backward that wants a cache where forward returns none."""
    available = len(returned) if isinstance(returned, (tuple, list)) else 1
    wanted = (call.outputs or available) + any(kind == "cache" for kind, _ in call.roles)
    if any(kind == "cache" for kind, _ in call.roles) and not isinstance(returned, (tuple, list)):
        cache = next(n for n, (kind, _) in zip(call.names, call.roles, strict=True) if kind == "cache")
        raise UsageError(
            f"{name_of(backward)} takes a {cache}, but {name_of(forward)} returns none beside its output; "
            f"say what it is: --call 'dout, x' or --call 'dout, out'"
        )
    if wanted > available:
        raise UsageError(
            f"{name_of(backward)} takes {wanted} things of {name_of(forward)}, which returns {available}; "
            "say how to call it: --call 'dout, cache'"
        )


def undecided(backward: Callable[..., Any], unknown: list[str], douts: list[str], inputs: Sequence[str]) -> str:
    """One line about parameters of backward that could be several things, and what to write."""
    name = name_of(backward)
    if not unknown:
        return f"{name} takes nothing that could be an upstream gradient or an input"
    what = f"what {listed(unknown)} of {name} is" if douts else f"which of {listed(unknown)} of {name} is what"
    return (
        f"cannot tell {what}; name the upstream gradient dout, the output out, forward's cache cache and the inputs "
        f"as forward does, or say it: --call 'dout, {listed(inputs)}'"
    )


def leading(params: Parameters, given: Mapping[str, Any], count: int) -> Leading:
    """The params that stand in front of one of `count` arrays, scale(alpha, x): where, and their names."""
    found: list[tuple[int, str]] = []
    for place, parameter in enumerate(positional(params)):
        if parameter.name in given:
            found.append((place, parameter.name))
        elif place - len(found) == count - 1:
            return found
    return []


def spread(arrays: Sequence[Any], params: dict[str, Any], leading: Leading) -> tuple[list[Any], dict[str, Any]]:
    """Arguments by position, and those by name: arrays and params, the leading ones in their places."""
    values = list(arrays)
    for place, name in leading:
        values.insert(place, params.pop(name))
    return values, params
