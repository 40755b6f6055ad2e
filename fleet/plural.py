"""Numbers with their nouns, for messages."""

from __future__ import annotations

__all__ = ["count_noun"]


def count_noun(number: int, noun: str) -> str:
    """Number and noun, such as `1 device` or `2 devices`; the plural is formed with s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
