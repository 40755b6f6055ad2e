"""Cost of a device in comparison with a bare MQTT client; run by `make bench`.

    python bench/run.py [--quick] [--devices 1000] [--broker mosquitto] [--json]

For each broker, on loopback: a fresh broker, a process of passfleet's devices and a process of bare
paho-mqtt clients (bench/bare.py) run at the same time; an operator in this process loads them
alternately, several times. Every figure is the median of the turns, so that a busy machine affects
both alike. Compare the ratios, not the times, between machines. Every wait has a time limit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from load import Operator

from broker.errors import PassfleetError
from broker.server.open import EMBEDDED, MOSQUITTO, open_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOTS = {"passfleet": "passfleet/v1", "bare": "bare/v1", "dialect": "dialect/v1"}
PAIRS = [("passfleet", "bare"), ("dialect", "passfleet")]
START_LIMIT = 180.0
LOAD_LIMIT = 120.0
WARM_UP = 500

ROWS = [
    ("connected a second", "connected", "{:.0f}"),
    ("CPU to connect one, us", "connect_us", "{:.0f}"),
    ("memory a device, KiB", "kib", "{:.1f}"),
    ("CPU a reset, us", "reset_us", "{:.0f}"),
    ("resets a second", "resets", "{:.0f}"),
    ("reset p50, ms", "p50_ms", "{:.1f}"),
    ("reset p99, ms", "p99_ms", "{:.1f}"),
    ("worst loop lag under load, ms", "lag_ms", "{:.0f}"),
    ("idle CPU, % of a core", "idle", "{:.2f}"),
    ("lost or not done", "bad", "{:.0f}"),
]


@dataclass
class Fleet:
    """A process of devices, and its measured figures."""

    kind: str
    process: asyncio.subprocess.Process
    names: list[str]
    measured: dict[str, list[float]] = field(default_factory=dict)
    operator: Any = None

    async def ask(self, word: str, limit: float = 30.0) -> dict[str, float]:
        """Send a command to the process and return its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n".encode())
        async with asyncio.timeout(limit):
            line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {self.kind} devices' process ended")
        return dict(json.loads(line))

    def note(self, **figures: float) -> None:
        """Add measured figures."""
        for name, value in figures.items():
            self.measured.setdefault(name, []).append(value)

    async def load(self, commands: int, in_flight: int) -> None:
        """Send resets and add their cost to the figures."""
        before = await self.ask("usage")
        load = await self.operator.send(commands, in_flight, LOAD_LIMIT)
        after = await self.ask("usage")
        self.note(
            reset_us=(after["cpu"] - before["cpu"]) / max(1, len(load.times)) * 1e6,
            resets=len(load.times) / load.took,
            p50_ms=load.percentile(0.5) * 1000,
            p99_ms=load.percentile(0.99) * 1000,
            lag_ms=after["lag_ms"],
            bad=load.lost + load.not_done,
        )

    def summary(self) -> dict[str, float]:
        """Return the median of each figure, and the sum of failures."""
        return {
            name: sum(values) if name == "bad" else median(values)
            for name, values in self.measured.items()
        }


