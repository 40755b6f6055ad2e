"""Commands `platforms`, `explain` and `schema`, which need neither fleet nor broker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from broker.errors import UsageError
from fleet.cli.console import JsonOption, check_root, out, print_json

if TYPE_CHECKING:
    from agent.definition.platforms import Platforms
    from platforms.profile import Action, PlatformProfile

__all__ = ["explain", "platforms", "register", "schema"]

ManagementOption = Annotated[
    str | None,
    typer.Option(
        "--management",
        metavar="KIND",
        help="Only this management: standalone, hybrid or exchange_activesync.",
    ),
]
FleetOption = Annotated[
    Path | None,
    typer.Option(
        "--fleet",
        metavar="FILE",
        help="Fleet file, for its platforms and behaviour table.  \\[default: fleet.toml,"
        " if it exists]",
    ),
]
ConformanceOption = Annotated[
    str | None,
    typer.Option("--conformance", metavar="NAME", help="Behaviour table, such as hybrid-2017-10."),
]
DiffOption = Annotated[
    tuple[str, str] | None,
    typer.Option("--diff", metavar="A B", help="Show the differences of two behaviour tables."),
]
StatementOption = Annotated[
    str | None,
    typer.Option(
        "--statement",
        metavar="NUMBER",
        help="Explain this statement of the source documents instead, such as 001.27.",
    ),
]
RulesOption = Annotated[
    bool,
    typer.Option(
        "--rules", help="List every rule of the platform instead, with the scenarios for it."
    ),
]

_FLEET_FILE = Path("fleet.toml")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("platforms", epilog="Example: passfleet platforms")(platforms)
    hybrid = "passfleet explain windows_phone_8_1 reset --management hybrid"
    app.command("explain", epilog=f"Example: {hybrid}")(explain)
    app.command("schema", epilog="Example: passfleet schema command > command.json")(schema)


def platforms(
    *,
    conformance: ConformanceOption = None,
    diff: DiffOption = None,
    fleet: FleetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the behaviour of every platform as a table.

    With --json, print every fact with its source and its assumptions.
    """
    from fleet.cli import reference_tables  # noqa: PLC0415

    if diff is not None:
        if conformance is not None:
            raise UsageError("--conformance and --diff cannot be combined")
        _print_difference(*diff, as_json=as_json)
        return
    known = _load_platforms(fleet, conformance)
    if as_json:
        from fleet.reference.facts import platform_facts  # noqa: PLC0415

        print_json(
            [
                platform_facts(p, known.conformance, known.like(p.id))
                for p in known.profiles.values()
            ]
        )
        return
    reference_tables.print_platforms(known.profiles.values(), known.table)


def _print_difference(one: str, other: str, *, as_json: bool) -> None:
    from dataclasses import asdict  # noqa: PLC0415

    from agent.definition.platforms import table_named  # noqa: PLC0415
    from fleet.cli import reference_tables  # noqa: PLC0415
    from fleet.reference.tables import table_differences  # noqa: PLC0415

    tables = table_named(one), table_named(other)
    rows = list(table_differences(*tables))
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        reference_tables.print_difference(rows, *tables)


