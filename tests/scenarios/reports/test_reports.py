"""Reports: valid, complete, and without passcodes."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from lxml import etree

from scenarios.model.outcome import Status
from scenarios.reports import html, junit
from tests.support.sample_outcomes import CANARY, sample

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).parents[2] / "data" / "jenkins-junit.xsd"))


def junit_of(path: Path) -> etree._Element:
    tree = etree.parse(path)
    SCHEMA.assertValid(tree)
    return tree.getroot()


def test_junit_conforms_to_the_schemas(tmp_path: Path) -> None:
    junit.write(tmp_path / "junit.xml", sample())
    root = junit_of(tmp_path / "junit.xml")
    (suite,) = root
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "0",
    }
    cases = suite.findall("testcase")
    assert cases[0].get("classname") == "flows.ios-self-service-reset"
    failure = cases[1].find("failure")
    assert failure is not None
    assert failure.get("type") == "expect.device"
    assert "expected compliance: noncompliant" in (failure.get("message") or "")
    text = failure.text or ""
    assert "flows/ios-reset.yaml:22:5" in text
    assert "last messages:" in text
    assert "skip  15." in text
    error = cases[3].find("error")
    assert error is not None
    assert error.get("message") == "the connection to the broker was lost"


def test_junit_without_scenarios_and_with_invalid_xml_characters(tmp_path: Path) -> None:
    junit.write(tmp_path / "none.xml", [])
    assert junit_of(tmp_path / "none.xml")[0].get("tests") == "0"
    odd = replace(sample()[0], name="a\x00b \ud83d <&> ]]>", path="/x/../y/odd \x1b.yaml")
    skipped = replace(sample()[1], status=Status.SKIPPED, name="")
    junit.write(tmp_path / "odd.xml", [odd, skipped])
    cases = junit_of(tmp_path / "odd.xml").findall(".//testcase")
    assert cases[0].get("name") == "a\ufffdb \ufffd <&> ]]>"
    assert cases[1].find("skipped") is not None


class Page(HTMLParser):
    """Parser of the page: tags, loaded resources and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.count: dict[str, int] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        values = dict(attrs)
        self.loads += [str(values[n]) for n in ("src", "href", "srcset", "data") if n in values]
        if tag not in ("meta", "br", "input", "link", "hr", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def page(tmp_path: Path) -> str:
    html.write(tmp_path / "report.html", sample())
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_page_is_one_file_without_network(page: str) -> None:
    parsed = Page(page)
    assert parsed.open == []
    assert parsed.loads == []
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", page)


def test_the_page_shows_each_scenario(page: str) -> None:
    assert page.count('class="scenario') == 5
    for word in ("iOS grace runs out", "flows/ios-reset.yaml:22:5", "compliance: noncompliant"):
        assert word in page
    for lane in ("portal", "device", "wire"):
        assert f"lane-{lane}" in page
    assert "the connection to the broker was lost" in page
    assert "1 h later" in page


def test_nothing_of_a_scenario_is_taken_for_markup(page: str) -> None:
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert Page(page).count["script"] == 1


def test_no_report_contains_the_traffic(tmp_path: Path) -> None:
    html.write(tmp_path / "r.html", sample())
    junit.write(tmp_path / "r.xml", sample())
    for name in ("r.html", "r.xml"):
        assert CANARY not in (tmp_path / name).read_text(encoding="utf-8")


def test_the_page_without_scenarios(tmp_path: Path) -> None:
    html.write(tmp_path / "none.html", [])
    assert Page((tmp_path / "none.html").read_text(encoding="utf-8")).open == []
