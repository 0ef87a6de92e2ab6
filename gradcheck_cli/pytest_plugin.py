"""The pytest plugin: `pytest --gradcheck my_ops.py` makes a test of every op, `gradcheck` is a fixture.

Nothing but pytest is imported until one of them is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradcheck_cli.api import Report
    from gradcheck_cli.op import Op

_FILES = pytest.StashKey[frozenset[Path]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """--gradcheck FILE, as often as wanted."""
    parser.getgroup("gradcheck").addoption(
        "--gradcheck",
        action="append",
        default=[],
        metavar="FILE",
        help="Also collect every op of FILE, an op file of gradcheck, as a test.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Have pytest visit the files, unless it comes by them anyway."""
    files = [config.invocation_params.dir / name for name in config.getoption("--gradcheck")]
    for file in files:
        if not file.is_file():
            raise pytest.UsageError(f"--gradcheck {file}: no such file")
    config.stash[_FILES] = frozenset(file.resolve() for file in files)
    if not hasattr(config, "workerinput"):  # xdist hands its workers what was found here.
        visited = [(config.invocation_params.dir / arg.partition("::")[0]).resolve() for arg in config.args]
        config.args += [str(f) for f in files if not any(f.resolve().is_relative_to(place) for place in visited)]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> OpFile | None:
    """An op file, if it is one of those that were named."""
    if file_path.resolve() in parent.config.stash[_FILES]:
        return OpFile.from_parent(parent, path=file_path)
    return None


class OpFile(pytest.File):
    """An op file: its tests are its ops."""

    def collect(self) -> Iterator[OpItem]:
        """One item per op; raises CollectError with the line that `gradcheck run` would print."""
        from gradcheck_cli.errors import GradcheckError
        from gradcheck_cli.registry import resolve

        try:
            ops = resolve([str(self.path)])
        except GradcheckError as error:
            raise self.CollectError(f"{error}{_ADVICE if 'give a shape' in str(error) else ''}") from None
        for op in ops:
            yield OpItem.from_parent(self, name=op.name, op=op)


_ADVICE = " (pytest needs an op file: gradcheck init writes one)"


class OpItem(pytest.Item):
    """The check of one op."""

    def __init__(self, *, op: Op, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.op = op

    def runtest(self) -> None:
        """Pass, skip, or fail with the printed story."""
        from gradcheck_cli.adapters.inputs import Unfit
        from gradcheck_cli.config import load

        settings = load(self.config.rootpath)
        chosen = {"cases": settings.cases, "min_resolution": settings.min_resolution}
        report = _reported(self.op, seed=settings.seed or 0, **chosen)
        if report.result.skipped is not None and not isinstance(self.op.gufunc, Unfit):
            pytest.skip(report.result.skipped)
        _raise_for(report)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the op's backward stands."""
        _, _, line = self.op.place.partition(":")
        digits = line.partition(" ")[0]
        return self.path, int(digits) - 1 if digits.isdigit() else None, self.name


@pytest.fixture
def gradcheck() -> Callable[..., Report]:
    """`gradcheck(forward, backward, shapes=[(3, 4)])`: fail with the story of what is wrong, or return the report.

    It takes what `gradcheck_cli.check` takes.
    """

    def checked(*args: Any, **kwargs: Any) -> Report:
        report = _reported(*args, **kwargs)
        _raise_for(report)
        return report

    return checked


def _reported(*args: Any, **kwargs: Any) -> Report:
    from gradcheck_cli.api import check
    from gradcheck_cli.errors import GradcheckError

    try:
        return check(*args, **kwargs)
    except GradcheckError as error:
        pytest.fail(str(error), pytrace=False)


def _raise_for(report: Report) -> None:
    """Fail with the tool's own story: a traceback would show nothing but ours."""
    if not report.passed:
        from gradcheck_cli.reporters.console import render

        pytest.fail(render(report.run, verbosity=-1).strip(), pytrace=False)
