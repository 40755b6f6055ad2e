"""Traces: recorded from any broker, without secrets, and the same when played again."""

from __future__ import annotations

import json
import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from broker_help import free_port, until
from fleet_rig import Process, Server, Start, both, fleet_text, hosted, phones
from hypothesis import given
from hypothesis import strategies as st
from wire_operator import WireOperator

from agent.passcode import traits_of
from broker.contract import Biometrics, DeviceState
from broker.errors import FileError
from fleet.cues import cues
from fleet.restage import restage
from platforms import PLATFORMS
from scenarios.redaction import Redactor, made_up, restored
from scenarios.trace import TraceDevice, TraceHeader, TraceWriter
from scenarios.trace_diff import Bindings, compare
from scenarios.trace_reader import read_trace

START = 1_449_778_747_000
CANARY = "Kanari3!vogel"
OWN = "4826"
STATE = DeviceState(
    device_id="a",
    platform="ios",
    management="standalone",
    group="phones",
    owner="alex",
    current_user="alex",
    locked=True,
    passcode="user",
    passcode_deadline=None,
    compliance="compliant",
    biometrics=Biometrics(touch_id="none", face="none"),
    failed_attempts=0,
    wiped=False,
    version=1,
)


class Recorded:
    """A recording of a fleet in this process, by `passfleet record` as a process."""

    def __init__(self, folder: Path, root: str, process: Process) -> None:
        self.path = folder / "trace.jsonl"
        self.root = root
        self.process = process

    async def ended(self) -> list[dict[str, Any]]:
        """End the recording and give the trace's lines."""
        assert await self.process.signalled(signal.SIGTERM) == 0, self.process.err
        return [json.loads(line) for line in self.path.read_text().splitlines()]


async def recording(start: Start, server: Server, folder: Path, root: str) -> Recorded:
    arguments = ["record", "-o", "trace.jsonl", "--broker", server.url, "--root", root]
    process = start(*arguments)
    assert re.fullmatch(r"recording devices=\d+ broker=mqtt://\S+", await process.ready())
    return Recorded(folder, root, process)


async def replayed(start: Start, *arguments: str) -> tuple[int, dict[str, Any], str]:
    process = start("replay", "trace.jsonl", *arguments, "--json")
    code = await process.ended()
    return code, json.loads(process.out) if process.out else {}, process.err


def say(operator: WireOperator, topic: str, document: dict[str, Any]) -> None:
    operator.send_raw(topic, json.dumps(document).encode())


async def answered(operator: WireOperator, device: str, count: int) -> None:
    def answers() -> int:
        return len(operator.about(device, "results"))

    await until(lambda: answers() >= count, 15)


async def session_of(operator: WireOperator, device: str) -> None:
    """What a user and an administrator may do to any device, its answers awaited one by one."""
    presses: list[tuple[str, dict[str, Any]]] = [
        ("inputs", {"inputId": "i-1", "action": "enterPasscode", "passcode": "1111"}),
        ("inputs", {"inputId": "i-2", "action": "enterPasscode", "passcode": "2580"}),
        ("commands", {"commandId": "c-1", "actionName": "resetPasscode", "issuedBy": "user"}),
        ("commands", {"commandId": "c-1", "actionName": "resetPasscode", "issuedBy": "user"}),
        ("commands", {"commandId": "c-1", "actionName": "remoteLock"}),
        ("commands", {"commandId": "c-2", "actionName": "explode"}),
        ("inputs", {"inputId": "i-3", "action": "swipeUp"}),
    ]
    for number, (leaf, document) in enumerate(presses, 1):
        say(operator, f"devices/{device}/{leaf}", document)
        await answered(operator, device, number)
    done = len(presses)
    made = [
        m.document["newPasscode"]
        for m in operator.seen
        if m.device == device and m.leaf in ("results", "escrow") and m.document.get("newPasscode")
    ]
    later: list[tuple[str, dict[str, Any]]] = []
    if made:
        later = [("inputs", {"inputId": "i-4", "action": "enterPasscode", "passcode": made[0]})]
    later += [
        ("inputs", {"inputId": "i-5", "action": "setPasscode", "passcode": OWN}),
        ("inputs", {"inputId": "i-6", "action": "signIn", "user": "kim"}),
        ("commands", {"commandId": "c-3", "actionName": "remoteLock"}),
        ("inputs", {"inputId": "i-7", "action": "enterPasscode", "passcode": OWN}),
        ("inputs", {"inputId": "i-8", "action": "useBiometric"}),
        ("commands", {"commandId": "c-4", "actionName": "syncDevice"}),
    ]
    for number, (leaf, document) in enumerate(later, done + 1):
        say(operator, f"devices/{device}/{leaf}", document)
        await answered(operator, device, number)


