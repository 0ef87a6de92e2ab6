"""Tools of the CLI tests: the real command, in a process and a folder of its own."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

_OURS = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM")


class Outcome(NamedTuple):
    """What a process left behind."""

    code: int
    stdout: str
    stderr: str


class Gradcheck:
    """The command `gradcheck`, run in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def environment(**extra: str) -> dict[str, str]:
        """The environment without anything that speaks to gradcheck."""
        kept = {k: v for k, v in os.environ.items() if k not in _OURS and not k.startswith("GRADCHECK_")}
        return kept | extra

    def __call__(self, *arguments: str, **environment: str) -> Outcome:
        """Run to the end."""
        with self.start(*arguments, **environment) as process:
            stdout, stderr = process.communicate(timeout=60)
        return Outcome(process.returncode, stdout, stderr)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start, and leave the rest to the test."""
        return subprocess.Popen(
            [sys.executable, "-m", "gradcheck_cli", *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )


WriteFile = Callable[..., Path]


@pytest.fixture
def gradcheck(tmp_path: Path) -> Gradcheck:
    """The real command, in an empty folder."""
    return Gradcheck(tmp_path)


@pytest.fixture
def op_file(tmp_path: Path) -> WriteFile:
    """Write a user's op file: `op_file(text, name="my_ops.py")`; numpy and the public door are imported already."""

    def write(text: str, name: str = "my_ops.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        head = "import numpy as np\nfrom gradcheck_cli import *\n\n"
        path.write_text(head + textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return write


def pytest_report_header(config: pytest.Config) -> str:
    """Say what is left out, so that nobody takes silence for a pass."""
    chosen = str(config.getoption("markexpr"))
    return f"markers: {chosen}" + (
        "; tests against torch, JAX and autograd run with -m peers" if chosen == "not peers" else ""
    )
