"""Reconnect storm (`--profile storm`): all devices lose the connection at once and reconnect.

Measured are the reconnect time of each device and of all of them, and the outcomes of commands
sent during the storm.
"""

from __future__ import annotations

import asyncio
from typing import Final

from broker.client.messages import OutgoingMessage
from broker.contract import PlainSimulation
from fleet.load.generator import Generator
from fleet.load.measurements import TimeHistogram

__all__ = ["ReconnectStorm"]

_AT: Final = 1 / 3
"""Start of the storm as a share of the time at full rate; the time before is the baseline."""
_BURST: Final = 200


class ReconnectStorm:
    """One reconnect storm in a run."""

    def __init__(self, generator: Generator, ramp: float, duration: float) -> None:
        self.at = ramp + (duration - ramp) * _AT
        self.thrown_out = 0
        self.back = TimeHistogram()
        """Time from the storm's start until each device was online in a new session."""
        self.all_back: float | None = None
        """Seconds until the last device was online; None if a device is missing."""
        self._generator = generator
        self._missing: dict[str, int] = {}
        self._began = 0.0
        self._over = asyncio.Event()

    @property
    def missing(self) -> int:
        """Number of devices that have not reconnected."""
        return len(self._missing)

    async def run(self) -> None:
        """Wait for the start, disconnect all devices, and wait until all have reconnected."""
        generator = self._generator
        await asyncio.sleep(max(0.0, self.at - generator.now()))
        loaded_devices = generator.loaded_devices
        present = loaded_devices.present()
        self.thrown_out = len(present)
        self._missing = {device_id: loaded_devices.session(device_id) for device_id in present}
        self._began = generator.now()
        generator.during_storm = True
        loaded_devices.expect(present)
        loaded_devices.watcher = self._on_online
        payload = PlainSimulation(action="dropConnection").to_bytes()
        for number, device_id in enumerate(present):
            topic = generator.topics.device(device_id, "simulate")
            generator.publish(number, OutgoingMessage(topic, payload))
            if number % _BURST == _BURST - 1:
                await asyncio.sleep(0)
        if not self._missing:
            self._end()
        await self._over.wait()

    def _on_online(self, device_id: str, session: int) -> None:
        before = self._missing.get(device_id)
        if before is None or session <= before:
            return
        del self._missing[device_id]
        self.back.record(self._generator.now() - self._began)
        if not self._missing:
            self._end()

    def _end(self) -> None:
        self.all_back = self._generator.now() - self._began
        self._generator.during_storm = False
        self._generator.loaded_devices.watcher = None
        self._over.set()
