"""Saved failures: what a run saves, what replays it, and how it goes away; all by the real command."""

import json
import re
import shlex
from pathlib import Path

import pytest
from conftest import Gradcheck, Outcome, WriteFile

FOLDER = Path(".gradcheck") / "failures"
WRONG = """
    def square(grad, out, x):
        return -2 * grad * x
    def sine(grad, out, x):
        return grad * np.cos(x) * 2
    OPS = [
        Op(np.square, square, "()->()"),
        Op(np.sin, sine, "()->()"),
        Op(np.exp, lambda grad, out, x: grad * out, "()->()"),
    ]
"""
MENDED = WRONG.replace("-2", "2").replace(" * 2", "")
FEW = ("--cases", "4", "--no-edges")


def saved(folder: Path) -> list[str]:
    """The ops of the saved failures, by the files' names."""
    return sorted(path.name.partition("-")[0] for path in (folder / FOLDER).glob("*.json"))


def replay_lines(outcome: Outcome) -> list[list[str]]:
    """The arguments of every `gradcheck replay` that a run printed."""
    return [shlex.split(line)[1:] for line in outcome.stdout.splitlines() if "gradcheck replay " in line]


def heads(outcome: Outcome) -> list[str]:
    """FAIL, op, code and cause of every story."""
    return re.findall(r"^ +(FAIL .*)$", outcome.stdout, re.MULTILINE)


@pytest.fixture
def failed(gradcheck: Gradcheck, op_file: WriteFile) -> Outcome:
    """A run of three ops, two of them wrong."""
    op_file(WRONG)
    return gradcheck("run", "my_ops.py", *FEW)


def test_a_failure_is_saved_and_its_line_replays_it(gradcheck: Gradcheck, failed: Outcome) -> None:
    """With the same code and cause."""
    lines = replay_lines(failed)
    again = [gradcheck(*line) for line in lines]

    assert failed.code == 1
    assert [Path(path).parent for _, path in lines] == [FOLDER, FOLDER]
    assert [outcome.code for outcome in again] == [1, 1]
    assert [heads(outcome) for outcome in again] == [[head] for head in heads(failed)]
    assert heads(failed) == ["FAIL square · GC201 · sign_flipped", "FAIL sin · GC201 · wrong_scale"]


def test_what_is_saved_is_the_smallest_case(gradcheck: Gradcheck, failed: Outcome) -> None:
    """With what was found, and without what should have come out."""
    (path,) = (gradcheck.folder / FOLDER).glob("square-*.json")
    (case,) = json.loads(path.read_text(encoding="utf-8"))["cases"]

    assert case["finding"] == {"code": "GC201", "cause": "sign_flipped", "input": "x"}
    assert case["inputs"]["x"]["shape"] == []
    assert "expected" not in case


