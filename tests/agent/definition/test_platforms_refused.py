"""Errors of a bad platform, table or attribute in a fleet file: line, key and hint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.errors import FileError
from fleet.config.loader import parse_fleet
from tests.support.fleet_files import group

A = '[platforms.a]\nextends = "android"\n'
IOS = '[platforms.a]\nextends = "ios"\n'


@dataclass(frozen=True)
class Bad:
    text: str
    line: int | None
    key: str
    says: str
    hint: str | None = None


BAD = {
    "conformance": Bad(
        '[fleet]\nconformance = "azure-2018"\n',
        2,
        "fleet.conformance",
        'got "azure-2018"; expected one of intune-2015-12,',
        "did you mean 'azure-2018-02'?",
    ),
    "conformance type": Bad("[fleet]\nconformance = 2018\n", 2, "fleet.conformance", "got 2018"),
    "platforms no table": Bad("platforms = 3\n", 1, "platforms", "got 3; expected a table"),
    "platform no table": Bad("[platforms]\na = 3\n", 2, "platforms.a", "got 3; expected a table"),
    "built-in": Bad('[platforms.ios]\nextends = "ios"\n', 1, "platforms.ios", "built-in platform"),
    "id": Bad('\n[platforms."my phone"]\nextends = "ios"\n', 2, 'platforms."my phone"', "small"),
    "id capital": Bad('[platforms.Kiosk]\nextends = "ios"\n', 1, "platforms.Kiosk", "small"),
    "no base": Bad('[platforms.a]\ntitle = "A"\n', 1, "platforms.a.extends", "missing"),
    "base misspelt key": Bad(
        '[platforms.a]\nextend = "ios"\n', 2, "platforms.a.extend", "unknown", "'extends'"
    ),
    "base type": Bad("[platforms.a]\nextends = 1\n", 2, "platforms.a.extends", "got 1"),
    "base unknown": Bad(
        '[platforms.a]\nextends = "adroid"\n',
        2,
        "platforms.a.extends",
        "one of ios,",
        "'android'",
    ),
    "base itself": Bad(
        '[platforms.a]\nextends = "a"\n', 2, "platforms.a.extends", "extend each other: a extends a"
    ),
    "circle": Bad(
        '[platforms.a]\nextends = "b"\n[platforms.b]\nextends = "c"\n'
        '[platforms.c]\nextends = "a"\n',
        2,
        "platforms.a.extends",
        "a extends b extends c extends a",
        "lines 4, 6",
    ),
    "way into a circle": Bad(
        '[platforms.z]\nextends = "a"\n[platforms.a]\nextends = "a"\n',
        4,
        "platforms.a.extends",
        "extend each other",
    ),
    "unknown key": Bad(A + "resett = 1\n", 3, "platforms.a.resett", "unknown", "'reset'"),
    "id is no key": Bad(A + 'id = "b"\n', 3, "platforms.a.id", "unknown key"),
    "unknown nested": Bad(
        A + "[platforms.a.lock]\nsuported = true\n",
        4,
        "platforms.a.lock.suported",
        "one of rule, source, supported,",
        "'supported'",
    ),
    "nested no table": Bad(A + "reset = true\n", 3, "platforms.a.reset", "expected a table"),
    "bool": Bad(A + "sign_in = 1\n", 3, "platforms.a.sign_in", "true or false"),
    "string": Bad(A + "title = 1\n", 3, "platforms.a.title", "a string"),
    "title empty": Bad(A + 'title = " "\n', 3, "platforms.a.title", "empty"),
    "number": Bad(
        A + "reset = { default_length = true }\n", 3, "platforms.a.reset.default_length", "whole"
    ),
    "number negative": Bad(
        A + "reset = { default_length = -1 }\n", 3, "platforms.a.reset.default_length", "from 0"
    ),
    "enumeration": Bad(
        A + 'reset = { outcome = "temprary" }\n',
        3,
        "platforms.a.reset.outcome",
        "one of removes, temporary, notSupported",
        "'temporary'",
    ),
    "enumeration none": Bad(
        A + 'reset = { outcome = "none" }\n', 3, "platforms.a.reset.outcome", 'got "none"'
    ),
    "list": Bad(A + 'biometrics = "face"\n', 3, "platforms.a.biometrics", "expected a list"),
    "list member": Bad(
        A + 'biometrics = [\n  "touchId",\n  "fase",\n]\n',
        5,
        "platforms.a.biometrics[2]",
        "one of touchId, face",
        "'face'",
    ),
    "management": Bad(
        A + 'reset = { escrow = ["hybird"] }\n',
        3,
        "platforms.a.reset.escrow[1]",
        "one of standalone",
        "'hybrid'",
    ),
    "duration": Bad(
        A + 'reset = { grace = "soon" }\n', 3, "platforms.a.reset.grace", 'such as "30m"'
    ),
    "duration parts": Bad(
        A + 'reset = { grace = "1500ms" }\n', 3, "platforms.a.reset.grace", "whole seconds"
    ),
    "duration zero": Bad(A + "reset = { grace = 0 }\n", 3, "platforms.a.reset.grace", "of 0"),
    "policy grace zero": Bad(
        A + 'passcode = { policy_grace = "0s" }\n', 3, "platforms.a.passcode.policy_grace", "of 0"
    ),
    "version": Bad(
        A + 'attributes = { os_version = "7.x" }\n',
        3,
        "platforms.a.attributes.os_version",
        "a version such as",
    ),
    "bound": Bad(
        A + "passcode = { history = 4 }\n", 3, "platforms.a.passcode.history", "[low, high]"
    ),
    "bound of three": Bad(
        A + "passcode = { history = [1, 2, 3] }\n", 3, "platforms.a.passcode.history", "[low,"
    ),
    "bound of words": Bad(
        A + 'passcode = { history = ["1", 2] }\n', 3, "platforms.a.passcode.history", "[low,"
    ),
    "bound turned round": Bad(
        A + "passcode = { history = [5, 1] }\n", 3, "platforms.a.passcode.history", "5 is more"
    ),
    "delays": Bad(
        A + "passcode = { attempt_delays = [[5, 60], [6]] }\n",
        3,
        "platforms.a.passcode.attempt_delays[2]",
        "a list of 2",
    ),
    "delay": Bad(
        A + 'passcode = { attempt_delays = [[5, "x"]] }\n',
        3,
        "platforms.a.passcode.attempt_delays[1][2]",
        "whole seconds",
    ),
    "source": Bad(A + "reset = { source = 1 }\n", 3, "platforms.a.reset.source", "a table"),
    "source without cite": Bad(
        A + 'reset = { source = { assumption = "x" } }\n',
        3,
        "platforms.a.reset.source.cite",
        "missing",
    ),
    "source in sources": Bad(
        A + "sources = { native = 1 }\n", 3, "platforms.a.sources.native", "got 1"
    ),
    "screen": Bad(A + 'reset = { screen = "x" }\n', 3, "platforms.a.reset.screen", "a table"),
    "screen without title": Bad(
        '[platforms.a]\nextends = "windows_rt"\nreset = { screen = { body = "x" } }\n',
        3,
        "platforms.a.reset.screen.title",
        "missing",
    ),
    "button": Bad(
        A + 'reset = { screen = { buttons = ["latr"] } }\n',
        3,
        "platforms.a.reset.screen.buttons[1]",
        "one of swipeUp,",
        "'later'",
    ),
    "native no table": Bad(A + "native = []\n", 3, "platforms.a.native", "a table"),
    "native action": Bad(
        A + "native = { resetPasscod = {} }\n",
        3,
        "platforms.a.native.resetPasscod",
        "one of resetPasscode,",
        "'resetPasscode'",
    ),
    "native cases": Bad(
        A + "native = { remoteLock = 1 }\n", 3, "platforms.a.native.remoteLock", "by case"
    ),
    "native case": Bad(
        A + "native = { remoteLock = { don = {} } }\n",
        3,
        "platforms.a.native.remoteLock.don",
        "one of done,",
        "'done'",
    ),
    "native answer": Bad(
        A + "native = { remoteLock = { done = 200 } }\n",
        3,
        "platforms.a.native.remoteLock.done",
        "got 200",
    ),
    "ledger": Bad(
        A + 'ledger = [{ what = "x", fidelity = "doen" }]\n',
        3,
        "platforms.a.ledger[1].fidelity",
        "one of done, assumed, notModelled",
        "'done'",
    ),
    "ledger entry": Bad(
        A + 'ledger = [{ what = "x" }]\n', 3, "platforms.a.ledger[1].fidelity", "missing"
    ),
    "limit": Bad(
        A + 'reset = { limits = [{ message = "x" }] }\n',
        3,
        "platforms.a.reset.limits[1].source",
        "missing",
    ),
    "no alphabet": Bad(
        '[platforms.a]\nextends = "windows_rt"\nreset = { outcome = "temporary" }\n',
        3,
        "platforms.a.reset.alphabet",
        "digits or lettersAndDigits",
        "and 1 more",
    ),
    "alphabet of nothing": Bad(
        A + 'reset = { outcome = "removes", alphabet = "digits" }\n',
        3,
        "platforms.a.reset.alphabet",
        "only a temporary passcode",
    ),
    "temporary too long": Bad(
        A + "reset = { default_length = 17 }\n",
        3,
        "platforms.a.reset.default_length",
        "cannot have 17 characters; expected 1 to 16",
    ),
    "temporary empty": Bad(
        A + "reset = { default_length = 0 }\n", 3, "platforms.a.reset.default_length", "1 to 16"
    ),
    "length that nobody has": Bad(
        A + "[platforms.a.passcode]\nmin_length = [4, 18]\n",
        4,
        "platforms.a.passcode.min_length",
        "no passcode can satisfy a minLength of 18; expected 16 at most",
    ),
    "no length": Bad(
        IOS + "passcode = { max_length = 0 }\n", 3, "platforms.a.passcode.max_length", "1 or more"
    ),
    "kinds that there are not": Bad(
        A + "passcode = { min_complex = [0, 5] }\n",
        3,
        "platforms.a.passcode.min_complex",
        "4 at most",
    ),
    "policy of a kiosk": Bad(
        A
        + "passcode = { min_length = [4, 8], max_length = 8 }\n"
        + group("d", "a", policy="{ minLength = 9 }"),
        7,
        "group[d].policy.minLength",
        "A does not accept 9; expected 4 to 8",
    ),
    "passcode of a kiosk": Bad(
        A
        + "passcode = { min_length = [4, 8], max_length = 8 }\n"
        + group("d", "a", passcode='"123456789"'),
        7,
        "group[d].passcode",
        "8 characters at most",
    ),
    "group names none": Bad(A + group("d", "b"), 5, "group[d].platform", "windows_8_1, a", None),
    "group of a wrong platform": Bad(
        A + "sign_in = 1\n" + group("d", "a"), 3, "platforms.a.sign_in", "true or false"
    ),
    "attribute that does not matter": Bad(
        group("d", "ios", api_level="24"),
        4,
        "group[d].api_level",
        "iOS does not use api_level; expected os_version or supervised",
    ),
    "attribute where none matters": Bad(
        group("d", "windows_rt", azure_ad_joined="true"),
        4,
        "group[d].azure_ad_joined",
        "no attribute at all",
    ),
    "attribute false": Bad(
        group("d", "android", supervised="false"), 4, "group[d].supervised", "api_level"
    ),
    "os_version": Bad(
        group("d", "ios", os_version="16"), 4, "group[d].os_version", "a version such as"
    ),
    "os_version words": Bad(
        group("d", "ios", os_version='"16."'), 4, "group[d].os_version", 'got "16."'
    ),
    "os_version digits of others": Bad(
        group("d", "ios", os_version='"\u0661"'), 4, "group[d].os_version", "a version such as"
    ),
    "api_level": Bad(group("d", api_level="0"), 4, "group[d].api_level", "from 1"),
    "api_level text": Bad(group("d", api_level='"24"'), 4, "group[d].api_level", 'got "24"'),
    "supervised": Bad(group("d", "ios", supervised="1"), 4, "group[d].supervised", "true or"),
}
GROUP = group("z")


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_table_is_refused_with_line_key_and_what_helps(bad: Bad) -> None:
    text = bad.text if "[[group]]" in bad.text else bad.text + GROUP
    with pytest.raises(FileError) as caught:
        parse_fleet(text, Path("fleet.toml"))
    error = caught.value
    assert (error.line, error.key, error.exit_code) == (bad.line, bad.key, 2)
    assert bad.says in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 600
    if bad.hint is not None:
        assert bad.hint in (error.hint or "")


def test_only_wrong_keys_are_reported() -> None:
    """A group, or another platform, that builds on a wrong one is not blamed for it."""
    text = A + 'sign_in = 1\n[platforms.b]\nextends = "a"\n' + group("d", "b") + group("e", "a")
    with pytest.raises(FileError) as caught:
        parse_fleet(text)
    assert caught.value.key == "platforms.a.sign_in"
    assert caught.value.hint is None


def test_all_problems_of_a_platform_are_counted() -> None:
    text = A + 'title = 1\nbiometrics = ["x", "y"]\n[platforms.b]\nextends = "c"\n' + GROUP
    with pytest.raises(FileError) as caught:
        parse_fleet(text)
    assert caught.value.line == 3
    assert caught.value.hint == "and 3 more problems, lines 4, 6"
