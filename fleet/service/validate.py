"""`passfleet check`: find what would stop `up` and `play`, without starting a fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.definition.platforms import Platforms
from broker.dialects.dialect import Dialect
from broker.dialects.reader import NO_DIALECTS
from broker.dialects.trial import try_dialect
from broker.errors import UsageError
from broker.server.mosquitto import find_mosquitto
from broker.server.open import EMBEDDED, MOSQUITTO, open_broker
from broker.server.probe import probe
from fleet.config.loader import FleetConfig
from fleet.hosting.probed import probed_address
from fleet.hosting.system_limits import check_system_limits
from fleet.plural import count_noun
from fleet.reference.dialect_facts import trial_text
from scenarios.parsing.parser import ENDINGS, find_scenarios, load_scenarios

__all__ = ["check_fleet", "check_scenarios", "split_by_kind"]


async def check_fleet(config: FleetConfig, broker: str | None) -> dict[str, str]:
    """Check a fleet file; return the finding of each check, in order.

    `broker` overrides the file's. Raises the errors of `up`: UsageError if file descriptors or
    ports do not suffice, BrokerError if the broker does not answer or refuses the login.
    """
    config.check_logins()
    devices = count_noun(len(config.devices()), "device")
    findings = {"fleet": f"{config.path}: {devices} in {count_noun(len(config.groups), 'group')}"}
    table = config.known.table
    findings["conformance"] = f"{table.name}: {table.title}"
    if config.known.own:
        own = (f"{name} ({config.known.like(name)})" for name in config.known.own)
        findings["platforms"] = f"of its own: {', '.join(own)}"
    findings |= _check_dialects(config)
    check_system_limits(config.connection_count, config.workers)
    findings["room"] = "file descriptors and ports suffice"
    url = broker or config.broker.url
    login = config.login(url)
    if url == EMBEDDED:
        findings["broker"] = "embedded: comes with passfleet"
    elif url == MOSQUITTO:
        findings["broker"] = f"mosquitto: {find_mosquitto()}"
    else:
        async with open_broker(url, **login) as handle:
            await probe(probed_address(config, handle.address))
            findings["broker"] = f"{handle.address.url} answers and lets us in"
    return findings


def _check_dialects(config: FleetConfig) -> dict[str, str]:
    """Try the templates of every dialect in use, both ways; what does not survive is a finding.

    Raises UsageError for a command that cannot be read back.
    """
    used = {spec.dialect.name: spec.dialect for spec in config.devices() if spec.dialect}
    findings = {}
    for name, dialect in {**config.dialects, **used}.items():
        texts = []
        for trial in try_dialect(dialect):
            if trial.unreadable is not None and trial.section == "command":
                raise UsageError(
                    f"dialect {name}: a command cannot be read back: {trial.unreadable}",
                    hint="look at its template: passfleet dialects " + name,
                )
            texts.append(f"{trial.section}: {trial_text(trial)}")
        findings[f"dialect {name}"] = "; ".join(texts)
    return findings


def split_by_kind(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Split into (fleet files, scenario files and folders of them), by file ending."""
    scenarios = [path for path in paths if path.suffix in ENDINGS or path.is_dir()]
    return [path for path in paths if path not in scenarios], scenarios


def check_scenarios(
    paths: Sequence[Path],
    known: Platforms | None = None,
    own: Mapping[str, Dialect] = NO_DIALECTS,
) -> dict[str, str]:
    """Check scenario files; return what they contain.

    They may name the platforms of `known` and the dialects `own` of a fleet file.

    Raises FileError for the first file with a mistake.
    """
    files = find_scenarios(paths)
    steps = sum(len(scenario.steps) for scenario in load_scenarios(files, known, own))
    return {"scenarios": f"{count_noun(len(files), 'file')}, {count_noun(steps, 'step')}"}