def test_no_version_control_sees_the_folder(gradcheck: Gradcheck, failed: Outcome) -> None:
    """It ignores itself."""
    assert (gradcheck.folder / ".gradcheck" / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_what_is_mended_goes_away(gradcheck: Gradcheck, op_file: WriteFile, failed: Outcome) -> None:
    """The replay passes, removes what was saved and says so; then nothing is left to rerun."""
    op_file(MENDED)
    (_, first), (_, second) = replay_lines(failed)
    replayed = gradcheck("replay", first)
    rerun = gradcheck("run", "--lf")
    nothing = gradcheck("run", "--lf")

    assert (replayed.code, replayed.stderr) == (0, f"gradcheck: {first} passes now, and was removed\n")
    assert (rerun.code, rerun.stderr) == (0, f"gradcheck: {second} passes now, and was removed\n")
    assert saved(gradcheck.folder) == []
    assert (nothing.code, nothing.stdout) == (5, "")
    assert nothing.stderr == f"gradcheck: nothing is left to rerun: no failure is saved in {FOLDER}\n"


def test_lf_before_any_run_has_nothing_to_do(gradcheck: Gradcheck) -> None:
    """Without a folder."""
    outcome = gradcheck("run", "--lf")

    assert (outcome.code, outcome.stdout, outcome.stderr.count("\n")) == (5, "", 1)


@pytest.mark.parametrize(
    ("arguments", "ops"),
    [
        ([], ["sin", "square"]),
        (["-k", "sq"], ["square"]),
        (["my_ops.py"], ["sin", "square"]),
        (["my_ops.py::sin"], ["sin"]),
        (["my_ops.py", "--exclude", "sin"], ["square"]),
    ],
)
def test_lf_reruns_what_failed(gradcheck: Gradcheck, failed: Outcome, arguments: list[str], ops: list[str]) -> None:
    """Of the selected ops; what passed is not run again."""
    if "-k" in arguments:
        arguments = ["my_ops.py", *arguments]
    outcome = gradcheck("run", "--lf", *arguments)

    assert outcome.code == 1
    assert sorted(head.split()[1] for head in heads(outcome)) == ops
    assert " exp " not in outcome.stdout


def test_lf_without_a_match_has_nothing_to_do(gradcheck: Gradcheck, failed: Outcome) -> None:
    """An op that did not fail."""
    outcome = gradcheck("run", "--lf", "my_ops.py::exp")

    assert (outcome.code, outcome.stderr.count("\n")) == (5, 1)
    assert saved(gradcheck.folder) == ["sin", "square"]


@pytest.mark.parametrize("option", [("--shape", "2"), ("--seed", "1"), ("--cases", "3"), ("--max-side", "2")])
def test_lf_draws_nothing(gradcheck: Gradcheck, failed: Outcome, option: tuple[str, str]) -> None:
    """So options about what to draw are a mistake."""
    outcome = gradcheck("run", "--lf", *option)

    assert (outcome.code, outcome.stdout) == (2, "")
    assert f"leave out {option[0]}" in outcome.stderr


def test_nothing_is_saved_where_that_is_not_wanted(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    """--no-save leaves the folder as it was, and prints no line that would not work."""
    op_file(WRONG)
    outcome = gradcheck("run", "my_ops.py", *FEW, "--no-save")

    assert outcome.code == 1
    assert len(heads(outcome)) == 2
    assert replay_lines(outcome) == []
    assert not (gradcheck.folder / ".gradcheck").exists()


def test_a_pass_saves_nothing(gradcheck: Gradcheck) -> None:
    """Not even a folder."""
    assert gradcheck("run", "sin", *FEW).code == 0
    assert not (gradcheck.folder / ".gradcheck").exists()


def test_a_folder_that_cannot_be_written_is_no_failure(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    """The report comes all the same; one line says what is missing."""
    op_file(WRONG)
    (gradcheck.folder / ".gradcheck").write_text("a file, where a folder should be", encoding="utf-8")
    outcome = gradcheck("run", "my_ops.py", *FEW)

    assert outcome.code == 1
    assert len(heads(outcome)) == 2
    assert outcome.stderr.startswith("gradcheck: failures are not saved: .gradcheck/failures cannot be written: ")
    assert outcome.stderr.count("\n") == 1


def test_failures_do_not_pile_up(gradcheck: Gradcheck, failed: Outcome) -> None:
    """A second run, of another seed, overwrites what the first one saved."""
    gradcheck("run", "my_ops.py", *FEW, "--seed", "1")

    assert saved(gradcheck.folder) == ["sin", "square"]


def test_op_files_elsewhere_are_not_saved(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    """Replay would refuse to run them."""
    path = op_file(WRONG)
    (gradcheck.folder / "elsewhere").mkdir()
    outcome = Gradcheck(gradcheck.folder / "elsewhere")("run", str(path), *FEW)

    assert outcome.code == 1
    assert len(heads(outcome)) == 2
    assert replay_lines(outcome) == []
    assert saved(gradcheck.folder / "elsewhere") == []


def test_a_file_in_a_folder_below_is_found_again(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    """From the working folder, by a name with a blank in it."""
    op_file(WRONG, "my ops/wrong ones.py")
    outcome = gradcheck("run", "my ops/wrong ones.py", *FEW)

    assert [heads(gradcheck(*line)) for line in replay_lines(outcome)] == [[head] for head in heads(outcome)]
    assert len(heads(outcome)) == 2


def test_a_param_that_json_cannot_hold_fails_as_usual(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    """Without a file."""
    op_file(
        'OPS = [Op(lambda x, k: x * 1, lambda grad, out, x, k: -grad, "()->()", name="op", params={"k": [{1}, {2}]})]'
    )
    outcome = gradcheck("run", "my_ops.py", *FEW)

    assert outcome.code == 1
    assert outcome.stderr.startswith("gradcheck: not saved for a replay: op: param k=")
    assert heads(outcome) == ["FAIL op · GC201 · sign_flipped"]
    assert saved(gradcheck.folder) == []


def test_an_op_of_a_module_is_found_again(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    """By the module's name."""
    op_file(WRONG, "pkg/wrong.py")
    (gradcheck.folder / "pkg" / "__init__.py").touch()
    environment = {"PYTHONPATH": str(gradcheck.folder)}
    outcome = gradcheck("run", "pkg.wrong", *FEW, **environment)

    assert len(heads(outcome)) == 2
    assert sorted(heads(gradcheck("run", "--lf", **environment))) == sorted(heads(outcome))


def test_json_names_what_was_saved(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    """Beside each story."""
    op_file(WRONG)
    document = json.loads(gradcheck("run", "my_ops.py", *FEW, "--report", "json=-").stdout)
    names = [story["saved"] for op in document["ops"] for story in op["stories"]]

    assert len(names) == 2
    assert all((gradcheck.folder / name).is_file() for name in names)


def test_fixtures_elsewhere_are_not_removed(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    """Only what the tool saved by itself does it delete."""
    op_file(MENDED)
    gradcheck("record", "my_ops.py::square", "-o", "mine.json", "--cases", "1", "--shape", "2")
    outcome = gradcheck("replay", "mine.json")

    assert (outcome.code, outcome.stderr) == (0, "")
    assert (gradcheck.folder / "mine.json").is_file()
