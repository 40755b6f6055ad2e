"""Generated files: `python -m fleet.reference.build [--check]`.

They are pages under docs/, and the table of the rules that the library's scenarios exercise, for
which the library is played. `--check` writes nothing and exits 1 if a file is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from broker.reference.contract_page import contract_page
from fleet.reference.dialect_facts import DIALECT_PAGES
from fleet.reference.exercised import TABLE, generate_table
from fleet.reference.platform_page import platforms_page
from fleet.reference.sources import sources_page
from fleet.reference.state_diagram import state_machine_page

__all__ = ["PAGES", "main", "stale_pages", "write_pages"]

PAGES: Final[Mapping[str, Callable[[], str]]] = MappingProxyType(
    {
        "contract.md": contract_page,
        **DIALECT_PAGES,
        "platforms.md": platforms_page,
        "sources.md": sources_page,
        "state-machine.md": state_machine_page,
    }
)
"""The pages by file name."""

_DOCS: Final = Path(__file__).resolve().parents[2] / "docs"


def write_pages(folder: Path) -> list[Path]:
    """Write every page into `folder`; returns those that changed."""
    changed = [folder / name for name in stale_pages(folder)]
    for path in changed:
        path.write_text(PAGES[path.name](), encoding="utf-8", newline="\n")
    return changed


def stale_pages(folder: Path) -> list[str]:
    """The pages in `folder` that are missing or not what the code says."""
    return [name for name, page in PAGES.items() if _read(folder / name) != page()]


def main(arguments: Sequence[str], folder: Path = _DOCS, table: Path = TABLE) -> int:
    """Write the table and the pages, or check them; returns the exit code."""
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write("usage: python -m fleet.reference.build [--check]\n")
        return 2
    table_is_stale = _read(table) != generate_table()
    if not arguments:
        if table_is_stale:
            # Written first: a page shows the table.
            table.write_text(generate_table(), encoding="utf-8", newline="\n")
            sys.stderr.write(f"wrote {table}\n")
        for path in write_pages(folder):
            sys.stderr.write(f"wrote {path}\n")
        return 0
    stale = [folder / name for name in stale_pages(folder)] + [table] * table_is_stale
    for path in stale:
        sys.stderr.write(f"{path} differs; run python -m fleet.reference.build\n")
    return 1 if stale else 0


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
