"""`gradcheck init`: what is found in a module as an op file, and what makes a project check its gradients by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradcheck_cli.adapters import Given, Target, targets_of
from gradcheck_cli.adapters.inputs import example_shapes
from gradcheck_cli.errors import UsageError
from gradcheck_cli.registry import module_at, recognised
from gradcheck_cli.source import short_path
from gradcheck_cli.stream import Stream

# Signatures to try, by the number of inputs; of what fits, the first is written. The sizes are all different, so that
# nothing fits by accident.
_GUESSES = {
    1: ("()->()", "(n)->()", "(n,k)->(n,k)", "(n)->(n)", "(n,k)->()", "(n,c,h,w)->(n,c,h,w)"),
    2: ("(),()->()", "(n,k),(k,m)->(n,m)", "(n,k),(n)->()", "(n,k),(n,k)->()", "(n),(n)->()", "(n,k),(k)->(n)"),
    3: ("(n,k),(k,m),(m)->(n,m)", "(n,k),(k),(k)->(n,k)", "(k,n),(m,k),(m,1)->(m,n)", "(),(),()->()"),
    5: ("(n,k),(n,h),(k,h),(h,h),(h)->(n,h)",),
}
_TABLE = """
[tool.gradcheck]
ops = [{ops}]
"""
_WORKFLOW = """name: gradients
on: [push, pull_request]
jobs:
  gradcheck:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.11"
      - run: pip install gradcheck
      - run: gradcheck run
"""
_HOOK = """repos:
  - repo: local
    hooks:
      - id: gradcheck
        name: gradcheck
        entry: gradcheck run
        language: system
        pass_filenames: false
        types: [python]
"""


@dataclass(frozen=True)
class Draft:
    """A file that would be written, or what would be put behind the end of one; `kept` says why neither is done."""

    path: Path
    text: str
    before: str | None = None  # what the file holds already
    kept: str = ""

    @property
    def whole(self) -> str:
        """The file as it would be."""
        return (self.before or "") + self.text


def drafts(target: str | None, folder: Path) -> list[Draft]:
    """Everything that `gradcheck init` would write; raises UsageError and LoadError for a target that is no use."""
    ops = _op_file(target, folder) if target else None
    names = [f'"{ops.path.relative_to(folder).as_posix()}"'] if ops else []
    found = [ops] if ops else []
    return [
        *found,
        _table(folder / "pyproject.toml", names),
        _new(folder / ".github" / "workflows" / "gradcheck.yml", _WORKFLOW),
        _new(folder / ".pre-commit-config.yaml", _HOOK),
    ]


def _op_file(target: str, folder: Path) -> Draft:
    """An op file beside the module, with a row for everything that is recognised in it."""
    source = Path(target)
    module = module_at(target)
    targets = [t for t in targets_of(module, short_path(target)) if not t.asked]
    if recognised(target) is None:
        raise UsageError(f"{short_path(target)} is an op file already: gradcheck run {short_path(target)}")
    if not targets:
        raise UsageError(f"{short_path(target)}: nothing in it is recognised; docs/your-code.md shows what is")
    path = source.resolve().parent / f"{source.stem}_ops.py"
    if not path.is_relative_to(folder):
        raise UsageError(f"{target} lies outside of the working folder; run gradcheck init where the project is")
    packaged = (path.parent / "__init__.py").is_file()
    return _new(path, _op_text(source.stem, targets, "from . import" if packaged else "import"))


def _op_text(stem: str, targets: Sequence[Target], importing: str) -> str:
    rows = [_row(stem, target) for target in targets]
    lines = "\n".join(rows)
    return (
        f'"""What gradcheck checks of {stem}.py: one row for each gradient."""\n\n'
        f"from gradcheck_cli import adapt\n\n{importing} {stem}\n\nOPS = [\n{lines}\n]\n"
    )


def _row(stem: str, target: Target) -> str:
    """A row with the first signature that fits; one to be completed where none does."""
    arguments = _arguments(stem, target)
    for texts in _GUESSES.values():
        for text in texts:
            if _fits(target, text):
                return f'    adapt({arguments}, signature="{text}"),'
    return f'    # adapt({arguments}, signature="..."),  # the shapes of its inputs: "(n,k),(k,m)->(n,m)"'


def _arguments(stem: str, target: Target) -> str:
    return ", ".join(f"{stem}.{name}" for name in target.parts or (target.name,))


def _fits(target: Target, signature: str) -> bool:
    """Whether an op can be made with that signature, and its forward returns what that promises."""
    try:
        op = target.op(Given(signature=signature))
        shapes, sizes = example_shapes(op.gufunc, ())
        pairs = enumerate(zip(op.domains, shapes, strict=True))
        inputs = [d.draw(Stream("init", i), shape, "float64", sizes) for i, (d, shape) in pairs]
        params = {name: choices[0] for name, choices in op.choices(shapes).items()}
        (output,) = op.run(inputs, params).arrays
        promised = op.gufunc.output_shapes(op.gufunc.bind(shapes))
        if not op.gufunc.elementwise or promised != (output.shape,):
            return promised == (output.shape,)
        entries = zip(*(x.reshape(-1) for x in inputs), strict=True)
        alone = [op.run([np.array([x]) for x in entry], params).arrays[0] for entry in entries]
        return all(y.shape == (1,) for y in alone) and np.allclose(np.concatenate(alone), output.reshape(-1))
    except Exception:  # Whatever somebody's forward raises: it does not fit.
        return False


def _new(path: Path, text: str) -> Draft:
    if path.exists():
        return Draft(path, "", path.read_text(encoding="utf-8", errors="replace"), "it exists")
    return Draft(path, text)


def _table(path: Path, ops: Sequence[str]) -> Draft:
    """The table behind the end of pyproject.toml, or in a new one."""
    text = _TABLE.format(ops=", ".join(ops))
    if not path.exists():
        return Draft(path, text.lstrip("\n"))
    before = path.read_text(encoding="utf-8", errors="replace")
    if "[tool.gradcheck]" in before:
        more = f"; put {ops[0]} into its ops" if ops and ops[0] not in before else ""
        return Draft(path, "", before, f"it has a [tool.gradcheck] table{more}")
    return Draft(path, text if before.endswith("\n") or not before else "\n" + text, before)
