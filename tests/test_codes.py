"""The table of codes tells the truth: its examples have the bugs they show, and `gradcheck explain` shows them all."""

import ast
import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from conftest import Gradcheck

from gradcheck_cli import check
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.codes import CAUSES, CODES, MARK, lookup
from gradcheck_cli.errors import UsageError
from gradcheck_cli.numeric.estimate import Outcome
from gradcheck_cli.registry import resolve

PAGE = Path(__file__).parent.parent / "docs" / "findings.md"
ESCAPE = "\x1b"


def findings(folder: Path, source: str, **options: Any) -> list[Finding]:
    """What a check of an op file finds, of one that the command would load."""
    path = folder / "my_ops.py"
    path.write_text(source, encoding="utf-8")
    return [finding for op in resolve([str(path)]) for finding in check(op, **options).findings]


def order(code: str) -> int:
    return 2 if code.startswith("GC6") else 1


# The table

RUNNABLE = [code for code in CODES if not code.startswith("GC7")]  # these take a fixture: test_replay.py


@pytest.mark.parametrize("code", RUNNABLE)
def test_an_example_has_the_bug_that_it_shows(tmp_path: Path, code: str) -> None:
    """It yields the code, and within a few cases."""
    assert code in {finding.code for finding in findings(tmp_path, CODES[code].example, cases=6, order=order(code))}


@pytest.mark.parametrize("code", CODES)
def test_a_mended_example_has_no_bug(tmp_path: Path, code: str) -> None:
    """With the marked line replaced nothing is found; that some edge cannot be judged is a note."""
    found = findings(tmp_path, CODES[code].mended, order=order(code))

    assert [f.message for f in found if f.severity > Severity.NOTE] == []


def test_the_report_gives_the_meaning_of_a_code(gradcheck: Gradcheck) -> None:
    """As the table has it."""
    (gradcheck.folder / "my_ops.py").write_text(CODES["GC303"].example, encoding="utf-8")
    document = json.loads(gradcheck("run", "my_ops.py", "--cases", "1", "--no-edges", "--report", "json=-").stdout)

    (case,) = document["ops"][0]["cases"]
    assert {f["code"]: f["meaning"] for f in case["findings"]} == {"GC303": CODES["GC303"].meaning}


@pytest.mark.parametrize("code", CODES)
def test_an_example_is_a_short_op_file(code: str) -> None:
    """One marked line, OPS at the end, and no line that a terminal of 80 columns would fold."""
    example = CODES[code].example

    assert example.count(MARK) == 1
    assert ast.unparse(ast.parse(example).body[-1]).startswith("OPS = [")
    assert max(map(len, (example + CODES[code].instead).splitlines())) <= 75


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_written_as_the_others_are(code: str) -> None:
    """Meaning and fix go on where a sentence began, the detail is two to four sentences; all of it is plain ASCII."""
    row = CODES[code]

    for clause in (row.meaning, row.fix, *CAUSES.values()):
        assert clause[0].islower()
        assert not clause.endswith(".")
    assert 2 <= row.detail.count(". ") + row.detail.endswith(".") <= 4
    assert (row.meaning + row.detail + row.example + row.fix + row.instead).isascii()
    assert "|" not in row.meaning + "".join(CAUSES.values())  # they stand in tables of Markdown


def test_every_outcome_is_a_cause() -> None:
    """What the engine says of a slope is what GC501 names."""
    assert {outcome.name.lower() for outcome in Outcome} - set(CAUSES) == set()


@pytest.mark.parametrize(
    ("typed", "name"),
    [("GC101", "GC101"), ("gc101", "GC101"), ("wrong_tie", "wrong_tie"), ("WRONG_TIE", "wrong_tie")],
)
def test_a_name_may_be_typed_in_any_case(typed: str, name: str) -> None:
    """And is answered as the table spells it."""
    assert lookup(typed) == name


