"""What a user said beside a target, and what a target is: a name, and how it becomes an op."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from gradcheck_cli.domain import Domain
from gradcheck_cli.limits import Limits
from gradcheck_cli.op import Array, Op
from gradcheck_cli.signature import Shape


@dataclass(frozen=True)
class Given:
    """What the command line, or a call, says about functions that declare nothing themselves."""

    shapes: tuple[Shape, ...] = ()
    signature: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    domains: Mapping[str, Domain] = field(default_factory=dict)  # by input; "" is all others
    wrt: tuple[str, ...] = ()  # the inputs that have gradients
    call: str | None = None  # how backward is called: "dout, cache"
    device: str | None = None
    pair: str | None = None  # "f,df", where a user named both
    dtype: str | None = None
    arrays: tuple[Array, ...] = ()  # inputs to try it with, where there are some already
    declaration: Mapping[str, Any] = field(default_factory=dict)  # further fields of Op
    limits: Limits = field(default_factory=Limits)  # of the arrays that it is tried with

    @property
    def about_functions(self) -> list[str]:
        """The options given that say nothing to an op that declares itself."""
        said = {
            "--signature": self.signature,
            "--domain": self.domains,
            "--wrt": self.wrt,
            "--call": self.call,
            "--device": self.device,
        }
        return [flag for flag, value in said.items() if value]

    @property
    def to_repeat(self) -> dict[str, Any]:
        """What must be said again to make the same op of the same functions, beside shapes and params."""
        said = {name: getattr(self, name) for name in ("signature", "call", "device", "pair")} | {"wrt": list(self.wrt)}
        return {key: value for key, value in said.items() if value}


@dataclass(frozen=True)
class Target:
    """Something that can be checked. `op` makes an op of it; it raises UsageError where what is given does not fit.

    A target is found by its name or by one of its `aliases`; one that is `asked` only if it is named, since nothing but
    its name says that it is meant to have a gradient.
    """

    name: str
    what: str  # what it was taken for, in a few words
    place: str
    op: Callable[[Given], Op]
    aliases: frozenset[str] = frozenset()
    asked: bool = False
    parts: tuple[str, ...] = ()  # what it is made of, by the names in its module; its own name where nothing is said

    def answers_to(self, name: str) -> bool:
        """Whether a user may mean this by that name."""
        return name == self.name or name in self.aliases


@dataclass(frozen=True)
class Scope:
    """A module in which targets are looked for."""

    module: ModuleType
    where: str  # as the user knows it

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """What the module defines itself, in order; what it imports is somebody else's."""
        for name, value in list(vars(self.module).items()):
            defined = inspect.isclass(value) or inspect.isroutine(value)
            homes = [getattr(v, "__module__", None) for v in (value, getattr(value, "fun", None))]  # autograd wraps fun
            mine = self.module.__name__ in homes if defined else not inspect.ismodule(value)
            if not name.startswith("__") and mine:
                yield name, value

    def get(self, name: str) -> Any:
        """Whatever has that name in the module; None where nothing has."""
        return getattr(self.module, name, None)
