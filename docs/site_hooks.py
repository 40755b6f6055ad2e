"""Hooks of mkdocs: links to files outside of docs/ become the names of these files."""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["on_page_markdown"]

_OUTSIDE: Final = re.compile(r"\[([^\]]*)\]\(\.\./([^)#\s]+)[^)]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the page with `[text](../file)` as `text (file)`: the site has no such file."""
    return _OUTSIDE.sub(_named, markdown)


def _named(found: re.Match[str]) -> str:
    text, file = found[1], found[2].rstrip("/")
    return text if file in text else f"{text} (`{file}`)"
