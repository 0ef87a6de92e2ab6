"""The README tells the truth: its op file prints what it says, its commands exist."""

import doctest
import re
import shlex
from pathlib import Path

from conftest import Gradcheck, WriteFile

VARIABLE = Path(__file__).parent.parent / "docs" / "variable.md"
README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(page: str = README) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def without_figures(text: str) -> str:
    """Times and the last digits of errors differ from machine to machine."""
    return re.sub(r" +\d\.\de-\d+|[\d.]+ s$", " #", text, flags=re.MULTILINE)


def test_the_example_prints_what_the_readme_says(gradcheck: Gradcheck, tmp_path: Path) -> None:
    """Line for line, but for digits that rounding decides."""
    source, session = blocks()[:2]
    command, printed = session.split("\n", 1)
    (tmp_path / "my_ops.py").write_text(source, encoding="utf-8")

    outcome = gradcheck(*command.removeprefix("$ gradcheck ").split())

    assert without_figures(outcome.stdout) == without_figures(printed)
    assert outcome.code == 1


def test_the_mended_example_passes(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    """With what the story says to write."""
    mended = blocks()[0].replace("x.T @ grad, grad", "x.T @ grad, unbroadcast(grad, b)")
    op_file(mended.replace("import Op", "import Op, unbroadcast"))

    assert gradcheck("run", "my_ops.py").code == 0


def test_the_example_of_the_docs_passes(gradcheck: Gradcheck, tmp_path: Path) -> None:
    """The op file of docs/writing-ops.md, as it stands there."""
    page = (Path(__file__).parent.parent / "docs" / "writing-ops.md").read_text(encoding="utf-8")
    (tmp_path / "my_ops.py").write_text(blocks(page)[0], encoding="utf-8")

    assert gradcheck("run", "my_ops.py").code == 0


def test_the_options_of_the_readme_exist(gradcheck: Gradcheck) -> None:
    """Each `--option` in the table of uses is in `run --help`."""
    known = re.findall(r"--[a-z-]+", gradcheck("run", "--help").stdout)

    assert set(re.findall(r"`(--[a-z-]+)", README)) - set(known) == set()


def test_the_session_of_the_page_on_variables() -> None:
    """Every line of Python in docs/variable.md answers as it says there."""
    failed, tried = doctest.testfile(str(VARIABLE), module_relative=False, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)

    assert failed == 0
    assert tried > 10


def test_the_graph_of_the_page_on_variables(gradcheck: Gradcheck) -> None:
    """As the command draws it."""
    page = VARIABLE.read_text(encoding="utf-8")
    session = next(block for block in blocks(page) if block.startswith("$ gradcheck graph"))
    command, printed = session.split("\n", 1)

    outcome = gradcheck(*shlex.split(command.removeprefix("$ gradcheck ")))
    assert without_figures(outcome.stdout) == without_figures(printed)
