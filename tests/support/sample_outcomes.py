"""Sample outcomes for reports: one failed scenario, and one that ended with a problem."""

from __future__ import annotations

from scenarios.model.outcome import (
    Failure,
    Lane,
    ScenarioOutcome,
    Status,
    StepOutcome,
    TimelineEvent,
    WireMessage,
)

START = 1_449_778_747_000
MINUTE = 60_000
CANARY = "c4n4ry-2580"
STATE = {
    "deviceId": "phone",
    "platform": "ios",
    "locked": True,
    "passcode": "none",
    "compliance": "inGracePeriod",
    "passcodeDeadline": "2015-12-10T21:21:07Z",
    "version": 2,
}


def event(at: int, lane: Lane, kind: str, text: str, step: int, **more: object) -> TimelineEvent:
    device = None if lane is Lane.PORTAL else "phone"
    actor = "portal" if lane is Lane.PORTAL else None
    return TimelineEvent(
        at=START + at,
        lane=lane,
        kind=kind,
        text=text,
        step=step,
        actor=actor,
        device=device,
        document=more or None,
    )


HAPPENINGS = (
    event(0, Lane.WIRE, "presence", "online", 0, status="online", session=1),
    event(0, Lane.PORTAL, "sign_in", "signs in as alex", 1, user="alex"),
    event(0, Lane.PORTAL, "select_device", "selects phone", 2, device="phone"),
    event(0, Lane.PORTAL, "reset_passcode", "asks for a passcode reset", 3),
    event(0, Lane.PORTAL, "screen", "Sign in again to confirm that it is you", 3),
    event(0, Lane.PORTAL, "sign_out", "signs out", 5),
    event(2 * MINUTE, Lane.PORTAL, "sign_in", "signs in as alex", 7, user="alex"),
    event(2 * MINUTE, Lane.PORTAL, "reset_passcode", "confirms the reset", 8),
    event(2 * MINUTE, Lane.WIRE, "commands", "resetPasscode c-1", 8, actionName="resetPasscode"),
    event(
        2 * MINUTE + 2000,
        Lane.DEVICE,
        "state",
        "passcode none, in grace until 21:21:07",
        10,
        **STATE,
    ),
    event(
        2 * MINUTE + 2000,
        Lane.DEVICE,
        "notifications",
        "Passcode Requirement: You must change your passcode within 60 minutes.",
        10,
        buttons=["changeNow", "later"],
    ),
    event(
        2 * MINUTE + 2000,
        Lane.WIRE,
        "results",
        "resetPasscode done: Passcode successfully reset",
        10,
        actionState="done",
        newPasscode=None,
    ),
    event(2 * MINUTE + 2000, Lane.PORTAL, "status", "done: Passcode successfully reset", 10),
    event(2 * MINUTE + 2000, Lane.DEVICE, "inputs", "swipes up: the device opened", 12),
    event(62 * MINUTE + 2000, Lane.DEVICE, "state", "noncompliant", 13, **STATE),
    event(63 * MINUTE + 2000, Lane.DEVICE, "state", "passcode user, compliant", 15, **STATE),
)

STEPS = (
    ("portal.sign_in", "{user: alex}"),
    ("portal.select_device", "{device: phone}"),
    ("portal.reset_passcode", "{}"),
    ("expect.portal", "{screen: signInAgain}"),
    ("portal.sign_out", "{}"),
    ("wait", "2m"),
    ("portal.sign_in", "{user: alex}"),
    ("portal.reset_passcode", "{}"),
    ("expect.portal", "{status: pending}"),
    ("expect.portal", "{status: done, newPasscode: absent, within: 5m}"),
    ("expect.device", "{device: phone, passcode: none, compliance: inGracePeriod}"),
    ("user.swipe_up", "{device: phone}"),
    ("wait", "61m"),
    ("expect.device", "{device: phone, compliance: noncompliant}"),
    ("user.set_passcode", "{device: phone, passcode: •••}"),
    ("expect.device", "{device: phone, passcode: user, compliance: compliant}"),
)


def steps(failed: int | None = None) -> tuple[StepOutcome, ...]:
    found = []
    for number, (name, arguments) in enumerate(STEPS, 1):
        before = [h.at for h in HAPPENINGS if h.step <= number]
        status = Status.PASSED
        if failed is not None and number >= failed:
            status = Status.FAILED if number == failed else Status.SKIPPED
        failure = None
        if status is Status.FAILED:
            failure = Failure(
                path="flows/ios-reset.yaml",
                line=number + 8,
                column=5,
                expected="compliance: noncompliant",
                seen="compliance: inGracePeriod <script>alert(1)</script>",
                messages=HAPPENINGS[-7:-2],
            )
        found.append(
            StepOutcome(
                number=number,
                name=name,
                text=f"{name}: {arguments}",
                line=number + 8,
                status=status,
                began=before[-1],
                ended=before[-1],
                failure=failure,
            )
        )
    return tuple(found)


def outcome(name: str, failed: int | None = None, problem: str | None = None) -> ScenarioOutcome:
    slug = name.lower().replace(" ", "-")
    ended = HAPPENINGS[-1].at if failed is None else HAPPENINGS[-2].at
    return ScenarioOutcome(
        name=name,
        path=f"flows/{slug}.yaml",
        line=1,
        source="Company Portal documentation, 2017-01",
        status=Status.PASSED if failed is None and problem is None else Status.FAILED,
        steps=steps(failed),
        began=START,
        ended=ended,
        seconds=0.0412,
        problem=problem,
        devices=(("phone", "iOS", "standalone"),),
        events=HAPPENINGS if failed is None else HAPPENINGS[:-1],
        wire=(WireMessage(at=START, topic="devices/phone/inputs", payload=CANARY.encode()),),
    )


def sample() -> list[ScenarioOutcome]:
    return [
        outcome("iOS self-service reset"),
        outcome("iOS grace runs out", failed=14),
        outcome("Android temporary passcode"),
        outcome("Broker away", problem="the connection to the broker was lost"),
        outcome("Windows RT asks the IT admin"),
    ]
