"""Scenario files: accepted and refused files, with line, column and the most similar name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import FileError, UsageError
from scenarios.model.matchers import Matcher, TextVariants, matches, parse_matcher
from scenarios.model.scenario import ActorStep, ExpectStep, WaitStep
from scenarios.parsing.parser import LIBRARY, find_scenarios, load_scenario, parse_scenario
from scenarios.parsing.steps import step_names
from scenarios.parsing.yaml_positions import read_yaml

HEAD = """\
name: a scenario
devices:
  phone: {platform: ios, passcode: "2580", owner: alex}
  tablet: {platform: windows_rt, owner: kim}
steps:
"""


def steps(*lines: str) -> str:
    """A scenario with these steps, the first of them in line 6."""
    return HEAD + "".join(f"  - {line}\n" for line in lines)


def refused(text: str) -> FileError:
    with pytest.raises(FileError) as caught:
        parse_scenario(text, "play.yaml")
    assert caught.value.path == "play.yaml"
    assert caught.value.exit_code == 2
    return caught.value


STEPS = [
    ("portal.sign_inn: {user: alex}", 5, "unknown step", "did you mean 'portal.sign_in'?"),
    ("prtal.sign_in: {user: alex}", 5, "unknown step", "did you mean 'portal.sign_in'?"),
    ("expect.portl: {screen: home}", 5, "unknown step", "did you mean 'expect.portal'?"),
    ("expect.user: {device: phone}", 5, "unknown step", None),
    ("portal.sign_in: {usr: alex}", 22, "unknown key", "did you mean 'user'?"),
    ("portal.sign_in: {user: alx}", 22, 'there is no user "alx"', "did you mean 'alex'?"),
    ("portal.sign_in: alex", 5, 'got "alex"', None),
    ("portal.sign_in: {user: alex, account: wrk}", 34, 'got "wrk"', "did you mean 'work'?"),
    ("portal.select_device: {}", 5, "this key is missing", None),
    ("portal.select_device: {device: phne}", 28, "there is no device", "did you mean 'phone'?"),
    ("console.select: {devices: [phone, x]}", 22, 'there is no device "x"', None),
    ("expect.portal: {screen: hme}", 21, 'got "hme"', "did you mean 'home'?"),
    ("console.select: {user: alex, group: directManaged}", 5, "exclude each other", None),
    ("console.select: {}", 5, "selects nothing", None),
    ("account.verify: {method: callOffice, target: mobilePhone}", 5, "has no target", None),
    ("expect.portal: {within: 5m}", 5, "expects nothing", None),
    ("expect.portal: {status: done, within: soon}", 35, 'got "soon"', None),
    ("expect.portal: {message: {matches: '('}}", 31, "not a regular expression", None),
    ("expect.portal: {message: {matches: a, contains: b}}", 21, "exclude each other", None),
    ("expect.device: {locked: true}", 5, "this key is missing", None),
    ("expect.device: {device: phone, locked: 'yes'}", 36, 'got "yes"', None),
    ("expect.device: {device: phone, locked: no}", 36, 'got "no"', None),
    ("expect.device: {device: phone, version: one}", 36, 'got "one"', None),
    ("expect.device: {device: phone, biometrics: {touchId: lost}}", 49, 'got "lost"', None),
    ("user.swipe_up", 5, "this key is missing", None),
    ("user.enter_passcode: {device: phone, passcode: 2580}", 42, "got a number", "quotes"),
    ("wait: 5 minutes", 5, 'got "5 minutes"', None),
    ("wait: 5", 5, "got 5", None),
    ("wait:", 5, "got nothing", None),
    ("{wait: 1m, portal.sign_out: {}}", 16, "a step has one key", None),
    ("[wait]", 5, "got a list", None),
    ("command: {device: phone}", 5, "this key is missing", None),
    ("command: {device: phone, actionName: resetPascode}", 30, "got", "'resetPasscode'"),
    ("command: {group: phnes, actionName: syncDevice}", 15, "no such group", "'phones'"),
    ("command: {device: phone, actionName: applyPasscodePolicy}", 5, "policy", None),
]


@pytest.mark.parametrize(("line", "column", "message", "hint"), STEPS, ids=[s[0] for s in STEPS])
def test_an_invalid_step_is_refused_with_its_position(
    line: str, column: int, message: str, hint: str | None
) -> None:
    error = refused(steps("wait: 1s", line))
    assert (error.line, error.column) == (7, column)
    assert message in error.message
    assert hint is None or hint in (error.hint or "")


FILES = [
    ("", 1, 1, "empty"),
    ("- 1\n", 1, 1, "got a list"),
    ("name: [\n", 2, 1, "not YAML"),
    ("name: x\n---\nname: y\n", 2, 1, "not YAML"),
    (HEAD + "  - wait: 1s\nname: again\n", 7, 1, "stands here twice, first in line 1"),
    (HEAD.replace("owner: alex", "ownr: alex") + "  - wait: 1s\n", 3, 44, "unknown key"),
    (HEAD.replace("platform: ios", "platform: iso") + "  - wait: 1s\n", 3, 11, 'got "iso"'),
    (HEAD.replace("owner: alex", "biometrics: [face]") + "  - wait: 1s\n", 3, 57, "has no face"),
    (HEAD.replace("owner: alex", "reaction: 5") + "  - wait: 1s\n", 3, 44, "got 5"),
    (HEAD.replace("  phone", "  ph one") + "  - wait: 1s\n", 4 - 1, 3, "name of a device"),
    ("organisation: {}\n" + steps("wait: 1s"), 1, 1, "unknown key"),
    ("organization: {resetPasscode: 1}\n" + steps("wait: 1s"), 1, 16, "got 1"),
    ("organization: {delivery: soon}\n" + steps("wait: 1s"), 1, 16, 'got "soon"'),
    ("organization: {delivery: 5m..10s}\n" + steps("wait: 1s"), 1, 16, "must come first"),
    ("organization: {contact: {fax: x}}\n" + steps("wait: 1s"), 1, 16, "got a table"),
    ("users: {kim: {pasword: x}}\n" + steps("wait: 1s"), 1, 15, "unknown key"),
    ("seed: many\n" + steps("wait: 1s"), 1, 1, 'got "many"'),
    ("name: x\nsteps: [{wait: 1s}]\n", 1, 1, "this key is missing"),
    (HEAD, 5, 1, "got nothing"),
    ("x: !!python/object:os.system {}\n", 1, 4, "tag"),
    ("a: &a [*a]\n", None, None, ""),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), FILES)
def test_an_invalid_file_is_refused_with_its_position(
    text: str, line: int | None, column: int | None, message: str
) -> None:
    error = refused(text)
    assert message in error.message
    assert line is None or (error.line, error.column) == (line, column)


def test_a_telephone_number_belongs_to_one_device() -> None:
    first = 'account.register: {user: alex, authenticationPhone: "+1 425 555 0100"}'
    second = 'account.register: {user: kim, officePhone: "+1 (425) 555-0100"}'
    error = refused(steps(first, second))
    assert (error.line, error.column) == (7, 35)
    assert "this is the telephone number of phone, and not of tablet" in error.message
    assert "add device: phone" in (error.hint or "")
    shared = second.replace('"+1 (425) 555-0100"', '{number: "+1 425 555 0100", device: phone}')
    assert len(parse_scenario(steps(first, shared, first), "play.yaml").steps) == 3


def test_the_address_of_an_unknown_user_is_accepted() -> None:
    """It leads to a page; a misspelt user name is refused."""
    parse_scenario(steps("portal.sign_in: {user: nobody@contoso.example}"), "play.yaml")
    assert "no user" in refused(steps("portal.sign_in: {user: nobody}")).message


def test_an_error_reports_the_first_problem_and_the_number_of_others() -> None:
    error = refused(steps("wait: soon", "portal.sgn_in", "wait: later"))
    assert error.line == 6
    assert "and 2 more problems, lines 7, 8" in (error.hint or "")


def test_no_passcode_is_in_a_message_or_in_a_steps_text() -> None:
    text = steps('user.set_passcode: {device: phone, passcode: "48261"}')
    (step,) = parse_scenario(text, "play.yaml").steps
    assert "48261" not in step.text
    assert "48261" not in repr(step)
    error = refused(text.replace("phone, pass", "phne, pass"))
    assert "48261" not in str(error) + str(error.hint)


def test_yaml_is_read_by_the_rules_of_1_2() -> None:
    read = read_yaml("{a: no, b: on, c: 012, d: 2015-12-10, e: 1:30, f: ~, g: '1', h: 1.5}", "x")
    expected = {"a": "no", "b": "on", "c": 12, "d": "2015-12-10", "e": "1:30"}
    assert read.value == {**expected, "f": None, "g": "1", "h": 1.5}


@given(st.text())
def test_any_text_is_a_scenario_or_refused(text: str) -> None:
    try:
        parse_scenario(text, "play.yaml")
    except FileError as error:
        assert error.exit_code == 2  # noqa: PT017  # nothing else may be raised


def test_a_scenario_is_read_whole() -> None:
    scenario = parse_scenario(
        steps(
            "portal.sign_in: {user: alex}",
            "portal.sign_out",
            "wait: 2m",
            "expect.device: {device: phone, biometrics: {touchId: absent}, within: 5m}",
        ),
        "play.yaml",
    )
    assert [type(step.operation) for step in scenario.steps] == [
        ActorStep,
        ActorStep,
        WaitStep,
        ExpectStep,
    ]
    assert scenario.steps[2].operation == WaitStep(120_000)
    assert [device.setup.reaction for device in scenario.devices] == [(2_000, 2_000)] * 2
    assert [account.user for account in scenario.accounts] == ["alex", "kim"]
    assert scenario.steps[3].device == "phone"


def test_every_step_of_the_contract_is_there() -> None:
    by_actor = {
        "portal": "sign_in sign_out select_device reset_passcode remote_lock check_status"
        " open_notifications enter_address choose_account enter_password back open_link open_menu"
        " choose_menu",
        "console": "open select reset_passcode remote_lock wipe retire show_passcode"
        " unlock_account",
        "account": "register start_reset verify enter_code choose_password sign_in set_up"
        " contact_administrator choose_method enter_number answer_questions",
        "user": "swipe_up enter_passcode change_now later set_passcode use_biometric"
        " enroll_biometric sign_in purchase",
        "device": "restart crash enroll unenroll",
        "network": "offline online drop_connection",
        "fault": "refuse",
        "http": "request",
        "expect": "portal console account device http result",
    }
    names = {f"{actor}.{verb}" for actor, verbs in by_actor.items() for verb in verbs.split()}
    assert set(step_names()) == names | {"command", "wait"}


def test_files_are_found_in_folders_in_order(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "sub/c.yaml", ".hidden/d.yaml", "e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(steps("wait: 1s"))
    found = find_scenarios([tmp_path / "e.txt", tmp_path, tmp_path / "b.yaml"])
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "e.txt", "a.yml", "b.yaml", "sub/c.yaml",
    ]  # fmt: skip
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no scenario in"):
        find_scenarios([tmp_path / "empty"])


@pytest.mark.parametrize("path", find_scenarios([LIBRARY]), ids=lambda path: path.stem)
def test_every_scenario_of_the_library_names_its_source(path: Path) -> None:
    assert load_scenario(path).source


def test_the_library_holds_at_least_24_scenarios() -> None:
    assert len(find_scenarios([LIBRARY])) >= 24


MATCHES = [
    ("done", "done", True),
    ("done", None, False),
    (True, 1, False),
    (None, None, True),
    (1, 1, True),
    ({"touchId": "none"}, {"touchId": "none", "face": "none"}, True),
    ({"touchId": "none"}, {"touchId": "enrolled"}, False),
    ({"touchId": "none"}, None, False),
    (["a"], ("a",), True),
    ("title", TextVariants(("title", "body")), True),
    ("other", TextVariants(("title", "body")), False),
    ({"title": "t"}, TextVariants(("t",), {"title": "t", "body": "b"}), True),
    (Matcher("absent"), None, True),
    (Matcher("absent"), False, True),
    (Matcher("absent"), (), True),
    (Matcher("absent"), "x", False),
    (Matcher("present"), "x", True),
    (Matcher("present"), None, False),
    (Matcher("contains", "od"), TextVariants(("title", "body")), True),
    (Matcher("contains", "b"), ("abc", "x"), True),
    (Matcher("contains", "y"), ("abc", "x"), False),
    (parse_matcher({"matches": "b+"}, (), []), "abba", True),
    (parse_matcher({"matches": "^b+$"}, (), []), "abba", False),
    (parse_matcher({"matches": "."}, (), []), None, False),
]


@pytest.mark.parametrize(("expected", "seen", "good"), MATCHES)
def test_matchers(expected: object, seen: object, good: bool) -> None:  # noqa: FBT001
    assert matches(expected, seen) is good
