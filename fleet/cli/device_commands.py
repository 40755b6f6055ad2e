"""The operator's commands: their arguments and help. What they do stands in modules beside it.

Those are imported when a command runs and not before: `passfleet --help` needs none of them.
"""

# options have defaults, and imports their moment# ruff: noqa: FBT002, PLC0415  # options have defaults, and imports their moment
from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from fleet.cli.console import BrokerOption, JsonOption, RootOption, run_async
from fleet.cli.options import (
    AllOption,
    AsOption,
    FleetLocation,
    GroupOption,
    IssuedBy,
    PlatformOption,
    Selection,
    TargetsArgument,
    TimeoutOption,
)

__all__ = ["register"]

_PANEL = "A running fleet"
_clock = typer.Typer(no_args_is_help=True, help="The fleet's time.")


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    commands = (
        (reset, "reset", "passfleet reset 'ios-*'"),
        (lock, "lock", "passfleet lock --group phones"),
        (sync, "sync", "passfleet sync --all --json"),
        (policy, "policy", "passfleet policy --all --min-length 6 --require-alphanumeric"),
        (devices, "devices", "passfleet devices --platform ios"),
        (show, "show", "passfleet show ios-001"),
        (watch, "watch", "passfleet watch --device 'ios-*' --for 30s"),
        (tap, "tap", "passfleet tap ios-001 set-passcode --passcode 4826"),
        (simulate, "simulate", "passfleet simulate offline --group flaky"),
        (clean, "clean", "passfleet clean --broker mqtt://localhost:1883 --fleet fleet.toml"),
    )
    for function, name, example in commands:
        app.command(name, epilog=f"Example: {example}", rich_help_panel=_PANEL)(function)
    _clock.command("now", epilog="Example: passfleet clock now")(clock_now)
    _clock.command("advance", epilog="Example: passfleet clock advance 61m")(clock_advance)
    epilog = "Example: passfleet clock advance 61m"
    app.add_typer(_clock, name="clock", epilog=epilog, rich_help_panel=_PANEL)


def _finish(main: Coroutine[Any, Any, int]) -> None:
    """Run a command and end with the exit code it gives."""
    code = run_async(main)
    if code:
        raise typer.Exit(code)


# -- commands ---------------------------------------------------------------------------------


