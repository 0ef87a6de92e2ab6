"""`-k EXPR` and `--exclude`: which of the resolved ops to keep."""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gradcheck_cli.errors import UsageError

if TYPE_CHECKING:
    from gradcheck_cli.op import Op


def select(ops: Sequence[Op], expression: str | None, excluded: Sequence[str]) -> list[Op]:
    """The ops that the expression matches and no pattern excludes."""
    wanted = keeper(expression, excluded)
    return [op for op in ops if wanted(op.name)]


def keeper(expression: str | None, excluded: Sequence[str]) -> Callable[[str], bool]:
    """Whether a name matches the expression and no pattern excludes it."""
    tree = _parse(expression) if expression is not None else None

    def wanted(name: str) -> bool:
        return (tree is None or _holds(tree, name)) and not any(fnmatch.fnmatchcase(name, e) for e in excluded)

    return wanted


def _parse(expression: str) -> ast.expr:
    """`mul and not matmul` as a tree of and, or, not and words; words may hold dots and dashes."""
    words: list[str] = []

    def placeholder(match: re.Match[str]) -> str:
        if match[0] in ("and", "or", "not"):
            return match[0]
        words.append(match[0])
        return f"w{len(words) - 1}"

    problem = f"-k {expression!r} is not an expression of names, and, or, not and parentheses"
    if re.search(r"[^\w\s().\-]", expression):
        raise UsageError(problem)
    try:
        tree = ast.parse(re.sub(r"[\w.\-]+", placeholder, expression.strip()), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise UsageError(problem) from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = words[int(node.id[1:])]
        elif not isinstance(node, (ast.BoolOp, ast.UnaryOp, ast.And, ast.Or, ast.Not, ast.Load)):
            raise UsageError(problem)
    return tree


def _holds(node: ast.expr, name: str) -> bool:
    if isinstance(node, ast.BoolOp):
        every = all if isinstance(node.op, ast.And) else any
        return every(_holds(value, name) for value in node.values)
    if isinstance(node, ast.UnaryOp):
        return not _holds(node.operand, name)
    assert isinstance(node, ast.Name)
    return node.id.lower() in name.lower()
