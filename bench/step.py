"""What one step of the state machine costs, and what one device's state weighs.

    PYTHONPATH=. python bench/step.py [--json] [--profile]

Microseconds are of the fastest of many short rounds: what the machine takes when nothing disturbs
it. The goal for a remote lock is 20.
"""

from __future__ import annotations

import cProfile
import gc
import json
import pstats
import sys
import tracemalloc
from collections.abc import Callable
from time import perf_counter

from agent.draws import DeviceDraws
from agent.events import Command, Input, InputAction
from agent.machine import enroll, first_state, step
from agent.passcode import PasscodePolicy
from agent.state import DeviceState, GroupSetup
from platforms import PLATFORMS_BY_ID
from platforms.profile import Action

NOW = 1_449_778_747_000
STEPS = 250
ROUNDS = 100
DEVICES = 2_000
DRAWS = DeviceDraws(7, "d-1")
GOAL = 20.0


def device(platform: str, device_id: str = "d-1") -> DeviceState:
    """A device with a passcode and a policy, open in its user's hand."""
    policy = PasscodePolicy(min_length=6, history=5, max_inactivity_minutes=5)
    setup = SETUPS.setdefault(
        platform, GroupSetup(name="phones", profile=PLATFORMS_BY_ID[platform], policy=policy)
    )
    state = first_state(enroll(device_id, "alex", setup, "Gn4vQ81x", DRAWS), NOW)
    entered = Input("i-0", InputAction.ENTER_PASSCODE, passcode="Gn4vQ81x")
    return step(state, entered, NOW, DRAWS)[0]


SETUPS: dict[str, GroupSetup] = {}


def remembering(state: DeviceState) -> DeviceState:
    """The same device with its memory of results full."""
    for n in range(40):
        command = Command(f"earlier-{n}", Action.SYNC_DEVICE)
        state, _ = step(state, command, NOW, DRAWS)
    return state


def fastest(state: DeviceState, commands: list[Command]) -> float:
    """Microseconds for one step, each from the same state."""
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
    """As many commands, none of which the device knows."""
    return [Command(f"c-{n}", action) for n in range(STEPS)]


def measure() -> dict[str, float]:
    """All figures, microseconds a step."""
    open_phone = remembering(device("android"))
    locked, _ = step(open_phone, Command("lock", Action.REMOTE_LOCK), NOW, DRAWS)
    done, _ = step(open_phone, Command("again", Action.REMOTE_LOCK), NOW, DRAWS)
    return {
        "remoteLock": fastest(open_phone, commands(Action.REMOTE_LOCK)),
        "remoteLock, locked already": fastest(locked, commands(Action.REMOTE_LOCK)),
        "resetPasscode on android": fastest(open_phone, commands(Action.RESET_PASSCODE)),
        "duplicate, the last result": fastest(done, [Command("again", Action.REMOTE_LOCK)] * STEPS),
        "duplicate, the oldest result": fastest(
            done, [Command(done.results[0].command_id, Action.SYNC_DEVICE)] * STEPS
        ),
    }


def weigh(make: Callable[[str], DeviceState]) -> float:
    """Bytes a device, its enrollment included, what its group shares not."""
    make("warm-up")
    gc.collect()
    tracemalloc.start()
    kept = [make(f"device-{n:06}") for n in range(DEVICES)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / len(kept)


def main() -> None:
    """Print the figures."""
    steps = measure()
    weights = {
        "fresh": weigh(lambda device_id: device("android", device_id)),
        "with 32 results": weigh(lambda device_id: remembering(device("android", device_id))),
    }
    if "--json" in sys.argv:
        print(json.dumps({"microseconds": steps, "bytes": weights}))
        return
    for name, microseconds in steps.items():
        print(f"{name:32} {microseconds:8.1f} us")
    for name, size in weights.items():
        print(f"{'DeviceState, ' + name:32} {size:8.0f} bytes")
    met = steps["remoteLock"] < GOAL
    print(f"goal: remoteLock below {GOAL:.0f} us: {'met' if met else 'missed'}")
    if "--profile" in sys.argv:
        profiler, state = cProfile.Profile(), remembering(device("android"))
        profiler.runcall(lambda: [step(state, c, NOW, DRAWS) for c in commands(Action.REMOTE_LOCK)])
        pstats.Stats(profiler).sort_stats("tottime").print_stats(14)


if __name__ == "__main__":
    main()
