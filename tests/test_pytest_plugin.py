"""The pytest plugin, in a pytest of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Gradcheck

OPS = """
from gradcheck_cli import Op

def square(x):
    return x * x

def square_backward(grad, out, x):
    return 2 * grad * x

def cube(x):
    return x ** 3

def cube_backward(grad, out, x):
    return 2 * grad * x ** 2

OPS = [Op(square, square_backward, "()->()"), Op(cube, cube_backward, "()->()")]
"""
TESTS = """
def double(x):
    return 2 * x

def test_right(gradcheck):
    report = gradcheck(double, lambda grad, out, x: 2 * grad, shapes=[(3,)])
    assert report.passed

def test_wrong(gradcheck):
    gradcheck(double, lambda grad, out, x: 3 * grad, shapes=[(3,)])

def test_misused(gradcheck):
    gradcheck(double, lambda grad, out, x: grad)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_ops.py").write_text(OPS, encoding="utf-8")
    return tmp_path


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", *arguments],
        cwd=folder,
        env=Gradcheck.environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return process.returncode, process.stdout + process.stderr


def test_every_op_is_a_test(folder: Path) -> None:
    """A failure is the printed story, without a traceback."""
    code, output = run(folder, "--gradcheck", "my_ops.py")

    assert code == 1
    assert "PASSED my_ops.py::square" in output
    assert "FAILED my_ops.py::cube" in output
    assert "FAIL cube · GC201" in output
    assert "pytest_plugin" not in output


def test_they_are_selected_like_any_test(folder: Path) -> None:
    """By -k, by node id, and again with --lf."""
    assert "1 passed, 1 deselected" in run(folder, "--gradcheck", "my_ops.py", "-k", "square")[1]
    assert "1 passed in" in run(folder, "--gradcheck", "my_ops.py", "my_ops.py::square")[1]
    run(folder, "--gradcheck", "my_ops.py")
    assert "1 failed in" in run(folder, "--gradcheck", "my_ops.py", "--lf")[1]


def test_beside_tests(folder: Path) -> None:
    """The fixture: passes, fails with the story, and says what is wrong with how it was called."""
    (folder / "test_mine.py").write_text(TESTS, encoding="utf-8")
    code, output = run(folder, "--gradcheck", "my_ops.py")

    assert code == 1
    assert "3 failed, 2 passed" in output
    assert "FAIL double · GC201" in output
    assert "needs shapes=[(3, 4), ...]" in output
    assert "Traceback" not in output


def test_a_broken_op_file_is_an_error_of_one_line(folder: Path) -> None:
    (folder / "my_ops.py").write_text("x = \n", encoding="utf-8")
    code, output = run(folder, "--gradcheck", "my_ops.py")

    assert code == 2
    assert "my_ops.py:1: syntax error" in output
    assert "registry" not in output


def test_a_missing_file_is_bad_usage(folder: Path) -> None:
    code, output = run(folder, "--gradcheck", "nothing.py")

    assert code == 4
    assert "nothing.py: no such file" in output


def test_functions_that_declare_nothing_need_an_op_file(folder: Path) -> None:
    """Nobody said their shapes: that must not look like a pass."""
    text = "def f(x):\n    return x\ndef f_backward(dout, x):\n    return dout\n"
    (folder / "mine.py").write_text(text, encoding="utf-8")
    code, output = run(folder, "--gradcheck", "mine.py")

    assert code == 2
    assert "gradcheck init writes one" in output


def test_it_costs_nothing_when_it_is_not_used() -> None:
    """Importing the plugin imports nothing of ours, and no numpy."""
    code = (
        "import sys, pytest, gradcheck_cli.pytest_plugin; "
        "print([m for m in sys.modules if m.startswith(('gradcheck_cli.', 'numpy', 'rich', 'click'))])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)

    assert process.stdout.strip() == "['gradcheck_cli.pytest_plugin']"
