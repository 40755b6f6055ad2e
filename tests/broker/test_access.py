"""Coverage of topic filters, checked against paho's own matching of topics."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from broker.access import Permissions, Rule, covers, is_filter

_LEVEL = st.sampled_from(["a", "b", "", "$x"])
_TOPIC = st.lists(_LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)
_FILTER = st.builds(
    lambda levels, tail: "/".join([*levels, *tail]),
    st.lists(st.one_of(_LEVEL, st.just("+")), min_size=1, max_size=4),
    st.sampled_from([[], ["#"]]),
).filter(bool) | st.just("#")


@given(wide=_FILTER, topic=_TOPIC)
def test_a_filter_covers_the_topics_that_match_it(wide: str, topic: str) -> None:
    assert covers(wide, topic) == topic_matches_sub(wide, topic)


@given(wide=_FILTER, narrow=_FILTER, topic=_TOPIC)
def test_what_a_filter_covers_matches_it(wide: str, narrow: str, topic: str) -> None:
    if covers(wide, narrow) and topic_matches_sub(narrow, topic):
        assert topic_matches_sub(wide, topic)


@pytest.mark.parametrize(
    ("topic_filter", "valid"),
    [
        *((name, True) for name in ("a/+/#", "#", "+", "a", "a//b")),
        *((name, False) for name in ("", "a#", "#/a", "a/b+", "a/#/b", "a\0")),
    ],
)
def test_valid_filters(topic_filter: str, valid: bool) -> None:  # noqa: FBT001
    assert is_filter(topic_filter) is valid


def test_permissions_of_rules() -> None:
    permissions = Permissions(
        [Rule("read", "in/#"), Rule("write", "out/+"), Rule("readwrite", "both")]
    )
    assert permissions.may_subscribe("in/+/x")
    assert not permissions.may_subscribe("out/a")
    assert permissions.may_publish("out/a")
    assert not permissions.may_publish("out/a/b")
    assert not permissions.may_publish("in/a")
    assert permissions.may_subscribe("both")
    assert permissions.may_publish("both")
    assert not permissions.everything
