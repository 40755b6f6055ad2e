"""Parser of the steps of a scenario file.

The forms are `actor.verb: {arguments}`, `expect.actor: {values}`, `command: {...}` and `wait: 2m`.
The valid steps are those of the actors in `scenarios.actors`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from broker.contract import parse_command
from broker.file_validation import (
    KeyPath,
    Problem,
    keys_of,
    shorten_value,
    suggest,
    validate,
)
from scenarios.actors import ACTORS
from scenarios.model.actor import Actor
from scenarios.model.file import DURATION_FORMAT, DeviceStep, Duration, RawCommand
from scenarios.model.masking import mask, mask_http
from scenarios.model.matchers import Matcher, parse_matcher
from scenarios.model.scenario import (
    HTTP_REQUEST,
    ActorStep,
    ExpectStep,
    Operation,
    Step,
    WaitStep,
)
from scenarios.parsing.saved_values import parse_step
from scenarios.parsing.yaml_positions import YamlDocument

__all__ = ["KnownNames", "ParsedSteps", "parse_steps", "step_names"]

_EXPECT: Final = "expect"
_EXPECT_HTTP: Final = "expect.http"
_HTTP: Final = "http"
_COMMAND: Final = "command"
_WAIT: Final = "wait"
_WITHIN: Final = "within"
_DURATION: Final[TypeAdapter[int]] = TypeAdapter(Duration)
_ALL_DEVICES: Final = "all"
_ALWAYS_SECRET: Final = frozenset({"password", "confirm", "newPasscode", "newPasscodeLine"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNames:
    """Names of devices, users and groups that steps may use."""

    devices: Sequence[str]
    users: Sequence[str]
    groups: Sequence[str]


@dataclass(slots=True)
class ParsedSteps:
    """Valid steps, and the problems of the invalid ones."""

    steps: tuple[Step, ...] = ()
    problems: list[Problem] = field(default_factory=list)


def step_names() -> list[str]:
    """Return the names of all steps of the scenario language."""
    names = [_COMMAND, _WAIT]
    for actor in ACTORS:
        names += [f"{actor.name}.{verb}" for verb in actor.steps]
        if actor.expects is not None:
            names.append(f"{_EXPECT}.{actor.name}")
    return names


def parse_steps(
    items: Sequence[object], written: Sequence[object], names: KnownNames, document: YamlDocument
) -> ParsedSteps:
    """Parse the list under `steps`, in which the environment variables are filled in.

    `written` is the list as the file has it, for the texts of reports; `document` provides the
    positions for problems.
    """
    read = ParsedSteps()
    saved: set[str] = set()
    steps = []
    for index, item in enumerate(items):
        path: KeyPath = ("steps", index)
        name, value = _split(item, path, read.problems)
        if name is None:
            continue
        where = (*path, name) if isinstance(item, Mapping) else path
        reader = partial(_read_step, names=names)
        operation = parse_step(reader, name, value, where, frozenset(saved), read.problems)
        if name == HTTP_REQUEST:
            saved.update(_saves(value))
        if operation is None:
            continue
        step = Step(
            number=index + 1,
            name=name,
            text=_text(name, _split(written[index], path, [])[1]),
            line=document.lines[where],
            column=document.columns[where],
            operation=operation,
            device=_device_of(operation),
        )
        steps.append(step)
    read.steps = tuple(steps)
    read.problems += _answers_without_request(items)
    return read


def _saves(value: object) -> Iterator[str]:
    save = value.get("save") if isinstance(value, Mapping) else None
    if isinstance(save, Mapping):
        yield from save


def _answers_without_request(items: Sequence[object]) -> Iterator[Problem]:
    """Yield a Problem for an `expect.http` before the first `http.request`."""
    for index, item in enumerate(items):
        name, _ = _split(item, (), [])
        if name == HTTP_REQUEST:
            return
        if name == _EXPECT_HTTP:
            where = ("steps", index, name)
            yield Problem(
                where, "there is no answer yet", f"an {HTTP_REQUEST} step before this one"
            )


def _read_step(
    name: str, value: object, path: KeyPath, problems: list[Problem], *, names: KnownNames
) -> Operation | None:
    return _Reader(names, problems).step(name, value, path)


def _split(item: object, path: KeyPath, problems: list[Problem]) -> tuple[str | None, object]:
    """(name, arguments) of `- name: arguments` or `- name`."""
    if isinstance(item, str):
        return item, None
    if isinstance(item, Mapping) and len(item) == 1:
        return next(iter(item.items()))
    if isinstance(item, Mapping) and item:
        second = list(item)[1]
        problems.append(
            Problem((*path, second), "a step has one key", "each step behind a dash of its own")
        )
    else:
        problems.append(Problem(path, f"got {shorten_value(item)}", "a step such as wait: 2m"))
    return None, None


class _Reader:
    """Reads steps against the names that there are."""

    def __init__(self, names: KnownNames, problems: list[Problem]) -> None:
        self._names = names
        self._problems = problems
        self._actors: dict[str, type[Actor]] = {actor.name: actor for actor in ACTORS}
        self._known = frozenset(step_names())

    def step(self, name: str, value: object, path: KeyPath) -> Operation | None:
        """Return the parsed step, or None if it has a problem."""
        first, _, verb = name.partition(".")
        actor = self._actors.get(verb if first == _EXPECT else first)
        if name not in self._known:
            self._unknown(name, path)
            return None
        if name == _WAIT:
            length = self._duration(value, path)
            return None if length is None else WaitStep(length)
        value = {} if value is None else value
        if not isinstance(value, Mapping):
            self._add(path, f"got {shorten_value(value)}", "a table such as {device: phone}")
            return None
        if actor is None:
            return self._command(value, path)
        if first == _EXPECT and actor.expects is not None:
            return self._expect_step(actor, actor.expects, value, path)
        return self._actor_step(actor, verb, value, path)

    def _add(
        self, path: KeyPath, message: str, expected: str | None = None, hint: str | None = None
    ) -> None:
        self._problems.append(Problem(path, message, expected, hint))

    def _unknown(self, name: str, path: KeyPath) -> None:
        known = step_names()
        same = [each for each in known if each.startswith(name.partition(".")[0] + ".")]
        self._add(path, "unknown step", f"one of {', '.join(same or known)}", suggest(name, known))

    def _duration(self, value: object, path: KeyPath) -> int | None:
        try:
            return _DURATION.validate_python(value)
        except ValidationError as error:
            context = error.errors()[0].get("ctx", {})
            self._add(
                path, str(context.get("text", f"got {shorten_value(value)}")), DURATION_FORMAT
            )
            return None

    # -- kinds of steps ------------------------------------------------------------------------

    def _actor_step(
        self, actor: type[Actor], verb: str, value: Mapping[str, object], path: KeyPath
    ) -> ActorStep | None:
        arguments = validate(actor.steps[verb], dict(value), path, self._problems)
        if arguments is None:
            return None
        allows_unknown_users = verb == "sign_in" and issubclass(actor.steps[verb], DeviceStep)
        good = not actor.names_devices or self._check_names(
            value, path, users=not allows_unknown_users
        )
        if isinstance(arguments, DeviceStep) and arguments.device is None:
            good &= self._only_device(path)
        return ActorStep(actor.name, verb, arguments) if good else None

    def _expect_step(
        self,
        actor: type[Actor],
        model: type[BaseModel],
        value: Mapping[str, object],
        path: KeyPath,
    ) -> ExpectStep | None:
        before = len(self._problems)
        within = None
        matchers: dict[str, Matcher] = {}
        plain: dict[str, object] = {}
        for key, each in value.items():
            if key == _WITHIN:
                within = self._duration(each, (*path, key))
            elif (
                key in keys_of(model)
                and key not in actor.selectors
                and (matcher := parse_matcher(each, (*path, key), self._problems))
            ):
                matchers[key] = matcher
            else:
                plain[key] = each
        self._check_types(model, plain, path)
        expected = {**{key: _with_matchers(each) for key, each in plain.items()}, **matchers}
        self._check_names(plain, path, users=False, only=actor.selectors)
        if issubclass(model, DeviceStep) and plain.get("device") is None:
            self._only_device(path)
        judged = {
            key: expected[key] for key in value if key in expected and key not in actor.selectors
        }
        if not judged and len(self._problems) == before:
            self._add(path, "expects nothing", f"one of {', '.join(keys_of(model))}")
        if len(self._problems) > before:
            return None
        return ExpectStep(actor.name, judged, plain, within)

    def _check_types(
        self, model: type[BaseModel], plain: Mapping[str, object], path: KeyPath
    ) -> None:
        """Check the types of the plain values; check a mapping key by key."""
        checked: dict[str, object] = {}
        for key, value in plain.items():
            if isinstance(value, Mapping):
                # A value inside a mapping may be a matcher.
                parts = {
                    name: part
                    for name, part in value.items()
                    if parse_matcher(part, (*path, key, name), self._problems) is None
                }
                if parts:
                    checked[key] = parts
            elif value is not None:
                checked[key] = value
        validate(model, checked, path, self._problems)

    def _command(self, value: Mapping[str, object], path: KeyPath) -> RawCommand | None:
        command = validate(RawCommand, dict(value), path, self._problems)
        if command is None or not self._check_names(value, path, users=False):
            return None
        if command.group is not None and command.device is not None:
            self._add((*path, "group"), "a command goes to a device or to a group", "one of them")
            return None
        groups = [*self._names.groups, _ALL_DEVICES]
        if command.group is not None and command.group not in groups:
            hint = suggest(command.group, groups)
            self._add(
                (*path, "group"), "there is no such group", f"one of {', '.join(groups)}", hint
            )
            return None
        if command.group is None and command.device is None and not self._only_device(path):
            return None
        return command if self._is_valid_command(command, path) else None

    def _is_valid_command(self, command: RawCommand, path: KeyPath) -> bool:
        """Check the command against the contract, unless it has a raw `payload`."""
        if "payload" in command.model_fields_set:
            return True
        if command.action_name is None:
            self._add((*path, "actionName"), "this key is missing", "the name of an action")
            return False
        parsed = parse_command(json.dumps(command_payload(command, "c")).encode())
        if hasattr(parsed, "error"):
            self._add(path, str(getattr(parsed, "message", "")), "a command by the contract")
            return False
        return True

    # -- names ---------------------------------------------------------------------------------

    def _check_names(
        self,
        value: Mapping[str, Any],
        path: KeyPath,
        *,
        users: bool,
        only: frozenset[str] | None = None,
    ) -> bool:
        """Check that the devices and users in `value` are defined, at any depth."""
        good = True
        for key, each in value.items():
            if only is not None and key not in only:
                continue
            where = (*path, key)
            if key in ("device", "devices"):
                for name in each if isinstance(each, list) else [each]:
                    good &= self._defined("device", name, self._names.devices, where)
            elif key == "user" and users:
                good &= _is_address(each) or self._defined("user", each, self._names.users, where)
            elif isinstance(each, Mapping):
                good &= self._check_names(each, where, users=users)
        return good

    def _defined(self, what: str, name: object, known: Sequence[str], path: KeyPath) -> bool:
        if name is None or not isinstance(name, str) or name in known:
            return True
        listed = f"one of {', '.join(known)}" if known else None
        self._add(path, f"there is no {what} {shorten_value(name)}", listed, suggest(name, known))
        return False

    def _only_device(self, path: KeyPath) -> bool:
        if len(self._names.devices) <= 1:
            return True
        names = ", ".join(self._names.devices)
        self._add((*path, "device"), "this key is missing", f"one of {names}")
        return False


def _is_address(name: object) -> bool:
    """Return True for an e-mail address, which may belong to no user: a page then says so."""
    return isinstance(name, str) and "@" in name


def command_payload(command: RawCommand, command_id: str) -> dict[str, Any]:
    """Return the Command payload as published over MQTT."""
    keys = command.model_dump(
        by_alias=True, exclude_none=True, exclude={"device", "group", "payload", "retained"}
    )
    return {"commandId": command_id, **keys}


def _with_matchers(value: object) -> object:
    """Return a plain value with the matchers inside its tables and lists parsed."""
    matcher = parse_matcher(value, (), [])
    if matcher is not None:
        return matcher
    if isinstance(value, Mapping):
        return {key: _with_matchers(each) for key, each in value.items()}
    return [_with_matchers(each) for each in value] if isinstance(value, list) else value


def _text(name: str, value: object) -> str:
    """Return the step on one line with its secrets masked."""
    if value is None:
        return name
    first, _, verb = name.partition(".")
    if _HTTP in (first, verb):
        return f"{name}: {_flow(mask_http(value))}"
    actor = next((actor for actor in ACTORS if actor.name == first), None)
    keys = set(_ALWAYS_SECRET)
    if actor is not None:
        keys |= set(_secret_keys(actor.steps[verb]))
    return f"{name}: {_flow(mask(value, keys))}"


def _secret_keys(model: type[BaseModel]) -> Iterator[str]:
    for name, info in model.model_fields.items():
        if info.repr is False:
            yield info.alias or name


def _flow(value: object) -> str:
    """Return a value in the flow style of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(each) for each in value) + "]"
    if isinstance(value, str):
        return (
            value
            if value and value[0].isalnum() and ":" not in value
            else json.dumps(value, ensure_ascii=False)
        )
    return json.dumps(value)


def _device_of(operation: object) -> str | None:
    arguments = operation.arguments if isinstance(operation, ActorStep) else operation
    if isinstance(arguments, ExpectStep):
        named = arguments.plain_values.get("device")
    else:
        named = getattr(arguments, "device", None)
    return named if isinstance(named, str) else None