def every_platform() -> str:
    groups = [phones(profile.id, profile.id.replace("_", "-")) for profile in PLATFORMS]
    hybrid = phones("windows_phone_8_1", "hybrid", management='"hybrid"')
    return fleet_text(*groups, hybrid, clock='"virtual"')


@both
async def test_a_session_of_every_platform_replays_without_difference(
    server: Server, start: Start, tmp_path: Path
) -> None:
    async with hosted(server, every_platform()) as (operator, host):
        recorded = await recording(start, server, tmp_path, operator.root)
        for device in host.devices:
            await session_of(operator, device)
        await operator.move_clock("2015-12-10T21:20:07Z")
        lines = await recorded.ended()
    assert len(lines[0]["devices"]) == len(PLATFORMS) + 1
    text = recorded.path.read_text()
    assert '"passcode":"2580"' not in text
    assert OWN not in text
    for broker in ("embedded", "mosquitto"):
        code, told, err = await replayed(start, "--broker", broker)
        assert told["differences"] == [], err
        assert code == 0
        assert told["published"] > 100


@both
async def test_real_time_reactions_networks_and_policies(
    server: Server, start: Start, tmp_path: Path
) -> None:
    text = fleet_text(
        phones("android", "slow", reaction='"5ms..60ms"', count=2),
        phones("ios", policy="{ minLength = 4, maxFailedAttempts = 10 }"),
    )
    async with hosted(server, text) as (operator, host):
        recorded = await recording(start, server, tmp_path, operator.root)
        for number in range(3):
            command = {"commandId": f"c-{number}", "actionName": "resetPasscode"}
            say(operator, "groups/all/commands", command)
        for device in host.devices:
            await answered(operator, device, 3)
        policy = {"minLength": 6, "requireAlphanumeric": True}
        command = {"commandId": "p", "actionName": "applyPasscodePolicy", "policy": policy}
        say(operator, "devices/phones-001/commands", command)
        await answered(operator, "phones-001", 4)
        press = {"inputId": "i", "action": "setPasscode", "passcode": CANARY}
        say(operator, "devices/phones-001/inputs", press)
        await answered(operator, "phones-001", 5)
        for action in ("offline", "online", "dropConnection", "restart"):
            session = host.devices["phones-001"].connection.number
            status = "offline" if action == "offline" else "online"
            say(operator, "devices/phones-001/simulate", {"action": action})
            await operator.present("phones-001", status, session - (status == "offline"))
        await recorded.ended()
    assert CANARY not in recorded.path.read_text()
    code, told, err = await replayed(start)
    assert told.get("differences") == [], json.dumps(told, indent=1) + err
    assert code == 0


@pytest.fixture
async def small(mosquitto: Server, start: Start, tmp_path: Path) -> Path:
    """A small trace of an Android phone, recorded with --for."""
    async with hosted(mosquitto, fleet_text(phones(), clock='"virtual"')) as (operator, _):
        recorded = await recording(start, mosquitto, tmp_path, operator.root)
        say(
            operator,
            "devices/phones-001/commands",
            {"commandId": "c", "actionName": "resetPasscode"},
        )
        await answered(operator, "phones-001", 1)
        await recorded.ended()
    return recorded.path


