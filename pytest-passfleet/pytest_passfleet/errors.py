"""What can go wrong, as sentences for the reader of a test report."""

from __future__ import annotations

__all__ = [
    "CommandMissingError",
    "FleetError",
    "PluginError",
    "ScenarioFailedError",
    "UnmetError",
]


class PluginError(Exception):
    """Something is not as the plugin needs it; its text is all that a reader needs."""


class CommandMissingError(PluginError):
    """There is no `passfleet` command."""


class FleetError(PluginError):
    """The fleet did not start, or is not there any more."""


class ScenarioFailedError(PluginError):
    """A scenario failed, or could not be played."""


class UnmetError(AssertionError):
    """What a test waited for did not come."""
