"""One device without a wire: a rig that feeds `step` and keeps the timers it asks for."""

from __future__ import annotations

from typing import Any

from agent.effects import (
    ArmTimer,
    CancelTimer,
    Effect,
    PublishAnswer,
    PublishEscrow,
    PublishNotification,
    PublishResult,
    PublishState,
)
from agent.events import (
    Command,
    Event,
    Input,
    InputAction,
    MessageArrived,
    MessageKind,
    Simulate,
    Simulation,
    TimerFired,
)
from agent.machine import enroll, first_state, step, timers
from agent.passcode import PasscodePolicy, reveal
from agent.random_stream import DeviceRandomStream
from agent.state import DeviceState, GroupSetup, InputAnswer, Result, Timer
from platforms import PLATFORMS_BY_ID
from platforms.profile import Action, Biometric, Management, PlatformProfile

START = 1_449_778_747_000
SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

FIRST = "Gn4vQ81x"
"""The passcode a device starts with, unless a test says otherwise."""
OTHER = "Tz6kM37w"
THIRD = "Rw9bJ52y"


class Rig:
    """A device, the time, and the timers that are armed."""

    def __init__(
        self,
        platform: str | PlatformProfile = "ios",
        *,
        management: str = "standalone",
        passcode: str | None = FIRST,
        policy: PasscodePolicy | None = None,
        biometrics: tuple[str, ...] = (),
        reaction: tuple[int, int] = (0, 0),
        push_delay: tuple[int, int] = (0, 0),
        push_loss: float = 0.0,
        check_in: int | None = None,
        seed: int = 7,
    ) -> None:
        self.profile = PLATFORMS_BY_ID[platform] if isinstance(platform, str) else platform
        self.seed = seed
        self.draws = DeviceRandomStream(seed, "d-1")
        setup = GroupSetup(
            name="phones",
            profile=self.profile,
            management=Management(management),
            policy=policy,
            biometrics=frozenset(Biometric(b) for b in biometrics),
            reaction=reaction,
            push_delay=push_delay,
            push_loss=push_loss,
            check_in=check_in,
        )
        self.now = START
        self.enrollment = enroll("d-1", "alex", setup, passcode, self.draws)
        self.state: DeviceState = first_state(self.enrollment, self.now)
        self.armed: dict[Timer, int] = timers(self.state)
        self.effects: tuple[Effect, ...] = ()
        self.journal: list[tuple[int, Event, DeviceState, tuple[Effect, ...]]] = []
        self._commands = 0
        self._inputs = 0

    def happen(self, event: Event) -> tuple[Effect, ...]:
        """One event, now. What is armed must be what the state says it waits for."""
        self.state, effects = step(self.state, event, self.now, self.draws)
        for effect in effects:
            if isinstance(effect, ArmTimer):
                self.armed[effect.timer] = effect.at
            elif isinstance(effect, CancelTimer):
                self.armed.pop(effect.timer, None)
        assert self.armed == timers(self.state)
        self.effects = effects
        self.journal.append((self.now, event, self.state, effects))
        return effects

    def advance(self, milliseconds: int) -> tuple[Effect, ...]:
        """Let time pass; timers fire in order on the way."""
        end = self.now + milliseconds
        happened: list[Effect] = []
        while self.armed:
            at, timer = min((at, timer) for timer, at in self.armed.items())
            if at > end:
                break
            del self.armed[timer]
            self.now = max(self.now, at)
            happened += self.happen(TimerFired(timer))
        self.now = end
        return tuple(happened)

    def send(self, action: str, command_id: str | None = None, **more: Any) -> tuple[Effect, ...]:
        """A command arrives."""
        self._commands += 1
        command_id = command_id or f"c-{self._commands}"
        more.setdefault("delivery", f"delivery-{self._commands}")
        return self.happen(Command(command_id, Action(action), **more))

    def do(self, action: str, command_id: str | None = None, **more: Any) -> Result:
        """A command arrives, and its (last) result."""
        return results(self.send(action, command_id, **more))[-1].result

    def press(self, action: str, passcode: str | None = None, **more: Any) -> InputAnswer:
        """A press on the device, and its answer."""
        self._inputs += 1
        input_id = more.pop("input_id", f"i-{self._inputs}")
        self.happen(Input(input_id, InputAction(action), passcode=passcode, **more))
        (answer,) = (e for e in self.effects if isinstance(e, PublishAnswer))
        return answer.answer

    def reach(self, message_id: str, kind: str = "text") -> tuple[Effect, ...]:
        """A message or call reaches the device."""
        return self.happen(MessageArrived(message_id, MessageKind(kind), "+1 555 0100", "Hello"))

    def simulate(self, action: str) -> tuple[Effect, ...]:
        """The world does something to the device."""
        return self.happen(Simulate(Simulation(action)))

    def temporary(self) -> str:
        """The temporary passcode in clear that the last command told somebody."""
        refs = {e.passcode for e in self.effects if isinstance(e, PublishEscrow)}
        refs |= {r.result.passcode for r in results(self.effects) if r.result.passcode}
        (ref,) = refs
        return reveal(ref, self.draws)


def results(effects: tuple[Effect, ...]) -> list[PublishResult]:
    """The results among some effects."""
    return [e for e in effects if isinstance(e, PublishResult)]


def snapshots(effects: tuple[Effect, ...]) -> list[DeviceState]:
    """The states published among some effects."""
    return [e.state for e in effects if isinstance(e, PublishState)]


def screens(effects: tuple[Effect, ...]) -> list[PublishNotification]:
    """Notifications among some effects."""
    return [e for e in effects if isinstance(e, PublishNotification)]


def unlocked(rig: Rig, passcode: str | None = FIRST) -> Rig:
    """Device, opened by its user."""
    answer = rig.press("enterPasscode", passcode) if passcode else rig.press("swipeUp")
    assert answer.state == "done"
    return rig
