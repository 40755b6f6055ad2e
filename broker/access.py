"""Access rules of a broker: the topics that devices, operators and the fleet may read and write.

The same rules are written into Mosquitto's files (`broker.server.mosquitto_files`) and enforced by
the embedded broker.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from broker.contract import Topics

__all__ = [
    "DEVICE_READS",
    "DEVICE_WRITES",
    "Access",
    "Login",
    "Permissions",
    "Rule",
    "covers",
    "device_rules",
    "has_wildcard",
    "host_rules",
    "is_filter",
    "operator_rules",
]

DEVICE_READS: Final = ("commands", "inputs", "messages")
"""Topics of a device that it reads."""
DEVICE_WRITES: Final = ("results", "escrow", "notifications", "state", "presence")
"""Topics of a device that it writes."""
_OPERATOR_WRITES: Final = ("commands", "inputs", "messages", "simulate", "inspect")
_OPERATOR_READS: Final = (*DEVICE_WRITES, "inspection")

Access = Literal["read", "write", "readwrite"]


class Rule(NamedTuple):
    """Permission for the topics of one filter."""

    access: Access
    topic_filter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """User name and password with their permissions.

    `rules` None permits everything. `client_ids` are client ids that no other login may use, except
    those that permit everything.
    """

    username: str
    password: str = field(repr=False)
    rules: tuple[Rule, ...] | None = None
    client_ids: tuple[str, ...] = ()


def device_rules(topics: Topics, device_id: str, group: str) -> list[Rule]:
    """Rules of a device: it reads what is sent to it, and writes its own topics."""
    return [
        *(Rule("read", topics.device(device_id, leaf)) for leaf in DEVICE_READS),
        *(Rule("read", topics.group(name)) for name in (group, "all")),
        *(Rule("write", topics.device(device_id, leaf)) for leaf in DEVICE_WRITES),
    ]


def operator_rules(topics: Topics) -> list[Rule]:
    """Rules of an operator, such as a back-end under test: commands and what answers them."""
    root = topics.root
    return [
        *(Rule("write", topics.device("+", leaf)) for leaf in _OPERATOR_WRITES),
        Rule("write", topics.group("+")),
        Rule("write", topics.clock),
        Rule("write", f"{root}/hosts/clock"),
        Rule("write", f"{root}/hosts/describe"),
        *(Rule("read", topics.device("+", leaf)) for leaf in _OPERATOR_READS),
        Rule("read", topics.clock_now),
        Rule("read", f"{root}/hosts/described/#"),
        Rule("readwrite", f"{root}/operators/#"),
        Rule("readwrite", f"{root}/loads/#"),
    ]


def host_rules(topics: Topics) -> list[Rule]:
    """Rules of the processes that host the devices: everything below the topic root."""
    return [Rule("readwrite", f"{topics.root}/#")]


class Permissions:
    """Rules of a connected client, prepared for one check per message."""

    def __init__(self, rules: Iterable[Rule] | None) -> None:
        """`rules` None permits everything."""
        self.everything = rules is None
        given = tuple(rules or ())
        self._readable = [each.topic_filter for each in given if each.access != "write"]
        writable = [each.topic_filter for each in given if each.access != "read"]
        self._exact = frozenset(writable)
        self._wildcards = [name for name in writable if has_wildcard(name)]

    def may_subscribe(self, topic_filter: str) -> bool:
        """Return True if every topic of a filter may be read."""
        return self.everything or any(covers(each, topic_filter) for each in self._readable)

    def may_publish(self, topic: str) -> bool:
        """Return True if a topic may be written. `topic` has no wildcard."""
        return (
            self.everything
            or topic in self._exact
            or any(covers(each, topic) for each in self._wildcards)
        )


def has_wildcard(topic_filter: str) -> bool:
    """Return True if a filter has a wildcard."""
    return "+" in topic_filter or "#" in topic_filter


def is_filter(topic_filter: str) -> bool:
    """Return True for a valid topic filter [MQTT-4.7.1-2, MQTT-4.7.1-3]."""
    if not topic_filter or "\0" in topic_filter:
        return False
    if not has_wildcard(topic_filter):
        return True
    *levels, last = topic_filter.split("/")
    if any("#" in level for level in levels) or ("#" in last and last != "#"):
        return False
    return all(level == "+" or "+" not in level for level in (*levels, last))


def covers(wide: str, narrow: str) -> bool:
    """Return True if every topic of the filter or topic `narrow` matches the filter `wide`."""
    if wide == narrow:
        return True
    if not has_wildcard(wide) or (narrow[:1] == "$" and wide[:1] in "+#"):
        return False  # [MQTT-4.7.2-1]
    wide_levels, narrow_levels = wide.split("/"), narrow.split("/")
    if wide_levels[-1] == "#":
        # "a/#" matches "a" too.
        del wide_levels[-1]
        narrow_levels = narrow_levels[: len(wide_levels)]
    return len(wide_levels) == len(narrow_levels) and all(
        mine == theirs or (mine == "+" and theirs != "#")
        for mine, theirs in zip(wide_levels, narrow_levels, strict=True)
    )
