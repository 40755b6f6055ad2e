"""Options of a load and their validation."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from broker.errors import UsageError
from broker.file_validation import suggest
from broker.operator.readers import KnownDevice
from fleet.load.schedule import ActionMix, Schedule
from fleet.load.thresholds import (
    Threshold,
    metric_names,
    parse_threshold,
    threshold_platform,
    with_default_thresholds,
)

__all__ = ["LoadOptions"]

_FASTEST: Final = 100_000.0
_LONGEST: Final = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """Options from the command line. Times in seconds, `rate` in commands per second.

    `devices` None means all devices. `fleet` and `workers` apply to a fleet that the load starts:
    its fleet file (None: fleet.toml if it exists, else the sample), and its number of processes
    (None: from the fleet file).
    """

    devices: int | None
    rate: float
    duration: float
    ramp: float
    timeout: float
    mix: ActionMix
    seed: int
    broker: str | None
    root: str | None
    platforms: tuple[str, ...]
    thresholds: tuple[str, ...]
    storm: bool
    fleet: Path | None = None
    workers: int | Literal["auto"] | None = None

    def check(self, platforms: Collection[str] | None) -> None:
        """Raise UsageError for invalid options, before anything is started.

        `platforms` are those of the fleet to start; None for a running one, which is read later.
        """
        if math.isnan(self.rate) or self.rate <= 0:
            raise UsageError(
                f"--rate {self.rate:g} sends nothing: commands per second must be more than 0",
                hint="such as --rate 50, or --rate 0.5 for one every two seconds",
            )
        if self.rate > _FASTEST:
            raise UsageError(f"--rate goes up to {_FASTEST:.0f} commands a second")
        if max(self.duration, self.timeout) > _LONGEST:
            raise UsageError("--duration and --timeout go up to 24h")
        if self.ramp > self.duration:
            raise UsageError(
                "--ramp is part of the duration and cannot be longer",
                hint="give a longer --duration",
            )
        if self.devices is not None and self.devices < 1:
            raise UsageError(f"--devices {self.devices}: a load needs at least one")
        if platforms is None:
            self._check_running()
        else:
            self.parse_thresholds(platforms, own_fleet=True)

    def parse_thresholds(self, platforms: Collection[str], *, own_fleet: bool) -> list[Threshold]:
        """Parse the thresholds for a fleet with these platforms. Raises UsageError."""
        names = metric_names(
            self.mix.actions, sorted(platforms), storm=self.storm, own_fleet=own_fleet
        )
        return with_default_thresholds([parse_threshold(text, names) for text in self.thresholds])

    def select_devices(self, known: Mapping[str, KnownDevice]) -> dict[str, KnownDevice]:
        """Select the devices to load; fewer than all are drawn from the seed. Raises UsageError."""
        platforms = {seen.platform for seen in known.values() if seen.state}
        for platform in self.platforms:
            if platform not in platforms:
                raise _no_platform(platform, sorted(platforms))
        fitting = {
            device_id: seen
            for device_id, seen in known.items()
            if seen.state and (not self.platforms or seen.platform in self.platforms)
        }
        if self.devices is None or self.devices == len(fitting):
            return fitting
        if self.devices > len(fitting):
            raise UsageError(
                f"--devices {self.devices}: the fleet has {len(fitting)} such devices",
                hint="start a larger one (passfleet up --devices), or leave out --devices",
            )
        order = Schedule(
            rate=1.0,
            duration=1.0,
            ramp=0.0,
            mix=self.mix,
            seed=self.seed,
            device_ids=sorted(fitting),
        ).shuffled()
        return {device_id: fitting[device_id] for device_id in sorted(order[: self.devices])}

    def _check_running(self) -> None:
        """Check the options that do not depend on the running fleet."""
        for option, value in (("--fleet", self.fleet), ("--workers", self.workers)):
            if value is not None:
                raise UsageError(
                    f"{option} is for a fleet that the load starts; this fleet is already running",
                    hint=f"add --broker embedded to start a fleet, or leave out {option}",
                )
        # The platforms are not known yet: accept any platform name for now.
        named = {threshold_platform(text) for text in self.thresholds}
        self.parse_thresholds({name for name in named if name}, own_fleet=False)


def _no_platform(name: str, platforms: Mapping[str, object] | list[str]) -> UsageError:
    return UsageError(
        f"there is no device of platform {name!r}",
        hint=suggest(name, platforms) or f"known are: {', '.join(platforms)}",
    )
