"""fixtures/wrong: every wrong op is caught and its cause named; the right one beside it passes without a word."""

from pathlib import Path

import pytest
from wrong_ops import RIGHT, WRONG, ops_of, report_of

from gradcheck_cli.checks.finding import Severity
from gradcheck_cli.codes import CAUSES


def of_all_ops(paths: list[Path]) -> pytest.MarkDecorator:
    """One test for every op in some files: `stem` and `name`."""
    rows = [pytest.param(path.stem, name, id=f"{path.stem}::{name}") for path in paths for name in ops_of(path.stem)]
    return pytest.mark.parametrize(("stem", "name"), rows)


def test_every_wrong_file_has_a_right_one() -> None:
    """With the same ops, so that only the backward differs."""
    assert WRONG
    assert [path.stem + "_right" for path in WRONG] == sorted(path.stem for path in RIGHT)
    for wrong, right in zip(WRONG, RIGHT, strict=True):
        assert list(map(repr, ops_of(wrong.stem).values())) == list(map(repr, ops_of(right.stem).values()))


@of_all_ops(WRONG)
def test_a_wrong_op_is_caught_and_its_cause_named(stem: str, name: str) -> None:
    """The file's name is among the causes."""
    report = report_of(stem, name)

    assert report.verdict.bad
    assert stem in {finding.cause for finding in report.findings if finding.severity >= Severity.FAILURE}
    assert stem in CAUSES


@of_all_ops(RIGHT)
def test_a_right_op_passes(stem: str, name: str) -> None:
    """Without even a warning."""
    report = report_of(stem, name)

    assert report.passed, str(report)
    assert [finding.message for finding in report.findings if finding.severity > Severity.NOTE] == []
