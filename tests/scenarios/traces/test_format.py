"""Trace files: invalid files, existing files, a killed recorder, and placeholders."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.passcode import traits_of
from broker.contract import Biometrics, DeviceState
from broker.errors import FileError
from fleet.traces.restore import restore_devices
from fleet.traces.schedule import build_schedule
from scenarios.traces.diff import PlaceholderBindings, compare
from scenarios.traces.format import TraceDevice, TraceHeader, TraceWriter
from scenarios.traces.placeholders import Redactor, generate_similar_secret, restore_payload
from scenarios.traces.reader import read_trace
from tests.support.brokers import free_port, until
from tests.support.fleet_processes import Server, Start, fleet_text, hosted, phones
from tests.support.trace_recordings import recording, replayed, session_of

START = 1_449_778_747_000
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
    enrolled=True,
    lost_mode=False,
    last_check_in=None,
    version=1,
)


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
def test_an_invalid_line_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "t.jsonl"
    header = {"format": "passfleet-trace", "version": 1, "root": "r", "clock": "real"}
    header |= {"start": "2015-12-10T20:19:07Z", "devices": []}
    path.write_text(f"{json.dumps(header)}\n{line}\n")
    with pytest.raises(FileError) as refused:
        read_trace(path)
    assert refused.value.line == 1 + len(line.splitlines())


# -- a file in the way, a recorder that dies --------------------------------------------------


async def test_a_recording_does_not_take_the_place_of_a_file(
    mosquitto: Server, start: Start, tmp_path: Path
) -> None:
    broker = ["--broker", mosquitto.url, "--for", "100ms"]
    path = tmp_path / "trace.jsonl"
    path.write_text("precious")
    process = start("record", "-o", "trace.jsonl", *broker)
    assert await process.ended() == 2
    assert process.err == ("error: trace.jsonl already exists\nhint: --force overwrites it\n")
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
async def test_an_unwritable_path_is_refused(
    mosquitto: Server, start: Start, place: str, says: str
) -> None:
    process = start("record", "-o", place, "--force", "--broker", mosquitto.url, "--for", "100ms")
    assert await process.ended() == 2
    assert says in process.err


async def test_the_trace_of_a_killed_recorder_can_be_replayed(
    mosquitto: Server, start: Start, tmp_path: Path
) -> None:
    async with hosted(mosquitto, fleet_text(phones(), clock='"virtual"')) as (operator, _):
        recorded = await recording(start, mosquitto, tmp_path, operator.root)
        await session_of(operator, "phones-001")
        await until(lambda: '"c-4","deviceId"' in recorded.path.read_text())
        assert await recorded.process.signalled(signal.SIGKILL) == -signal.SIGKILL
    process = start("replay", "trace.jsonl")
    assert await process.ended() == 2
    assert "the trace is incomplete" in process.err
    assert "hint: --partial replays the complete lines" in process.err
    whole = recorded.path.read_text()
    for cut in (0, 1, 40, 1_000):
        recorded.path.write_text(whole[: len(whole) - cut])
        code, report, err = await replayed(start, "--partial")
        assert (code, report.get("differences")) == (0, []), err
    # What is missing before the end is still a difference.
    lines = whole.splitlines()
    results = [number for number, line in enumerate(lines) if "/results" in line]
    del lines[results[2]]
    recorded.path.write_text("\n".join(lines))
    code, report, _ = await replayed(start, "--partial")
    assert (code, {d["kind"] for d in report["differences"]}) == (1, {"extra"})


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
    assert process.out == "1100 devices, 0 messages sent, 0 received: no difference\n"


def few_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))


def test_an_edited_line_does_not_crash_the_replay(tmp_path: Path) -> None:
    """Values of any type in place of the texts of an answer."""
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
    trace, bindings = read_trace(path), PlaceholderBindings()
    assert len(restore_devices(trace, lambda _: "2580")) == 1
    assert len(build_schedule(trace)) == len(names) * len(odd)
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
    report = {"newPasscode": first, "actionState": "done"}
    again = redactor.payload("results", json.dumps(report).encode())
    assert again["newPasscode"]["$passcode"] == numbers[0]


@given(secret=SECRETS)
def test_a_generated_secret_is_similar_and_new(secret: str) -> None:
    placeholder = Redactor().secret("$passcode", secret)
    taken: set[str] = set()
    for number in range(1, 4):
        fresh = generate_similar_secret({**placeholder, "$passcode": number}, taken.__contains__)
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
    assert json.loads(restore_payload(json.loads(json.dumps(kept)), lambda _: "never")) == document


def test_a_failed_writer_leaves_an_incomplete_trace(tmp_path: Path) -> None:
    header = TraceHeader(root="r", clock="virtual", start=START)

    def fail() -> None:
        with TraceWriter(tmp_path / "t.jsonl", header) as writer:
            writer.message(START, "clock", b"{}", retained=False)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with pytest.raises(FileError, match="incomplete"):
        read_trace(tmp_path / "t.jsonl")
    with TraceWriter(tmp_path / "t.jsonl", header) as writer:
        writer.message(START, "clock", "{}\u2028".encode(), retained=False)
        writer.message(START, "devices/a/results", '{"message": "\u2028"}'.encode(), retained=False)
    trace = read_trace(tmp_path / "t.jsonl")
    assert [message.payload for message in trace.messages] == [{"$bytes": 5}, {"message": "\u2028"}]