def reset(
    targets: TargetsArgument = None,
    group: GroupOption = None,
    platform: PlatformOption = None,
    all_devices: AllOption = False,
    timeout: TimeoutOption = "30s",
    issued_by: AsOption = IssuedBy.ADMIN,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reset the passcode of devices and wait for every result."""
    chosen = Selection(tuple(targets or ()), group, platform, all_devices)
    location = FleetLocation(broker, root)
    _send("resetPasscode", location, chosen, timeout, issued_by, as_json=as_json)


def lock(
    targets: TargetsArgument = None,
    group: GroupOption = None,
    platform: PlatformOption = None,
    all_devices: AllOption = False,
    timeout: TimeoutOption = "30s",
    issued_by: AsOption = IssuedBy.ADMIN,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lock devices remotely and wait for every result."""
    chosen = Selection(tuple(targets or ()), group, platform, all_devices)
    location = FleetLocation(broker, root)
    _send("remoteLock", location, chosen, timeout, issued_by, as_json=as_json)


def sync(
    targets: TargetsArgument = None,
    group: GroupOption = None,
    platform: PlatformOption = None,
    all_devices: AllOption = False,
    timeout: TimeoutOption = "30s",
    issued_by: AsOption = IssuedBy.ADMIN,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let devices check in (Check status) and wait for every result."""
    chosen = Selection(tuple(targets or ()), group, platform, all_devices)
    location = FleetLocation(broker, root)
    _send("syncDevice", location, chosen, timeout, issued_by, as_json=as_json)


# Panels of their own: in one with all options, a terminal of 80 columns cuts the names of these.
_RULES = "Rules"
_YES_OR_NO = "Rules: whether it needs, whether it may have"


def _rule(words: str) -> Any:
    return typer.Option(min=0, metavar="N", help=words, rich_help_panel=_RULES)


def policy(
    targets: TargetsArgument = None,
    group: GroupOption = None,
    platform: PlatformOption = None,
    all_devices: AllOption = False,
    min_length: Annotated[int | None, _rule("How many characters a passcode has at least.")] = None,
    require_alphanumeric: Annotated[
        bool | None,
        typer.Option(
            "--require-alphanumeric/--no-require-alphanumeric",
            metavar="",
            help="letters, digits",
            rich_help_panel=_YES_OR_NO,
        ),
    ] = None,
    min_complex_characters: Annotated[
        int | None, _rule("How many complex characters it needs.")
    ] = None,
    allow_simple: Annotated[
        bool | None,
        typer.Option(
            "--allow-simple/--no-allow-simple",
            metavar="",
            help="1111 and 1234",
            rich_help_panel=_YES_OR_NO,
        ),
    ] = None,
    history: Annotated[int | None, _rule("How many former passcodes may not come again.")] = None,
    max_failed_attempts: Annotated[
        int | None, _rule("Wrong passcodes before the device wipes itself.")
    ] = None,
    max_inactivity_minutes: Annotated[
        int | None, _rule("Minutes after which the device locks itself.")
    ] = None,
    max_age_days: Annotated[int | None, _rule("Days after which a new passcode is due.")] = None,
    lift: Annotated[bool, typer.Option("--lift", help="Take the policy away.")] = False,
    timeout: TimeoutOption = "30s",
    issued_by: AsOption = IssuedBy.ADMIN,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Apply a passcode policy to devices and wait for every result."""
    from fleet.cli import send_request

    rules: dict[str, int | bool | None] = {
        "min_length": min_length,
        "require_alphanumeric": require_alphanumeric,
        "min_complex_characters": min_complex_characters,
        "allow_simple": allow_simple,
        "history": history,
        "max_failed_attempts": max_failed_attempts,
        "max_inactivity_minutes": max_inactivity_minutes,
        "max_age_days": max_age_days,
    }
    _finish(
        send_request.send(
            FleetLocation(broker, root),
            Selection(tuple(targets or ()), group, platform, all_devices),
            "applyPasscodePolicy",
            policy=send_request.policy_from_options(rules, lift=lift),
            issued_by=issued_by.value,
            limit=timeout,
            as_json=as_json,
        )
    )


def _send(
    action: str,
    location: FleetLocation,
    selection: Selection,
    timeout: str,
    issued_by: IssuedBy,
    *,
    as_json: bool,
) -> None:
    from fleet.cli import send_request

    _finish(
        send_request.send(
            location,
            selection,
            action,
            issued_by=issued_by.value,
            limit=timeout,
            as_json=as_json,
        )
    )


# -- looking ----------------------------------------------------------------------------------

DeviceArgument = Annotated[str, typer.Argument(metavar="DEVICE", help="The device's id.")]


def devices(
    group: GroupOption = None,
    platform: PlatformOption = None,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the devices: who is there, in what state."""
    from fleet.cli import inspect_devices

    selection = Selection(group=group, platform=platform)
    _finish(inspect_devices.list_devices(FleetLocation(broker, root), selection, as_json=as_json))


def show(
    device: DeviceArgument,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one device: its deadline, policy, last results and notifications."""
    from fleet.cli import inspect_devices

    _finish(inspect_devices.show(FleetLocation(broker, root), device, as_json=as_json))


def watch(
    device: Annotated[
        list[str] | None,
        typer.Option("--device", metavar="PATTERN", help="Only these: an id or a shell pattern."),
    ] = None,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="Stop by itself after this.")
    ] = None,
    show_passcodes: Annotated[
        bool, typer.Option("--show-passcodes", help="Print new passcodes as they are.")
    ] = False,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what the devices publish, live, until Ctrl-C."""
    from fleet.cli import inspect_devices

    _finish(
        inspect_devices.watch(
            FleetLocation(broker, root),
            tuple(device or ()),
            duration=duration,
            show_passcodes=show_passcodes,
            as_json=as_json,
        )
    )


# -- the thumb, the world, time ---------------------------------------------------------------


def tap(
    device: DeviceArgument,
    press: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="swipe-up, enter-passcode, set-passcode, change-now, later, use-biometric, "
            "enroll-biometric, sign-in, press-key or restart.",
        ),
    ],
    passcode: Annotated[
        str | None, typer.Option(help="For enter-passcode and set-passcode.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="For sign-in.")] = None,
    key: Annotated[str | None, typer.Option(help="For press-key: one of 0-9, * and #.")] = None,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="How long to wait for the answer.")
    ] = "10s",
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Press a button on a device, as its user would."""
    from fleet.cli import simulate_events

    _finish(
        simulate_events.tap(
            FleetLocation(broker, root),
            device,
            press,
            passcode=passcode,
            user=user,
            key=key,
            limit=timeout,
            as_json=as_json,
        )
    )


def simulate(
    action: Annotated[
        str,
        typer.Argument(
            metavar="ACTION", help="offline, online, dropConnection, crash, restart or restore."
        ),
    ],
    targets: TargetsArgument = None,
    group: GroupOption = None,
    platform: PlatformOption = None,
    all_devices: AllOption = False,
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="How long to wait until it can be seen.  \\[default: 15s, and 5ms a device]",
        ),
    ] = None,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the world do something to devices, and wait until it can be seen."""
    from fleet.cli import simulate_events

    selection = Selection(tuple(targets or ()), group, platform, all_devices)
    location = FleetLocation(broker, root)
    _finish(simulate_events.simulate(location, action, selection, limit=timeout, as_json=as_json))


def clock_now(
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the fleet's time."""
    from fleet.cli import simulate_events

    _finish(simulate_events.clock_now(FleetLocation(broker, root), as_json=as_json))


def clock_advance(
    duration: Annotated[
        str | None, typer.Argument(metavar="DURATION", help="How far: 30s, 61m, 2h.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Where to: 2015-12-10T21:20:00Z.")
    ] = None,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="How long the fleet may take, in real time.")
    ] = "60s",
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move virtual time; returns once all that was due has happened."""
    from fleet.cli import simulate_events

    location = FleetLocation(broker, root)
    _finish(simulate_events.clock_advance(location, duration, to, limit=timeout, as_json=as_json))


def clean(
    fleet: Annotated[
        Path | None,
        typer.Option("--fleet", metavar="FILE", help="Also end the sessions of its devices."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even if devices are online; they are thrown out.")
    ] = False,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a fleet's retained messages and sessions from a broker."""
    from fleet.cli import simulate_events

    _finish(simulate_events.clean(FleetLocation(broker, root), fleet, force=force, as_json=as_json))
