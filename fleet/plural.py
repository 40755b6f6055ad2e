"""Words that the commands share."""

from __future__ import annotations

__all__ = ["count_noun"]


def count_noun(number: int, noun: str) -> str:
    """`1 device`, `2 devices`: a noun whose plural ends in s, with its number."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