def change(path: Path, edit: Callable[[dict[str, Any]], None], leaf: str) -> int:
    """Edit the first message of a kind; returns its line."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        document = json.loads(line)
        if document.get("topic", "").endswith(leaf):
            edit(document)
            lines[number] = json.dumps(document)
            path.write_text("\n".join([*lines, ""]))
            return number + 1
    pytest.fail(f"no {leaf}")


async def test_a_changed_line_is_a_diff_and_exit_1(small: Path, start: Start) -> None:
    line = change(small, lambda d: d["payload"].update(actionState="failed"), "results")
    process = start("replay", small.name)
    assert await process.ended() == 1
    assert f"phones-001 results differs (trace.jsonl:{line})" in process.out
    assert '- actionState: "failed"\n+ actionState: "done"\n' in process.out
    assert process.out.endswith("1 difference\n")


@pytest.mark.parametrize(
    ("leaf", "edit", "kind"),
    [
        (
            "state",
            lambda d: d["payload"].update(passcodeDeadline="2015-12-10T21:19:08Z"),
            "changed",
        ),
        ("results", lambda d: d["payload"]["newPasscode"].update(like="9999"), "changed"),
        ("results", lambda d: d["payload"].update(startDateTime="2015-12-10T20:19:08Z"), "changed"),
        ("commands", lambda d: d["payload"].update(actionName="remoteLock"), "missing"),
    ],
)
async def test_every_change_is_seen(
    small: Path, start: Start, leaf: str, edit: Callable[[dict[str, Any]], None], kind: str
) -> None:
    change(small, edit, leaf)
    code, told, _ = await replayed(start)
    assert code == 1
    assert kind in {difference["kind"] for difference in told["differences"]}


def keep(path: Path, count: int, cut: str = "") -> list[str]:
    """Leave so many lines and a part of the next; returns what was there."""
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:count], cut]))
    return lines


@pytest.mark.parametrize("kept", [3, 2, 1])
async def test_a_trace_that_breaks_off_is_refused_with_its_line(
    small: Path, start: Start, kept: int
) -> None:
    lines = keep(small, kept)
    process = start("replay", small.name)
    assert await process.ended() == 2
    assert f"trace.jsonl:{kept}: the trace breaks off here" in process.err
    keep(small, kept, lines[kept][:20])
    process = start("replay", small.name)
    assert await process.ended() == 2
    assert f"trace.jsonl:{kept + 1}: the line is not JSON; the trace breaks off" in process.err


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("[fleet]\nseed = 7\n", 1),
        ('{"format": "something-else", "version": 1}\n', 1),
        ('{"format": "passfleet-trace", "version": 99}\n', 1),
        ('{"format": "passfleet-trace", "version": 1}\n', 1),
        ("[]\n", 1),
        ("\ud83d", 1),
    ],
)
def test_a_foreign_file_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(FileError) as refused:
        read_trace(path)
    assert refused.value.line == line
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    "line",
    [
        '{"at": "2015-12-10T20:19:07Z", "topic": "devices/a/secrets", "payload": 1}',
        '{"at": "yesterday", "topic": "clock", "payload": 1}',
        '{"at": "2015-12-10T20:19:07Z", "topic": "clock", "payload": 1, "more": 1}',
        '{"device": {"state": {}}}',
        '{"end": "2015-12-10T20:19:07Z", "messages": 9}',
        '{"end": "2015-12-10T20:19:07Z", "messages": 0}\n{}',
    ],
)
def test_a_line_that_no_trace_has(tmp_path: Path, line: str) -> None:
    path = tmp_path / "t.jsonl"
    header = {"format": "passfleet-trace", "version": 1, "root": "r", "clock": "real"}
    header |= {"start": "2015-12-10T20:19:07Z", "devices": []}
    path.write_text(f"{json.dumps(header)}\n{line}\n")
    with pytest.raises(FileError) as refused:
        read_trace(path)
    assert refused.value.line == 1 + len(line.splitlines())


async def test_ctrl_c_ends_a_recording_in_good_order(
    mosquitto: Server, start: Start, tmp_path: Path
) -> None:
    async with hosted(mosquitto, fleet_text(phones())) as (operator, _):
        recorded = await recording(start, mosquitto, tmp_path, operator.root)
        assert await recorded.process.signalled(signal.SIGINT) == 130
    assert read_trace(recorded.path).messages == ()


async def test_what_cannot_be_recorded_or_replayed(start: Start, tmp_path: Path) -> None:
    assert await start("record", "-o", "t.jsonl").ended() == 3
    assert await start("record", "-o", "t.jsonl", "--broker", "embedded").ended() == 2
    assert await start("replay", "none.jsonl").ended() == 2
    (tmp_path / "t.jsonl").write_text("{}")
    assert await start("replay", "t.jsonl", "--broker", "mqtt://localhost").ended() == 2


async def test_nothing_invalid_is_kept_but_its_size(
    mosquitto: Server, start: Start, tmp_path: Path
) -> None:
    async with hosted(mosquitto, fleet_text(phones(), clock='"virtual"')) as (operator, _):
        recorded = await recording(start, mosquitto, tmp_path, operator.root)
        broken = f'{{"inputId": "i", "action": "setPasscode", "passcode": "{CANARY}'
        odd = {"inputId": "j", "action": "setPasscode", "passcode": {"text": CANARY}}
        extra = {"commandId": "k", "actionName": "remoteLock", "password": CANARY}
        payloads = [("inputs", broken.encode()), ("inputs", b""), ("commands", b"x" * 70_000)]
        # Not an object, but perhaps a passcode: somebody took the topic for a field.
        payloads += [("inputs", f'"{CANARY}"'.encode()), ("inputs", b"90210"), ("inputs", b"[1]")]
        empty = {"inputId": "e", "action": "setPasscode", "passcode": ""}
        payloads += [("inputs", json.dumps(empty).encode())]
        # As deep as JSON may be for a device.
        payloads += [("commands", b'{"a":' * 200 + b"1" + b"}" * 200), ("commands", b"[" * 199)]
        payloads += [("inputs", json.dumps(odd).encode()), ("commands", json.dumps(extra).encode())]
        for number, (leaf, payload) in enumerate(payloads, 1):
            operator.send_raw(f"devices/phones-001/{leaf}", payload)
            await answered(operator, "phones-001", number)
        await recorded.ended()
    assert CANARY not in recorded.path.read_text()
    assert "90210" not in recorded.path.read_text()
    code, told, err = await replayed(start)
    assert (code, told.get("differences")) == (0, []), err


async def test_what_is_on_no_devices_topic_is_passed_over(
    mosquitto: Server, start: Start, tmp_path: Path
) -> None:
    """A device that cannot be, a topic of nobody's: the trace can be read all the same."""
    async with hosted(mosquitto, fleet_text(phones(), clock='"virtual"')) as (operator, _):
        state = json.dumps(operator.about("phones-001", "state")[0])
        await operator.publish("devices/my phone/state", state.encode(), retain=True)
        recorded = await recording(start, mosquitto, tmp_path, operator.root)
        for topic in ("devices/my phone/commands", "devices/ä/state", "groups/a b/commands"):
            await operator.publish(topic, b"{}")
        await operator.publish("devices/phone-7/state", state.encode())
        say(operator, "devices/phones-001/commands", operator.command("syncDevice"))
        await answered(operator, "phones-001", 1)
        await recorded.ended()
        await operator.publish("devices/my phone/state", b"", retain=True)
    assert list(read_trace(recorded.path).devices) == ["phones-001"]
    process = start("replay", "trace.jsonl")
    code = await process.ended()
    assert (code, process.out) == (1, process.out), process.err
    assert process.out.startswith("phone-7 state did not come")
    assert process.out.endswith("1 device, 1 message sent, 2 heard: 1 difference\n")


