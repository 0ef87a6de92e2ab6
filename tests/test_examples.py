"""Every line of docs/your-code.md is run: what is wrong is caught, its cause named, the exit code right."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Gradcheck

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "your-code.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\$ gradcheck (run .*?)\s+# (.+)$", DOCUMENT, re.MULTILINE)
PEERS = ("torch_functions", "jax_rules", "autograd_primitives")


def cases() -> list[object]:
    found: list[object] = []
    for command, expected in LINES:
        marks = [pytest.mark.peers] if any(name in command for name in PEERS) else []
        found.append(pytest.param(command, expected, marks=marks, id=command.split()[1].partition("/")[2]))
    return found


@pytest.mark.parametrize(("command", "expected"), cases())
def test_the_document_is_right(gradcheck: Gradcheck, command: str, expected: str) -> None:
    outcome = Gradcheck(ROOT)(*shlex.split(command), "--no-save", "-q")

    assert outcome.stderr == ""
    if expected == "pass":
        assert (outcome.code, "1 passed" in outcome.stdout) == (0, True), outcome.stdout
    else:
        assert outcome.code == 1
        assert expected.replace(" ", " · ") in outcome.stdout


def test_every_example_is_in_the_document() -> None:
    """A file that nobody runs would rot."""
    named = {path.name for path in (ROOT / "examples").glob("*.py") if f"examples/{path.name}" in DOCUMENT}

    assert named == {path.name for path in (ROOT / "examples").glob("*.py")}


def test_every_file_has_something_right_and_something_wrong() -> None:
    """A planted bug in each, to see it fail."""
    verdicts: dict[str, set[bool]] = {}
    for command, expected in LINES:
        verdicts.setdefault(command.split("::")[0], set()).add(expected == "pass")

    assert {file: found for file, found in verdicts.items() if found != {True, False}} == {}


def test_the_fixture_tells_the_story() -> None:
    """One passes; the other fails with what the command prints, and without a traceback."""
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", "examples/test_layers.py"],
        cwd=ROOT,
        env=Gradcheck.environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert "1 failed, 1 passed" in process.stdout
    assert "FAIL gelu · GC201" in process.stdout
    assert "Traceback" not in process.stdout
    assert "gradcheck_cli" not in process.stdout
