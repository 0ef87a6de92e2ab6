"""`gradcheck init`: write what makes a project check its gradients by itself; nothing is ever overwritten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gradcheck_cli.scaffold import Draft


@click.command(
    "init", short_help="Write an op file for a module, its [tool.gradcheck] table, a CI workflow and a hook."
)
@click.argument("file", required=False, metavar="[FILE]")
@click.option("--diff", is_flag=True, help="Show what would be written, and write nothing.")
def command(file: str | None, diff: bool) -> int:
    """Look at FILE, a module of yours, and write an op file for what is recognised in it.

    Also a [tool.gradcheck] table in pyproject.toml, a GitHub workflow and a pre-commit hook. What exists is left alone;
    only to a pyproject.toml without such a table it is added.
    """
    from pathlib import Path

    from gradcheck_cli.cli.terminal import ops_print_to_stderr, say, write
    from gradcheck_cli.reporters.text import printable
    from gradcheck_cli.scaffold import drafts

    with ops_print_to_stderr() as stdout:
        for draft in drafts(file, Path.cwd()):
            shown = draft.path.relative_to(Path.cwd()).as_posix()
            if draft.kept:
                say(f"{shown} is left as it is: {draft.kept}")
            elif diff:
                write(stdout, _difference(shown, draft))
            else:
                _save(draft)
                write(stdout, f"{'wrote' if draft.before is None else 'added to'} {printable(shown)}\n")
    return 0


def _difference(shown: str, draft: Draft) -> str:
    import difflib

    lines = difflib.unified_diff(
        (draft.before or "").splitlines(keepends=True),
        draft.whole.splitlines(keepends=True),
        shown if draft.before is not None else "/dev/null",
        shown,
    )
    return "".join(lines)


def _save(draft: Draft) -> None:
    from gradcheck_cli.errors import OutputError

    try:
        draft.path.parent.mkdir(parents=True, exist_ok=True)
        if draft.before is None:
            with draft.path.open("x", encoding="utf-8") as file:  # never over what appeared in between
                file.write(draft.text)
        else:
            with draft.path.open("a", encoding="utf-8") as file:
                file.write(draft.text)
    except OSError as error:
        raise OutputError(f"{draft.path} could not be written: {error.strerror}") from None
