"""Pieces of fleet files, for the tests that read them."""

from __future__ import annotations

PHONES = '[[group]]\nname = "phones"\nplatform = "ios"\n'


def group(name: str, platform: str = "android", **options: object) -> str:
    """A group in TOML; values are written as TOML already."""
    lines = [f'name = "{name}"', f'platform = "{platform}"']
    lines += [f"{key} = {value}" for key, value in options.items()]
    return "\n".join(["[[group]]", *lines, ""])
