"""`passfleet play --coverage` and `passfleet up --coverage FILE`, as processes."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from broker.server.open import EMBEDDED
from tests.support.fleet_processes import Start, fleet_text, phones, write_fleet

IPHONE = """\
name: A locked iPhone
proves: [003.16]
devices:
  phone: {platform: ios, passcode: "2580", owner: alex}
steps:
  - user.swipe_up: {answer: deviceLocked}
  - user.enter_passcode: {passcode: "2580", answer: done}
  - console.select: {devices: phone}
  - console.remote_lock
  - expect.console: {actionState: done, within: 1m}
"""
EXERCISED = {
    ("action", "remoteLock", "done"),
    ("input", "enterPasscode", "done"),
    ("input", "swipeUp", "deviceLocked"),
    ("timer", "reaction", "fired"),
}


def exercised(platform: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(r["kind"], r["name"], r["answer"]) for r in platform["rules"] if r["count"]}


async def test_play_shows_and_writes_the_rules_that_it_exercised(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "iphone.yaml").write_text(IPHONE)

    played = start("play", "iphone.yaml", "--coverage", "--json", "--html", "report.html")

    assert await played.ended() == 0, played.err
    coverage = json.loads(played.out)["coverage"]
    (ios,) = coverage["platforms"]
    assert (ios["platform"], ios["management"]) == ("ios", "standalone")
    assert exercised(ios) == EXERCISED
    assert (coverage["exercised"], coverage["total"]) == (4, len(ios["rules"]))
    assert coverage["percent"] == round(400 / len(ios["rules"]), 1)
    assert {"platform": "android", "management": "hybrid"} in coverage["unused"]
    assert coverage["statements"]["proven"] == 1
    assert "003.16" not in coverage["statements"]["missing"]
    locked = next(r for r in ios["rules"] if r["name"] == "remoteLock" and r["count"])
    assert locked["scenarios"] == ["A locked iPhone"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Coverage of rules" in page
    assert f"4 of {coverage['total']} rules exercised" in page


async def test_play_prints_a_table_and_the_rules_that_it_did_not_exercise(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "iphone.yaml").write_text(IPHONE)

    played = start("play", "iphone.yaml", "--coverage", "--fail-under", "4")

    assert await played.ended() == 0, played.err
    assert "4 of " in played.out
    assert "Not exercised: ios, standalone" in played.out
    assert "action remoteLock: lostMode, noPasscode" in played.out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--coverage", "--fail-under", "50"), 1, "is below 50 %"),
        (("--fail-under", "50"), 2, "--fail-under needs --coverage"),
        (("--coverage", "--fail-under", "101"), 2, "--fail-under"),
    ],
)
async def test_fail_under(
    start: Start, tmp_path: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "iphone.yaml").write_text(IPHONE)

    played = start("play", "iphone.yaml", *options)

    assert await played.ended() == code
    assert message in played.err


async def test_failed_scenario_proves_no_statement(start: Start, tmp_path: Path) -> None:
    (tmp_path / "iphone.yaml").write_text(
        IPHONE.replace("actionState: done", "actionState: failed")
    )

    played = start("play", "iphone.yaml", "--coverage", "--json")

    assert await played.ended() == 1
    coverage = json.loads(played.out)["coverage"]
    assert exercised(coverage["platforms"][0]) == EXERCISED
    assert coverage["statements"]["proven"] == 0


async def test_play_without_coverage_reports_none(start: Start, tmp_path: Path) -> None:
    (tmp_path / "iphone.yaml").write_text(IPHONE)

    played = start("play", "iphone.yaml", "--json", "--html", "report.html")

    assert await played.ended() == 0, played.err
    assert "coverage" not in json.loads(played.out)
    assert "Coverage of rules" not in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("workers", [1, 2])
async def test_up_writes_the_rules_that_the_fleet_exercised(
    start: Start, tmp_path: Path, workers: int
) -> None:
    text = fleet_text(phones("ios", count=2), phones("android", "robots", count=2), workers=workers)
    write_fleet(tmp_path, text, EMBEDDED)
    up = start("up", "--coverage", "coverage.json")
    await up.ready()

    reset = start("reset", "--platform", "ios")
    assert await reset.ended() == 0, reset.err
    await up.signalled(signal.SIGINT)

    coverage = json.loads((tmp_path / "coverage.json").read_text(encoding="utf-8"))
    by_platform = {each["platform"]: each for each in coverage["platforms"]}
    assert list(by_platform) == ["ios", "android"]
    assert ("action", "resetPasscode", "done") in exercised(by_platform["ios"])
    assert exercised(by_platform["android"]) == set()
    counts = {(r["name"], r["answer"]): r["count"] for r in by_platform["ios"]["rules"]}
    assert counts["resetPasscode", "done"] == 2


async def test_up_refuses_a_coverage_file_in_a_missing_folder(start: Start, tmp_path: Path) -> None:
    write_fleet(tmp_path, fleet_text(phones(count=1)), EMBEDDED)

    up = start("up", "--coverage", "none/coverage.json")

    assert await up.ended() == 2
    assert "there is no folder none" in up.err
