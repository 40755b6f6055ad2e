"""Fleet files and scenarios of the repository: samples, examples, and blocks of the pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.distributions import ROOT

PAGES = sorted(
    [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md"), *(ROOT / "pytest-passfleet").glob("*.md")]
)


def blocks(language: str, mark: str) -> Iterator[tuple[str, str]]:
    """(place, text) of every block in a language whose text has a line that starts with `mark`."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            if re.search(f"^{mark}", found[1], re.MULTILINE):
                yield f"{page.name}:{text.count(chr(10), 0, found.start()) + 1}", found[1]


def files(pattern: str, *folders: str) -> Iterator[tuple[str, str]]:
    """(place, text) of every file below some folders whose name matches a pattern."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob(pattern)):
            yield str(path.relative_to(ROOT)), Path(path).read_text(encoding="utf-8")
