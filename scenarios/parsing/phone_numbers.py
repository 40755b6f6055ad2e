"""Check of the telephone numbers in a scenario: each number belongs to one device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from broker.file_validation import Problem
from scenarios.actors.account_steps import Phone, Register
from scenarios.model.scenario import ActorStep, Step

__all__ = ["phone_problems"]

_FIELDS = {
    "authentication_phone": "authenticationPhone",
    "mobile_phone": "mobilePhone",
    "office_phone": "officePhone",
}


def phone_problems(
    steps: Sequence[Step], owners: Mapping[str, str], users: Sequence[str]
) -> Iterator[Problem]:
    """Yield a Problem for each number that is registered for a second device.

    `owners` maps device names to users. Without `device` a number belongs to the first device of
    the user who registers it; without `user` to the only one of `users`.
    """
    devices: dict[str, str] = {}
    for step in steps:
        if not isinstance(step.operation, ActorStep):
            continue
        register = step.operation.arguments
        if not isinstance(register, Register):
            continue
        user = register.user or (users[0] if len(users) == 1 else None)
        own = next((name for name, owner in owners.items() if owner == user), None)
        for field, key in _FIELDS.items():
            phone: Phone | None = getattr(register, field)
            device = None if phone is None else phone.device or own
            if phone is None or device is None:
                continue
            first = devices.setdefault(phone.digits, device)
            if first != device:
                yield Problem(
                    ("steps", step.number - 1, step.name, key),
                    f"this is the telephone number of {first}, and not of {device}",
                    "a number of its own for each device",
                    f"add device: {first} if this phone is meant",
                )
