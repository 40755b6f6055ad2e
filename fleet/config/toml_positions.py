"""Line numbers of the keys of a TOML document: key path -> line.

`tomllib` of the standard library returns values without positions, and an error about a fleet file
must name the line. A library that keeps positions would be a dependency for this alone. This is not
a second parser: it scans a document that `tomllib` has accepted and only finds the start of keys
and the end of values. Values are not read.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

from broker.file_validation import KeyPath

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

    A key inside an inline table has its own line. A table that is only implied (`a` in `[a.b]`) has
    the line that first implies it. `text` must be TOML that `tomllib` accepts; the result for any
    other text is undefined.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """One scan of a document, from start to end."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0
        # Number of elements of each array of tables ([[x]]) so far.
        self._tables: dict[KeyPath, int] = {}

    def document(self) -> None:
        """Scan the whole document."""
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
        """Advance past the match of `pattern` at the current position, and return it."""
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"not TOML at character {self._at}")
        self._at = match.end()
        return match[0]

    def _here(self) -> int:
        """Current line. The scan only moves forward, so each newline is counted once."""
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _next_is(self, character: str) -> bool:
        """Advance past `character` if it is next; return True if it was."""
        found = self._text.startswith(character, self._at)
        self._at += found
        return found

    def _keys(self) -> list[str]:
        """Parts of a dotted key: `a."b c".d`."""
        keys = []
        while True:
            self._skip(_SPACES)
            keys.append(_plain(self._skip(_KEY)))
            self._skip(_SPACES)
            if not self._next_is("."):
                return keys

    def _header(self, brackets: int) -> KeyPath:
        """Scan `[a.b]` or `[[a.b]]`; return the path of the table that it opens."""
        line = self._here()
        self._at += brackets
        *parents, last = self._keys()
        self._at += brackets
        path: KeyPath = ()
        for key in parents:
            path = (*path, key)
            self.lines.setdefault(path, line)
            if path in self._tables:
                # A header refers to the last element of an array of tables.
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
        """Scan `key = value`, in a table or an inline table."""
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
    """Value of one key: quotes removed, escapes resolved."""
    if key.startswith("'"):
        return key[1:-1]
    if key.startswith('"'):
        return str(tomllib.loads(f"key = {key}")["key"])
    return key
