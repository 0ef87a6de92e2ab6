"""[tool.gradcheck] in pyproject.toml: what `gradcheck run` and `pytest --gradcheck` do if they are not told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

from gradcheck_cli.errors import UsageError, suggestions
from gradcheck_cli.source import short_path

_KEYS = ("ops", "seed", "cases", "min-resolution")


class Settings(NamedTuple):
    """What the table says; `ops` are targets, with files relative to the working folder."""

    ops: tuple[str, ...] = ()
    seed: int | None = None
    cases: int | None = None
    min_resolution: float | None = None


def load(folder: Path | None = None) -> Settings:
    """The table of the nearest pyproject.toml, here or above; none is as good as an empty one.

    Raises UsageError for a file that is no TOML, for unknown keys and for values that cannot be meant.
    """
    here = (folder or Path.cwd()).resolve()
    path = next((p for place in (here, *here.parents) if (p := place / "pyproject.toml").is_file()), None)
    if path is None:
        return Settings()
    import tomllib

    shown = short_path(str(path))
    try:
        tool = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError, RecursionError) as error:  # Also a number of more digits than Python reads.
        raise UsageError(f"{shown} cannot be read: {error}") from None
    where = f"{shown}: [tool.gradcheck]"
    table = tool.get("gradcheck", {}) if isinstance(tool, dict) else None
    if not isinstance(table, dict):
        raise UsageError(f"{where} is no table")
    for key in table:
        if key not in _KEYS:
            hint = suggestions(key, _KEYS) or f"; there are {', '.join(_KEYS)}"
            raise UsageError(f"{where} has no key {key!r}{hint}")
    return Settings(
        _targets(table.get("ops", []), path.parent, where),
        _integer(table, "seed", 0, where),
        _integer(table, "cases", 1, where),
        _resolution(table.get("min-resolution"), where),
    )


def _targets(value: Any, folder: Path, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise UsageError(f'{where}: ops is {value!r}; write a list of targets: ops = ["my_ops.py"]')
    return tuple(_from_here(entry, folder) for entry in value)


def _from_here(target: str, folder: Path) -> str:
    """A target that is a file, from the working folder; any other as it is."""
    place, separator, name = target.partition("::")
    if not place.endswith(".py") and "/" not in place:
        return target
    return short_path(str(folder / place)) + separator + name


def _integer(table: dict[str, Any], key: str, least: int, where: str) -> int | None:
    value = table.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
        raise UsageError(f"{where}: {key} is {value!r}; it must be an integer of {least} or more")
    return value


def _resolution(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= sys.float_info.max:
        raise UsageError(f"{where}: min-resolution is {value!r}; it must be a number above 0")
    return float(value)
