"""`$filter` against a simple model: the same comparison over the written JSON values."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.contract import Biometrics, DeviceState
from broker.operator.readers import ReceivedMessage
from broker.timestamps import format_timestamp
from fleet.web.device_view import DeviceView
from fleet.web.graph.errors import GraphError
from fleet.web.graph.filters import parse_filter
from fleet.web.graph.managed_device import PROPERTIES, ManagedDevice, document_of
from platforms import PLATFORMS

NAMES = st.sampled_from(["a", "B", "ab", "it's", "x-1", "ÄB", "ios", "compliant", "personal", ""])
MOMENTS = st.integers(0, 4_000_000_000_000).map(lambda second: second // 1000 * 1000)
STRINGS = sorted(name for name, known in PROPERTIES.items() if known.kind == "string")
DATES = sorted(name for name, known in PROPERTIES.items() if known.kind == "dateTime")
MODEL: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


@st.composite
def devices(draw: st.DrawFn) -> ManagedDevice:
    """A device with drawn names, times and state."""
    name = draw(NAMES.filter(lambda text: text.isascii() and text.isalnum()))
    view = DeviceView(name, draw(MOMENTS), draw(MOMENTS))
    state = DeviceState(
        device_id=name,
        platform="ios",
        management=draw(st.sampled_from(["standalone", "hybrid", "exchange_activesync"])),
        group="g",
        owner=draw(NAMES),
        current_user="x",
        locked=True,
        passcode="none",
        passcode_deadline=None,
        compliance=draw(st.sampled_from(["compliant", "inGracePeriod", "noncompliant"])),
        biometrics=Biometrics(touch_id="none", face="none"),
        failed_attempts=0,
        wiped=draw(st.booleans()),
        enrolled=True,
        lost_mode=False,
        last_check_in=None,
        version=1,
    )
    profile = draw(st.sampled_from([None, *PLATFORMS]))
    return ManagedDevice("guid", "user", view, state, None, profile)


def quoted(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


Meaning = Callable[[dict[str, Any]], bool]
Term = tuple[str, Meaning]
"""One comparison as OData, and what it means for a written device."""


def on_text(name: str, compare: Callable[[str], bool]) -> Meaning:
    """Predicate on a string property that exists, ignoring case."""
    return lambda device: device[name] is not None and compare(device[name].casefold())


@st.composite
def on_strings(draw: st.DrawFn) -> Term:
    name, text = draw(st.sampled_from(STRINGS)), draw(NAMES)
    low = text.casefold()
    verb = draw(st.sampled_from(["eq", "ne", "contains", "startswith", *sorted(MODEL)]))
    if verb == "contains":
        return f"contains({name}, {quoted(text)})", on_text(name, lambda value: low in value)
    if verb == "startswith":
        return f"startswith({name},{quoted(text)})", on_text(name, lambda v: v.startswith(low))
    term = f"{name} {verb} {quoted(text)}"
    if verb in MODEL:
        return term, on_text(name, lambda value: MODEL[verb](value, low))
    equals = on_text(name, lambda value: value == low)
    return term, equals if verb == "eq" else lambda device: not equals(device)


@st.composite
def on_dates(draw: st.DrawFn) -> Term:
    name, verb = draw(st.sampled_from(DATES)), draw(st.sampled_from(sorted(MODEL)))
    wanted = format_timestamp(draw(MOMENTS))
    # Whole seconds have one width: the order of the texts is the order in time.
    return f"{name} {verb} {wanted}", lambda device: MODEL[verb](device[name], wanted)


@st.composite
def on_others(draw: st.DrawFn) -> Term:
    name, flag = draw(st.sampled_from(STRINGS)), draw(st.booleans())
    null: Term = (f"{name} ne null", lambda device: device[name] is not None)
    boolean: Term = (
        f"isSupervised eq {str(flag).lower()}",
        lambda device: device["isSupervised"] is flag,
    )
    return draw(st.sampled_from([null, boolean]))


comparisons = on_strings() | on_dates() | on_others()


@given(devices(), st.lists(comparisons, min_size=1, max_size=4), st.booleans())
def test_a_filter_means_what_its_comparisons_mean(
    device: ManagedDevice,
    drawn: list[Term],
    parenthesised: bool,  # noqa: FBT001
) -> None:
    written = document_of(device, None, with_results=False)
    terms = [f"({text})" if parenthesised else text for text, _ in drawn]
    expected = all(means(written) for _, means in drawn)
    assert parse_filter(" and ".join(terms))(device) is expected


@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from(
            ["deviceName", "eq", "'x'", "(", ")", "and", "or", "not", ",", "null", "1"]
        ),
        max_size=12,
    ).map(" ".join)
)
def test_whatever_is_written_is_taken_or_refused(text: str) -> None:
    try:
        parse_filter(text)
    except GraphError as error:
        refused = error
    else:
        return
    assert refused.status == 400


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("deviceName eq 'a' or deviceName eq 'b'", "or"),
        ("not (deviceName eq 'a')", "not"),
        ("endswith(deviceName,'a')", "endswith"),
        ("deviceName has 'a'", "has"),
        ("serialNumber eq 'a'", "serialNumber"),
        ("nonsense eq 'a'", "nonsense"),
        ("deviceName eq 5", "5"),
        ("deviceName eq true", "deviceName"),
        ("isSupervised eq 'true'", "isSupervised"),
        ("isSupervised gt true", "gt"),
        ("lastSyncDateTime gt '2020'", "lastSyncDateTime"),
        ("lastSyncDateTime gt 2020-13-01T00:00:00Z", "2020-13"),
        ("contains(deviceName)", "','"),
        ("contains(lastSyncDateTime,'a')", "lastSyncDateTime"),
        ("deviceName eq 'a' and", "end"),
        ("(deviceName eq 'a'", "')'"),
        ("", "end"),
        ("(" * 100 + "deviceName eq 'a'" + ")" * 100, "nested"),
        (" and ".join(["deviceName eq 'a'"] * 51), "50"),
    ],
)
def test_what_is_not_understood_is_named(text: str, why: str) -> None:
    with pytest.raises(GraphError, match="Invalid filter clause") as refused:
        parse_filter(text)
    assert why in str(refused.value)


def test_a_state_that_arrives_is_what_the_filter_sees() -> None:
    view = DeviceView("a", 0)
    view.take(ReceivedMessage("t", "a", "state", b"not json", retained=True), 5)
    assert view.state is None
    assert view.last_heard == 5
