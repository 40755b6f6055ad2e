"""Commands that send an action to devices: `reset`, `lock`, `sync`, `policy`, `wipe` and others.

`send_request` implements them. It is imported when a command runs, so that `--help` starts fast.
"""

# ruff: noqa: FBT002, PLC0415  # options have defaults; a command imports what it needs when it runs
from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from broker.errors import UsageError
from fleet.cli.console import BrokerOption, JsonOption, RootOption, run_and_exit
from fleet.cli.options import (
    RUNNING_FLEET_PANEL,
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
    select,
)

__all__ = ["register"]


@dataclass(frozen=True, slots=True)
class _ActionCommand:
    """Command that sends one action: names on the command line and on the wire, help, example."""

    name: str
    action: str
    help: str
    example: str
    asks_first: bool = False

    def function(self) -> Callable[..., None]:
        """Return the function of the command; its parameters are the command's options."""
        return self._after_a_question() if self.asks_first else self._at_once()

    def _at_once(self) -> Callable[..., None]:
        def command(
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
            chosen = select(targets, group, platform, all_devices=all_devices)
            location = FleetLocation(broker, root)
            _send(self.action, location, chosen, timeout, issued_by, as_json=as_json)

        return command

    def _after_a_question(self) -> Callable[..., None]:
        def command(
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
            chosen = select(targets, group, platform, all_devices=all_devices)
            _confirm(self.name, chosen, yes=yes)
            location = FleetLocation(broker, root)
            _send(self.action, location, chosen, timeout, issued_by, as_json=as_json)

        return command


_COMMANDS = (
    _ActionCommand(
        "reset",
        "resetPasscode",
        "Reset the passcode of devices and wait for every result.",
        "passfleet reset 'ios-*'",
    ),
    _ActionCommand(
        "lock",
        "remoteLock",
        "Lock devices remotely and wait for every result.",
        "passfleet lock --group phones",
    ),
    _ActionCommand(
        "wipe",
        "wipe",
        "Wipe devices (factory reset) and wait for every result. Asks first.",
        "passfleet wipe ios-001 --yes",
        asks_first=True,
    ),
    _ActionCommand(
        "retire",
        "retire",
        "Retire devices (end their enrollment) and wait for every result. Asks first.",
        "passfleet retire android-001 --yes",
        asks_first=True,
    ),
    _ActionCommand(
        "reboot",
        "rebootNow",
        "Restart devices and wait for every result.",
        "passfleet reboot --group phones",
    ),
    _ActionCommand(
        "sync",
        "syncDevice",
        "Make devices check in (Check status) and wait for every result.",
        "passfleet sync --all --json",
    ),
)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for command in _COMMANDS:
        app.command(
            command.name,
            help=command.help,
            epilog=f"Example: {command.example}",
            rich_help_panel=RUNNING_FLEET_PANEL,
        )(command.function())
    epilog = "Example: passfleet policy --all --min-length 6 --require-alphanumeric"
    app.command("policy", epilog=epilog, rich_help_panel=RUNNING_FLEET_PANEL)(policy)


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
    force_pin: Annotated[
        bool | None,
        typer.Option(
            "--force-pin/--no-force-pin",
            metavar="",
            help="a passcode is required",
            rich_help_panel=_YES_OR_NO,
        ),
    ] = None,
    max_grace_period_minutes: Annotated[
        int | None, _rule("Minutes after an automatic lock in which a swipe opens an iOS device.")
    ] = None,
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
        "force_pin": force_pin,
        "max_grace_period_minutes": max_grace_period_minutes,
    }
    run_and_exit(
        send_request.send(
            FleetLocation(broker, root),
            select(targets, group, platform, all_devices=all_devices),
            "applyPasscodePolicy",
            policy=send_request.policy_from_options(rules, lift=lift),
            issued_by=issued_by.value,
            limit=timeout,
            as_json=as_json,
        )
    )


def _confirm(command: str, selection: Selection, *, yes: bool) -> None:
    """Ask before a command that cannot be undone; `yes` answers. Exits with 1 on a no.

    Raises UsageError if standard input is not a terminal.
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

    run_and_exit(
        send_request.send(
            location,
            selection,
            action,
            issued_by=issued_by.value,
            limit=timeout,
            as_json=as_json,
        )
    )
