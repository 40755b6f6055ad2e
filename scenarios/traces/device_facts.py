"""Device facts in a trace that the published state does not contain.

The behaviour of a device depends on its published state, its setup (`DeviceSetup`, which never
changes) and its memory (`DeviceMemory`, at one instant). Neither contains a passcode: both describe
a passcode by its character pattern, like the placeholders of a trace.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from agent.definition.device import parse_version
from agent.passcode import PasscodePolicy
from agent.payloads import policy_of, policy_payload
from agent.state import DeviceState, GroupSetup, Prompt, Secret
from broker.contract import Instant, Policy
from platforms.profile import AdminMode, Attributes, Biometric, Management, PlatformProfile
from scenarios.traces.placeholders import PASSCODE, pattern_from_traits

__all__ = [
    "DeviceFacts",
    "DeviceMemory",
    "DeviceSetup",
    "TraceAttributes",
    "TraceModel",
    "TraceSecret",
    "collect_device_facts",
]


_Milliseconds = Annotated[int, Field(ge=0)]


class TraceModel(BaseModel):
    """Base model of trace lines: camelCase keys, no unknown keys, no values in errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
    )


class TraceSecret(TraceModel):
    """Character pattern of a passcode: see `scenarios.traces.placeholders`."""

    like: str = Field(max_length=256)
    simple: bool = False

    def placeholder(self, number: int) -> dict[str, Any]:
        """Return a placeholder; `number` must not occur in the trace."""
        return {PASSCODE: number, "like": self.like, "simple": self.simple}


class TraceAttributes(TraceModel):
    """Attributes of a device. `os_version` is a text such as `10.0.15063`, or None."""

    os_version: str | None = None
    api_level: int | None = None
    supervised: bool | None = None
    azure_ad_joined: bool | None = None
    managed_by: AdminMode | None = None
    target_sdk: int | None = None
    pin_recovery: bool | None = None

    @field_validator("os_version")
    @classmethod
    def _is_version(cls, text: str | None) -> str | None:
        if text is not None:
            parse_version(text)
        return text

    def attributes(self) -> Attributes:
        """Return the attributes as the type that `platforms` uses."""
        version = () if self.os_version is None else parse_version(self.os_version)
        return Attributes(**{**dict(self), "os_version": version})


class DeviceSetup(TraceModel):
    """Setup of a device: the parts of its group setup that the published state does not contain.

    `attributes` None means the attributes of the platform. `reaction` is (shortest, longest) in
    milliseconds. `passcode` is the passcode at enrollment, or None.
    """

    policy: Policy | None = None
    attributes: TraceAttributes | None = None
    biometrics: tuple[Biometric, ...] = ()
    reaction: tuple[_Milliseconds, _Milliseconds] = (0, 0)
    push_delay: tuple[_Milliseconds, _Milliseconds] = (0, 0)
    push_loss: float = Field(default=0.0, ge=0, le=1)
    check_in: int | None = Field(default=None, ge=1)
    passcode: TraceSecret | None = None

    def group_setup(self, state: Any, profile: PlatformProfile) -> GroupSetup:
        """Return the group setup of a device that published `state`."""
        return GroupSetup(
            name=state.group,
            profile=profile,
            management=Management(state.management),
            policy=None if self.policy is None else policy_of(self.policy),
            attributes=None if self.attributes is None else self.attributes.attributes(),
            biometrics=frozenset(self.biometrics),
            reaction=self.reaction,
            push_delay=self.push_delay,
            push_loss=self.push_loss,
            check_in=self.check_in,
        )


class DeviceMemory(TraceModel):
    """Memory of a device at one instant: the parts that the published state does not contain.

    `passcode` is the current passcode, or None; `as_enrolled` is True if it is still the passcode
    set at enrollment. `resets` and `notifications` are the counts so far. `call` is the sender of
    an incoming call, or None.
    """

    passcode: TraceSecret | None = None
    as_enrolled: bool = True
    prompt: Literal["none", "shown", "hidden"] = "none"
    retry_at: Instant | None = None
    auto_lock_at: Instant | None = None
    open_until: Instant | None = None
    push_at: Instant | None = None
    check_in_at: Instant | None = None
    passcode_set_at: Instant
    passcode_expires_at: Instant | None = None
    resets: int = Field(default=0, ge=0)
    notifications: int = Field(default=0, ge=0)
    call: str | None = None

    def fields(self) -> dict[str, Any]:
        """Return the fields to copy unchanged into an `agent.state.DeviceState`."""
        return {
            **{name: getattr(self, name) for name in _COPIED_FIELDS},
            "prompt": Prompt(self.prompt),
        }


_COPIED_FIELDS: Final = (
    "retry_at",
    "auto_lock_at",
    "open_until",
    "push_at",
    "check_in_at",
    "passcode_set_at",
    "passcode_expires_at",
    "resets",
    "notifications",
    "call",
)


class DeviceFacts(TraceModel):
    """Setup and memory of one device. `policy` is the policy in force."""

    device_id: str
    policy: Policy | None = None
    setup: DeviceSetup
    memory: DeviceMemory


def collect_device_facts(state: DeviceState) -> DeviceFacts:
    """Return the facts of a device in this state."""
    enrollment = state.enrollment
    setup = enrollment.setup
    return DeviceFacts(
        device_id=enrollment.device_id,
        policy=_policy(state.policy),
        setup=DeviceSetup(
            policy=_policy(setup.policy),
            attributes=None if setup.attributes is None else _attributes(setup.attributes),
            biometrics=tuple(sorted(setup.biometrics)),
            reaction=setup.reaction,
            push_delay=setup.push_delay,
            push_loss=setup.push_loss,
            check_in=setup.check_in,
            passcode=_secret(enrollment.first),
        ),
        memory=DeviceMemory(
            passcode=_secret(state.secret),
            as_enrolled=_digest(state.secret) == _digest(enrollment.first),
            prompt=state.prompt.value,
            **{name: getattr(state, name) for name in _COPIED_FIELDS},
        ),
    )


def _policy(policy: PasscodePolicy | None) -> Policy | None:
    return None if policy is None else policy_payload(policy)


def _attributes(attributes: Attributes) -> TraceAttributes:
    return TraceAttributes(
        os_version=".".join(map(str, attributes.os_version)) or None,
        api_level=attributes.api_level,
        supervised=attributes.supervised,
        azure_ad_joined=attributes.azure_ad_joined,
        managed_by=attributes.managed_by,
        target_sdk=attributes.target_sdk,
        pin_recovery=attributes.pin_recovery,
    )


def _secret(secret: Secret | None) -> TraceSecret | None:
    if secret is None:
        return None
    return TraceSecret(like=pattern_from_traits(secret.traits), simple=secret.traits.simple)


def _digest(secret: Secret | None) -> bytes | None:
    return None if secret is None else secret.digest
