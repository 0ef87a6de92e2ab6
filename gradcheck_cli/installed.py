"""What installed packages declare for a purpose: their entry points.

`importlib.metadata` knows, but imports email, socket and zipfile, which takes longer than loading every op. Packages
that lie in folders, as pip leaves them, are asked here; whatever else there may be is left to it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, NamedTuple


class EntryPoint(NamedTuple):
    """A name, and what a package declares under it: `module`, or `module:object`."""

    name: str
    value: str

    def load(self) -> Any:
        """What is declared; raises whatever importing it raises."""
        module, _, attributes = self.value.partition("[")[0].partition(":")  # the bracket has extras
        return reduce(getattr, filter(None, attributes.strip().split(".")), import_module(module.strip()))


def entry_points(group: str) -> list[EntryPoint]:
    """The entry points of a group, over all packages that can be imported; a package hides later ones of its name."""
    if _elsewhere():
        from importlib import metadata

        return [EntryPoint(entry.name, entry.value) for entry in metadata.entry_points(group=group)]
    found: dict[str, list[EntryPoint]] = {}
    for place in map(Path, sys.path):
        for folder in _packages(place):
            package = re.sub(r"[-_.]+", "_", folder.stem.partition("-")[0].lower())
            if package not in found:
                found[package] = list(_declared(folder / "entry_points.txt", group))
    return [entry for entries in found.values() for entry in entries]


def _elsewhere() -> bool:
    """Whether packages may lie in archives, or where only a finder of their own finds them."""
    finders = [finder for finder in sys.meta_path if finder is not PathFinder]
    return any(hasattr(finder, "find_distributions") for finder in finders) or any(
        place.endswith(".egg") or Path(place).is_file() for place in sys.path
    )


def _packages(place: Path) -> list[Path]:
    """The folders that describe packages, in a folder of sys.path."""
    try:
        return [path for path in place.iterdir() if path.suffix.lower() in (".dist-info", ".egg-info")]
    except OSError:
        return []


def _declared(path: Path, group: str) -> Iterator[EntryPoint]:
    """The entry points of a group that a file lists; most packages have no such file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    section = ""
    for line in map(str.strip, lines):
        if line.startswith("["):
            section = line.strip("[]")
        elif section == group and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield EntryPoint(name.strip(), value.strip())
