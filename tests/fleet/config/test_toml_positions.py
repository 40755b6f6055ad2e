"""The locator: every key of a TOML document, on its line."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.file_validation import KeyPath, line_of
from fleet.config.toml_positions import key_lines
from tests.support.fleet_files import PHONES

DOCUMENT = '''\
# [not.a.table]
top = """
[neither]
a = 1\\""" # still inside
"""""
[a]          # line 6
b.c = 1
"quoted \\u0041.key" = 'x # = ['
'lit.eral' = [ # line 9
  1, "]",
  { x = 1, y = { z = 2 } }, # line 11

  """two
lines""", { x = 3 }
]
[[g]]
n = 1
[g.sub]      # line 18
n = 2979-01-01 07:32:00
[[g]]
  [[g.in]]   # line 21
  k = true
  [[g.in]]
  k = {}
[p.q]        # line 25
[p]
r = \'\'\'
[no]\'\'\'
last = 1'''

PLACES: dict[KeyPath, int] = {
    ("top",): 2,
    ("a",): 6,
    ("a", "b"): 7,
    ("a", "b", "c"): 7,
    ("a", "quoted A.key"): 8,
    ("a", "lit.eral"): 9,
    ("a", "lit.eral", 0): 10,
    ("a", "lit.eral", 1): 10,
    ("a", "lit.eral", 2): 11,
    ("a", "lit.eral", 2, "x"): 11,
    ("a", "lit.eral", 2, "y"): 11,
    ("a", "lit.eral", 2, "y", "z"): 11,
    ("a", "lit.eral", 3): 13,
    ("a", "lit.eral", 4): 14,
    ("a", "lit.eral", 4, "x"): 14,
    ("g",): 16,
    ("g", 0): 16,
    ("g", 0, "n"): 17,
    ("g", 0, "sub"): 18,
    ("g", 0, "sub", "n"): 19,
    ("g", 1): 20,
    ("g", 1, "in"): 21,
    ("g", 1, "in", 0): 21,
    ("g", 1, "in", 0, "k"): 22,
    ("g", 1, "in", 1): 23,
    ("g", 1, "in", 1, "k"): 24,
    ("p",): 26,
    ("p", "q"): 25,
    ("p", "r"): 27,
    ("p", "last"): 29,
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_key_of_a_document_is_found(newline: str) -> None:
    text = DOCUMENT.replace("\n", newline)
    tomllib.loads(text)
    assert key_lines(text) == PLACES


def test_what_is_not_written_has_the_line_of_what_is_around_it() -> None:
    lines = key_lines(PHONES)
    assert line_of(("group", 0, "count"), lines) == 1
    assert line_of(("nowhere", "at all"), lines) is None


NAMES = st.text(st.sampled_from("ab-_1.\"'\\ =#[]{}é\t"), min_size=1, max_size=5)
BLANKS = st.lists(st.sampled_from(["", "  ", "# [x] = {", "\t# 'a' \""]), max_size=3)
SCALARS = st.sampled_from(
    ["1", "-2.5e3", "true", "inf", "1979-05-27 07:32:00Z", "'#]}'", '"\\"]# "', '""', "''"]
)
LONG_SCALARS = st.sampled_from(
    [
        '"""\n[x]\nk = 1\n\\""" # """',
        "'''\n]]\n # \"'''''",
        '""""two"" # \\\\"""',
        "''''''",
        '""""""',
    ]
)
BARE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


def written(key: str, style: int) -> str:
    """A key in one of the ways TOML has for it."""
    if style == 0 and set(key) <= BARE:
        return key
    if style == 1 and "'" not in key:
        return f"'{key}'"
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t") + '"'


class Writer:
    """Writes a random document, and takes down where each key goes."""

    def __init__(self, data: st.DataObject) -> None:
        self.text = ""
        self.places: dict[KeyPath, int] = {}
        self._draw = data.draw

    def put(self, text: str) -> None:
        self.text += text

    def key(self, path: KeyPath, key: str) -> KeyPath:
        self.places[(*path, key)] = self.text.count("\n") + 1
        self.put(written(key, self._draw(st.integers(0, 2))))
        return (*path, key)

    def blank(self) -> None:
        for line in self._draw(BLANKS):
            self.put(f"{line}\n")

    def value(self, path: KeyPath, depth: int = 0, *, one_line: bool = False) -> None:
        kind = self._draw(st.integers(0, 3 if depth < 3 else 1))
        if kind == 2:
            self.put("{")
            for i, key in enumerate(self._draw(st.lists(NAMES, max_size=3, unique=True))):
                self.put(", " if i else " ")
                inner = self.key(path, key)
                self.put(" = ")
                self.value(inner, depth + 1, one_line=True)
            self.put(" }")
        elif kind == 3 and not one_line:
            self.put("[")
            for index in range(self._draw(st.integers(0, 3))):
                self.put("\n")
                self.blank()
                self.places[(*path, index)] = self.text.count("\n") + 1
                self.value((*path, index), depth + 1)
                self.put("\n, # ]" if self._draw(st.booleans()) else ",")
            self.put("\n]")
        else:
            scalar = self._draw(SCALARS if one_line or kind == 0 else LONG_SCALARS)
            self.put(scalar)

    def pairs(self, path: KeyPath) -> None:
        for key in self._draw(st.lists(NAMES, max_size=4, unique=True)):
            self.blank()
            self.put(self._draw(st.sampled_from(["", "  "])))
            inner = self.key(path, key)
            if self._draw(st.booleans()):
                self.put(" . ")
                inner = self.key(inner, self._draw(NAMES))
            self.put(" = ")
            self.value(inner)
            self.put(self._draw(st.sampled_from(["\n", " # ] = {\n"])))

    def document(self) -> None:
        self.pairs(())
        for i, elements in enumerate(self._draw(st.lists(st.integers(0, 2), max_size=3))):
            for element in range(elements):
                self.blank()
                line = self.text.count("\n") + 1
                name = f"table {i}"
                self.places.setdefault((name,), line)
                self.places[(name, element)] = line
                self.put(f'[[ "{name}" ]] # ]\n')
                self.pairs((name, element))
            if not elements:
                self.put("[")
                path = self.key((), f"single {i}")
                self.put("]\n")
                self.pairs(path)


@given(st.data())
def test_every_key_of_any_document_is_found(data: st.DataObject) -> None:
    writer = Writer(data)
    writer.document()
    tomllib.loads(writer.text)
    assert key_lines(writer.text) == writer.places
