"""`passfleet check`: find what would stop `up` and `play`, without starting a fleet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.definition.platforms import Platforms
from broker.server.mosquitto import find_mosquitto
from broker.server.open import EMBEDDED, MOSQUITTO, open_broker
from broker.server.probe import probe
from fleet.config.loader import FleetConfig
from fleet.hosting.system_limits import check_system_limits
from fleet.plural import count_noun
from scenarios.parsing.parser import ENDINGS, find_scenarios, load_scenarios

__all__ = ["check_fleet", "check_scenarios", "split_by_kind"]


async def check_fleet(config: FleetConfig, broker: str | None) -> dict[str, str]:
    """Check a fleet file; return the finding of each check, in order.

    `broker` overrides the file's. Raises the errors of `up`: UsageError if file descriptors or
    ports do not suffice, BrokerError if the broker does not answer or refuses the login.
    """
    devices = count_noun(len(config.devices()), "device")
    findings = {"fleet": f"{config.path}: {devices} in {count_noun(len(config.groups), 'group')}"}
    table = config.known.table
    findings["conformance"] = f"{table.name}: {table.title}"
    if config.known.own:
        own = (f"{name} ({config.known.like(name)})" for name in config.known.own)
        findings["platforms"] = f"of its own: {', '.join(own)}"
    check_system_limits(config.connection_count, config.workers)
    findings["room"] = "file descriptors and ports suffice"
    url = broker or config.broker.url
    if url == EMBEDDED:
        findings["broker"] = "embedded: comes with passfleet"
    elif url == MOSQUITTO:
        findings["broker"] = f"mosquitto: {find_mosquitto()}"
    else:
        async with open_broker(url, **config.login(url)) as handle:
            await probe(handle.address)
            findings["broker"] = f"{handle.address.url} answers and lets us in"
    return findings


def split_by_kind(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Split into (fleet files, scenario files and folders of them), by file ending."""
    scenarios = [path for path in paths if path.suffix in ENDINGS or path.is_dir()]
    return [path for path in paths if path not in scenarios], scenarios


def check_scenarios(paths: Sequence[Path], known: Platforms | None = None) -> dict[str, str]:
    """Check scenario files; return what they contain. They may name the platforms of `known`.

    Raises FileError for the first file with a mistake.
    """
    files = find_scenarios(paths)
    steps = sum(len(scenario.steps) for scenario in load_scenarios(files, known))
    return {"scenarios": f"{count_noun(len(files), 'file')}, {count_noun(steps, 'step')}"}
