"""Commands for a running fleet: `devices`, `show`, `watch`, `tap`, `simulate`, `clock`, `clean`.

`inspect_devices` and `device_actions` implement them. They are imported when a command runs, so
that `--help` starts fast. The commands that send an action are in `action_commands`.
"""

# ruff: noqa: FBT002, PLC0415  # options have defaults; a command imports what it needs when it runs
from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from fleet.cli.console import BrokerOption, JsonOption, RootOption, run_and_exit
from fleet.cli.options import (
    RUNNING_FLEET_PANEL,
    AllOption,
    FleetLocation,
    GroupOption,
    PlatformOption,
    TargetsArgument,
    select,
)

__all__ = ["register"]

_LONGEST_LINE: Final = 1024
"""Longest passcode that is read from standard input."""

_clock = typer.Typer(no_args_is_help=True, help="Show or move the fleet's time.")


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    commands = (
        (devices, "devices", "passfleet devices --platform ios"),
        (show, "show", "passfleet show ios-001"),
        (watch, "watch", "passfleet watch --device 'ios-*' --for 30s"),
        (tap, "tap", "passfleet tap ios-001 set-passcode --passcode 4826"),
        (simulate, "simulate", "passfleet simulate offline --group androids"),
        (clean, "clean", "passfleet clean --broker mqtt://localhost:1883 --fleet fleet.toml"),
    )
    for function, name, example in commands:
        app.command(name, epilog=f"Example: {example}", rich_help_panel=RUNNING_FLEET_PANEL)(
            function
        )
    _clock.command("now", epilog="Example: passfleet clock now")(clock_now)
    _clock.command("advance", epilog="Example: passfleet clock advance 61m")(clock_advance)
    epilog = "Example: passfleet clock advance 61m"
    app.add_typer(_clock, name="clock", epilog=epilog, rich_help_panel=RUNNING_FLEET_PANEL)


# -- inspection ------------------------------------------------------------------------------

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

    selection = select(None, group, platform)
    run_and_exit(
        inspect_devices.list_devices(FleetLocation(broker, root), selection, as_json=as_json)
    )


def show(
    device: DeviceArgument,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one device: state, deadline, policy, last results and notifications."""
    from fleet.cli import inspect_devices

    run_and_exit(inspect_devices.show(FleetLocation(broker, root), device, as_json=as_json))


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

    run_and_exit(
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
        typer.Option(
            metavar="PASSCODE",
            envvar="PASSFLEET_PASSCODE",
            show_envvar=True,
            help="Passcode for enter-passcode and set-passcode; - reads it from standard input, "
            "so that no list of processes shows it.",
        ),
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
    if passcode == "-":
        passcode = sys.stdin.readline(_LONGEST_LINE).removesuffix("\n").removesuffix("\r")
    from fleet.cli import device_actions

    run_and_exit(
        device_actions.tap(
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
    from fleet.cli import device_actions

    selection = select(targets, group, platform, all_devices=all_devices)
    location = FleetLocation(broker, root)
    run_and_exit(
        device_actions.simulate(location, action, selection, limit=timeout, as_json=as_json)
    )


def clock_now(
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the fleet's time."""
    from fleet.cli import device_actions

    run_and_exit(device_actions.clock_now(FleetLocation(broker, root), as_json=as_json))


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
    from fleet.cli import device_actions

    location = FleetLocation(broker, root)
    run_and_exit(
        device_actions.clock_advance(location, duration, to, limit=timeout, as_json=as_json)
    )


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
    from fleet.cli import device_actions

    run_and_exit(
        device_actions.clean(FleetLocation(broker, root), fleet, force=force, as_json=as_json)
    )