async def test_work_that_is_not_done_when_the_trace_ends(
    mosquitto: Server, start: Start, tmp_path: Path
) -> None:
    """Some of it had expired by the time that it would have been done."""
    text = fleet_text(phones(reaction='"500ms"'), clock='"virtual"')
    async with hosted(mosquitto, text) as (operator, _):
        recorded = await recording(start, mosquitto, tmp_path, operator.root)
        late = operator.command("remoteLock", "late", expiresDateTime="2015-12-10T20:19:07.2Z")
        say(operator, "devices/phones-001/commands", late)
        say(operator, "devices/phones-001/commands", operator.command("syncDevice"))
        await operator.move_clock("2015-12-10T20:19:12Z")
        await answered(operator, "phones-001", 2)
        say(operator, "devices/phones-001/commands", operator.command("remoteLock"))
        assert (await operator.move_clock("2015-12-10T20:19:12.4Z"))["now"].endswith("12.400Z")
        await recorded.ended()
    errors = [d["errorCode"] for d in operator.about("phones-001", "results")]
    assert errors[0] == "expired"
    code, told, err = await replayed(start)
    assert (code, told.get("differences")) == (0, []), err


# -- a file in the way, a recorder that dies --------------------------------------------------


async def test_a_recording_does_not_take_the_place_of_a_file(
    mosquitto: Server, start: Start, tmp_path: Path
) -> None:
    broker = ["--broker", mosquitto.url, "--for", "100ms"]
    path = tmp_path / "trace.jsonl"
    path.write_text("precious")
    process = start("record", "-o", "trace.jsonl", *broker)
    assert await process.ended() == 2
    assert process.err == ("error: trace.jsonl is there already\nhint: --force writes over it\n")
    assert path.read_text() == "precious"
    # Not even with --force, where nothing is recorded in its place.
    nobody = ["--broker", f"mqtt://127.0.0.1:{free_port()}"]
    assert await start("record", "-o", "trace.jsonl", "--force", *nobody).ended() == 3
    assert path.read_text() == "precious"
    assert await start("record", "-o", "trace.jsonl", "--force", *broker).ended() == 0
    assert read_trace(path).messages == ()


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (".", "error: . is a folder"),
        ("none/t.jsonl", "error: there is no folder none to write t.jsonl into"),
        ("/dev/full", "error: /dev/full: cannot be written: No space left on device"),
    ],
)
async def test_a_place_for_no_trace(mosquitto: Server, start: Start, place: str, says: str) -> None:
    process = start("record", "-o", place, "--force", "--broker", mosquitto.url, "--for", "100ms")
    assert await process.ended() == 2
    assert says in process.err


