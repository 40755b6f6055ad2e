"""Two-way templates: what is rendered is read back, and nothing that arrives raises or loops."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.dialects.payload import JsonPayload, PlacedTemplateError, compile_payload
from broker.dialects.template import (
    MisfitError,
    TemplateError,
    TextTemplate,
    TopicTemplate,
    Values,
)

NAMES = ("a", "b", "c", "d")
SAFE = st.text("xyz019_- ", min_size=1, max_size=8)
SEPARATORS = st.sampled_from(["|", "::", "=", "?$rid=", ";"])


@st.composite
def texts(draw: st.DrawFn, separators: st.SearchStrategy[str] = SEPARATORS) -> str:
    """A template whose literal texts contain no character of the values."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4))
    opened = draw(st.booleans())
    parts = [draw(separators) if opened else ""]
    for name in names:
        parts += [f"{{{name}}}", draw(separators)]
    shortened = draw(st.booleans()) and bool(names)
    return "".join(parts[:-1] if shortened else parts)


@st.composite
def payloads(draw: st.DrawFn) -> Any:
    """A payload template of objects, arrays, texts and literals, with each name once."""
    names = list(draw(st.permutations(NAMES)))

    def leaf() -> Any:
        kind = draw(st.sampled_from(["literal", "whole", "optional", "text"]))
        if kind == "literal" or not names:
            return draw(st.one_of(st.booleans(), st.integers(-9, 9), SAFE))
        name = names.pop()
        forms = {"whole": f"{{{name}}}", "optional": f"{{{name}?}}", "text": f"<{{{name}}}>"}
        return forms[kind]

    def node(depth: int) -> Any:
        kind = draw(st.sampled_from(["leaf", "leaf", "object", "array"])) if depth else "leaf"
        if kind == "object":
            keys = draw(st.lists(SAFE, unique=True, max_size=3))
            return {key: node(depth - 1) for key in keys}
        if kind == "array":
            made = [node(depth - 1) for _ in range(draw(st.integers(0, 3)))]
            return [each for each in made if not (isinstance(each, str) and "?}" in each)]
        return leaf()

    keys = draw(st.lists(SAFE, unique=True, min_size=1, max_size=4))
    return {key: node(2) for key in keys}


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(texts(), st.fixed_dictionaries(dict.fromkeys(NAMES, SAFE)))
def test_a_text_is_read_as_it_was_rendered(template: str, values: dict[str, str]) -> None:
    text = TextTemplate(template)
    rendered = text.render(values)
    found: Values = {}
    assert rendered is not None
    assert text.match(rendered, found)
    assert found == {p.name: values[p.name] for p in text.placeholders()}


@given(
    st.lists(texts().filter(bool), min_size=1, max_size=4).filter(
        lambda levels: all("".join(levels).count(f"{{{n}}}") <= 1 for n in NAMES)
    ),
    st.fixed_dictionaries(dict.fromkeys(NAMES, SAFE)),
)
def test_a_topic_is_read_as_it_was_rendered(levels: list[str], values: dict[str, str]) -> None:
    topic = TopicTemplate("/".join(levels))
    found: Values = {}
    assert topic.match(topic.render(values), found)
    assert found == {p.name: values[p.name] for p in topic.placeholders()}


@given(payloads(), st.fixed_dictionaries(dict.fromkeys(NAMES, st.one_of(st.none(), SAFE))))
def test_a_payload_is_read_as_it_was_rendered(
    template: dict[str, Any], values: dict[str, str | None]
) -> None:
    payload = compile_payload(template)
    found: Values = {}
    payload.read(payload.render(values), found)
    # A text has no null: it is read as an empty text.
    expected = {p.name: values[p.name] for p in payload.placeholders()}
    assert {name: value or None for name, value in found.items() if value} == {
        name: value for name, value in expected.items() if value
    }


@given(payloads(), JSON)
def test_no_document_raises_anything_but_a_misfit(template: dict[str, Any], value: Any) -> None:
    payload = compile_payload(template)
    assert isinstance(payload, JsonPayload)
    with contextlib.suppress(MisfitError):
        payload.read_value(value, {})


@given(payloads(), st.binary(max_size=40))
def test_no_bytes_raise_anything_but_a_value_error(template: dict[str, Any], data: bytes) -> None:
    with contextlib.suppress(ValueError):
        compile_payload(template).read(data, {})


def test_hostile_text_takes_time_in_proportion() -> None:
    text = TextTemplate("{a}-{b}-{c}-{d}-x")
    started = time.process_time()
    assert not text.match("-" * 200_000, {})
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("template", "text", "values"),
    [
        ("{a}", "", {"a": ""}),
        ("{{{a}}}", "{x}", {"a": "x"}),
        ("?$rid={a}", "?$rid=17", {"a": "17"}),
        ("{_}:{a}", "ignored:x", {"a": "x"}),
        ("{a}/{b}", "x", None),
        ("{a}-{a}", "x-x", {"a": "x"}),
        ("{a}-{a}", "x-y", None),
        ("fixed", "fixed", {}),
        ("fixed", "fixed!", None),
    ],
)
def test_text(template: str, text: str, values: dict[str, str] | None) -> None:
    found: Values = {}
    fits = TextTemplate(template).match(text, found)
    assert (found if fits else None) == values


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{a", "no partner"),
        ("a}", "no partner"),
        ("{a b}", "no partner"),
        ("{}", "no partner"),
        ("{a}{b}", "need a text between"),
        ("{a?=1}", "both ? and a default"),
        ("{_x=1}", "ignored"),
    ],
)
def test_a_wrong_template_is_refused(template: str, says: str) -> None:
    with pytest.raises(TemplateError, match=says.replace("?", r"\?")):
        TextTemplate(template)


