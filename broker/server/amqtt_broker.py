"""Embedded broker: a subclass of amqtt's broker whose cost per message ignores the fleet's size.

For each published message amqtt 0.12 tests every stored filter. It scans all filters for each new
session and all retained messages for each subscription. That is too slow for 3,000 devices with
five filters each. This subclass keeps amqtt's configuration, life cycle, session record, messages
and codec. It replaces the routing:

- Subscribers without wildcards are found by one dict lookup per topic, those with wildcards by
  `paho.mqtt.matcher.MQTTMatcher`, which is a trie.
- Retained messages are found by a dict lookup. A filter with wildcards takes one scan.
- Connections are `broker.server.amqtt_protocol.ClientProtocol`, sessions
  `broker.server.amqtt_session.FleetSession`.

Differences to amqtt's behaviour follow MQTT 3.1.1 (tests/broker/server/test_requirements.py):
anonymous clients keep their session; a message is delivered with the lower QoS of publication and
subscription; QoS 2 subscriptions are granted QoS 1, which the standard allows. amqtt's plugins are
not called: `broker.server.gate` has the logins and their permissions.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, cast

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig
from paho.mqtt.matcher import MQTTMatcher

from broker.access import has_wildcard, is_filter
from broker.errors import BrokerError
from broker.server.amqtt_protocol import ClientProtocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping

    from broker.server.amqtt_session import FleetSession
    from broker.server.gate import Gate

__all__ = ["TESTED_AMQTT", "RoutingBroker", "SubscriptionIndex", "check_amqtt_version"]

# This module overrides private methods of amqtt, which any release may change.
TESTED_AMQTT = "0.12."
_MAX_QOS = 1
_REFUSED = 0x80
# Number of connections that may wait to be accepted: a fleet connects all at once.
_BACKLOG = 4096
# Number of topics in the cache of wildcard matches: 20,000 devices with five topics each.
_CACHED_TOPICS = 100_000

_V = TypeVar("_V")


def check_amqtt_version() -> None:
    """Check that this module was tested with the installed amqtt. Raises BrokerError."""
    found = version("amqtt")
    if not found.startswith(TESTED_AMQTT):
        raise BrokerError(
            f"the embedded broker needs amqtt {TESTED_AMQTT}x and found {found}",
            hint="reinstall passfleet, or name another broker with --broker",
        )


class SubscriptionIndex:
    """Index of subscriptions by topic filter, with the granted QoS."""

    def __init__(self) -> None:
        self._filters: dict[str, dict[FleetSession, int]] = {}
        self._wildcards: _Trie[dict[FleetSession, int]] = _trie()
        # Cache of the trie's matches by topic: each device publishes on the same few topics.
        self._matched: dict[str, tuple[dict[FleetSession, int], ...]] = {}

    def add(self, topic_filter: str, session: FleetSession, qos: int) -> None:
        """Add a subscription or change its QoS."""
        sessions = self._filters.get(topic_filter)
        if sessions is None:
            sessions = self._filters[topic_filter] = {}
            if has_wildcard(topic_filter):
                self._wildcards[topic_filter] = sessions
                self._matched.clear()
        sessions[session] = qos
        session.filters.add(topic_filter)

    def remove(self, topic_filter: str, session: FleetSession) -> None:
        """Remove a subscription, if it exists."""
        if topic_filter not in session.filters:
            return
        session.filters.discard(topic_filter)
        sessions = self._filters[topic_filter]
        del sessions[session]
        if not sessions:
            del self._filters[topic_filter]
            if has_wildcard(topic_filter):
                del self._wildcards[topic_filter]
                self._matched.clear()

    def subscribers(self, topic: str) -> Mapping[FleetSession, int]:
        """Return the subscribers of a topic, each with the highest QoS of its matching filters."""
        exact = self._filters.get(topic, {})
        groups = self._matched.get(topic)
        if groups is None:
            if len(self._matched) >= _CACHED_TOPICS:
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
    """amqtt broker on one listening socket that is already bound."""

    def __init__(self, listening: socket.socket, gate: Gate) -> None:
        host, port = listening.getsockname()[:2]
        listener = ListenerConfig(bind=f"{host}:{port}")
        super().__init__(BrokerConfig(listeners={"default": listener}, plugins={}))
        self._listening = listening
        self.gate = gate
        self._clients: dict[str, FleetSession] = {}
        self._index = SubscriptionIndex()
        self._retained: dict[str, _Retained] = {}

    # -- methods called by amqtt ----------------------------------------------------------------

    async def _create_server_instance(self, *_: object) -> asyncio.Server:
        """Listen on the socket passed to the constructor."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            lambda: ClientProtocol(self, loop), sock=self._listening, backlog=_BACKLOG
        )

    async def _session_monitor(self) -> None:
        """Do nothing: a clean session ends with its connection, and other sessions are kept.

        amqtt scans all sessions every second and removes those of anonymous clients.
        """

    # -- methods called by connections ----------------------------------------------------------

    def admit(self, session: FleetSession, password: str | None) -> bool:
        """Set the permissions of a new connection. Return False if its login is refused.

        `session.username` is its user name. A session belongs to the login that opened it.
        """
        username = session.username
        permissions = self.gate.admit(username, password)
        if permissions is None or not self.gate.may_use(session.client_id, username):
            return False
        known = self._clients.get(session.client_id)
        if known is not None and known.username != username and not permissions.everything:
            return False
        session.permissions = permissions
        return True

    def open_session(self, session: FleetSession) -> tuple[FleetSession, bool]:
        """Return the session of a new connection, and True if it is an earlier session resumed.

        An open connection with the same client id is closed first, and its Last Will is published.
        """
        known = self._clients.get(session.client_id)
        if known is not None and known.connection is not None:
            known.connection.end(will=True)
            known = self._clients.get(session.client_id)  # closing ended a clean session
        if known is None or session.clean_session:
            if known is not None:
                self._delete_session(known)
            self._clients[session.client_id] = session
            return session, False
        known.keep_alive, known.permissions = session.keep_alive, session.permissions
        known.will_flag, known.will_topic = session.will_flag, session.will_topic
        known.will_message, known.will_qos = session.will_message, session.will_qos
        known.will_retain = session.will_retain
        return known, True

    def end_connection(self, session: FleetSession, *, will: bool) -> None:
        """Publish the Last Will if `will` is true, and delete the session if it is clean."""
        if session.clean_session:
            self._delete_session(session)
        if will and session.will_flag and session.permissions.may_publish(session.will_topic):
            self.route(
                session.will_topic,
                session.will_message,
                session.will_qos,
                retain=session.will_retain,
            )
        session.will_flag = False

    def route(self, topic: str, data: bytes, qos: int, *, retain: bool) -> None:
        """Deliver a message to its subscribers. `retain` stores it, or clears it if it is empty."""
        if retain:
            if data:
                self._retained[topic] = _Retained(data, qos)
            else:
                self._retained.pop(topic, None)
        for session, granted in self._index.subscribers(topic).items():
            session.deliver(topic, data, min(qos, granted))

    def subscribe(self, session: FleetSession, filters: list[tuple[str, int]]) -> list[int]:
        """Add (filter, QoS) pairs. Return the SUBACK code of each: the granted QoS, or 0x80."""
        codes = []
        for topic_filter, asked in filters:
            valid = asked <= 2 and is_filter(topic_filter)  # noqa: PLR2004 - the QoS levels of MQTT
            permitted = valid and session.permissions.may_subscribe(topic_filter)
            if not permitted or self.gate.denies(topic_filter):
                codes.append(_REFUSED)
                continue
            qos = min(asked, _MAX_QOS)
            self._index.add(topic_filter, session, qos)
            codes.append(qos)
        return codes

    def unsubscribe(self, session: FleetSession, filters: list[str]) -> None:
        """Remove subscriptions. Filters without a subscription are ignored."""
        for topic_filter in filters:
            self._index.remove(topic_filter, session)

    def send_retained(self, session: FleetSession, filters: list[tuple[str, int]]) -> None:
        """Send the retained messages that match new subscriptions, each once."""
        wildcards: _Trie[int] = _trie()
        scan = False
        exact: dict[str, int] = {}
        for topic_filter, qos in filters:
            if has_wildcard(topic_filter):
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

    def _delete_session(self, session: FleetSession) -> None:
        for topic_filter in tuple(session.filters):
            self._index.remove(topic_filter, session)
        # The client id may already belong to a newer session.
        if self._clients.get(session.client_id) is session:
            del self._clients[session.client_id]


class _Trie(Protocol[_V]):
    """Type of paho's matcher, which has no annotations."""

    def __setitem__(self, topic_filter: str, value: _V) -> None: ...

    def __delitem__(self, topic_filter: str) -> None: ...

    def iter_match(self, topic: str) -> Iterator[_V]: ...


def _trie() -> _Trie[_V]:
    return cast("_Trie[_V]", MQTTMatcher())  # type: ignore[no-untyped-call]
