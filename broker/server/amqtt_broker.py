"""The embedded broker: amqtt, with the way of a message made independent of the fleet's size.

amqtt 0.12 tests every published topic against every stored filter, walks all filters for each new
session and all retained messages for each subscription; three thousand devices with five filters
each bring it to a crawl. This subclass keeps amqtt's configuration, life cycle, session record,
messages and codec, and replaces what lies between a socket and its subscribers:

- a topic finds its subscribers by one dict look-up for filters without wildcards, and through
  `paho.mqtt.matcher.MQTTMatcher`, a trie, for those with;
- a retained message is found by a dict look-up; filters with wildcards take one scan;
- connections are `broker.server.amqtt_protocol.Link`, sessions
  `broker.server.amqtt_session.FleetSession`.

Where its behaviour differs from amqtt's, it follows MQTT 3.1.1: see
tests/broker/server/test_requirements.py.
Anonymous clients keep their session; a delivery has the lower QoS of publication and subscription;
QoS 2 subscriptions are granted QoS 1, which the standard allows. amqtt's plugins are not called:
the broker listens on loopback, for one fleet.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, cast

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig
from paho.mqtt.matcher import MQTTMatcher

from broker.errors import BrokerError
from broker.server.amqtt_protocol import Link

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping

    from broker.server.amqtt_session import FleetSession

__all__ = ["TESTED_AMQTT", "RoutingBroker", "SubscriptionIndex", "check_amqtt_version"]

# This module reaches into methods that amqtt does not promise to keep.
TESTED_AMQTT = "0.12."
_MAX_QOS = 1
_REFUSED = 0x80
# Connections that may wait to be accepted: a fleet connects all at once.
_BACKLOG = 4096
# Topics whose match with the wildcard filters is remembered: 20,000 devices with five topics.
_REMEMBERED = 100_000

_V = TypeVar("_V")


def check_amqtt_version() -> None:
    """Raise BrokerError unless amqtt is of a version that this module was tested with."""
    found = version("amqtt")
    if not found.startswith(TESTED_AMQTT):
        raise BrokerError(
            f"the embedded broker needs amqtt {TESTED_AMQTT}x and found {found}",
            hint="reinstall passfleet, or use a broker of your own with --broker",
        )


class SubscriptionIndex:
    """Subscriptions by topic filter with the granted QoS, found without a scan of all filters."""

    def __init__(self) -> None:
        self._filters: dict[str, dict[FleetSession, int]] = {}
        self._wildcards: _Trie[dict[FleetSession, int]] = _trie()
        # Topic -> what the trie said; a fleet publishes on the same few topics a device for ever.
        self._matched: dict[str, tuple[dict[FleetSession, int], ...]] = {}

    def add(self, topic_filter: str, session: FleetSession, qos: int) -> None:
        """Add a subscription or change its QoS."""
        sessions = self._filters.get(topic_filter)
        if sessions is None:
            sessions = self._filters[topic_filter] = {}
            if _has_wildcard(topic_filter):
                self._wildcards[topic_filter] = sessions
                self._matched.clear()
        sessions[session] = qos
        session.filters.add(topic_filter)

    def remove(self, topic_filter: str, session: FleetSession) -> None:
        """Remove a subscription if it is there."""
        if topic_filter not in session.filters:
            return
        session.filters.discard(topic_filter)
        sessions = self._filters[topic_filter]
        del sessions[session]
        if not sessions:
            del self._filters[topic_filter]
            if _has_wildcard(topic_filter):
                del self._wildcards[topic_filter]
                self._matched.clear()

    def subscribers(self, topic: str) -> Mapping[FleetSession, int]:
        """Return each subscriber once, with the highest QoS among its filters that match."""
        exact = self._filters.get(topic, {})
        groups = self._matched.get(topic)
        if groups is None:
            if len(self._matched) >= _REMEMBERED:
                self._matched.clear()
            groups = self._matched[topic] = tuple(self._wildcards.iter_match(topic))
        if not groups:
            return exact
        if not exact and len(groups) == 1:
            return groups[0]
        merged = dict(exact)
        for group in groups:
            for session, qos in group.items():
                merged[session] = max(qos, merged.get(session, 0))
        return merged


class _Retained(NamedTuple):
    data: bytes
    qos: int


class RoutingBroker(Broker):  # type: ignore[misc]  # amqtt ships no type marker
    """amqtt's broker on one listening socket that is already bound."""

    def __init__(self, listening: socket.socket) -> None:
        host, port = listening.getsockname()[:2]
        listener = ListenerConfig(bind=f"{host}:{port}")
        super().__init__(BrokerConfig(listeners={"default": listener}, plugins={}))
        self._listening = listening
        self._clients: dict[str, FleetSession] = {}
        self._index = SubscriptionIndex()
        self._retained: dict[str, _Retained] = {}

    # -- what amqtt calls -----------------------------------------------------------------------

    async def _create_server_instance(self, *_: object) -> asyncio.Server:
        """Listen on the socket that was handed in."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            lambda: Link(self, loop), sock=self._listening, backlog=_BACKLOG
        )

    async def _session_monitor(self) -> None:
        """Do nothing: a clean session goes with its connection, the others stay.

        amqtt looks through all sessions every second, and removes those of anonymous clients.
        """

    # -- what a connection calls ----------------------------------------------------------------

    def open_session(self, session: FleetSession) -> tuple[FleetSession, bool]:
        """Return the session to go on with, and whether the broker knew it already.

        A connection that still holds the client id is closed first, its Last Will published.
        """
        known = self._clients.get(session.client_id)
        if known is not None and known.outlet is not None:
            known.outlet.end(will=True)
            known = self._clients.get(session.client_id)  # a clean session went with it
        if known is None or session.clean_session:
            if known is not None:
                self._forget(known)
            self._clients[session.client_id] = session
            return session, False
        known.keep_alive = session.keep_alive
        known.will_flag, known.will_topic = session.will_flag, session.will_topic
        known.will_message, known.will_qos = session.will_message, session.will_qos
        known.will_retain = session.will_retain
        return known, True

    def end_connection(self, session: FleetSession, *, will: bool) -> None:
        """Publish the Last Will if it is due, and forget a session that was to be clean."""
        if session.clean_session:
            self._forget(session)
        if will and session.will_flag:
            self.route(
                session.will_topic,
                session.will_message,
                session.will_qos,
                retain=session.will_retain,
            )
        session.will_flag = False

    def route(self, topic: str, data: bytes, qos: int, *, retain: bool) -> None:
        """Pass a message to every subscriber, and keep or clear it as the topic's retained one."""
        if retain:
            if data:
                self._retained[topic] = _Retained(data, qos)
            else:
                self._retained.pop(topic, None)
        for session, granted in self._index.subscribers(topic).items():
            session.deliver(topic, data, min(qos, granted))

    def subscribe(self, session: FleetSession, filters: list[tuple[str, int]]) -> list[int]:
        """Add subscriptions; return a SUBACK code for each: the QoS granted, or 0x80."""
        codes = []
        for topic_filter, asked in filters:
            if asked > 2 or not _is_filter(topic_filter):  # noqa: PLR2004 - the QoS levels of MQTT
                codes.append(_REFUSED)
                continue
            qos = min(asked, _MAX_QOS)
            self._index.add(topic_filter, session, qos)
            codes.append(qos)
        return codes

    def unsubscribe(self, session: FleetSession, filters: list[str]) -> None:
        """Remove subscriptions; unknown ones are no error."""
        for topic_filter in filters:
            self._index.remove(topic_filter, session)

    def send_retained(self, session: FleetSession, filters: list[tuple[str, int]]) -> None:
        """Send the retained messages that these new subscriptions match, each once."""
        wildcards: _Trie[int] = _trie()
        scan = False
        exact: dict[str, int] = {}
        for topic_filter, qos in filters:
            if _has_wildcard(topic_filter):
                wildcards[topic_filter] = qos
                scan = True
            elif topic_filter in self._retained:
                exact[topic_filter] = qos
        for topic in self._retained if scan else exact:
            granted = max(wildcards.iter_match(topic), default=-1)
            granted = max(granted, exact.get(topic, -1))
            if granted >= 0:
                data, qos = self._retained[topic]
                session.deliver(topic, data, min(qos, granted), retain=True)

    def _forget(self, session: FleetSession) -> None:
        for topic_filter in tuple(session.filters):
            self._index.remove(topic_filter, session)
        # A session that was taken over must not take its successor out of the list.
        if self._clients.get(session.client_id) is session:
            del self._clients[session.client_id]


class _Trie(Protocol[_V]):
    """Typed part of paho's matcher, which has no annotations."""

    def __setitem__(self, topic_filter: str, value: _V) -> None: ...

    def __delitem__(self, topic_filter: str) -> None: ...

    def iter_match(self, topic: str) -> Iterator[_V]: ...


def _trie() -> _Trie[_V]:
    return cast("_Trie[_V]", MQTTMatcher())  # type: ignore[no-untyped-call]


def _has_wildcard(topic_filter: str) -> bool:
    return "+" in topic_filter or "#" in topic_filter


def _is_filter(topic_filter: str) -> bool:
    """Return True if the wildcards are at valid positions [MQTT-4.7.1-2, MQTT-4.7.1-3]."""
    if not topic_filter or "\0" in topic_filter:
        return False
    levels = topic_filter.split("/")
    if "#" in "".join(levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        return False
    return all(level == "+" or "+" not in level for level in levels)
