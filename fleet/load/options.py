"""What a load is asked to do, and what of that cannot be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from broker.answers import Seen
from broker.errors import UsageError
from broker.problems import nearest
from fleet.load.schedule import Mix, Schedule
from fleet.load.thresholds import Threshold, metric_names, parse_threshold, with_implied
from platforms import PLATFORMS_BY_ID

__all__ = ["DEVICES", "LoadOptions"]

DEVICES: Final = 100
"""How many devices a fleet of the load's own has where nothing is said."""
_FASTEST: Final = 100_000.0
_LONGEST: Final = 24 * 3600.0
_DEEPEST: Final = 3


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """What the command line asks for. Times in seconds, `rate` in commands a second.

    `devices` None means all of a running fleet.
    """

    devices: int | None
    rate: float
    duration: float
    ramp: float
    timeout: float
    mix: Mix
    seed: int
    broker: str | None
    root: str | None
    platform: str | None
    thresholds: tuple[str, ...]
    storm: bool

    def check(self, *, own_fleet: bool) -> None:
        """Raise UsageError for what cannot be, before anything is started."""
        if not math.isfinite(self.rate) or self.rate <= 0:
            raise UsageError(
                f"--rate {self.rate:g} sends nothing: it is commands a second, more than 0",
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
        if own_fleet and self.platform is not None and self.platform not in PLATFORMS_BY_ID:
            raise _no_platform(self.platform, PLATFORMS_BY_ID)
        self._check_names(own_fleet=own_fleet)

    def judges(self, platforms: set[str]) -> list[Threshold]:
        """The thresholds, where the fleet has these platforms. Raises UsageError as `check`."""
        names = metric_names(self.mix.actions, sorted(platforms), storm=self.storm)
        return with_implied([parse_threshold(text, names) for text in self.thresholds])

    def choose(self, known: Mapping[str, Seen]) -> dict[str, Seen]:
        """The devices to load, of those that are there: drawn by the seed where not all."""
        platforms = {seen.platform for seen in known.values() if seen.state}
        if self.platform is not None and self.platform not in platforms:
            raise _no_platform(self.platform, sorted(platforms))
        fitting = {
            device_id: seen
            for device_id, seen in known.items()
            if seen.state and self.platform in (None, seen.platform)
        }
        if self.devices is None or self.devices == len(fitting):
            return fitting
        if self.devices > len(fitting):
            raise UsageError(
                f"--devices {self.devices}: the fleet has {len(fitting)} such devices",
                hint="start a larger one (passfleet up --devices), or leave --devices away",
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

    def _check_names(self, *, own_fleet: bool) -> None:
        """Check the thresholds against the platforms that may be there."""
        platforms = set(PLATFORMS_BY_ID) if self.platform is None else {self.platform}
        if not own_fleet:
            # A running fleet may have platforms of its own; who is there is asked before the load.
            parts = [text.strip().split(".") for text in self.thresholds]
            platforms |= {p[1] for p in parts if len(p) == _DEEPEST}
        self.judges(platforms)


def _no_platform(name: str, platforms: Mapping[str, object] | list[str]) -> UsageError:
    return UsageError(
        f"there is no device of platform {name!r}",
        hint=nearest(name, platforms) or f"there is: {', '.join(platforms)}",
    )
