"""Arguments and help of the commands for a running fleet, from `reset` to `clean`.

`send_request`, `inspect_devices` and `simulate_events` implement them. They are imported when a
command runs, so that `--help` starts fast.
"""

# ruff: noqa: FBT002, PLC0415  # options have defaults; a command imports what it needs when it runs
from __future__ import annotations

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from broker.errors import UsageError
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
    YesOption,
)

__all__ = ["register"]

_PANEL = "A running fleet"
_clock = typer.Typer(no_args_is_help=True, help="Show or move the fleet's time.")


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    commands = (
        (reset, "reset", "passfleet reset 'ios-*'"),
        (lock, "lock", "passfleet lock --group phones"),
        (wipe, "wipe", "passfleet wipe ios-001 --yes"),
        (retire, "retire", "passfleet retire android-001 --yes"),
        (reboot, "reboot", "passfleet reboot --group phones"),
        (sync, "sync", "passfleet sync --all --json"),
        (policy, "policy", "passfleet policy --all --min-length 6 --require-alphanumeric"),
        (devices, "devices", "passfleet devices --platform ios"),
        (show, "show", "passfleet show ios-001"),
        (watch, "watch", "passfleet watch --device 'ios-*' --for 30s"),
        (tap, "tap", "passfleet tap ios-001 set-passcode --passcode 4826"),
        (simulate, "simulate", "passfleet simulate offline --group androids"),
        (clean, "clean", "passfleet clean --broker mqtt://localhost:1883 --fleet fleet.toml"),
    )
    for function, name, example in commands:
        app.command(name, epilog=f"Example: {example}", rich_help_panel=_PANEL)(function)
    _clock.command("now", epilog="Example: passfleet clock now")(clock_now)
    _clock.command("advance", epilog="Example: passfleet clock advance 61m")(clock_advance)
    epilog = "Example: passfleet clock advance 61m"
    app.add_typer(_clock, name="clock", epilog=epilog, rich_help_panel=_PANEL)


def _finish(main: Coroutine[Any, Any, int]) -> None:
    """Run a command and exit with the code that it returns."""
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


