"""Placeholders in the strings of a scenario: `${env.NAME}` and `${name}` of a saved value.

Environment variables are filled in when the file is read, saved values when the step runs. `$${`
means `${` itself. Keys are never filled in. The text of a variable or a saved value is not searched
for further placeholders.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from broker.file_validation import KeyPath, Problem, shorten_value, suggest
from scenarios.model.masking import Redactor

__all__ = [
    "SAVED_NAME",
    "escape_placeholders",
    "fill_environment",
    "fill_saved",
    "fill_saved_as_text",
    "saved_names",
    "unknown_names",
    "without_secrets",
]

SAVED_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""Name of a saved value."""
_TOKEN: Final = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_VARIABLE: Final = re.compile(r"env\.([A-Za-z_][A-Za-z0-9_]*)")
_ESCAPED: Final = "$${"
_FORMS: Final = "${env.NAME}, or ${name} of a saved value"
_LITERAL: Final = "write $${ for a literal ${"


def escape_placeholders(value: Any) -> Any:
    """Return `value` with `$${` for each `${` in its strings, so that a file has it literally."""
    return _map_strings(value, lambda text, _: text.replace("${", _ESCAPED), ())


def _map_strings(value: Any, change: Callable[[str, KeyPath], Any], path: KeyPath) -> Any:
    """Return a copy of `value` in which `change(text, path)` replaces each string."""
    if isinstance(value, str):
        return change(value, path)
    if isinstance(value, Mapping):
        return {key: _map_strings(each, change, (*path, key)) for key, each in value.items()}
    if isinstance(value, list):
        return [_map_strings(each, change, (*path, index)) for index, each in enumerate(value)]
    return value


def fill_environment(
    value: Any,
    path: KeyPath,
    environ: Mapping[str, str],
    secrets: dict[str, str],
    problems: list[Problem],
) -> Any:
    """Return `value` with the environment variables of `environ` filled in.

    Adds each value that was used to `secrets`, with its placeholder. A malformed placeholder, or a
    variable that is not set, becomes a Problem. Saved values remain placeholders.
    """

    def fill(text: str, where: KeyPath) -> str:
        def replace(match: re.Match[str]) -> str:
            whole, content = match[0], match[1]
            if whole == _ESCAPED or (content is not None and SAVED_NAME.fullmatch(content)):
                return whole
            variable = _VARIABLE.fullmatch(content or "")
            if variable is None:
                problem = f"{shorten_value(whole)} is not a placeholder"
                problems.append(Problem(where, problem, _FORMS, _LITERAL))
                return whole
            found = environ.get(variable[1])
            if found is None:
                problem = f"the environment variable {variable[1]} is not set"
                problems.append(Problem(where, problem, hint=f"set {variable[1]}, or {_LITERAL}"))
                return whole
            secrets.setdefault(found, whole)
            return found.replace("${", _ESCAPED)

        return _TOKEN.sub(replace, text)

    return _map_strings(value, fill, path)


def saved_names(value: Any) -> Iterator[str]:
    """Yield the names of the saved values in `value`, at any depth."""
    if isinstance(value, str):
        for match in _TOKEN.finditer(value):
            if match[1] is not None and SAVED_NAME.fullmatch(match[1]):
                yield match[1]
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from saved_names(each)
    elif isinstance(value, list):
        for each in value:
            yield from saved_names(each)


def unknown_names(
    value: Any, path: KeyPath, known: Mapping[str, object] | frozenset[str]
) -> Iterator[Problem]:
    """Yield a Problem for each string with the name of a value that no earlier step saves."""
    found: list[Problem] = []

    def check(text: str, where: KeyPath) -> str:
        for name in saved_names(text):
            if name not in known:
                listed = f"one of {', '.join(known)}" if known else None
                problem = f"no step before this one saves {shorten_value(name)}"
                hint = suggest(name, known) or f"save it in an http.request, or {_LITERAL}"
                found.append(Problem(where, problem, listed, hint))
        return text

    _map_strings(value, check, path)
    yield from found


def fill_saved(value: Any, saved: Mapping[str, Any]) -> Any:
    """Return `value` with the saved values filled in, and `$${` as `${`.

    A value that is the whole string keeps its type. Unknown names remain as they are.
    """
    return _map_strings(value, lambda text, _: _fill(text, saved), ())


def fill_saved_as_text(value: Any, saved: Mapping[str, Any]) -> Any:
    """Return `value` as `fill_saved` does, with every saved value as text."""
    texts = {name: _text(each) for name, each in saved.items()}
    return fill_saved(value, texts)


def _fill(text: str, saved: Mapping[str, Any]) -> Any:
    whole = _TOKEN.fullmatch(text)
    if whole is not None and whole[1] is not None and whole[1] in saved:
        return saved[whole[1]]
    return _TOKEN.sub(lambda match: _text_of(match, saved), text)


def _text_of(match: re.Match[str], saved: Mapping[str, Any]) -> str:
    if match[0] == _ESCAPED:
        return "${"
    return _text(saved[match[1]]) if match[1] in saved else match[0]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def without_secrets(
    problems: Iterable[Problem], written: Any, secrets: Mapping[str, str]
) -> Iterator[Problem]:
    """Yield the problems with the placeholders in place of the environment variables' values.

    `written` is the document before they were filled in, `secrets` maps values to placeholders.
    """
    redactor = Redactor()
    for secret, placeholder in secrets.items():
        redactor.add(secret, placeholder)
        # Messages contain the beginning of a long value.
        redactor.add(shorten_value(secret), shorten_value(placeholder))
    for each in problems:
        value = _value_at(written, each.path)
        message = redactor.text(each.message)
        if isinstance(value, str) and "${env." in value:
            message = f"the value of {shorten_value(value)} does not fit"
        expected = each.expected and redactor.text(each.expected)
        hint = each.hint and redactor.text(each.hint)
        yield Problem(each.path, message, expected, hint)


def _value_at(document: Any, path: KeyPath) -> Any:
    for part in path:
        if isinstance(document, Mapping):
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            document = document[part]
        else:
            return None
    return document
