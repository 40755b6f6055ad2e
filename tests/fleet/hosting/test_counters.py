"""Counts of devices by state, kept by the changes of devices."""

from __future__ import annotations

import pytest

from broker.server.open import EMBEDDED
from fleet.hosting.counters import DeviceCounts
from fleet.hosting.host import Host
from tests.support.brokers import until
from tests.support.fleet_processes import Server, fleet_text, hosted, phones
from tests.support.paho_operator import LOCK, RESET


def counted_anew(host: Host) -> dict[str, dict[str, int]]:
    """Counts of a fleet, from a look at every device."""
    counts = DeviceCounts()
    counts.add(host.devices.values())
    return {platform: dict(count) for platform, count in counts.by_platform().items()}


@pytest.mark.parametrize("server", [EMBEDDED], indirect=True)
@pytest.mark.parametrize("connection", ["own", "shared"])
async def test_counts_follow_every_change_of_a_device(server: Server, connection: str) -> None:
    counts = DeviceCounts()
    text = fleet_text(
        phones(count=6, connection=f'"{connection}"'),
        phones("ios", "others", count=3, connection=f'"{connection}"'),
    )
    async with hosted(server, text, counts=counts) as (operator, host):

        def followed() -> dict[str, dict[str, int]]:
            return {platform: dict(count) for platform, count in counts.by_platform().items()}

        start = followed()
        assert start == counted_anew(host)
        assert (start["android"]["devices"], start["android"]["online"]) == (6, 6)
        await operator.do("phones-001", RESET)
        await operator.do("others-001", RESET)
        await operator.do("others-002", LOCK)
        for device, action in (("phones-002", "offline"), ("others-003", "dropConnection")):
            session = operator.about(device, "presence")[-1]["session"]
            operator.simulate(device, action)
            if action == "offline":
                await operator.present(device, "offline")
            else:
                await operator.present(device, "online", beyond=session)
        await until(lambda: followed()["ios"]["online"] == 3)
        changed = followed()
        assert changed == counted_anew(host)
        assert changed["android"]["online"] == 5
        assert changed["android"]["temporary"] == 1
        assert changed["ios"]["inGracePeriod"] == 1
        operator.simulate("phones-002", "online")
        await operator.present("phones-002", "online")
        assert followed() == counted_anew(host)