def wipe(
    targets: TargetsArgument = None,
    group: GroupOption = None,
    platform: PlatformOption = None,
    all_devices: AllOption = False,
    yes: YesOption = False,
    timeout: TimeoutOption = "30s",
    issued_by: AsOption = IssuedBy.ADMIN,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wipe devices (factory reset) and wait for every result. Asks first."""
    chosen = Selection(tuple(targets or ()), group, platform, all_devices)
    _confirm("wipe", chosen, yes=yes)
    location = FleetLocation(broker, root)
    _send("wipe", location, chosen, timeout, issued_by, as_json=as_json)


def retire(
    targets: TargetsArgument = None,
    group: GroupOption = None,
    platform: PlatformOption = None,
    all_devices: AllOption = False,
    yes: YesOption = False,
    timeout: TimeoutOption = "30s",
    issued_by: AsOption = IssuedBy.ADMIN,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Retire devices (end their enrollment) and wait for every result. Asks first."""
    chosen = Selection(tuple(targets or ()), group, platform, all_devices)
    _confirm("retire", chosen, yes=yes)
    location = FleetLocation(broker, root)
    _send("retire", location, chosen, timeout, issued_by, as_json=as_json)


def reboot(
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
    """Restart devices and wait for every result."""
    chosen = Selection(tuple(targets or ()), group, platform, all_devices)
    location = FleetLocation(broker, root)
    _send("rebootNow", location, chosen, timeout, issued_by, as_json=as_json)


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
    """Make devices check in (Check status) and wait for every result."""
    chosen = Selection(tuple(targets or ()), group, platform, all_devices)
    location = FleetLocation(broker, root)
    _send("syncDevice", location, chosen, timeout, issued_by, as_json=as_json)


# Separate panels: in one panel, a terminal of 80 columns would cut the long option names.
_RULES = "Rules"
_YES_OR_NO = "Rules: required, allowed"


def _rule(text: str) -> Any:
    return typer.Option(min=0, metavar="N", help=text, rich_help_panel=_RULES)


def policy(
    targets: TargetsArgument = None,
    group: GroupOption = None,
    platform: PlatformOption = None,
    all_devices: AllOption = False,
    min_length: Annotated[int | None, _rule("Minimum number of characters.")] = None,
    require_alphanumeric: Annotated[
        bool | None,
        typer.Option(
            "--require-alphanumeric/--no-require-alphanumeric",
            metavar="",
            help="letters and digits",
            rich_help_panel=_YES_OR_NO,
        ),
    ] = None,
    min_complex_characters: Annotated[
        int | None, _rule("Minimum number of complex characters.")
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
    history: Annotated[int | None, _rule("Number of past passcodes that are refused.")] = None,
    max_failed_attempts: Annotated[
        int | None, _rule("Wrong passcodes until the device wipes itself.")
    ] = None,
    max_inactivity_minutes: Annotated[
        int | None, _rule("Minutes without use until the device locks.")
    ] = None,
    max_age_days: Annotated[int | None, _rule("Days until a new passcode is required.")] = None,
    lift: Annotated[bool, typer.Option("--lift", help="Remove the policy.")] = False,
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


def _confirm(command: str, selection: Selection, *, yes: bool) -> None:
    """Ask before a command that cannot be undone; `yes` answers. Exits with 1 on a no.

    Raises UsageError where nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            f"{command} asks first, and standard input is not a terminal",
            hint=f"passfleet {command} ... --yes answers for you",
        )
    if not typer.confirm(f"{command} {selection}?", err=True):
        typer.echo("nothing was sent", err=True)
        raise typer.Exit(1)


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


# -- inspection-------------------------------------------------------------------------------

DeviceArgument = Annotated[
    str, typer.Argument(metavar="DEVICE", help="A device id, such as ios-001.")
]


def devices(
    group: GroupOption = None,
    platform: PlatformOption = None,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the devices and their state."""
    from fleet.cli import inspect_devices

    selection = Selection(group=group, platform=platform)
    _finish(inspect_devices.list_devices(FleetLocation(broker, root), selection, as_json=as_json))


def show(
    device: DeviceArgument,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one device: state, deadline, policy, last results and notifications."""
    from fleet.cli import inspect_devices

    _finish(inspect_devices.show(FleetLocation(broker, root), device, as_json=as_json))


def watch(
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device", metavar="PATTERN", help="Only devices of this id or shell pattern."
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option("--for", metavar="DURATION", help="Stop after this time, such as 30s."),
    ] = None,
    show_passcodes: Annotated[
        bool, typer.Option("--show-passcodes", help="Do not mask new passcodes.")
    ] = False,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the messages of devices as they arrive, until Ctrl-C."""
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


# -- inputs, simulations, time ------------------------------------------------------------


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
        str | None,
        typer.Option(metavar="PASSCODE", help="Passcode for enter-passcode and set-passcode."),
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="User for sign-in.")] = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Key for press-key: 0-9, * or #.")
    ] = None,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="Time to wait for the answer.")
    ] = "10s",
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a user's input to a device and wait for its answer."""
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
            help="Time to wait for the effect.  \\[default: 15s plus 5ms per device]",
        ),
    ] = None,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate a network loss, crash or restart, and wait for the effect."""
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
        str | None, typer.Argument(metavar="DURATION", help="Time to advance by, such as 61m.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="TIME", help="Time to advance to: 2015-12-10T21:20:00Z.")
    ] = None,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="Real time to wait for the fleet.")
    ] = "60s",
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Advance virtual time and wait until all due events have happened."""
    from fleet.cli import simulate_events

    location = FleetLocation(broker, root)
    _finish(simulate_events.clock_advance(location, duration, to, limit=timeout, as_json=as_json))


def clean(
    fleet: Annotated[
        Path | None,
        typer.Option(
            "--fleet", metavar="FILE", help="Fleet file; also end the sessions of its devices."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also disconnect devices that are online.")
    ] = False,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a fleet's retained messages and sessions from a broker."""
    from fleet.cli import simulate_events

    _finish(simulate_events.clean(FleetLocation(broker, root), fleet, force=force, as_json=as_json))
