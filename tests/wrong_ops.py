"""The ops of fixtures/wrong, each checked once in a process: several tests look at the same report."""

from __future__ import annotations

import functools
from pathlib import Path

from gradcheck_cli import Op, check
from gradcheck_cli.api import Report
from gradcheck_cli.registry import resolve

FOLDER = Path(__file__).parents[1] / "fixtures" / "wrong"
FILES = sorted(FOLDER.glob("*.py"))
WRONG = [path for path in FILES if not path.stem.endswith("_right")]
RIGHT = [path for path in FILES if path.stem.endswith("_right")]

FEW = 8


@functools.cache
def ops_of(stem: str) -> dict[str, Op]:
    """The ops of a file, by name."""
    return {op.name: op for op in resolve([str(FOLDER / f"{stem}.py")])}


@functools.cache
def report_of(stem: str, name: str) -> Report:
    """What a check says of one of them: a wrong one shows within a few cases, a right one must hold in many."""
    return check(ops_of(stem)[name], cases=None if stem.endswith("_right") else FEW)
