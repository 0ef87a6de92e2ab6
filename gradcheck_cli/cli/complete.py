"""Shell completion: of targets (op names, and whatever files the shell finds), of codes and causes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem


def complete_targets(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Installed ops that begin with what was typed; files where it looks like a path."""
    from click.shell_completion import CompletionItem

    if "/" in incomplete or incomplete.endswith(".py"):
        return [CompletionItem(incomplete, type="file")]
    from gradcheck_cli.registry import installed_ops

    names = [op.name for op in installed_ops(broken=[]) if op.name.startswith(incomplete)]
    return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


def complete_codes(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Codes and causes that begin with what was typed, in whatever case."""
    from click.shell_completion import CompletionItem

    from gradcheck_cli.codes import CAUSES, CODES

    return [CompletionItem(name) for name in (*CODES, *CAUSES) if name.lower().startswith(incomplete.lower())]
