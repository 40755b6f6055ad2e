"""Command classes that print one plain metavar for each option, and none for flags."""

from __future__ import annotations

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

__all__ = ["PlainCommand", "PlainGroup", "use_plain_help"]


class PlainCommand(TyperCommand):
    """Command whose help shows no Python types and no number ranges."""

    def get_params(self, ctx: typer.Context) -> list[TyperArgument | TyperOption]:  # type: ignore[override]
        """Return the parameters, --help included, without typer's type names."""
        return _simplified(super().get_params(ctx))  # type: ignore[arg-type]


class PlainGroup(TyperGroup):
    """Group of commands whose help shows no Python types and no number ranges."""

    def get_params(self, ctx: typer.Context) -> list[TyperArgument | TyperOption]:  # type: ignore[override]
        """Return the parameters, --help included, without typer's type names."""
        return _simplified(super().get_params(ctx))  # type: ignore[arg-type]


def use_plain_help(app: typer.Typer) -> None:
    """Set the command class of all commands of `app` and of its sub-applications."""
    for command in app.registered_commands:
        command.cls = PlainCommand
    for group in app.registered_groups:
        if group.typer_instance is not None:
            group.cls = PlainGroup
            use_plain_help(group.typer_instance)


def _simplified(params: list[TyperArgument | TyperOption]) -> list[TyperArgument | TyperOption]:
    for param in params:
        # typer validates with its own copy of the range: these two are only for the help.
        param.min = param.max = None
        if isinstance(param, TyperArgument):
            param.display_type_rich = _no_type  # type: ignore[method-assign]
        elif param.is_flag:
            param.metavar = ""
    return params


def _no_type(ctx: object) -> None:
    """Show no type: an argument's name is its metavar."""
    del ctx
