"""Paths of the Graph API: `managedDevices('ID')` and `managedDevices/ID` are one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fleet.web.graph.errors import GraphError

__all__ = ["Target", "parse_path", "without_link"]

_KEY: Final = re.compile(r"(?P<name>[^()]+)\('(?P<key>.*)'\)")
_ABSOLUTE: Final = re.compile(r"https?:/+[^/]+/+(?:v1\.0|beta)/+")
_NAMESPACE: Final = "microsoft.graph."
_DEVICES: Final = "manageddevices"
_MAX_DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class Target:
    """Target of a path: user, device and action.

    `user` is the user in the path, "" for `/me`, None for the whole fleet; `device` and `action`
    are None where the path ends before them.
    """

    user: str | None = None
    device: str | None = None
    action: str | None = None
    batch: bool = False


def without_link(path: str) -> str:
    """The path of a next link that was appended to the server's own address.

    The JavaScript client follows only https links; it appends an http link to its base URL.
    """
    return _ABSOLUTE.sub("", path, count=1) if _ABSOLUTE.match(path) else path


def parse_path(path: str) -> Target:
    """Read a path below `/v1.0` or `/beta`. Raises GraphError (404) for one that names nothing."""
    segments = [part for segment in path.split("/") if segment for part in _split(segment)]
    if segments == ["$batch"]:
        return Target(batch=True)
    head, rest = _scope(segments)
    if head is None or not rest or rest[0].lower() != _DEVICES or len(segments) > _MAX_DEPTH:
        raise _nothing(path)
    match rest[1:]:
        case []:
            return Target(user=head.user)
        case [device]:
            return Target(user=head.user, device=device)
        case [device, action]:
            return Target(head.user, device, action.removeprefix(_NAMESPACE))
    raise _nothing(path)


def _scope(segments: list[str]) -> tuple[Target | None, list[str]]:
    match [segment.lower() for segment in segments[:1]]:
        case ["devicemanagement"]:
            return Target(), segments[1:]
        case ["me"]:
            return Target(user=""), segments[1:]
        case ["users"] if len(segments) > 1:
            return Target(user=segments[1]), segments[2:]
    return None, []


def _split(segment: str) -> list[str]:
    match = _KEY.fullmatch(segment)
    return [segment] if match is None else [match["name"], match["key"].replace("''", "'")]


def _nothing(path: str) -> GraphError:
    return GraphError(404, f"Resource not found: /{path.strip('/')[:100]} is not simulated.")
