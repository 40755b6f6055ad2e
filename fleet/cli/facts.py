"""`platforms`, `explain` and `schema`: what can be read without a fleet or a broker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from broker.errors import UsageError
from fleet.cli.common import JsonOption, RootOption, out, print_json

if TYPE_CHECKING:
    from fleet.platform_facts import Answer, Explanation
    from platforms.profile import Action, PlatformProfile

__all__ = ["explain", "platforms", "register", "schema"]

ManagementOption = Annotated[
    str | None,
    typer.Option(
        "--management",
        metavar="KIND",
        help="Only what portal and console say under standalone, hybrid or exchange_activesync.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add this room's commands to the command line."""
    app.command("platforms", epilog="Example: passfleet platforms")(platforms)
    hybrid = "passfleet explain windows_phone_8_1 reset --management hybrid"
    app.command("explain", epilog=f"Example: {hybrid}")(explain)
    app.command("schema", epilog="Example: passfleet schema command > command.json")(schema)


def platforms(*, as_json: JsonOption = False) -> None:
    """Print how every platform behaves, as a table.

    With --json, a list of objects with every fact, its source and its assumptions.
    """
    from fleet.platform_facts import facts  # noqa: PLC0415  # the command line starts fast
    from platforms import PLATFORMS  # noqa: PLC0415

    if as_json:
        print_json([facts(profile) for profile in PLATFORMS])
        return
    _print_table(PLATFORMS)


def explain(
    platform: Annotated[str, typer.Argument(help="A platform id, such as ios.")],
    action: Annotated[
        str, typer.Argument(help="reset, lock, sync, policy, or the action's full name.")
    ],
    *,
    management: ManagementOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what an action does on a platform, and the source that says so."""
    from fleet.platform_facts import explain as explained  # noqa: PLC0415

    profile = _platform(platform)
    explanation = explained(profile, _action(action))
    if management is not None:
        explanation = explanation.only(_management(management))
    if as_json:
        print_json(explanation.as_json())
    else:
        _print_explanation(explanation)


def schema(
    name: Annotated[
        str, typer.Argument(help="asyncapi, or one of the names that --list prints.")
    ] = "asyncapi",
    *,
    list_names: Annotated[
        bool, typer.Option("--list", help="Print the names that can be asked for.")
    ] = False,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the wire contract as AsyncAPI 3, or one payload's JSON Schema.

    It is JSON with or without --json.
    """
    from broker.asyncapi import SCHEMA_NAMES, asyncapi, json_schema  # noqa: PLC0415
    from broker.contract import DEFAULT_ROOT  # noqa: PLC0415

    names = ("asyncapi", *SCHEMA_NAMES)
    if list_names:
        if as_json:
            print_json(list(names))
        else:
            out.print("\n".join(names), markup=False)
        return
    key = _fold(name).replace("_", "-")
    if key not in names:
        raise _unknown("schema", name, names)
    print_json(asyncapi(root or DEFAULT_ROOT) if key == "asyncapi" else json_schema(key))


# ---------------------------------------------------------------------------------------------
# Names


def _platform(name: str) -> PlatformProfile:
    from platforms import PLATFORMS_BY_ID  # noqa: PLC0415

    profile = PLATFORMS_BY_ID.get(_fold(name))
    if profile is None:
        raise _unknown("platform", name, PLATFORMS_BY_ID)
    return profile


def _action(name: str) -> Action:
    from fleet.platform_facts import ACTION_WORDS  # noqa: PLC0415

    words = {_fold(word).replace("_", ""): action for word, action in ACTION_WORDS.items()}
    action = words.get(_fold(name).replace("_", ""))
    if action is None:
        raise _unknown("action", name, ACTION_WORDS)
    return action


def _management(name: str) -> str:
    from platforms.profile import Management  # noqa: PLC0415

    if _fold(name) not in list(Management):
        raise _unknown("management", name, Management)
    return _fold(name)


def _fold(name: str) -> str:
    """`Windows Phone 8.1` and `windows-phone-8-1` as `windows_phone_8_1`."""
    folded = name.strip().lower()
    for sign in " -.":
        folded = folded.replace(sign, "_")
    return folded


def _unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    """An error that names the nearest name where one is near, and all of them."""
    from broker.problems import nearest  # noqa: PLC0415

    names = [str(n) for n in known]
    guess = nearest(_fold(name), names)
    everything = f"known are: {', '.join(names)}"
    hint = f"{guess} {everything}" if guess else everything
    return UsageError(f"there is no {what} {name!r}", hint=hint)


# ---------------------------------------------------------------------------------------------
# For people


def _print_table(profiles: Iterable[PlatformProfile]) -> None:
    from rich.table import Table  # noqa: PLC0415

    from fleet import platform_words as words  # noqa: PLC0415
    from fleet.cli.tables import print_table  # noqa: PLC0415
    from fleet.platform_facts import BEHAVIOUR_TABLE  # noqa: PLC0415

    table = Table(title=f"Behaviour table {BEHAVIOUR_TABLE}", show_lines=True, title_justify="left")
    for heading in (
        "platform",
        "resetPasscode",
        "portal on success",
        "on the device",
        "remoteLock",
    ):
        table.add_column(heading, overflow="fold")
    for profile in profiles:
        cells = (
            profile.id,
            words.reset_in_short(profile.reset),
            "\n".join(words.portal_in_short(profile.reset)),
            words.screen_in_short(profile),
            words.lock_in_short(profile),
        )
        table.add_row(*(_literal(cell) for cell in cells))
    print_table(table)
    out.print("Why: passfleet explain PLATFORM ACTION", markup=False)


def _literal(text: str) -> str:
    return text.replace("[", r"\[")


def _print_explanation(told: Explanation) -> None:
    out.print(f"[bold]{told.title}: {told.action}[/]  ({told.platform}, {told.table})")
    out.print(_literal(told.rule))
    _heading("Portal and console")
    for view in told.portal:
        out.print(f"  {view.management}")
        out.print(f"    portal:  {_literal('; '.join(view.portal) or 'says nothing')}")
        out.print(f"    console: {_literal('; '.join(view.console))}")
    _heading("On the device")
    for line in told.device:
        out.print(f"  {_literal(line)}")
    _heading("Answers")
    for answer in told.answers:
        _print_answer(answer)
    _heading("Sources")
    for source in told.sources:
        out.print(f"  {source.about}: {_literal(source.cite)}")
        if source.assumption:
            out.print(f"    [yellow]assumption:[/] {_literal(source.assumption)}")


def _print_answer(answer: Answer) -> None:
    import json  # noqa: PLC0415

    error = f" ({answer.error_code})" if answer.error_code else ""
    native = "its protocol is not asked" if answer.native is None else json.dumps(answer.native)
    out.print(f"  {answer.when}: {answer.action_state}{error}")
    out.print(f"    native: {_literal(native)}")


def _heading(text: str) -> None:
    out.print(f"\n[bold]{text}[/]")