def test_an_unknown_name_suggests_known_ones() -> None:
    """Codes as they are spelled, though typed in lower case."""
    with pytest.raises(UsageError, match="no code or cause is named 'gc999'"):
        lookup("gc999")
    with pytest.raises(UsageError, match=r"Did you mean .*'GC502'"):
        lookup("gc503")


# The command


def test_explain_tells_all_about_a_code(gradcheck: Gradcheck) -> None:
    """Meaning, detail, the whole example, the fix and what to write."""
    outcome = gradcheck("explain", "GC101")
    row = CODES["GC101"]

    assert f"GC101  {row.meaning}" in outcome.stdout
    assert row.detail in outcome.stdout
    assert row.example in textwrap.dedent("".join(f"{line[5:]}\n" for line in outcome.stdout.splitlines()))
    assert f"Instead: {row.fix}." in outcome.stdout
    assert outcome.stdout.endswith(f"     {row.instead}\n")
    assert (outcome.code, outcome.stderr) == (0, "")


def test_explain_knows_causes(gradcheck: Gradcheck) -> None:
    """One line."""
    outcome = gradcheck("explain", "swapped_inputs")

    assert outcome.stdout == f" swapped_inputs  {CAUSES['swapped_inputs']}\n"
    assert (outcome.code, outcome.stderr) == (0, "")


def test_explain_takes_several_names_in_any_case(gradcheck: Gradcheck) -> None:
    """In the order in which they are given, each once."""
    outcome = gradcheck("explain", "gc304", "Wrong_Tie", "gc101", "GC304")

    titles = [line.split()[0] for line in outcome.stdout.splitlines() if line.startswith(" ") and line[1] != " "]
    assert titles == ["GC304", "wrong_tie", "GC101"]
    assert outcome.code == 0


def test_explain_lists_everything(gradcheck: Gradcheck) -> None:
    """Without a name: each code and each cause on a line with its meaning."""
    outcome = gradcheck("explain")

    lines = [line.split(maxsplit=1) for line in outcome.stdout.splitlines() if line]
    assert [[name, code.meaning] for name, code in CODES.items()] == [line for line in lines if line[0] in CODES]
    assert [[name, meaning] for name, meaning in CAUSES.items()] == [line for line in lines if line[0] in CAUSES]
    assert outcome.code == 0


def test_explain_is_plain_and_unfolded_in_a_pipe(gradcheck: Gradcheck) -> None:
    """Nothing but text; a paragraph is a line."""
    outcome = gradcheck("explain", "GC304")

    assert ESCAPE not in outcome.stdout
    assert CODES["GC304"].detail in outcome.stdout


def test_explain_folds_at_the_width_of_the_terminal(gradcheck: Gradcheck) -> None:
    """Prose is folded; at 80 columns no line of code is."""
    outcome = gradcheck("explain", *CODES, COLUMNS="80")

    lines = [line.strip() for line in outcome.stdout.splitlines()]
    assert max(map(len, outcome.stdout.splitlines())) <= 80
    for row in CODES.values():
        assert {line.strip() for line in row.example.splitlines()} <= set(lines)


def test_explain_marks_the_wrong_line_in_colour(gradcheck: Gradcheck) -> None:
    """Red, when colours are asked for."""
    outcome = gradcheck("explain", "GC303", "--color", "always")

    marked = next(line for line in outcome.stdout.splitlines() if MARK in line)
    assert f"{ESCAPE}[31m" in marked


def test_the_page_is_what_the_command_writes(gradcheck: Gradcheck) -> None:
    """docs/findings.md begins with the command that writes it again."""
    page = PAGE.read_text(encoding="utf-8")

    assert "gradcheck explain --markdown > docs/findings.md" in page[:200]
    assert gradcheck("explain", "--markdown").stdout == page


def test_a_part_of_the_page_can_be_had(gradcheck: Gradcheck) -> None:
    """The sections of what is named, without the head."""
    outcome = gradcheck("explain", "--markdown", "gc101", "wrong_tie")

    assert outcome.stdout.startswith("## GC101\n")
    assert "| `wrong_tie` |" in outcome.stdout
    assert outcome.stdout.count("\n## ") == 1
