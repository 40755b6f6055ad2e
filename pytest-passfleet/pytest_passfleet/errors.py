"""Errors of the plugin; their texts are shown in test reports."""

from __future__ import annotations

__all__ = [
    "CommandMissingError",
    "FleetError",
    "PluginError",
    "ScenarioFailedError",
    "UnmetError",
]


class PluginError(Exception):
    """Base class of the plugin's errors; shown as its text, without a traceback."""


class CommandMissingError(PluginError):
    """The `passfleet` command was not found."""


class FleetError(PluginError):
    """The fleet did not start, or has ended."""


class ScenarioFailedError(PluginError):
    """A scenario failed or could not be played."""


class UnmetError(AssertionError):
    """An expected message did not arrive in time."""
