"""Configuration of the documentation site: its pages, and links that leave docs/."""

from __future__ import annotations

import importlib.util
import re
from fnmatch import fnmatch
from types import ModuleType

from tests.support.distributions import ROOT

CONFIGURATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
DOCS = ROOT / "docs"


def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", DOCS / "site_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w-]+\.md", CONFIGURATION.partition("\nnav:")[2])) - {"index.md"}
    (unlisted,) = re.findall(r'^not_in_nav: "(.*)"$', CONFIGURATION, re.MULTILINE)
    pages = {page.name for page in DOCS.glob("*.md")}
    assert listed == {page for page in pages if not fnmatch(page, unlisted)}


def test_links_to_files_outside_become_their_names() -> None:
    page = "[a](../x/b.md) [`x/c.yaml`](../x/c.yaml) [d](d.md#e) [f](../g/h/README.md#i)"
    expected = "a (`x/b.md`) `x/c.yaml` [d](d.md#e) f (`g/h/README.md`)"
    assert hooks().on_page_markdown(page) == expected
