"""fixtures/wrong: every wrong op is caught and its cause named; the right one beside it passes without a word."""

from pathlib import Path

import pytest

from gradcheck_cli import Op, check
from gradcheck_cli.checks.finding import Severity
from gradcheck_cli.codes import CAUSES
from gradcheck_cli.registry import resolve

FOLDER = Path(__file__).parents[1] / "fixtures" / "wrong"
FILES = sorted(FOLDER.glob("*.py"))
WRONG = [path for path in FILES if not path.stem.endswith("_right")]
RIGHT = [path for path in FILES if path.stem.endswith("_right")]


def of_all_ops(paths: list[Path]) -> pytest.MarkDecorator:
    """One test for every op in some files: `path` and `op`."""
    rows = [pytest.param(path, op, id=f"{path.stem}::{op.name}") for path in paths for op in resolve([str(path)])]
    return pytest.mark.parametrize(("path", "op"), rows)


def test_every_wrong_file_has_a_right_one() -> None:
    """With the same ops, so that only the backward differs."""
    assert WRONG
    assert [path.stem + "_right" for path in WRONG] == sorted(path.stem for path in RIGHT)
    for wrong, right in zip(WRONG, RIGHT, strict=True):
        assert [repr(op) for op in resolve([str(wrong)])] == [repr(op) for op in resolve([str(right)])]


@of_all_ops(WRONG)
def test_a_wrong_op_is_caught_and_its_cause_named(path: Path, op: Op) -> None:
    """The file's name is among the causes."""
    report = check(op)

    assert report.verdict.bad
    assert path.stem in {finding.cause for finding in report.findings if finding.severity >= Severity.FAILURE}
    assert path.stem in CAUSES


@of_all_ops(RIGHT)
def test_a_right_op_passes(path: Path, op: Op) -> None:
    """Without even a warning."""
    report = check(op)

    assert report.passed, str(report)
    assert [finding.message for finding in report.findings if finding.severity > Severity.NOTE] == []
