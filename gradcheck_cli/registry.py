"""Targets -> ops: names and globs of installed ops, `file.py`, `file.py::name`, `pkg.module::name`."""

from __future__ import annotations

import fnmatch
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from gradcheck_cli.adapters import Given, Target, ops_of, targets_of
from gradcheck_cli.errors import DeclarationError, GradcheckError, LoadError, UsageError, suggestions
from gradcheck_cli.installed import entry_points
from gradcheck_cli.loading import blamed, dotted_module, file_module, is_dotted_module, looked_at
from gradcheck_cli.op import Op
from gradcheck_cli.source import short_path

Plain = Callable[[Callable[..., Any]], Op]

ENTRY_POINT_GROUP = "gradcheck.ops"
_EXAMPLE = 'OPS = [Op(forward, backward, "(n,k),(k,m)->(n,m)")]'


def resolve(targets: Sequence[str], given: Given | None = None, plain: Plain | None = None) -> list[Op]:
    """The ops that the targets name, in order and once each; every installed op where no target is given.

    `given` is what is said about functions that declare nothing; `plain` makes an op of a function that a target names
    and that nothing else is made of. Raises UsageError for a target that names nothing, LoadError for a file or module
    that cannot be used.
    """
    return list(located(targets, given, plain))


def located(targets: Sequence[str], given: Given | None = None, plain: Plain | None = None) -> dict[Op, str | None]:
    """What `resolve` finds, each with the file or module to find it in again; None for an installed op."""
    given = given or Given()
    found: dict[Op, str | None] = {}
    for target in targets:
        with looked_at():
            ops, source = _target(target, given, plain)
        found |= {op: source for op in ops if op not in found}
    if not targets:
        found = dict.fromkeys(installed_ops())
    if given.about_functions and not given.arrays and all(type(op) is Op and not op.taken_for for op in found):
        flag = given.about_functions[0]
        raise UsageError(f"{flag} is for functions that declare nothing; {next(iter(found)).name} is a declared op")
    by_name: dict[str, Op] = {}
    for op in found:
        twin = by_name.setdefault(op.name, op)
        if twin is not op:
            raise LoadError(
                f"two ops are named {op.name!r}: {twin.declared} and {op.declared}; give one of them another name="
            )
    return found


def installed_ops(broken: list[GradcheckError] | None = None) -> list[Op]:
    """The ops of every installed package that declares the entry point group `gradcheck.ops`.

    An op whose name another package has taken is called `entry.name`. Raises LoadError or DeclarationError for a
    package that cannot be used, unless these are collected as `broken`.
    """
    ops: list[Op] = []
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: (e.name != "builtin", e.name)):
        origin = f"entry point {entry.name!r} ({entry.value})"
        try:
            with blamed(origin):
                module = entry.load()
            found = [op for op in _ops_in(module, origin) if op not in ops]
        except (LoadError, DeclarationError) as error:
            if broken is None:
                raise
            broken.append(error)
            continue
        taken = {op.name for op in ops}
        ops += [_called(op, f"{entry.name}.{op.name}") if op.name in taken else op for op in found]
    return ops


@functools.cache
def _called(op: Op, name: str) -> Op:
    return op.called(name)


