"""Text that is safe to print, and numbers as people read them."""

from __future__ import annotations

import unicodedata


def printable(text: object) -> str:
    """Any text on one line, with control and bidirectional characters spelled out instead of obeyed."""
    return "".join(c if _harmless(c) else c.encode("unicode_escape").decode() for c in str(text))


def _harmless(character: str) -> bool:
    # Cc: control (escape sequences start there); Cf: bidi and other invisible formats; Zl, Zp: line separators;
    # Cs: lone surrogates, which no encoding can write.
    return unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp", "Cs")


def number(value: float | None) -> str:
    """Two digits are enough for an error; `-` where there is none."""
    if value is None:
        return "-"
    return "0" if value == 0 else f"{value:.1e}"


def count(many: int, noun: str) -> str:
    """`1 case`, `2 cases`."""
    return f"{many} {noun}{'' if many == 1 else 's'}"
