"""Cost of a device by the number of devices: the second half of `make bench`.

    python bench/growth.py [--seconds 90] [--svg docs/growth.svg]

On Mosquitto, on loopback: a fresh broker and a process of passfleet's devices for each size. First
devices with connections of their own: time to connect, memory, CPU a reset, and the 99th percentile
of resets with the same number in flight whatever the size. Then devices behind one connection
(`connection = "shared"`): memory, time until all have published presence, and one command to all.
Prints the table and draws it. A size for which no time is left is reported as not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from load import Operator
from raw_client import Client
from run import ROOTS, Fleet, hosted

from broker.errors import PassfleetError
from broker.server.open import MOSQUITTO, open_broker

OWN = (100, 300, 1_000, 3_000, 10_000)
SHARED = (10_000, 100_000)
PLATFORM = "android"
IN_FLIGHT = 100
COMMANDS = 2_000
TURNS = 3
GOAL_KIB = 3.0

Figures = dict[str, float]
Measured = dict[int, Figures]


class CommandBroadcast(Client):
    """Sends one command to all devices and counts the devices that answer `done`."""

    def __init__(self, devices: int) -> None:
        super().__init__("caller", [f"{ROOTS['passfleet']}/devices/+/results"])
        self.devices = devices
        self.answered: set[str] = set()
        self.all_answered = asyncio.Event()

    def call(self) -> None:
        """Send the command."""
        body = b'{"commandId":"to-all","actionName":"remoteLock"}'
        self.transport.write(self.publish(f"{ROOTS['passfleet']}/groups/all/commands", body))

    def on_message(self, topic: str, data: bytes, retained: bool) -> bytes:  # noqa: FBT001
        """Count the devices that are done."""
        del retained
        if b'"actionState":"done"' in data:
            self.answered.add(topic)
        if len(self.answered) == self.devices:
            self.all_answered.set()
        return b""


async def own(devices: int, limit: float) -> Figures:
    """Measure devices that each have a connection."""
    async with (
        open_broker(MOSQUITTO) as broker,
        hosted("passfleet", broker.address.url, devices, PLATFORM) as fleet,
    ):
        born = await fleet.ask("start", limit)
        fleet.operator = operator = Operator(ROOTS["passfleet"], fleet.names)
        await connected(operator, broker.address.host, broker.address.port)
        await operator.send(COMMANDS // 4, IN_FLIGHT, limit)
        await fleet.ask("lag")
        for _ in range(TURNS):
            await fleet.load(COMMANDS, IN_FLIGHT)
        found = fleet.summary()
        operator.transport.abort()
        return {**started(born, fleet), **found}


async def shared(devices: int, limit: float) -> Figures:
    """Measure devices that share one connection."""
    async with (
        open_broker(MOSQUITTO) as broker,
        hosted("shared", broker.address.url, devices, PLATFORM) as fleet,
    ):
        born = await fleet.ask("start", limit)
        caller = CommandBroadcast(devices)
        await connected(caller, broker.address.host, broker.address.port)
        before, begun = await fleet.ask("memory"), time.perf_counter()
        caller.call()
        try:
            async with asyncio.timeout(limit):
                await caller.all_answered.wait()
        except TimeoutError:
            pass
        took = time.perf_counter() - begun
        after = await fleet.ask("memory")
        caller.transport.abort()
        return {
            **started(born, fleet),
            "more_kib": (after["kib"] - before["kib"]) / devices,
            "all_s": took,
            "command_us": (after["cpu"] - before["cpu"]) / devices * 1e6,
            "bad": devices - len(caller.answered),
        }


def started(born: Figures, fleet: Fleet) -> Figures:
    """Return time, CPU and memory of the start."""
    devices = len(fleet.names)
    return {
        "seconds": born["seconds"],
        "ms": born["seconds"] / devices * 1e3,
        "connect_us": born["cpu"] / devices * 1e6,
        "kib": born["kib"] / devices,
    }


async def connected(client: Client, host: str, port: int) -> None:
    """Connect a benchmark client and wait until it is ready."""
    await asyncio.get_running_loop().create_connection(lambda: client, host, port)
    await asyncio.wait_for(client.ready, 10)


def sizes(
    what: str,
    counts: Sequence[int],
    measure: Callable[[int, float], Coroutine[Any, Any, Figures]],
    until: float,
) -> Measured:
    """Measure each size until the time limit is reached."""

    async def bounded(devices: int) -> Figures:
        left = until - time.monotonic()
        async with asyncio.timeout(left):
            return await measure(devices, left)

    found: Measured = {}
    for devices in counts:
        try:
            found[devices] = asyncio.run(bounded(devices))
        except (PassfleetError, TimeoutError, RuntimeError) as error:
            why = str(error) or "no time was left"
            print(f"{devices:,} devices, {what}: not measured: {why}", file=sys.stderr)
    return found


# -- the table ------------------------------------------------------------------------------------

OWN_COLUMNS = [
    ("connected in, s", "seconds", "{:.2f}"),
    ("CPU to connect one, us", "connect_us", "{:.0f}"),
    ("memory a device, KiB", "kib", "{:.1f}"),
    ("CPU a reset, us", "reset_us", "{:.0f}"),
    ("reset p50, ms", "p50_ms", "{:.0f}"),
    ("reset p99, ms", "p99_ms", "{:.0f}"),
    ("lost or not done", "bad", "{:.0f}"),
]
SHARED_COLUMNS = [
    ("ready in, s", "seconds", "{:.1f}"),
    ("CPU to ready one, us", "connect_us", "{:.0f}"),
    ("memory a device, KiB", "kib", "{:.2f}"),
    ("a command answered by all in, s", "all_s", "{:.1f}"),
    ("CPU to answer it, us", "command_us", "{:.0f}"),
    ("memory of it, KiB", "more_kib", "{:.2f}"),
    ("did not answer", "bad", "{:.0f}"),
]


def table(first: str, columns: list[tuple[str, str, str]], found: Measured) -> str:
    """Return the figures as a Markdown table with one row per size."""
    lines = [
        f"| {first} | " + " | ".join(title for title, _, _ in columns) + " |",
        "|---:" * (len(columns) + 1) + "|",
    ]
    lines += [
        f"| {devices:,} | " + " | ".join(form.format(row[name]) for _, name, form in columns) + " |"
        for devices, row in found.items()
    ]
    return "\n".join(lines)


def machine() -> str:
    """Return broker, Python version and hardware of this measurement."""
    version = subprocess.run(["mosquitto", "-h"], capture_output=True, text=True, check=False)
    broker = " ".join(["Mosquitto", *version.stdout.split()[2:3]])
    cpu = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        cpu = names[0] if names else cpu
    return (
        f"{broker}, Python {platform.python_version()}, {platform.system()}"
        f" {platform.machine()}, {os.cpu_count()} cores ({cpu}), one worker"
    )


# -- the chart ------------------------------------------------------------------------------------

WIDTH, HEIGHT = 400, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 34, 44, 38
INSET = 18
STYLE = """
  .page { fill: #ffffff } text { fill: #1f2328; font: 12px system-ui, sans-serif }
  .value { paint-order: stroke; stroke: #ffffff; stroke-width: 3px }
  .title { font-weight: 600; font-size: 13px } .small { fill: #59636e; font-size: 11px }
  .grid { stroke: #d1d9e0 } .line { fill: none; stroke-width: 2 }
  .own { stroke: #0969da } .own-dot { fill: #0969da }
  .shared { stroke: #bc4c00 } .shared-dot { fill: #bc4c00 }
  .goal { stroke: #bc4c00; stroke-dasharray: 4 4 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } text { fill: #f0f6fc } .small { fill: #9198a1 }
    .value { stroke: #0d1117 } .grid { stroke: #3d444d }
    .own { stroke: #4493f8 } .own-dot { fill: #4493f8 }
    .shared, .goal { stroke: #f0883e } .shared-dot { fill: #f0883e }
  }
"""


def ceiling(highest: float) -> float:
    """Return a round number above the highest value."""
    unit = 10.0 ** math.floor(math.log10(highest))
    return next(
        unit * step
        for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12)
        if unit * step >= highest * 1.1
    )


def panel(
    at: tuple[int, int],
    title: str,
    lines: list[tuple[str, list[tuple[int, float]]]],
    goal: float | None = None,
) -> list[str]:
    """Return one plot: devices on a logarithmic axis, the figure on a linear axis from zero."""
    points = [point for _, line in lines for point in line]
    if not points:
        return []
    top = ceiling(max(value for _, value in points))
    few = math.log10(min(n for n, _ in points))
    many = math.log10(max(n for n, _ in points))

    def x(devices: int) -> float:
        share = (math.log10(devices) - few) / (many - few) if many > few else 0.5
        return LEFT + INSET + share * (WIDTH - LEFT - RIGHT - INSET)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    made = [f'<g transform="translate({at[0]} {at[1]})">']
    made.append(f'<text class="title" x="{LEFT - 40}" y="22">{escape(title)}</text>')
    for quarter in (0, 0.5, 1):
        line = y(top * quarter)
        made.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{line:.1f}" y2="{line:.1f}"/>'
            f'<text class="small" x="{LEFT - 6}" y="{line + 4:.1f}" text-anchor="end">'
            f"{top * quarter:.4g}</text>"
        )
    made += [
        f'<text class="small" x="{x(devices):.1f}" y="{HEIGHT - BOTTOM + 18}"'
        f' text-anchor="middle">{devices:,}</text>'
        for devices in sorted({n for n, _ in points})
    ]
    if goal is not None:
        made.append(
            f'<line class="goal" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(goal):.1f}"'
            f' y2="{y(goal):.1f}"/>'
        )
    for name, line_points in lines:
        path = " ".join(f"{x(n):.1f},{y(value):.1f}" for n, value in line_points)
        made.append(f'<polyline class="line {name}" points="{path}"/>')
        made += [
            f'<circle class="{name}-dot" cx="{x(n):.1f}" cy="{y(value):.1f}" r="3.5"/>'
            f'<text class="value" x="{x(n):.1f}" y="{y(value) - 8:.1f}" text-anchor="middle">'
            f"{value:.3g}</text>"
            for n, value in line_points
        ]
    return [*made, "</g>"]


def picture(owned: Measured, behind: Measured, where: str) -> str:
    """Return all plots as one self-contained SVG."""

    def line(found: Measured, name: str, kind: str = "own") -> tuple[str, list[tuple[int, float]]]:
        return kind, [(devices, row[name]) for devices, row in found.items()]

    width, height = 2 * WIDTH, 2 * HEIGHT + 54
    both = [line(owned, "kib"), line(behind, "kib", "shared")]
    body = [
        *panel((0, 0), "To connect, ms a device", [line(owned, "ms")]),
        *panel((WIDTH, 0), "Memory a device, KiB", both, GOAL_KIB),
        *panel((0, HEIGHT), "CPU a reset, µs", [line(owned, "reset_us")]),
        *panel((WIDTH, HEIGHT), f"Reset p99, ms, {IN_FLIGHT} in flight", [line(owned, "p99_ms")]),
    ]
    under = 2 * HEIGHT + 18
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            "<title>Cost of a device by the number of devices</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{width}" height="{height}"/>',
            *body,
            f'<circle class="own-dot" cx="18" cy="{under - 4}" r="4"/>',
            f'<text x="28" y="{under}">connections of their own</text>',
            f'<circle class="shared-dot" cx="208" cy="{under - 4}" r="4"/>',
            f'<text x="218" y="{under}">behind one connection; dashed: the goal for it</text>',
            f'<text class="small" x="12" y="{under + 22}">{escape(where)}</text>',
            "</svg>",
            "",
        ]
    )


def main() -> int:
    """Measure, print and draw; returns 1 if a measurement failed or a device did not answer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=90.0, help="time limit of the whole run")
    parser.add_argument("--own", type=int, nargs="*", default=OWN, metavar="DEVICES")
    parser.add_argument("--shared", type=int, nargs="*", default=SHARED, metavar="DEVICES")
    parser.add_argument("--svg", type=Path, help="file for the chart")
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    until = time.monotonic() + args.seconds
    where = machine()
    print(f"\n{where}; {IN_FLIGHT} resets in flight\n", flush=True)
    owned = sizes("own connections", args.own, own, until)
    print(table("devices", OWN_COLUMNS, owned) + "\n", flush=True)
    behind = sizes("shared connection", args.shared, shared, until)
    print(table("devices, one connection", SHARED_COLUMNS, behind), flush=True)
    if args.svg and owned:
        args.svg.write_text(picture(owned, behind, where), encoding="utf-8")
    rows = [*owned.values(), *behind.values()]
    missing = len(rows) < len(args.own) + len(args.shared)
    return int(missing or any(row["bad"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
