"""One device, one event, and what comes of it: for the tests that look at every field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent.effects import (
    AcknowledgeDelivery,
    PublishAnswer,
    PublishResult,
)
from agent.events import Command, Input, InputAction
from agent.machine import step
from agent.passcode import PasscodePolicy
from agent.random_stream import DeviceRandomStream
from agent.state import (
    ActionState,
    DeviceState,
    InputAnswer,
    Result,
)
from platforms import PLATFORMS_BY_ID
from platforms.profile import (
    Action,
    PlatformProfile,
)
from tests.support.device_harness import MINUTE, SECOND, START, Rig

LATER = START + 5 * SECOND
DRAWS = DeviceRandomStream(7, "d-1")
IOS, ANDROID = PLATFORMS_BY_ID["ios"], PLATFORMS_BY_ID["android"]
WP81, W10M = PLATFORMS_BY_ID["windows_phone_8_1"], PLATFORMS_BY_ID["windows_10_mobile"]


def device(platform: str | PlatformProfile = "ios", **more: Any) -> DeviceState:
    """A device that was just enrolled."""
    return Rig(platform, **more).state


def opened(state: DeviceState) -> DeviceState:
    return replace(state, locked=False)


def past_deadline(**more: Any) -> DeviceState:
    """An iOS device past its grace, without a passcode."""
    rig = Rig("ios", **more)
    rig.send("resetPasscode")
    rig.advance(60 * MINUTE)
    return rig.state


def wiped() -> DeviceState:
    rig = Rig("android", policy=PasscodePolicy(max_failed_attempts=1))
    assert rig.press("enterPasscode", "wrong").state == "failed"
    return rig.state


def press(state: DeviceState, action: str, **more: Any) -> tuple[DeviceState, InputAnswer]:
    after, effects = step(state, Input("i", InputAction(action), **more), LATER, DRAWS)
    (answer,) = (e.answer for e in effects if isinstance(e, PublishAnswer))
    return after, answer


def do(state: DeviceState, action: Action, **more: Any) -> tuple[DeviceState, Result]:
    after, effects = step(state, Command("c", action, delivery="d", **more), LATER, DRAWS)
    (result,) = (e.result for e in effects if isinstance(e, PublishResult))
    assert AcknowledgeDelivery("d") in effects
    return after, result


DONE, FAILED = ActionState.DONE, ActionState.FAILED
NOT_SUPPORTED = ActionState.NOT_SUPPORTED
TOUCH: dict[str, Any] = {"biometrics": ("touchId",)}
