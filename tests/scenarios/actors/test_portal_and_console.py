"""Property-based tests of portal and console, without a broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from platforms import PLATFORMS_BY_ID
from platforms.conformance import CONFORMANCE, profile_under_table
from platforms.profile import Management, ResetOutcome
from scenarios.actors.console import ConsoleActor
from scenarios.actors.device import DeviceActor, NetworkActor
from scenarios.actors.portal import SIGN_BACK_IN_LIMIT, PortalActor
from scenarios.actors.user import UserActor
from scenarios.model.actor import (
    Account,
    Actor,
    ActorRequest,
    DeliverTextMessage,
    DeviceMessage,
    ManagedDevice,
    Organization,
    PressButton,
    SendCommand,
    SharedState,
    SimulateDevice,
    StepRefusedError,
)
from scenarios.model.matchers import TextVariants, matches

USERS = ("alex", "kim")
PASSCODE = "k3Wq9T"
MOBILE = "Groups > All Devices > All Mobile Devices"


def subject(name: str, platform: str, owner: str, management: Management) -> ManagedDevice:
    profile = PLATFORMS_BY_ID[platform]
    return ManagedDevice(
        name=name, device_id=name, owner=owner, profile=profile, management=management
    )


def shared(*, button: bool = True, personal: bool = False) -> SharedState:
    """Two users; devices of every kind that makes a difference to portal or console."""
    devices = [
        subject("ios", "ios", "alex", Management.STANDALONE),
        subject("android", "android", "alex", Management.HYBRID),
        subject("wp", "windows_phone_8_1", "alex", Management.STANDALONE),
        subject("hybrid", "windows_phone_8_1", "alex", Management.HYBRID),
        subject("rt", "windows_rt", "alex", Management.STANDALONE),
        subject("mail", "android", "alex", Management.EXCHANGE_ACTIVESYNC),
        subject("other", "ios", "kim", Management.STANDALONE),
    ]
    accounts = {
        user: Account(user=user, password="right", has_personal_account=personal) for user in USERS
    }
    organization = Organization(reset_passcode=button)
    return SharedState(
        devices={d.name: d for d in devices}, accounts=accounts, organization=organization, seed=0
    )


NAMES = tuple(shared().devices)

portal_step: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(
        st.just("sign_in"),
        st.fixed_dictionaries(
            {"user": st.sampled_from(USERS)},
            optional={
                "password": st.sampled_from(("right", "wrong")),
                "account": st.sampled_from(("work", "personal")),
            },
        ),
    ),
    st.tuples(st.just("select_device"), st.fixed_dictionaries({"device": st.sampled_from(NAMES)})),
    st.tuples(
        st.sampled_from(
            ("sign_out", "reset_passcode", "remote_lock", "check_status", "open_notifications")
        ),
        st.just({}),
    ),
)
# Random steps are inserted into the usual path: alone they would rarely reach a reset.
usual = [
    ("sign_in", {"user": "alex", "account": "work"}),
    ("select_device", {"device": "ios"}),
    ("reset_passcode", {}),
    ("sign_out", {}),
    ("sign_in", {"user": "alex", "account": "work"}),
    ("reset_passcode", {}),
]
pause = st.sampled_from(
    (0, 1_000, SIGN_BACK_IN_LIMIT - 1, SIGN_BACK_IN_LIMIT, SIGN_BACK_IN_LIMIT + 1)
)


@st.composite
def portal_paths(draw: st.DrawFn) -> list[tuple[str, Mapping[str, Any], int]]:
    """Steps with the time that passes before each."""
    device = draw(st.sampled_from(NAMES))
    back = draw(st.sampled_from(("alex", "alex", "kim")))
    steps: list[tuple[str, Mapping[str, Any]]] = [
        (verb, {"device": device} if verb == "select_device" else arguments)
        for verb, arguments in usual
    ]
    steps[4] = ("sign_in", {"user": back, "account": "work"})
    for place in sorted(draw(st.lists(st.integers(0, len(usual)), max_size=2)), reverse=True):
        steps.insert(place, draw(portal_step))
    for place in draw(st.lists(st.integers(0, len(steps) - 1), max_size=1)):
        steps[place] = draw(portal_step)
    return [(verb, arguments, draw(pause)) for verb, arguments in steps]


def perform(
    actor: Actor, verb: str, arguments: Mapping[str, Any], now: int
) -> list[ActorRequest] | None:
    """Perform a step; return None if it is refused."""
    try:
        return list(actor.perform(verb, actor.steps[verb].model_validate(arguments), now))
    except StepRefusedError:
        return None


class Watcher:
    """Independent model that knows when a reset may be sent."""

    def __init__(self) -> None:
        self.user: str | None = None
        self.device: str | None = None
        self.left: dict[str, tuple[str | None, int]] = {}
        self.may_reset: tuple[str, str | None] | None = None

    def saw(self, verb: str, arguments: Mapping[str, Any], before: object, now: int) -> None:
        """A step was taken on page `before`; a sign-in, where it let the user in."""
        if verb == "sign_out":
            if before == "signInAgain" and self.user is not None:
                self.left[self.user] = (self.device, now)
            else:
                self.left.pop(str(self.user), None)
            self.user = self.device = self.may_reset = None
        elif verb == "sign_in":
            self.user = arguments["user"]
            device, at = self.left.pop(arguments["user"], (None, 0))
            in_time = device is not None and now - at <= SIGN_BACK_IN_LIMIT
            self.may_reset = (arguments["user"], device) if in_time else None
            self.device = device if in_time else None
        elif verb == "select_device":
            self.device, self.may_reset = arguments["device"], None
        elif verb == "reset_passcode":
            self.may_reset = None


@settings(max_examples=400)
@given(portal_paths(), st.booleans(), st.booleans())
def test_no_path_resets_unless_the_user_is_back_within_five_minutes(
    path: list[tuple[str, Mapping[str, Any], int]],
    button: bool,  # noqa: FBT001
    personal: bool,  # noqa: FBT001
) -> None:
    """Judged from the steps alone: who signed in and out when, and asked for which device."""
    portal, watcher, now = PortalActor(shared(button=button, personal=personal)), Watcher(), 0
    for verb, arguments, passed in path:
        now += passed
        before = dict(portal.view(now))
        requests = perform(portal, verb, arguments, now)
        if requests is None:
            assert portal.view(now) == before, "a refused step changes nothing"
            continue
        for request in requests:
            assert isinstance(request, SendCommand)
            assert (request.issued_by, request.device.owner) == ("user", watcher.user)
            if request.action == "resetPasscode":
                assert watcher.may_reset == (watcher.user, request.device.name)
                assert button
                assert request.device.management is not Management.EXCHANGE_ACTIVESYNC
                assert request.device.profile.reset.outcome is not ResetOutcome.NOT_SUPPORTED
        inside = portal.view(now)["screen"] not in ("signIn", "accountChooser")
        if verb != "sign_in" or inside:
            watcher.saw(verb, arguments, before["screen"], now)
        if verb == "sign_in" and inside:
            confirm = portal.view(now)["screen"] == "confirmReset"
            assert confirm is (watcher.may_reset is not None)


def test_the_usual_path_resets_within_five_minutes_and_not_later() -> None:
    for away, sent in ((0, 1), (300_000, 1), (300_001, 0)):
        portal, now, count = PortalActor(shared()), 0, 0
        for number, (verb, arguments) in enumerate(usual):
            now += away if number == usual.index(("sign_out", {})) + 1 else 1
            requests = perform(portal, verb, arguments, now)
            count += len(requests or ())
        assert count == sent, away


@pytest.mark.parametrize("button", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_only_a_device_with_the_button_can_be_reset(name: str, button: bool) -> None:  # noqa: FBT001
    portal, sent = PortalActor(shared(button=button)), 0
    for verb, arguments in usual:
        chosen = {"device": name} if verb == "select_device" else arguments
        sent += len(perform(portal, verb, chosen, 0) or ())
        if verb == "select_device" and portal.view(0)["screen"] != "home":
            shown = button and name in ("ios", "android", "wp", "hybrid")
            assert portal.view(0)["resetButton"] is shown
            assert matches("device", portal.view(0)["screen"])
            assert matches("contactAdmin", portal.view(0)["screen"]) is not shown
    assert sent == (button and name in ("ios", "android", "wp", "hybrid"))


def reset_portal(name: str) -> tuple[PortalActor, SendCommand]:
    """A portal at which a reset of the device was just sent."""
    portal = PortalActor(shared())
    requests: list[ActorRequest] = []
    for verb, arguments in usual:
        chosen = {"device": name} if verb == "select_device" else arguments
        requests += perform(portal, verb, chosen, 0) or []
    (request,) = requests
    assert isinstance(request, SendCommand)
    return portal, request


def result(request: SendCommand, state: str, **more: object) -> DeviceMessage:
    payload = {
        "actionName": request.action,
        "actionState": state,
        "message": "",
        "newPasscode": None,
        "duplicate": False,
    }
    return DeviceMessage(request.device, "results", {**payload, **more}, request.correlation_id)


@given(
    st.sampled_from(("ios", "android", "wp", "hybrid")),
    st.lists(st.sampled_from(("active", "done", "failed", "escrow", "foreign")), max_size=6),
)
def test_no_path_shows_a_passcode_to_a_user_who_must_not_see_it(name: str, said: list[str]) -> None:
    """Any message, even a result that contains a passcode."""
    portal, request = reset_portal(name)
    device = request.device
    may_see = device.management in device.profile.reset.shown_to_user
    told = False
    for word in said:
        if word == "escrow":
            payload = {"commandId": "c", "newPasscode": PASSCODE, "resetNumber": 3}
            portal.on_message(DeviceMessage(device, "escrow", payload), 0)
        elif word == "foreign":
            foreign = DeviceMessage(
                device, "results", result(request, "done", newPasscode="x1").payload
            )
            portal.on_message(foreign, 0)
            told = False  # a later reset
        else:
            portal.on_message(result(request, word, newPasscode=PASSCODE), 0)
            told = told or word == "done"
        view = portal.view(0)
        assert (PASSCODE in str(dict(view))) is (told and may_see)
        assert "x1" not in str(view.get("newPasscode"))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.booleans())
def test_the_console_shows_a_hybrid_passcode_from_the_second_reset_on(
    shows: list[int],
    told: bool,  # noqa: FBT001
) -> None:
    """`shows`: how often Show Passcode is pressed after each reset."""
    console = ConsoleActor(shared())
    perform(console, "select", {"devices": ["hybrid"]}, 0)
    for number, presses in enumerate(shows, 1):
        (request,) = perform(console, "reset_passcode", {}, 0) or []
        assert isinstance(request, SendCommand)
        assert console.view(0)["actionState"] == "pending"
        assert "newPasscode" not in console.view(0)
        escrow = {"commandId": "c", "newPasscode": f"{PASSCODE}{number}", "resetNumber": number}
        console.on_message(DeviceMessage(request.device, "escrow", escrow), 0)
        passcode = PASSCODE if told else None
        console.on_message(result(request, "done", newPasscode=passcode), 0)
        assert "newPasscode" not in console.view(0), "not before it is asked for"
        for _ in range(presses):
            perform(console, "show_passcode", {}, 0)
        shown = bool(presses) and number >= 2
        assert console.view(0).get("newPasscode") == (f"{PASSCODE}{number}" if shown else None)


@given(st.permutations(("pending", "active", "done", "failed")))
def test_the_console_shows_the_pending_state_of_several_devices(
    states: list[str],
) -> None:
    console = ConsoleActor(shared())
    names = ["ios", "android", "wp", "hybrid"]
    perform(console, "select", {"devices": names}, 0)
    requests = perform(console, "remote_lock", {}, 0) or []
    assert [r.device.name for r in requests if isinstance(r, SendCommand)] == names
    for request, state in zip(requests, states, strict=True):
        assert isinstance(request, SendCommand)
        console.on_message(result(request, state), 0)
    assert console.view(0)["actionState"] == "pending"
    for name, state in zip(names, states, strict=True):
        assert console.observe({"device": name}, 0)["actionState"] == state


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"group": "directManaged"}, ["ios", "wp", "rt", "other"]),
        ({"group": "exchangeActiveSync"}, ["mail"]),
        ({"user": "kim"}, ["other"]),
        ({"devices": "rt"}, ["rt"]),
        ({"devices": ["rt", "ios"]}, ["rt", "ios"]),
        ({"devices": ["hybrid", "ios"]}, ["hybrid", "ios"]),
        ({"group": "directManaged", "devices": ["rt", "ios"]}, ["rt", "ios"]),
        ({"user": "alex", "devices": "hybrid"}, ["hybrid"]),
    ],
)
def test_the_console_selects(arguments: dict[str, Any], found: list[str]) -> None:
    console = ConsoleActor(shared())
    assert perform(console, "remote_lock", {}, 0) is None, "nothing is selected yet"
    perform(console, "select", arguments, 0)
    assert list(console.view(0)["devices"]) == found  # type: ignore[call-overload]


@pytest.mark.parametrize("arguments", [{}, {"user": "kim", "group": "directManaged"}])
def test_a_selection_names_devices_a_user_or_a_group(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ConsoleActor.steps["select"].model_validate(arguments)


@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        (None, {"user": "kim", "devices": ["ios"]}),
        (None, {"group": "exchangeActiveSync", "devices": ["ios"]}),
        (None, {"devices": ["ios", "mail"]}),
        ("Groups > All Users > kim > Devices", {"devices": ["ios"]}),
        (f"{MOBILE} > All Direct Managed Devices", {"devices": ["hybrid"]}),
    ],
)
def test_a_device_that_is_not_in_the_list_cannot_be_selected(
    path: str | None, arguments: dict[str, Any]
) -> None:
    console = ConsoleActor(shared())
    if path is not None:
        assert perform(console, "open", {"path": path}, 0) == []
    assert perform(console, "select", arguments, 0) is None
    assert perform(console, "remote_lock", {}, 0) is None


def test_the_console_leads_from_groups_to_one_of_two_lists() -> None:
    console = ConsoleActor(shared())
    for item, items in (
        ("Groups", ["All Devices", "All Users"]),
        ("All Devices", ["All Mobile Devices"]),
        (
            "All Mobile Devices",
            ["All Direct Managed Devices", "All Exchange ActiveSync Managed Devices"],
        ),
    ):
        assert perform(console, "open", {"path": item}, 0) == []
        assert list(console.view(0)["items"]) == items  # type: ignore[call-overload]
    assert console.view(0)["path"] == MOBILE
    perform(console, "open", {"path": "All Exchange ActiveSync Managed Devices"}, 0)
    assert console.view(0)["deviceList"] == ("mail",)
    assert perform(console, "open", {"path": "All Users"}, 0) is None
    perform(console, "select", {"devices": "mail"}, 0)
    assert console.view(0)["remoteTasks"] == ("Passcode Reset", "Remote Lock")


def test_opening_a_user_lists_the_devices_of_that_user() -> None:
    console = ConsoleActor(shared())
    perform(console, "open", {"path": ["Groups", "All Users"]}, 0)
    assert console.view(0)["items"] == USERS
    perform(console, "open", {"path": ["kim"]}, 0)
    assert console.view(0)["items"] == ("General", "Devices")
    perform(console, "open", {"path": ["Devices"]}, 0)
    assert console.view(0)["deviceList"] == ("other",)
    assert perform(console, "select", {"devices": "other"}, 0) == []


def state(device: ManagedDevice, **values: object) -> DeviceMessage:
    return DeviceMessage(device, "state", {"wiped": False, "locked": True, **values})


def console_after_reset(name: str) -> tuple[ConsoleActor, ManagedDevice]:
    """A console that shows the passcode of a reset of its own."""
    console = ConsoleActor(shared())
    perform(console, "select", {"devices": name}, 0)
    (request,) = perform(console, "reset_passcode", {}, 0) or []
    assert isinstance(request, SendCommand)
    console.on_message(state(request.device, passcode="temporary"), 0)
    console.on_message(result(request, "done", newPasscode=PASSCODE), 0)
    assert console.view(0)["newPasscode"] == PASSCODE
    return console, request.device


def test_another_action_does_not_hide_a_new_passcode() -> None:
    console, device = console_after_reset("wp")
    (request,) = perform(console, "remote_lock", {}, 0) or []
    assert isinstance(request, SendCommand)
    console.on_message(state(device, passcode="temporary"), 0)
    console.on_message(result(request, "done"), 0)
    assert console.view(0)["newPasscode"] == PASSCODE


@pytest.mark.parametrize("values", [{"passcode": "user"}, {"passcode": "none", "wiped": True}])
def test_a_new_passcode_is_hidden_once_the_device_lost_it(values: dict[str, Any]) -> None:
    console, device = console_after_reset("wp")
    console.on_message(state(device, **values), 0)
    assert "newPasscode" not in console.view(0)
    perform(console, "show_passcode", {}, 0)
    assert "no new passcode to show" in str(console.view(0)["message"])


def test_a_later_reset_of_another_sender_hides_a_new_passcode() -> None:
    console, device = console_after_reset("wp")
    other = {"actionName": "resetPasscode", "actionState": "done", "newPasscode": "999999"}
    console.on_message(DeviceMessage(device, "results", other), 0)
    assert "newPasscode" not in console.view(0)
    perform(console, "show_passcode", {}, 0)
    assert console.view(0)["newPasscode"] == "999999"


@pytest.mark.parametrize("management", list(Management))
def test_on_ios_the_console_has_no_passcode_to_show(management: Management) -> None:
    here = shared()
    phone = subject("ios", "ios", "alex", management)
    console = ConsoleActor(replace(here, devices={"ios": phone}))
    perform(console, "select", {"devices": "ios"}, 0)
    (request,) = perform(console, "reset_passcode", {}, 0) or []
    assert isinstance(request, SendCommand)
    console.on_message(result(request, "done"), 0)
    perform(console, "show_passcode", {}, 0)
    assert "removes the passcode" in str(console.view(0)["message"])


def test_hybrid_without_escrow_shows_a_new_passcode_at_once() -> None:
    """The rule of Windows Phone in hybrid follows from the platform data alone."""
    here = shared()
    phone = here.devices["hybrid"]
    reset = replace(phone.profile.reset, escrow=frozenset())
    plain = replace(phone, profile=replace(phone.profile, reset=reset))
    console = ConsoleActor(replace(here, devices={"hybrid": plain}))
    perform(console, "select", {"devices": "hybrid"}, 0)
    (request,) = perform(console, "reset_passcode", {}, 0) or []
    assert isinstance(request, SendCommand)
    console.on_message(result(request, "done", newPasscode=PASSCODE), 0)
    assert console.view(0)["newPasscode"] == PASSCODE


def test_each_device_gets_its_own_passcode_from_the_console() -> None:
    console = ConsoleActor(shared())
    user = UserActor(console.shared)
    console.shared.actors["console"] = console
    perform(console, "select", {"devices": ["ios", "wp", "other"]}, 0)
    for number, request in enumerate(perform(console, "reset_passcode", {}, 0) or []):
        assert isinstance(request, SendCommand)
        console.on_message(result(request, "done", newPasscode=f"passcode-{number}"), 0)
    for number, name in enumerate(("ios", "wp", "other")):
        typing = {"device": name, "passcode": {"from": "console"}}
        (press,) = perform(user, "enter_passcode", typing, 0) or []
        assert isinstance(press, PressButton)
        assert press.values == {"passcode": f"passcode-{number}"}


def test_a_purchase_needs_an_open_device() -> None:
    user = UserActor(shared())
    phone = user.shared.devices["ios"]
    assert perform(user, "purchase", {"device": "ios", "answer": "deviceLocked"}, 0) == []
    assert perform(user, "purchase", {"device": "ios", "answer": "done"}, 0) is None
    user.on_message(state(phone, passcode="user", locked=False), 0)
    (press,) = perform(user, "purchase", {"device": "ios", "answer": "done"}, 0) or []
    assert isinstance(press, PressButton)
    assert press.action == "useBiometric"


def test_a_failure_appears_as_message_and_notification() -> None:
    portal, request = reset_portal("ios")
    portal.on_message(result(request, "failed", message="The device is not enrolled."), 0)
    said = "The passcode could not be reset. The device is not enrolled."
    assert portal.view(0)["message"] == said
    assert "notifications" not in portal.view(0)
    perform(portal, "open_notifications", {}, 0)
    assert portal.view(0)["notifications"] == (said,)


@given(
    st.sampled_from(sorted(set(UserActor.steps) - {"purchase"})),
    st.sampled_from(NAMES),
    st.text(min_size=1, max_size=8),
)
def test_a_press_is_an_input_of_the_device_and_shows_no_passcode(
    verb: str, name: str, typed: str
) -> None:
    user = UserActor(shared())
    arguments: dict[str, Any] = {"device": name, "answer": "done"}
    if "passcode" in verb:
        arguments["passcode"] = typed
    if verb == "sign_in":
        arguments["user"] = typed
    (press,) = perform(user, verb, arguments, 0) or []
    assert isinstance(press, PressButton)
    assert (press.device.name, press.answer) == (name, "done")
    assert set(press.values.values()) == {typed} & set(arguments.values())
    assert "values" not in repr(press)


def test_a_user_reads_the_passcode_on_the_portal_or_cannot() -> None:
    portal, request = reset_portal("wp")
    user = UserActor(portal.shared)
    portal.shared.actors.update({"portal": portal})
    typing = {"device": "wp", "passcode": {"from": "portal"}}
    assert perform(user, "enter_passcode", typing, 0) is None
    portal.on_message(result(request, "done", newPasscode="123456"), 0)
    (press,) = perform(user, "enter_passcode", typing, 0) or []
    assert isinstance(press, PressButton)
    assert press.values == {"passcode": "123456"}


def test_simulated_events_reach_devices() -> None:
    here = shared()
    for actor, verb, action in (
        (DeviceActor(here), "restart", "restart"),
        (DeviceActor(here), "crash", "crash"),
        (NetworkActor(here), "offline", "offline"),
        (NetworkActor(here), "online", "online"),
        (NetworkActor(here), "drop_connection", "dropConnection"),
    ):
        assert perform(actor, verb, {"device": "ios"}, 0) == [
            SimulateDevice(here.devices["ios"], action)
        ]


def test_a_text_is_received_once_the_screen_shows_it() -> None:
    here = shared()
    device, phone = DeviceActor(here), here.devices["ios"]
    text = DeliverTextMessage(phone, "text", "732873", "Use 123456.")
    sent = {"kind": text.kind, "from": text.sender, "body": text.body}
    device.on_message(DeviceMessage(phone, "messages", sent), 0)
    assert "message" not in device.observe({"device": "ios"}, 0)
    shown = {"title": text.sender, "body": text.body, "buttons": []}
    device.on_message(DeviceMessage(phone, "notifications", shown), 0)
    seen = device.observe({"device": "ios"}, 0)
    assert seen["message"] == "Use 123456."
    assert isinstance(seen["notification"], TextVariants)
    assert matches("732873", seen["notification"])


# -- pages of the portal, browsers and offers ------------------------------------------------------


def signed_in(portal: PortalActor, user: str = "alex", **more: str) -> PortalActor:
    assert perform(portal, "sign_in", {"user": user, "account": "work", **more}, 0) == []
    return portal


@pytest.mark.parametrize("account", ["work", "personal"])
def test_one_page_after_the_other_signs_in_as_the_step_for_all_of_them(account: str) -> None:
    portal = PortalActor(shared(personal=True))
    perform(portal, "enter_address", {"address": "alex@contoso.example"}, 0)
    assert portal.view(0)["screen"] == "accountChooser"
    assert "Created by your IT department" in str(portal.view(0)["accounts"])
    perform(portal, "choose_account", {"account": account}, 0)
    if account == "personal":
        assert portal.view(0)["screen"] == "signIn"
        return
    perform(portal, "enter_password", {"password": "wrong"}, 0)
    assert portal.view(0)["screen"] == "enterPassword"
    perform(portal, "enter_password", {"password": "right"}, 0)
    assert portal.view(0) == signed_in(PortalActor(shared(personal=True))).view(0)


@pytest.mark.parametrize(
    ("step", "arguments"),
    [
        ("enter_address", {"address": "nobody@contoso.example"}),
        ("sign_in", {"user": "nobody@contoso.example"}),
        ("sign_in", {"user": "alex@contoso.example", "password": "wrong"}),
    ],
)
def test_a_wrong_user_name_or_password_leads_to_a_page(
    step: str, arguments: dict[str, str]
) -> None:
    portal = PortalActor(shared())
    assert perform(portal, step, arguments, 0) == []
    assert portal.view(0)["screen"] == "signIn"
    assert portal.view(0)["message"]
    signed_in(portal)
    assert portal.view(0)["screen"] == "home"


def test_links_are_those_of_the_page() -> None:
    portal = PortalActor(shared())
    assert perform(portal, "open_link", {"link": "Forgot your password?"}, 0) is None
    assert perform(portal, "back", {}, 0) is None
    perform(portal, "enter_address", {"address": "alex"}, 0)
    perform(portal, "open_link", {"link": "Forgot your password?"}, 0)
    assert portal.view(0)["screen"] == "passwordReset"
    perform(portal, "back", {}, 0)
    assert portal.view(0)["screen"] == "signIn"
    assert perform(portal, "enter_password", {}, 0) is None


def test_the_menu_leads_to_the_devices_and_closes() -> None:
    portal = signed_in(PortalActor(shared()))
    assert perform(portal, "choose_menu", {"item": "Devices"}, 0) is None
    perform(portal, "open_menu", {}, 0)
    assert portal.view(0)["menu"] == ("Devices", "Contact IT admin")
    perform(portal, "choose_menu", {"item": "Devices"}, 0)
    assert portal.view(0)["screen"] == "devices"
    assert "menu" not in portal.view(0)


def test_browsers_have_a_page_and_a_user_each() -> None:
    portal = PortalActor(shared())
    for verb, arguments in usual[:4]:
        perform(portal, verb, {"browser": "home", **arguments}, 0)
    signed_in(portal, browser="work")
    signed_in(portal, user="kim")
    assert portal.observe({"browser": "work"}, 0)["screen"] == "home"
    assert portal.observe({}, 0)["devices"] == ("other",)
    signed_in(portal, browser="home")
    assert portal.observe({"browser": "home"}, 0)["screen"] == "confirmReset"


@pytest.mark.parametrize("values", [{"wiped": True}, {"enrolled": False}])
def test_a_device_that_is_not_enrolled_has_no_buttons(values: dict[str, Any]) -> None:
    portal = signed_in(PortalActor(shared()))
    portal.on_message(state(portal.shared.devices["ios"], passcode="none", **values), 0)
    perform(portal, "select_device", {"device": "ios"}, 0)
    for verb in ("reset_passcode", "remote_lock", "check_status"):
        assert perform(portal, verb, {}, 0) == []
        seen = portal.view(0)
        assert (seen["resetButton"], seen["remoteLockButton"]) == (False, False)
        assert matches("contactAdmin", seen["screen"])
        assert "no longer enrolled" in str(seen["message"])
    portal.on_message(state(portal.shared.devices["ios"], passcode="none"), 0)
    assert portal.view(0)["resetButton"] is True


def test_the_portal_offers_no_action_on_exchange_activesync_devices() -> None:
    portal = signed_in(PortalActor(shared()))
    perform(portal, "select_device", {"device": "mail"}, 0)
    for verb in ("reset_passcode", "remote_lock", "check_status"):
        assert perform(portal, verb, {}, 0) == []
        assert portal.view(0)["remoteLockButton"] is False


@pytest.mark.parametrize(
    ("table", "level", "shown"),
    [("azure-2018-02", 23, True), ("azure-2018-02", 24, False), ("intune-2015-12", 24, True)],
)
def test_the_button_follows_the_limits_of_the_dated_table(
    table: str, level: int, *, shown: bool
) -> None:
    profile = profile_under_table(PLATFORMS_BY_ID["android"], CONFORMANCE[table], "android")
    attributes = replace(profile.attributes, api_level=level)
    phone = replace(
        subject("phone", "android", "alex", Management.STANDALONE),
        profile=profile,
        attributes=attributes,
    )
    portal = signed_in(PortalActor(replace(shared(), devices={"phone": phone})))
    perform(portal, "select_device", {"device": "phone"}, 0)
    assert portal.view(0)["resetButton"] is shown


def test_a_device_that_never_answers_is_shown_as_failed_until_it_does() -> None:
    portal, request = reset_portal("ios")
    sent = portal.next_change(0)
    assert sent is not None
    assert portal.view(sent - 1)["status"] == "pending"
    perform(portal, "open_notifications", {}, sent)
    assert portal.view(sent)["status"] == "failed"
    assert "has not responded" in str(portal.view(sent)["notifications"])
    assert portal.next_change(sent) is None
    portal.on_message(result(request, "done", message="Passcode successfully reset"), sent)
    assert portal.view(sent)["status"] == "done"
    assert portal.view(sent)["message"] == "Passcode successfully reset"


def test_each_of_two_requests_leaves_a_notification() -> None:
    portal, first = reset_portal("wp")
    (second,) = perform(portal, "remote_lock", {}, 0) or []
    assert isinstance(second, SendCommand)
    portal.on_message(result(first, "done", message="reset", newPasscode=PASSCODE), 0)
    portal.on_message(result(second, "done", message="locked"), 0)
    perform(portal, "open_notifications", {}, 0)
    seen = portal.view(0)
    assert seen["notifications"] == ("reset", "locked")
    assert (seen["message"], seen["newPasscodeLine"]) == ("locked", f"New Passcode: {PASSCODE}")


def test_the_passcode_of_another_page_is_not_typed() -> None:
    portal, request = reset_portal("wp")
    user = UserActor(portal.shared)
    portal.shared.actors["portal"] = portal
    portal.on_message(result(request, "done", newPasscode="123456"), 0)
    other = {"device": "android", "passcode": {"from": "portal"}}
    assert perform(user, "enter_passcode", other, 0) is None
    perform(portal, "select_device", {"device": "android"}, 0)
    assert perform(user, "enter_passcode", {**other, "device": "wp"}, 0) is None


def test_contact_data_of_the_organization() -> None:
    contact = {"phone": "+1 405 555 0100"}
    portal = signed_in(PortalActor(replace(shared(), organization=Organization(contact=contact))))
    assert "contact" not in portal.view(0)
    perform(portal, "open_link", {"link": "Contact IT admin"}, 0)
    assert portal.view(0)["contact"] == contact
    perform(portal, "select_device", {"device": "rt"}, 0)
    assert portal.view(0)["contact"] == contact
