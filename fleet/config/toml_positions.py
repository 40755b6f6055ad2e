"""Where each key of a TOML document stands: key path -> line.

It exists because `tomllib`, the standard library's reader, tells what a document says and not where
it says it, and a refused fleet file must name the line. The libraries that keep positions would be
a dependency for this alone. So this is no second parser: it walks a document that `tomllib` has
already accepted, and only finds where keys begin and how far values reach. Values are not read.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

from broker.validation import KeyPath

__all__ = ["key_lines"]

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACES: Final = re.compile(r"[ \t]*")
_SCALAR: Final = re.compile(r"[^,\]}#\n]*")
# Three quotes open a multi-line string; it may end in up to two quotes of its own before the three
# that close it.
_STRING: Final = re.compile(
    r'"""(?:\\[\s\S]|[^\\])*?"{3,5}'
    r"|'''[\s\S]*?'{3,5}"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'"
)
_KEY: Final = re.compile(r"[A-Za-z0-9_-]+|\"(?:\\.|[^\"\\])*\"|'[^']*'")


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of every key, table header and array element of `text`.

    A key inside an inline table has the line on which it stands itself. A table that is only
    implied (`a` in `[a.b]`) has the line that first implies it. `text` must be TOML that `tomllib`
    accepts; what comes back for anything else means nothing.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """One walk over a document, front to back."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0
        # How many elements each array of tables ([[x]]) has so far.
        self._tables: dict[KeyPath, int] = {}

    def document(self) -> None:
        """Walk it all."""
        table: KeyPath = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text.startswith("[[", self._at):
                table = self._header(2)
            elif self._text.startswith("[", self._at):
                table = self._header(1)
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        """Pass what `pattern` matches here, and return it."""
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"not TOML at character {self._at}")
        self._at = match.end()
        return match[0]

    def _here(self) -> int:
        """The line at which we are; the walk never goes back, so each newline is counted once."""
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _next_is(self, character: str) -> bool:
        """Pass `character` if it comes next."""
        found = self._text.startswith(character, self._at)
        self._at += found
        return found

    def _keys(self) -> list[str]:
        """A key with its dots: `a."b c".d`."""
        keys = []
        while True:
            self._skip(_SPACES)
            keys.append(_plain(self._skip(_KEY)))
            self._skip(_SPACES)
            if not self._next_is("."):
                return keys

    def _header(self, brackets: int) -> KeyPath:
        """`[a.b]` or `[[a.b]]`: the path of the table that it opens."""
        line = self._here()
        self._at += brackets
        *parents, last = self._keys()
        self._at += brackets
        path: KeyPath = ()
        for key in parents:
            path = (*path, key)
            self.lines.setdefault(path, line)
            if path in self._tables:
                # A header means the newest element of an array of tables.
                path = (*path, self._tables[path] - 1)
        path = (*path, last)
        if brackets == 1:
            self.lines[path] = line
            return path
        self.lines.setdefault(path, line)
        index = self._tables.get(path, 0)
        self._tables[path] = index + 1
        path = (*path, index)
        self.lines[path] = line
        return path

    def _pair(self, table: KeyPath) -> None:
        """`key = value`, in a table or an inline table."""
        line = self._here()
        path = table
        for key in self._keys():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._next_is("=")
        self._skip(_SPACES)
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        if self._next_is("["):
            self._array(path)
        elif self._next_is("{"):
            self._inline_table(path)
        elif self._text[self._at : self._at + 1] in {'"', "'"}:
            self._skip(_STRING)
        else:
            self._skip(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        index = 0
        self._skip(_BLANK)
        while not self._next_is("]"):
            self.lines[(*path, index)] = self._here()
            self._value((*path, index))
            self._skip(_BLANK)
            self._next_is(",")
            self._skip(_BLANK)
            index += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._skip(_BLANK)
        while not self._next_is("}"):
            self._pair(path)
            self._skip(_BLANK)
            self._next_is(",")
            self._skip(_BLANK)


def _plain(key: str) -> str:
    """One key as it is meant: without its quotes, its escapes read."""
    if key.startswith("'"):
        return key[1:-1]
    if key.startswith('"'):
        return str(tomllib.loads(f"key = {key}")["key"])
    return key