@pytest.mark.parametrize("topic", ["", "/a", "a/+/b", "a/#", "a/{b?}", "a//"])
def test_a_wrong_topic_is_refused(topic: str) -> None:
    with pytest.raises(TemplateError):
        TopicTemplate(topic)


@pytest.mark.parametrize("value", ["a/b", "#", "+", "a\x00", None])
def test_a_value_that_no_topic_can_have_is_not_published(value: str | None) -> None:
    with pytest.raises(MisfitError, match="name"):
        TopicTemplate("acme/{name}/ack").render({"name": value})


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("acme/{deviceId}/cmd/{commandId}", "acme/d-1/cmd/+"),
        ("$iothub/methods/POST/{actionName}/?$rid={rid}", "$iothub/methods/POST/+/+"),
        ("acme/{group}-{deviceId}", "acme/g-d-1"),
    ],
)
def test_topic_filter(topic: str, expected: str) -> None:
    assert TopicTemplate(topic).filter({"deviceId": "d-1", "group": "g"}) == expected


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("a/{b}", "a/c", True),
        ("a/{b}", "a/{c}/d", False),
        ("a/x{b}", "a/y{b}", False),
        ("a/x{b}", "a/xy{b}z", True),
        ("{b}/a", "c/d", False),
    ],
)
def test_overlap_of_topics(one: str, other: str, overlap: bool) -> None:  # noqa: FBT001
    assert TopicTemplate(one).overlaps(TopicTemplate(other)) is overlap
    assert TopicTemplate(other).overlaps(TopicTemplate(one)) is overlap


@pytest.mark.parametrize(
    ("template", "values", "rendered"),
    [
        ({"a": "{a}"}, {"a": 5}, b'{"a":5}'),
        ({"a": "{a}"}, {}, b'{"a":null}'),
        ({"a": "{a?}", "b": 1}, {}, b'{"b":1}'),
        ({"a": "{a=7}"}, {}, b'{"a":7}'),
        ({"a": "{a=yes}"}, {}, b'{"a":"yes"}'),
        ({"a": "n {a}"}, {"a": True}, b'{"a":"n true"}'),
        ({"a": {"b": ["{a}", 1.5, False]}}, {"a": {"x": []}}, b'{"a":{"b":[{"x":[]},1.5,false]}}'),
        ("{a}!", {"a": "hi"}, b"hi!"),
        ({}, {}, b"{}"),
    ],
)
def test_payload(template: Any, values: dict[str, Any], rendered: bytes) -> None:
    assert compile_payload(template).render(values) == rendered


@pytest.mark.parametrize(
    ("template", "payload", "says"),
    [
        ({"a": 1}, b'{"a":true}', "a is not the fixed value"),
        ({"a": {"b": "{x}"}}, b'{"a":{}}', r"a\.b is missing"),
        ({"a": ["{x}"]}, b'{"a":[1,2]}', "a is not an array of 1"),
        ({"a": "n {x}"}, b'{"a":5}', "a does not fit"),
        ({"a": "{x}", "b": "{x}"}, b'{"a":1,"b":2}', "differs"),
        ({"a": "{x}"}, b"[]", "the payload is not an object"),
        ("OK {x}", b"NO", "does not fit"),
        ("OK {x}", b"\xff", "not UTF-8"),
    ],
)
def test_a_misfit_names_the_place(template: Any, payload: bytes, says: str) -> None:
    with pytest.raises(MisfitError, match=says):
        compile_payload(template).read(payload, {})


@pytest.mark.parametrize("payload", [b"", b"null", b"{}", b'{"a":null}', b'{"a":{"b":null}}'])
def test_a_payload_of_optional_values_may_be_absent(payload: bytes) -> None:
    found: Values = {}
    compile_payload({"a": {"b": "{x?}"}}).read(payload, found)
    assert found == {}


@pytest.mark.parametrize(
    ("template", "path", "says"),
    [
        ({"a": {"b": "{x"}}, ("a", "b"), "no partner"),
        ({"a": ["{x?}"]}, ("a", 0), "cannot be dropped"),
        ({"a": float("nan")}, ("a",), "no JSON value"),
    ],
)
def test_a_wrong_payload_names_its_place(template: Any, path: tuple[Any, ...], says: str) -> None:
    with pytest.raises(PlacedTemplateError, match=says) as caught:
        compile_payload(template)
    assert caught.value.path == path
