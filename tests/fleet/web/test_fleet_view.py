from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broker.contract import Topics
from broker.errors import BrokerError, UsageError
from broker.operator.readers import ReceivedMessage
from broker.server.open import EMBEDDED
from fleet.config.loader import parse_fleet
from fleet.web.device_view import DeviceView
from fleet.web.fleet_view import ChangeFeed, FleetView
from tests.support.brokers import until
from tests.support.fleet_files import group
from tests.support.fleet_processes import Server, fleet_text, hosted, phones, running


def passcode_of(device: DeviceView) -> str | None:
    """The kind of passcode that a device has."""
    return device.state.passcode if device.state else None


@asynccontextmanager
async def viewed(server: Server, text: str) -> AsyncIterator[FleetView]:
    """A fleet on a broker, and a view of it."""
    async with (
        hosted(server, text),
        FleetView(server.address, Topics(parse_fleet(text).root)) as view,
    ):
        yield view


async def test_a_view_knows_the_whole_fleet_at_once_and_follows_it(tmp_path: Path) -> None:
    text = fleet_text(phones(count=20))
    async with running(EMBEDDED, tmp_path) as server, viewed(server, text) as view:
        assert len(view.devices) == 20
        assert view.membership == 20
        device = view.devices["phones-001"]
        assert device.online
        assert passcode_of(device) == "user"
        with view.changes() as feed:
            command_id = await view.send_command("phones-001", "resetPasscode", issued_by="user")
            await until(lambda: device.new_passcode is not None)
            assert await anext(feed) == {"phones-001"}
        action = device.actions[-1]
        assert (action.command_id, action.action_state) == (command_id, "done")
        assert action.result is not None
        assert passcode_of(device) == "temporary"
        assert [n.title for n in device.notifications]
        assert device.new_passcode not in (repr(device), repr(action))
        await view.send_message("phones-001", "text", "12345", "Your code")
        await until(lambda: [m.body for m in device.messages] == ["Your code"])


async def test_inputs_and_simulations_reach_the_device(tmp_path: Path) -> None:
    async with (
        running(EMBEDDED, tmp_path) as server,
        viewed(server, fleet_text(phones())) as view,
    ):
        device = view.devices["phones-001"]
        await view.send_input("phones-001", "enterPasscode", passcode="2580")
        await until(lambda: device.state is not None and not device.state.locked)
        await view.send_simulation("phones-001", "offline")
        await until(lambda: not device.online)
        with pytest.raises(UsageError):
            await view.send_input("phones-001", "enterPasscode")
        with pytest.raises(UsageError):
            await view.send_command("phones-001", "explode", issued_by="admin")
        with pytest.raises(UsageError, match="time of day"):
            await view.advance_clock(1000)


async def test_virtual_time_is_moved(tmp_path: Path) -> None:
    text = fleet_text(phones(), clock='"virtual"')
    async with running(EMBEDDED, tmp_path) as server, viewed(server, text) as view:
        clock = await view.clock()
        assert clock is not None
        assert clock.clock == "virtual"
        before = view.now()
        assert view.devices["phones-001"].first_heard == before
        assert await view.advance_clock(60_000) == before + 60_000


async def test_what_is_due_has_arrived_once_time_has_moved(tmp_path: Path) -> None:
    text = fleet_text(phones("ios", count=20), clock='"virtual"')
    async with running(EMBEDDED, tmp_path) as server, viewed(server, text) as view:
        for name in view.devices:
            await view.send_command(name, "resetPasscode", issued_by="admin")
        await view.advance_clock(61 * 60_000)
        states = [device.state for device in view.devices.values()]
        assert [state.compliance for state in states if state] == ["noncompliant"] * 20


async def test_passcodes_are_forgotten_with_the_device_s_own(tmp_path: Path) -> None:
    text = fleet_text(group("hy", "windows_phone_8_1", management='"hybrid"', passcode='"2580"'))
    async with running(EMBEDDED, tmp_path) as server, viewed(server, text) as view:
        device = view.devices["hy-001"]
        await view.send_command("hy-001", "resetPasscode", issued_by="admin")
        await until(lambda: device.escrow is not None)
        escrow = device.escrow
        assert escrow is not None
        assert device.new_passcode is None
        await view.send_input("hy-001", "enterPasscode", passcode=escrow.new_passcode)
        await view.send_input("hy-001", "setPasscode", passcode="482615")
        await until(lambda: device.escrow is None)


async def test_a_view_comes_back_with_its_broker(tmp_path: Path) -> None:
    text = fleet_text(phones())
    async with running(EMBEDDED, tmp_path) as server, viewed(server, text) as view:
        session = view.devices["phones-001"].presence
        assert session is not None
        server.kill()
        await until(lambda: not view.connected)
        with pytest.raises(BrokerError, match="lost"):
            await view.send_command("phones-001", "syncDevice", issued_by="admin")
        assert view.devices["phones-001"].state is not None
        await server.start()
        await until(lambda: view.connected)
        # The device is back as well: its presence from before the end says online, too.
        await until(lambda: view.devices["phones-001"].presence != session)
        await view.send_command("phones-001", "syncDevice", issued_by="admin")
        await until(lambda: bool(view.devices["phones-001"].actions[-1].result))


async def test_without_a_broker_there_is_no_view() -> None:
    from broker.address import BrokerAddress  # noqa: PLC0415
    from tests.support.brokers import free_port  # noqa: PLC0415

    address = BrokerAddress.parse(f"mqtt://127.0.0.1:{free_port()}")
    with pytest.raises(BrokerError):
        async with FleetView(address, Topics()):
            pytest.fail("there is no broker")


async def test_a_listener_gets_each_message(tmp_path: Path) -> None:
    text = fleet_text(phones())
    async with running(EMBEDDED, tmp_path) as server, viewed(server, text) as view:
        heard: list[ReceivedMessage] = []
        with view.listening(heard.append):
            for _ in range(3):
                await view.send_command("phones-001", "syncDevice", issued_by="admin")
            await until(lambda: sum(m.leaf == "results" for m in heard) == 3)


async def test_a_feed_holds_one_entry_for_each_device_however_slow_its_viewer_is() -> None:
    feed = ChangeFeed(None)
    for _ in range(10_000):
        feed.mark("a")
        feed.mark("b")
    assert await anext(feed) == {"a", "b"}
    waiting = asyncio.ensure_future(anext(feed))
    feed.mark("c")
    assert await waiting == {"c"}


async def test_a_feed_follows_what_is_in_view() -> None:
    feed = ChangeFeed(["a"])
    feed.mark("b")
    feed.mark("a")
    feed.watch(["b", "c"])
    assert await anext(feed) == {"b", "c"}
    feed.mark("a")
    feed.watch(None)
    feed.mark("z")
    assert await anext(feed) == {"z"}
    feed.close()
    assert [changed async for changed in feed] == []
