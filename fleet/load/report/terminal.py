"""Terminal report: percentiles, ledger, rates, lag, remarks and thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.table import Table
from rich.text import Text

from fleet.load.ledger import COLUMNS, CommandOutcome
from fleet.load.reconnect_storm import ReconnectStorm
from fleet.load.report.percentile_table import latency_table, milliseconds
from fleet.load.result import LoadResult, RunEnding
from fleet.plural import count_noun

__all__ = ["connection_remarks", "summary"]

_STYLES: Final = {"failed": "red", "lost": "red", "unknown": "yellow", "notSupported": "yellow"}


def summary(result: LoadResult, width: int | None = None) -> Iterator[Table | Text]:
    """Generate the parts of the report in order; tables are at most `width` columns wide."""
    yield latency_table(result, width)
    yield from _ledger(result)
    yield from _speeds(result)
    if result.storm is not None:
        yield _storm(result, result.storm)
    yield from _remarks(result)
    yield from _thresholds(result)


def _ledger(result: LoadResult) -> Iterator[Text]:
    line = Text.assemble(("ledger   ", "bold"), f"sent {result.count('sent')} = ")
    for number, name in enumerate(COLUMNS):
        count = result.count(name)
        line.append(" + " if number else "")
        line.append(f"{name} {count}", style=_STYLES.get(name, "") if count else "")
    yield line
    beside = ", ".join(f"{name} {result.count(name)}" for name in ("duplicate", "late", "unsent"))
    yield Text(f"         beside it: {beside}")


def _speeds(result: LoadResult) -> Iterator[Text]:
    measurements = result.measurements
    yield Text.assemble(
        ("rate     ", "bold"),
        f"asked {result.rate_asked:.1f}/s, sent {result.rate_sent:.1f}/s,"
        f" answered {result.rate_reached:.1f}/s",
    )
    lags = [
        ("the generator's lag", measurements.lag),
        ("a pass through the broker", measurements.broker_pass),
        ("the simulator's processing", measurements.simulator_pass),
    ]
    if result.worker_stats is not None:
        workers = result.worker_stats.workers
        name = "the fleet's loop" if workers == 1 else f"the fleet's {workers} loops"
        lags.append((name, result.worker_stats.lag))
    wide = max(len(name) for name, _ in lags)
    for number, (name, times) in enumerate(lags):
        p50, p99 = (milliseconds(times.milliseconds()[stat]) for stat in ("p50", "p99"))
        head = ("         " if number else "lag      ", "bold")
        yield Text.assemble(head, f"{name:<{wide}}  p50 {p50}  p99 {p99} ms")
    yield Text.assemble("         ", (result.slowest(), "bold"))


def _storm(result: LoadResult, storm: ReconnectStorm) -> Text:
    meanwhile = result.ledger.storm
    back = storm.back.milliseconds()
    line = Text.assemble(("storm    ", "bold"), f"{storm.thrown_out} devices disconnected, ")
    if storm.all_back is None:
        line.append(f"{storm.missing} have not reconnected", style="red")
    else:
        line.append(f"all back after {storm.all_back:.2f} s")
    p50, p99 = (milliseconds(back[stat]) for stat in ("p50", "p99"))
    line.append(f" (p50 {p50} p99 {p99} ms); sent meanwhile {sum(meanwhile.values())}: ")
    line.append(
        ", ".join(f"{c.value} {meanwhile[c]}" for c in CommandOutcome if meanwhile[c]) or "none"
    )
    worst = result.measurements.storm.milliseconds()["p99"]
    if worst is not None:
        line.append(f", p99 {milliseconds(worst)} ms")
    return line


def _remarks(result: LoadResult) -> Iterator[Text]:
    if result.ending is RunEnding.FLEET_GONE:
        reason = f" ({result.reason})" if result.reason else ""
        yield Text(
            f"the fleet's process ended after {result.sending_took:.1f} s{reason}; what became of"
            " the commands on their way then is unknown",
            style="bold red",
        )
    elif result.ending is RunEnding.INTERRUPTED:
        yield Text(f"interrupted after {result.sending_took:.1f} s", style="yellow")
    if result.offline:
        who = count_noun(result.offline, "device")
        yield Text(f"{who} offline before it began", style="yellow")
    if result.unsent and result.ending is RunEnding.COMPLETE:
        yield Text(
            f"{count_noun(result.unsent, 'command')} due and never sent: the generator could not"
            " keep up, so the figures describe the generator and not the fleet",
            style="yellow",
        )
    yield from connection_remarks(result)


def connection_remarks(result: LoadResult) -> Iterator[Text]:
    """Generate remarks about workers that died and connections that were lost."""
    dropped, gone = result.dropped, result.ending is RunEnding.FLEET_GONE
    if result.worker_stats is not None and result.worker_stats.restarts:
        times = count_noun(result.worker_stats.restarts, "time")
        yield Text(f"a worker of the fleet died and was started again: {times}", style="yellow")
    if dropped.devices and not gone:
        missing = dropped.devices - dropped.back
        back = f"{missing} of them not back at the end" if missing else "all of them back"
        who = count_noun(dropped.devices, "device")
        yield Text(f"{who} lost the connection meanwhile, {back}", style="yellow")
    if result.reconnects:
        lost = f"the generator's own connections were lost {count_noun(result.reconnects, 'time')}"
        if result.cut_off and not gone:
            lost += ", and not all came back: the broker was down or refused them"
        yield Text(lost, style="yellow")


def _thresholds(result: LoadResult) -> Iterator[Text]:
    yield Text("thresholds", style="bold")
    wide = max((len(v.threshold.metric) for v in result.verdicts), default=0)
    wider = max((len(v.expected) for v in result.verdicts), default=0)
    for verdict in result.verdicts:
        implied = "  (unless said otherwise)" if verdict.threshold.implied else ""
        yield Text.assemble(
            ("  ✓ " if verdict.holds else "  ✗ ", "green" if verdict.holds else "bold red"),
            f"{verdict.threshold.metric:<{wide}}  expected {verdict.expected:<{wider}}"
            f"  seen {verdict.seen_text}{implied}",
        )
