"""The house keeps its own rules: layers, packages, imports, version, docstrings."""

import ast
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

import gradcheck_cli

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = sorted((ROOT / "gradcheck_cli").rglob("*.py"))
OP_FILES = sorted((ROOT / "ops").rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports_of(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it; relative ones with their dots."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def test_data_flows_one_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The contracts in pyproject.toml: a room imports only what stands to its left."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", [*sys.path])  # import-linter puts the folder on it
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)

    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_every_package_is_listed() -> None:
    """`packages` is written by hand: setuptools would leave out a forgotten one without a word."""
    folders = {path.parent.relative_to(ROOT) for top in ("gradcheck_cli", "ops") for path in (ROOT / top).rglob("*.py")}
    expected = {".".join(folder.parts).replace("ops", "gradcheck_ops", 1) for folder in folders}

    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(expected)


def test_every_package_is_typed() -> None:
    """py.typed stands at the top of both, and the wheel takes it along."""
    assert (ROOT / "gradcheck_cli" / "py.typed").exists()
    assert (ROOT / "ops" / "py.typed").exists()
    assert PROJECT["tool"]["setuptools"]["package-data"] == {"*": ["py.typed"]}


def test_the_version_is_the_version() -> None:
    """Written in two places, and the same."""
    assert gradcheck_cli.__version__ == PROJECT["project"]["version"]


@pytest.mark.parametrize("path", OP_FILES, ids=name_of)
def test_ops_use_only_the_public_door(path: Path) -> None:
    """NumPy, the standard library, `gradcheck_cli` itself, and one another: as a user's op file would."""
    foreign = {
        module
        for module in imports_of(path)
        if not module.startswith(".")
        and module != "gradcheck_cli"
        and module.partition(".")[0] not in {"numpy", *sys.stdlib_module_names}
    }

    assert foreign == set()


@pytest.mark.parametrize("path", [p for p in OP_FILES if p.name != "__init__.py"], ids=name_of)
def test_every_op_file_ends_in_its_table(path: Path) -> None:
    """Whoever opens one finds OPS at the bottom."""
    last = ast.parse(path.read_text(encoding="utf-8")).body[-1]

    assert isinstance(last, ast.AnnAssign | ast.Assign)
    assert ast.unparse(last).startswith("OPS")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_imports_ops(path: Path) -> None:
    """They arrive through the entry point, as a third party's package would."""
    assert {m for m in imports_of(path) if m.partition(".")[0] in ("ops", "gradcheck_ops")} == set()


@pytest.mark.parametrize("path", [*MODULES, *OP_FILES], ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    """In its docstring."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_built_in_ops_have_formulas() -> None:
    """backward's docstring is what `gradcheck list` shows."""
    from gradcheck_cli.registry import installed_ops

    assert [op.name for op in installed_ops() if not op.formula.startswith("dL/d")] == []
