"""Command `acl`: access and password files of a broker, with a login for each device."""

# ruff: noqa: FBT002, PLC0415  # options have defaults; a command imports what it needs when it runs
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.errors import UsageError
from fleet.cli.console import JsonOption, err, out, print_json

if TYPE_CHECKING:
    from fleet.service.acl_files import AccessFiles

__all__ = ["register"]

_MOSQUITTO = "mosquitto"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("acl", epilog="Example: passfleet acl mosquitto fleet.toml --out acl")(acl)


def acl(
    broker: Annotated[str, typer.Argument(metavar="BROKER", help="Kind of broker: mosquitto.")],
    fleet: Annotated[
        Path | None,
        typer.Argument(metavar="FLEET", help="Fleet file.  \\[default: fleet.toml]"),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Write the files into this folder, and create the passwords that are missing.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print or write the access rules and passwords that keep each device to its own topics."""
    from fleet.config.loader import load_fleet
    from fleet.service.acl_files import access_files, write_access_files

    if broker != _MOSQUITTO:
        raise UsageError(f"there are no access files for {broker!r}", hint="write: mosquitto")
    files = access_files(load_fleet(fleet or Path("fleet.toml")), folder)
    written = [] if folder is None else write_access_files(files, folder, force=force)
    if as_json:
        print_json(_document(files, written))
    elif written:
        for path in written:
            out.print(f"wrote {path}", markup=False)
    else:
        text = f"# acl_file\n{files.acl}\n# password_file\n{files.passwords}"
        print(text, end="", file=out.file)
    if files.missing:
        err.print(
            f"note: {len(files.missing)} logins have no password yet; --out DIR creates them",
            markup=False,
        )


def _document(files: AccessFiles, written: list[Path]) -> dict[str, Any]:
    logins = [
        {
            "username": each.username,
            "role": each.role,
            "device": each.device,
            "passwordFile": str(each.file) if each.file and each.password else None,
        }
        for each in files.identities
    ]
    return {
        "acl": files.acl,
        "passwords": files.passwords,
        "logins": logins,
        "written": [str(path) for path in written],
    }
