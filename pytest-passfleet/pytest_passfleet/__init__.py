"""Tests against a fleet of virtual phones: fixtures, and scenario files as tests."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_passfleet.errors import (
    CommandMissingError,
    FleetError,
    PluginError,
    ScenarioFailedError,
    UnmetError,
)
from pytest_passfleet.message import Device, Message
from pytest_passfleet.plugin import (
    passfleet_fleet,
    pytest_addoption,
    pytest_collect_file,
    pytest_configure,
    pytest_generate_tests,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    pytest_unconfigure,
)

if TYPE_CHECKING:
    from pytest_passfleet.fleet import AsyncFleet, Fleet

__all__ = [
    "AsyncFleet",
    "CommandMissingError",
    "Device",
    "Fleet",
    "FleetError",
    "Message",
    "PluginError",
    "ScenarioFailedError",
    "UnmetError",
    "passfleet_fleet",
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "pytest_unconfigure",
]


def __getattr__(name: str) -> Any:
    """Import the fleet and its MQTT client on first use: pytest loads this package in every run."""
    if name in ("AsyncFleet", "Fleet"):
        return getattr(import_module("pytest_passfleet.fleet"), name)
    raise AttributeError(name)
