"""Parsing of steps that use saved values, which are known only when the step runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from broker.file_validation import UNKNOWN_KEY, KeyPath, Problem
from scenarios.model.actor import StepRefusedError
from scenarios.model.scenario import DeferredStep, Operation
from scenarios.model.variables import fill_saved, fill_saved_as_text, saved_names, unknown_names

__all__ = ["parse_step"]

StepReader = Callable[[str, object, KeyPath, list[Problem]], Operation | None]
"""Function that validates (name, arguments, path) and adds the problems of an invalid step."""


def parse_step(
    reader: StepReader,
    name: str,
    value: object,
    path: KeyPath,
    saved: frozenset[str],
    problems: list[Problem],
) -> Operation | DeferredStep | None:
    """Return the parsed step, or None with its problems.

    `saved` are the names that earlier steps save. A step with one of them is validated as far as it
    is known, and again when it runs.
    """
    if next(saved_names(value), None) is None:
        return reader(name, fill_saved(value, {}), path, problems)
    unknown = list(unknown_names(value, path, saved))
    problems += unknown
    found: list[Problem] = []
    reader(name, value, path, found)
    found = [each for each in found if not _depends_on_saved(value, path, each)]
    problems += found
    return None if unknown or found else DeferredStep(_resolver(reader, name, value, path))


def _depends_on_saved(value: object, path: KeyPath, problem: Problem) -> bool:
    """Return True if the problem concerns a value that is known only when the step runs."""
    if problem.message == UNKNOWN_KEY:
        return False
    for part in problem.path[len(path) :]:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
    return next(saved_names(value), None) is not None


def _resolver(
    reader: StepReader, name: str, value: object, path: KeyPath
) -> Callable[[Mapping[str, object]], Operation]:
    def resolve(saved: Mapping[str, object]) -> Operation:
        problems: list[Problem] = []
        # A saved number is a number where the step takes one, else text.
        for fill in (fill_saved, fill_saved_as_text):
            problems = []
            operation = reader(name, fill(value, saved), path, problems)
            if operation is not None:
                return operation
        first = problems[0]
        key = ".".join(str(part) for part in first.path[len(path) :]) or name
        raise StepRefusedError(f"{key}: {first.expected or 'a valid value'}", first.message)

    return resolve