async def test_what_a_killed_recorder_left_can_be_played(
    mosquitto: Server, start: Start, tmp_path: Path
) -> None:
    async with hosted(mosquitto, fleet_text(phones(), clock='"virtual"')) as (operator, _):
        recorded = await recording(start, mosquitto, tmp_path, operator.root)
        await session_of(operator, "phones-001")
        await until(lambda: '"c-4","deviceId"' in recorded.path.read_text(), 15)
        assert await recorded.process.signalled(signal.SIGKILL) == -signal.SIGKILL
    process = start("replay", "trace.jsonl")
    assert await process.ended() == 2
    assert "the trace breaks off here" in process.err
    assert "hint: --partial plays what there is of it" in process.err
    whole = recorded.path.read_text()
    for cut in (0, 1, 40, 1_000):
        recorded.path.write_text(whole[: len(whole) - cut])
        code, told, err = await replayed(start, "--partial")
        assert (code, told.get("differences")) == (0, []), err
    # What is missing before the end is still a difference.
    lines = whole.splitlines()
    results = [number for number, line in enumerate(lines) if "/results" in line]
    del lines[results[2]]
    recorded.path.write_text("\n".join(lines))
    code, told, _ = await replayed(start, "--partial")
    assert (code, {d["kind"] for d in told["differences"]}) == (1, {"extra"})


async def test_more_devices_than_a_process_may_watch_with_select(
    start: Start, tmp_path: Path
) -> None:
    """1,024 is the most for that; and where fewer files may be open, a replay asks for more."""
    with TraceWriter(
        tmp_path / "trace.jsonl", TraceHeader(root="r", clock="virtual", start=START)
    ) as writer:
        for number in range(1_100):
            state = STATE.model_copy(update={"device_id": f"a-{number}"})
            writer.device(TraceDevice(state=state))
    process = start("replay", "trace.jsonl", before=few_files)
    assert await process.ended(60) == 0, process.err
    assert process.out == "1100 devices, 0 messages sent, 0 heard: no difference\n"


