"""Files that `passfleet init` writes: a sample fleet file or scenario, and its schema for editors.

An editor finds the schema by the first line of the file. The schema is written to the folder
`.passfleet` beside the file, since it belongs to the installed version of passfleet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from broker.errors import FileError, UsageError
from fleet.config.sample import SAMPLE
from fleet.config.schema import fleet_schema
from fleet.service.run_file import FOLDER, make_folder
from scenarios.parsing.schema import scenario_schema

__all__ = ["SCENARIO", "write_fleet_file", "write_scenario"]

_FLEET_SCHEMA: Final = "fleet.schema.json"
_SCENARIO_SCHEMA: Final = "scenario.schema.json"

SCENARIO: Final = """\
# A scenario: virtual phones, and what people do with them, step by step, in virtual time.
# Play it:                             passfleet play
# Check this file without playing it:  passfleet check
# Every step and key:                  docs/scenarios.md

name: A forgotten passcode
source: ""                    # where the flow is documented

devices:                      # by name; the keys of a group in fleet.toml, and a group: NAME
  phone: {platform: ios, passcode: "2580", owner: alex}

# organization: {resetPasscode: false}    # what the administrator has configured
# users:                                  # users without a device, or with a password
#   sam: {password: "Pa55word of sam"}

steps:
  # The user asks for a new passcode in the Company Portal.
  - portal.sign_in: {user: alex}
  - portal.select_device: {device: phone}
  - portal.reset_passcode
  - expect.portal: {screen: signInAgain}
  - portal.sign_out
  - portal.sign_in: {user: alex}
  - portal.reset_passcode
  # `within` lets time pass until the expectation holds; without it, it must hold now.
  - expect.portal: {status: done, message: "Passcode successfully reset", within: 5m}
  # An iPhone has no passcode now, and an hour to get a new one.
  - expect.device: {passcode: none, compliance: inGracePeriod}
  - user.swipe_up
  - wait: 61m
  - expect.device: {compliance: noncompliant}
  - user.set_passcode: {passcode: "4826"}
  - expect.device: {passcode: user, compliance: compliant}

# Other steps: console.reset_passcode (the administrator), network.offline, device.restart,
# account.start_reset (the work account), command: {actionName: remoteLock}, and more.
"""
"""Sample scenario."""


def write_fleet_file(path: Path, *, force: bool = False) -> None:
    """Write the sample fleet file; `force` overwrites an existing file.

    Raises UsageError if the file exists, FileError if `path` is a folder or cannot be written.
    """
    line = f"#:schema {FOLDER}/{_FLEET_SCHEMA}\n"
    _write(path, line + SAMPLE, "a name for the fleet file", force=force)
    _write_schema(path, _FLEET_SCHEMA, fleet_schema)


def write_scenario(path: Path, *, force: bool = False) -> None:
    """Write the sample scenario; parameters and errors are those of `write_fleet_file`."""
    line = f"# yaml-language-server: $schema={FOLDER}/{_SCENARIO_SCHEMA}\n"
    _write(path, line + SCENARIO, "a name for the scenario file", force=force)
    _write_schema(path, _SCENARIO_SCHEMA, scenario_schema)


def _write(path: Path, text: str, expected: str, *, force: bool) -> None:
    if path.is_dir():
        raise FileError("this is a folder", path=path, expected=expected)
    try:
        with path.open("w" if force else "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} already exists", hint="--force overwrites it") from None
    except OSError as error:
        raise FileError(f"cannot be written: {error.strerror}", path=path) from None


def _write_schema(path: Path, name: str, schema: Callable[[], Mapping[str, Any]]) -> None:
    target = make_folder(path.parent) / name
    try:
        target.write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise FileError(f"cannot be written: {error.strerror}", path=target) from None
