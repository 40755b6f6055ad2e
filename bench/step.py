"""Time of one step of the state machine, and memory of one device's state.

    PYTHONPATH=. python bench/step.py [--json] [--profile]
    PYTHONPATH=. python bench/step.py --against OTHER    # OTHER: a checkout, say of HEAD

Microseconds are those of the fastest of many short rounds, which other load disturbs least. Bytes
are allocations per device, averaged over 2,000 devices, with the enrollment and without the objects
shared by a group: fresh, and after 32 resets, each with a UUID and a temporary passcode. The goals
are 7 us for a remote lock, 16 us for a reset, and 5 KiB for 32 resets.

`--against` measures this checkout and another one alternately, three times, and prints the best
figures of both and their ratio.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import os
import pstats
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from uuid import UUID

from agent.events import Command, Input, InputAction
from agent.machine import enroll, first_state, step
from agent.passcode import PasscodePolicy
from agent.random_stream import DeviceRandomStream
from agent.state import DeviceState, GroupSetup
from platforms import PLATFORMS_BY_ID
from platforms.profile import Action

HERE = Path(__file__).resolve().parent.parent
NOW = 1_449_778_747_000
STEPS = 250
ROUNDS = 100
DEVICES = 2_000
TURNS = 3
DRAWS = DeviceRandomStream(7, "d-1")
GOALS = {"remoteLock, us": 7.0, "resetPasscode on android, us": 16.0, "32 resets more, bytes": 5120}

Figures = dict[str, float]


def device(platform: str, device_id: str = "d-1") -> DeviceState:
    """Return an unlocked device with a passcode and a policy."""
    policy = PasscodePolicy(min_length=6, history=5, max_inactivity_minutes=5)
    setup = SETUPS.setdefault(
        platform, GroupSetup(name="phones", profile=PLATFORMS_BY_ID[platform], policy=policy)
    )
    state = first_state(enroll(device_id, "alex", setup, "Gn4vQ81x", DRAWS), NOW)
    entered = Input("i-0", InputAction.ENTER_PASSCODE, passcode="Gn4vQ81x")
    return step(state, entered, NOW, DRAWS)[0]


SETUPS: dict[str, GroupSetup] = {}


def remembering(state: DeviceState) -> DeviceState:
    """Return the device with the maximum number of stored results."""
    for n in range(40):
        command = Command(f"earlier-{n}", Action.SYNC_DEVICE)
        state, _ = step(state, command, NOW, DRAWS)
    return state


def reset(state: DeviceState, number: int) -> DeviceState:
    """Return the device after 32 resets; `number` makes its command ids unique."""
    for n in range(32):
        command = Command(str(UUID(int=number << 64 | n)), Action.RESET_PASSCODE)
        state, _ = step(state, command, NOW + 1_000 * n + number, DRAWS)
    return state


def fastest(state: DeviceState, commands: list[Command]) -> float:
    """Return the microseconds of one step from `state`."""
    best = float("inf")
    gc.disable()
    for _ in range(ROUNDS):
        began = perf_counter()
        for command in commands:
            step(state, command, NOW, DRAWS)
        best = min(best, perf_counter() - began)
    gc.enable()
    return best / len(commands) * 1e6


def commands(action: Action) -> list[Command]:
    """Return `STEPS` commands with new ids."""
    return [Command(f"c-{n}", action) for n in range(STEPS)]


def microseconds() -> Figures:
    """Measure the steps, in microseconds."""
    open_phone = remembering(device("android"))
    locked, _ = step(open_phone, Command("lock", Action.REMOTE_LOCK), NOW, DRAWS)
    done, _ = step(open_phone, Command("again", Action.REMOTE_LOCK), NOW, DRAWS)
    return {
        "remoteLock, us": fastest(open_phone, commands(Action.REMOTE_LOCK)),
        "remoteLock, locked already, us": fastest(locked, commands(Action.REMOTE_LOCK)),
        "resetPasscode on android, us": fastest(open_phone, commands(Action.RESET_PASSCODE)),
        "duplicate, the last result, us": fastest(
            done, [Command("again", Action.REMOTE_LOCK)] * STEPS
        ),
        "duplicate, the oldest result, us": fastest(
            done, [Command(done.results[0].command_id, Action.SYNC_DEVICE)] * STEPS
        ),
    }


def weigh(make: Callable[[int], DeviceState]) -> float:
    """Return the bytes per device, with its enrollment, without the objects of its group."""
    make(DEVICES)
    gc.collect()
    tracemalloc.start()
    kept = [make(n) for n in range(DEVICES)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / len(kept)


def measure() -> Figures:
    """Measure all figures of this checkout."""
    fresh = weigh(lambda n: device("android", f"device-{n:06}"))
    full = weigh(lambda n: reset(device("android", f"device-{n:06}"), n))
    return {**microseconds(), "fresh, bytes": fresh, "32 resets more, bytes": full - fresh}


def compare(other: Path) -> None:
    """Compare this checkout with another one, measured alternately."""
    found: dict[Path, list[Figures]] = {HERE: [], other: []}
    for _ in range(TURNS):
        for tree, figures in found.items():
            ran = subprocess.run(
                [sys.executable, __file__, "--json"],
                env={**os.environ, "PYTHONPATH": str(tree)},
                cwd=tree,
                stdout=subprocess.PIPE,
                check=True,
            )
            figures.append(json.loads(ran.stdout))
    for name in found[HERE][0]:
        mine, theirs = (min(figures[name] for figures in found[tree]) for tree in (HERE, other))
        print(f"{name:34} {theirs:8.1f} there {mine:8.1f} here {mine / theirs:6.2f}")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--against", type=Path)
    arguments = parser.parse_args()
    if arguments.against:
        compare(arguments.against.resolve())
        return
    figures = measure()
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        goal = GOALS.get(name)
        met = "" if goal is None else f"  goal {goal:.0f}: {'met' if figure <= goal else 'missed'}"
        print(f"{name:34} {figure:8.1f}{met}")
    if arguments.profile:
        profiler, state = cProfile.Profile(), remembering(device("android"))
        profiler.runcall(lambda: [step(state, c, NOW, DRAWS) for c in commands(Action.REMOTE_LOCK)])
        pstats.Stats(profiler).sort_stats("tottime").print_stats(14)


if __name__ == "__main__":
    main()