def few_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))


def test_a_line_that_somebody_wrote_into_is_no_crash(tmp_path: Path) -> None:
    """Values of any type wherever a device's answer has a word."""
    path = tmp_path / "t.jsonl"
    odd: list[Any] = [{}, [], 1.5, None, True, {"$passcode": "x"}, {"$passcode": 1, "like": 2}]
    names = ("commandId", "inputId", "actionState", "errorCode", "newPasscode", "message")
    with TraceWriter(path, TraceHeader(root="r", clock="real", start=START)) as writer:
        writer.device(TraceDevice(state=STATE))
    head, device, _ = path.read_text().splitlines()
    now = {"startDateTime": "2015-12-10T20:19:07Z", "lastUpdatedDateTime": "2015-12-10T20:19:08Z"}
    answer = {"commandId": "c", "actionState": "done", **now}
    lines = [
        {"at": now["startDateTime"], "topic": f"devices/a/{leaf}", "payload": answer | {name: each}}
        for leaf in ("results", "inputs", "escrow", "notifications", "state", "presence")
        for name in names
        for each in odd
    ]
    end = {"end": now["startDateTime"], "messages": len(lines)}
    path.write_text("\n".join([head, device, *map(json.dumps, [*lines, end])]))
    trace, bindings = read_trace(path), Bindings()
    assert len(restage(trace, lambda _: "2580")) == 1
    assert len(cues(trace)) == len(names) * len(odd)
    assert compare(trace, [], bindings)


# -- secrets ----------------------------------------------------------------------------------

SECRETS = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=4, max_size=12)


@given(first=SECRETS, second=SECRETS)
def test_equal_secrets_have_equal_placeholders(first: str, second: str) -> None:
    redactor = Redactor()

    def press(passcode: str) -> Any:
        document = {"inputId": "i", "action": "setPasscode", "passcode": passcode}
        return redactor.payload("inputs", json.dumps(document).encode())["passcode"]

    numbers = [press(value)["$passcode"] for value in (first, second, first)]
    assert numbers[0] == numbers[2]
    assert (numbers[0] == numbers[1]) is (first == second)
    told = {"newPasscode": first, "actionState": "done"}
    again = redactor.payload("results", json.dumps(told).encode())
    assert again["newPasscode"]["$passcode"] == numbers[0]


@given(secret=SECRETS)
def test_what_is_made_up_is_alike_and_new(secret: str) -> None:
    placeholder = Redactor().secret("$passcode", secret)
    taken: set[str] = set()
    for number in range(1, 4):
        fresh = made_up({**placeholder, "$passcode": number}, taken.__contains__)
        assert traits_of(fresh) == traits_of(secret)
        assert fresh not in taken
        taken.add(fresh)


INNER = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "$b", "$passcode", "$bytes", "$$"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
JSON = st.none() | st.dictionaries(st.sampled_from(["a", "$b", "$passcode", "$$"]), INNER)


@given(document=JSON)
def test_a_payload_without_secrets_comes_back_as_it_was(document: Any) -> None:
    kept = Redactor().payload("commands", json.dumps(document).encode())
    assert json.loads(restored(json.loads(json.dumps(kept)), lambda _: "never")) == document


def test_a_writer_that_fails_leaves_a_trace_that_says_so(tmp_path: Path) -> None:
    header = TraceHeader(root="r", clock="virtual", start=START)

    def fail() -> None:
        with TraceWriter(tmp_path / "t.jsonl", header) as writer:
            writer.message(START, "clock", b"{}", retained=False)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with pytest.raises(FileError, match="breaks off"):
        read_trace(tmp_path / "t.jsonl")
    with TraceWriter(tmp_path / "t.jsonl", header) as writer:
        writer.message(START, "clock", "{}\u2028".encode(), retained=False)
        writer.message(START, "devices/a/results", '{"message": "\u2028"}'.encode(), retained=False)
    trace = read_trace(tmp_path / "t.jsonl")
    assert [message.payload for message in trace.messages] == [{"$bytes": 5}, {"message": "\u2028"}]
