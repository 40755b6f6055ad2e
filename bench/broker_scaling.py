"""Measure whether a broker slows down with the number of devices.

    python bench/broker_scaling.py [--sizes 300 3000] [--seconds 4] [--broker embedded]

For each broker and size: a fresh broker on loopback, devices that do what passfleet's do (a
persistent session, a retained Last Will, five filters in one SUBSCRIBE, two retained messages at
birth), then QoS 1 commands, 200 in flight, each answered with a retained state and a result that
the operator receives through a wildcard. Prints seconds to connect all, commands per second, and
the ratio between sizes. A size that exceeds its time limit is reported as not measured.

The devices are a minimal client on bare sockets: what is measured is the broker.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from raw_client import Client

from broker.errors import PassfleetError
from broker.server.child_process import BrokerHandle
from broker.server.embedded import embedded_broker
from broker.server.mosquitto import mosquitto_broker

ROOT = "passfleet/v1"
IN_FLIGHT = 200
CONNECT_LIMIT = 60.0
BROKERS: dict[str, Callable[[], AbstractAsyncContextManager[BrokerHandle]]] = {
    "embedded": lambda: embedded_broker(port=0),
    "mosquitto": mosquitto_broker,
}


class Device(Client):
    """A device: answers each command with a retained state and a result."""

    STATE = b'{"locked":true,"passcode":"none","version":%d}' + b" " * 300

    def __init__(self, number: int) -> None:
        self.base = f"{ROOT}/devices/d-{number:05}"
        names = ("commands", "messages", "inputs")
        filters = [f"{self.base}/{name}" for name in names]
        filters += [f"{ROOT}/groups/all/commands", f"{ROOT}/groups/g{number % 10}/commands"]
        super().__init__(f"d-{number:05}", filters, f"{self.base}/presence")

    def born(self) -> None:
        """Publish presence and state; ready once both are acknowledged."""
        online = self.publish(f"{self.base}/presence", b'{"status":"online"}', retain=True)
        state = self.publish(f"{self.base}/state", self.STATE % 0, retain=True)
        self.transport.write(online + state)

    def on_message(self, topic: str, data: bytes, retained: bool) -> bytes:  # noqa: FBT001
        """Answer a command with state and result."""
        del topic, retained
        state = self.publish(f"{self.base}/state", self.STATE % self.packet_id, retain=True)
        return state + self.publish(f"{self.base}/results", data)


class Operator(Client):
    """Sends a command to each device in turn, and the next for each result."""

    def __init__(self, devices: int) -> None:
        super().__init__("operator", [f"{ROOT}/devices/+/results"])
        self.devices = devices
        self.sent = self.results = 0
        self.stopped = False

    def command(self) -> bytes:
        """Return the next command."""
        number = self.sent % self.devices
        self.sent += 1
        topic = f"{ROOT}/devices/d-{number:05}/commands"
        body = b'{"commandId":"c-%d","actionName":"resetPasscode"}' % self.sent
        return self.publish(topic, body)

    def on_message(self, topic: str, data: bytes, retained: bool) -> bytes:  # noqa: FBT001
        """Count the result, and send the next command."""
        del topic, data, retained
        self.results += 1
        return b"" if self.stopped else self.command()


async def measure(broker: str, devices: int, seconds: float) -> tuple[float, float, float]:
    """Return seconds to connect, commands per second, and MiB of the broker's memory."""
    loop = asyncio.get_running_loop()
    async with BROKERS[broker]() as handle:
        host, port = handle.address.host, handle.address.port
        fleet = [Device(number) for number in range(devices)]
        started = time.perf_counter()
        async with asyncio.timeout(CONNECT_LIMIT):
            for device in fleet:
                await loop.create_connection(lambda device=device: device, host, port)  # type: ignore[misc]
            await asyncio.gather(*(device.ready for device in fleet))
        connected = time.perf_counter() - started
        operator = Operator(devices)
        await loop.create_connection(lambda: operator, host, port)
        await operator.ready
        begun = time.perf_counter()
        operator.transport.write(b"".join(operator.command() for _ in range(IN_FLIGHT)))
        await asyncio.sleep(seconds)
        rate = operator.results / (time.perf_counter() - begun)
        operator.stopped = True
        memory = resident_mib(handle.pid)
        for client in (*fleet, operator):
            client.transport.abort()
        return connected, rate, memory


def resident_mib(pid: int | None) -> float:
    """Return the resident memory of a process in MiB, 0 if it is unknown."""
    status = Path(f"/proc/{pid}/statm")
    if not status.exists():
        return 0.0
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def report(brokers: list[str], sizes: list[int], seconds: float) -> None:
    """Print one line a broker and size, and the ratio of the last size to the first."""
    print(f"{'broker':10} {'devices':>8} {'connect s':>10} {'commands/s':>11} {'MiB':>7}")
    for broker in brokers:
        rates = []
        for devices in sizes:
            try:
                connected, rate, memory = await measure(broker, devices, seconds)
            except (PassfleetError, TimeoutError) as error:
                print(f"{broker:10} {devices:8} not measured: {error or 'over its limit'}")
                continue
            rates.append(rate)
            print(f"{broker:10} {devices:8} {connected:10.2f} {rate:11.0f} {memory:7.1f}")
        if len(rates) == len(sizes) > 1:
            print(
                f"{broker:10} commands/s with {sizes[-1]} to {sizes[0]}: {rates[-1] / rates[0]:.2f}"
            )


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[300, 3000])
    parser.add_argument("--seconds", type=float, default=4.0, help="how long to send commands")
    parser.add_argument("--broker", choices=BROKERS, action="append")
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(report(args.broker or list(BROKERS), args.sizes, args.seconds))


if __name__ == "__main__":
    main()