def explain(
    platform: Annotated[
        str | None,
        typer.Argument(metavar="PLATFORM", help="A platform id, such as ios."),
    ] = None,
    action: Annotated[
        str | None,
        typer.Argument(
            metavar="ACTION", help="reset, lock, sync, policy, or an action's full name."
        ),
    ] = None,
    *,
    statement: StatementOption = None,
    rules: RulesOption = False,
    management: ManagementOption = None,
    conformance: ConformanceOption = None,
    fleet: FleetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print an action's effect on a platform, the sources for it, and scenarios that exercise it.

    With --statement, print a statement of the source documents and the scenarios that prove it.
    With --rules, print every rule of a platform and the scenarios that exercise it.
    """
    if statement is not None:
        if rules or (platform, action, management, conformance, fleet) != (None,) * 5:
            raise UsageError("--statement takes no platform, action or other option but --json")
        _print_statement(statement, as_json=as_json)
        return
    if rules:
        if platform is None or action is not None:
            hint = "as in: passfleet explain ios --rules"
            raise UsageError("--rules takes a platform and no action", hint=hint)
        profile = _find_platform(platform, _load_platforms(fleet, conformance))
        _print_rules(profile, management, as_json=as_json)
        return
    if platform is None or action is None:
        missing = "PLATFORM and ACTION" if platform is None else "ACTION"
        raise UsageError(
            f"{missing} is missing" if platform else f"{missing} are missing",
            hint="as in: passfleet explain ios reset, or passfleet explain --statement 001.27",
        )
    from fleet.reference.facts import explain as explained  # noqa: PLC0415

    known = _load_platforms(fleet, conformance)
    profile = _find_platform(platform, known)
    explanation = explained(
        profile, _parse_action(action), known.conformance, known.like(profile.id)
    )
    if management is not None:
        explanation = explanation.only(_parse_management(management))
    if as_json:
        print_json(explanation.as_json())
    else:
        from fleet.cli import reference_tables  # noqa: PLC0415

        reference_tables.print_explanation(explanation)


def _print_rules(profile: PlatformProfile, management: str | None, *, as_json: bool) -> None:
    from fleet.reference.exercised import rules_of  # noqa: PLC0415

    only = None if management is None else _parse_management(management)
    rules = rules_of(profile, only)
    if as_json:
        found = [rule.as_json() for rule in rules]
        print_json({"platform": profile.id, "title": profile.title, "rules": found})
    else:
        from fleet.cli import reference_tables  # noqa: PLC0415

        reference_tables.print_rules(profile, rules)


def _print_statement(number: str, *, as_json: bool) -> None:
    from fleet.reference.sources import explain_statement  # noqa: PLC0415

    explanation = explain_statement(number)
    if as_json:
        print_json(explanation.as_json())
    else:
        from fleet.cli import reference_tables  # noqa: PLC0415

        reference_tables.print_statement(explanation)


def schema(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="asyncapi, fleet, scenario, or a payload that --list prints."
        ),
    ] = "asyncapi",
    *,
    list_names: Annotated[bool, typer.Option("--list", help="Print the known names.")] = False,
    root: Annotated[
        str | None,
        typer.Option(
            "--root",
            metavar="TOPIC",
            callback=check_root,
            help="Topic prefix of the fleet.  \\[default: passfleet/v1]",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the wire contract as AsyncAPI 3, or a JSON Schema.

    `fleet` and `scenario` are the files' schemas, for editors. The output is JSON with or without
    --json.
    """
    from broker.contract import DEFAULT_ROOT  # noqa: PLC0415
    from broker.reference.asyncapi import SCHEMA_NAMES, asyncapi, json_schema  # noqa: PLC0415

    names = ("asyncapi", *_FILE_SCHEMAS, *SCHEMA_NAMES)
    if list_names:
        if as_json:
            print_json(list(names))
        else:
            out.print("\n".join(names), markup=False)
        return
    key = _fold(name).replace("_", "-")
    if key not in names:
        raise _unknown("schema", name, names)
    if key in _FILE_SCHEMAS:
        print_json(_file_schema(key))
    else:
        print_json(asyncapi(root or DEFAULT_ROOT) if key == "asyncapi" else json_schema(key))


_FILE_SCHEMAS: Final = ("fleet", "scenario")


def _file_schema(name: str) -> Mapping[str, object]:
    if name == "fleet":
        from fleet.config.schema import fleet_schema  # noqa: PLC0415

        return fleet_schema()
    from scenarios.parsing.schema import scenario_schema  # noqa: PLC0415

    return scenario_schema()


# ---------------------------------------------------------------------------------------------
# Names


def _load_platforms(fleet: Path | None, conformance: str | None) -> Platforms:
    """Load the platforms of the fleet file, if any, with the given behaviour table."""
    from agent.definition.platforms import Platforms  # noqa: PLC0415

    known = Platforms()
    if fleet is not None or _FLEET_FILE.is_file():
        from fleet.config.loader import load_platforms  # noqa: PLC0415

        known = load_platforms(fleet or _FLEET_FILE)
    return known if conformance is None else known.at(conformance)


def _find_platform(name: str, known: Platforms) -> PlatformProfile:
    profile = known.profiles.get(_fold(name))
    if profile is None:
        raise _unknown("platform", name, known.profiles)
    return profile


def _parse_action(name: str) -> Action:
    from fleet.reference.facts import ACTION_NAMES  # noqa: PLC0415

    words = {_fold(word).replace("_", ""): action for word, action in ACTION_NAMES.items()}
    action = words.get(_fold(name).replace("_", ""))
    if action is None:
        raise _unknown("action", name, ACTION_NAMES)
    return action


def _parse_management(name: str) -> str:
    from platforms.profile import Management  # noqa: PLC0415

    if _fold(name) not in list(Management):
        raise _unknown("management", name, Management)
    return _fold(name)


def _fold(name: str) -> str:
    """Return `Windows Phone 8.1` and `windows-phone-8-1` as `windows_phone_8_1`."""
    folded = name.strip().lower()
    for sign in " -.":
        folded = folded.replace(sign, "_")
    return folded


def _unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    """Return an error whose hint has a similar name, if any, and all known names."""
    from broker.file_validation import suggest  # noqa: PLC0415

    names = [str(n) for n in known]
    guess = suggest(_fold(name), names)
    all_names = f"known are: {', '.join(names)}"
    hint = f"{guess} {all_names}" if guess else all_names
    return UsageError(f"there is no {what} {name!r}", hint=hint)