@asynccontextmanager
async def hosted(kind: str, url: str, devices: int, phone: str) -> AsyncIterator[Fleet]:
    """Start a process of devices that are not connected yet."""
    script = Path(__file__).with_name("hosted.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        kind,
        url,
        str(devices),
        phone,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Fleet(kind, process, [f"d-{n:05}" for n in range(devices)])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def measure(broker: str, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure the kinds of devices on one fresh broker."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        address = (await stack.enter_async_context(open_broker(broker))).address
        fleets = []
        for kind in args.kind:
            hosting = hosted(kind, address.url, args.devices, args.platform)
            fleets.append(await stack.enter_async_context(hosting))
        for fleet in fleets:
            born = await fleet.ask("start", START_LIMIT)
            fleet.note(
                connected=args.devices / born["seconds"],
                connect_us=born["cpu"] / args.devices * 1e6,
                kib=born["kib"] / args.devices,
            )
            operator = Operator(ROOTS[fleet.kind], fleet.names)
            await loop.create_connection(lambda made=operator: made, address.host, address.port)  # type: ignore[misc]
            await asyncio.wait_for(operator.ready, 10)
            fleet.operator = operator
            await operator.send(min(WARM_UP, args.devices), args.in_flight, LOAD_LIMIT)
        before = [await fleet.ask("usage") for fleet in fleets]
        await asyncio.sleep(args.idle)
        for fleet, begun in zip(fleets, before, strict=True):
            ended = await fleet.ask("usage")
            fleet.note(idle=(ended["cpu"] - begun["cpu"]) / (ended["at"] - begun["at"]) * 100)
            await fleet.ask("lag")
        for _ in range(args.turns):
            for fleet in fleets:
                await fleet.load(args.commands, args.in_flight)
        if args.storm:
            storms = [await fleet.ask("storm", 90) for fleet in fleets if fleet.kind == "passfleet"]
            fleets[0].measured.update({name: [value] for name, value in storms[0].items()})
        for fleet in fleets:
            fleet.operator.transport.abort()
        return {fleet.kind: fleet.summary() for fleet in fleets}


def table(broker: str, found: dict[str, dict[str, float]]) -> str:
    """Return the figures of one broker, one row each."""
    kinds = list(found)
    # The bare client and the contract are what passfleet and a dialect are compared with.
    pairs = [pair for pair in PAIRS if set(pair) <= set(kinds)]
    heads = "".join(f"{f'{a}/{b}':>20}" for a, b in pairs)
    lines = [f"{broker:32}" + "".join(f"{kind:>12}" for kind in kinds) + heads]
    for title, name, form in ROWS:
        values = [found[kind][name] for kind in kinds]
        line = f"  {title:30}" + "".join(f"{form.format(value):>12}" for value in values)
        if name != "bad":
            ratios = (found[a][name] / found[b][name] for a, b in pairs if found[b][name])
            line += "".join(f"{ratio:>20.2f}" for ratio in ratios)
        lines.append(line)
    lines += [
        f"  {name.replace('_', ' '):30}{found['passfleet'][name]:>12.2f}"
        for name in ("drop_seconds", "back_seconds", "back_most_in_100ms", "missing")
        if name in found.get("passfleet", {})
    ]
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--platform", default="android")
    parser.add_argument("--broker", choices=[EMBEDDED, MOSQUITTO], action="append")
    parser.add_argument("--kind", choices=list(ROOTS), action="append")
    parser.add_argument("--commands", type=int, default=4000, help="resets a turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--in-flight", type=int, default=200)
    parser.add_argument("--idle", type=float, default=20.0, help="seconds of the idle measurement")
    parser.add_argument(
        "--storm", action="store_true", help="also measure the loss of all connections at once"
    )
    parser.add_argument("--quick", action="store_true", help="a short, rough run")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.broker = args.broker or [MOSQUITTO, EMBEDDED]
    args.kind = args.kind or ["passfleet", "bare", "dialect"]
    if args.quick:
        args.commands, args.turns, args.idle = min(args.commands, 1000), 2, min(args.idle, 3)
    return args


def main() -> int:
    """Measure and print; returns 1 if a broker could not be measured."""
    args = arguments()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    found: dict[str, dict[str, dict[str, float]]] = {}
    failed = False
    if not args.json:
        print(
            f"{args.devices} devices ({args.platform}), {args.in_flight} resets in flight;"
            f" Python {platform.python_version()}, {machine}"
        )
    for broker in args.broker:
        try:
            found[broker] = asyncio.run(measure(broker, args))
        except (PassfleetError, TimeoutError, RuntimeError) as error:
            print(f"{broker}: not measured: {error or 'over its limit'}", file=sys.stderr)
            failed = True
            continue
        if not args.json:
            print("\n" + table(broker, found[broker]), flush=True)
    if args.json:
        print(json.dumps({"devices": args.devices, "machine": machine, "brokers": found}))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