def companions(function: Callable[..., Any]) -> list[Op]:
    """The ops that are declared in the module of a function, which it may call."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    table = getattr(module, "OPS", None)
    declared = table if isinstance(table, (list, tuple)) else vars(module).values() if module else ()
    return [op for op in declared if isinstance(op, Op)]


def recognised(target: str) -> list[Target] | None:
    """What a file or module without declarations holds, as far as a target means it; None for declared ops.

    That needs nothing said about shapes.
    """
    place, _, name = target.partition("::")
    if not place or not ("::" in target or _is_file(place) or is_dotted_module(place)):
        return None
    module, where, _ = _module_of(target)
    with looked_at():
        if _declared_in(module, where):
            return None
        name = name.partition(",")[0]
        return [t for t in targets_of(module, where) if not name or t.answers_to(name)]


def module_at(target: str) -> ModuleType:
    """The module that a file, or a dotted name, is; raises LoadError."""
    return _module_of(target)[0]


def _target(target: str, given: Given, plain: Plain | None) -> tuple[list[Op], str | None]:
    """The ops that one target names, and the file or module they are in."""
    place, separator, name = target.partition("::")
    if not place:
        raise UsageError(f"target {target!r} names no op, file or module")
    if not separator and not _is_file(place) and not is_dotted_module(place):
        if Path(f"{place}.py").is_file():
            raise UsageError(f"no op named {place!r} is installed. Did you mean the file {place}.py?")
        if place.replace(",", "").isdigit():
            raise UsageError(
                f"{place!r} names no op; shapes have no blanks, and each its own option: --shape 4,3 --shape 3"
            )
        broken: list[GradcheckError] = []
        ops = installed_ops(broken)
        if broken and not any(op.name == target for op in ops):  # It may be in there, and so may what a glob means.
            raise broken[0]
        return _pick(ops, target, "is installed"), None
    module, where, _ = _module_of(target)
    ops = _declared_in(module, where)
    if not ops or (name and hasattr(module, name) and not any(op.name == name for op in ops)):
        function = vars(module).get(name)
        if isinstance(function, Op):  # by the name that it has in the file
            return [function] if function in ops else _pick(ops, name, f"is in {where}"), place
        if isinstance(function, FunctionType) and not any(t.answers_to(name) for t in targets_of(module, where)):
            return [_by_itself(function, f"{where}::{name}", plain)], place
        return ops_of(module, where, name or None, given), place
    return (_pick(ops, name, f"is in {where}") if separator else ops), place


def _by_itself(function: FunctionType, where: str, plain: Plain | None) -> Op:
    """The op of a plain function, whose backward `plain` makes."""
    if plain is None:
        advice = f"gradcheck run {where} --shape 3,4 (for each input) differentiates it"
        raise UsageError(f"{where} is a plain function without a backward; {advice}")
    return plain(function)


def _is_file(place: str) -> bool:
    if place.endswith(".py") or "/" in place or (Path(place).suffix and Path(place).is_file()):
        return True
    # A folder that happens to be called like an op hides it from nobody.
    return Path(place).is_dir() and not any(op.name == place for op in installed_ops())


def _module_of(target: str) -> tuple[ModuleType, str, str]:
    """The module that a target is in, what to call it, and the name behind the colons."""
    place, _, name = target.partition("::")
    if _is_file(place):
        return file_module(place), short_path(place), name
    return dotted_module(place), f"module {place}", name


def _pick(ops: list[Op], name: str, where: str) -> list[Op]:
    """The ops whose name is, or matches, `name`."""
    chosen = [op for op in ops if fnmatch.fnmatchcase(op.name, name)]
    if not chosen:
        names = [op.name for op in ops]
        hint = suggestions(name, names) or f"; there are {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}"
        raise UsageError(f"no op named {name!r} {where}{hint}")
    return chosen


def _ops_in(module: Any, where: str) -> list[Op]:
    """The ops that a module declares, or that are in a table; raises LoadError where there are none."""
    ops = _declared_in(module, where)
    if not ops:
        raise LoadError(f"{where} declares no ops; end it with {_EXAMPLE}")
    return ops


def _declared_in(module: Any, where: str) -> list[Op]:
    """The module's OPS table, which an entry point may name itself, or else every Op that stands in the module."""
    table = module if isinstance(module, (list, tuple)) else getattr(module, "OPS", None)
    if table is None:
        return list(dict.fromkeys(value for value in getattr(module, "__dict__", {}).values() if isinstance(value, Op)))
    if not isinstance(table, (list, tuple)) or not table:
        what = f"a {type(table).__name__}" if not isinstance(table, (list, tuple)) else "empty"
        raise LoadError(f"{where}: OPS is {what}; write {_EXAMPLE}")
    for position, op in enumerate(table):
        if not isinstance(op, Op):
            raise LoadError(f"{where}: OPS[{position}] is a {type(op).__name__}, not an Op; write {_EXAMPLE}")
    return list(table)
