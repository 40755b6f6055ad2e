"""What a load prints for people: percentiles, the ledger, who was slow, the thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from fleet.load.ledger import COLUMNS, Column
from fleet.load.result import Ending, Result
from fleet.load.storm import Storm

__all__ = ["summary"]

_SHOWN: Final = ("p50", "p90", "p95", "p99", "p999", "max")
_HEADS: Final = {"p999": "p99.9"}
_STYLES: Final = {"failed": "red", "lost": "red", "unknown": "yellow", "notSupported": "yellow"}


def summary(result: Result) -> Iterator[Table | Text]:
    """The parts, in the order in which they are printed."""
    yield _latencies(result)
    yield from _ledger(result)
    yield from _speeds(result)
    if result.storm is not None:
        yield _storm(result, result.storm)
    yield from _remarks(result)
    yield from _thresholds(result)


def _latencies(result: Result) -> Table:
    table = Table(
        title="latency in ms, from the instant each command was due", title_justify="left"
    )
    for name in ("action", "platform"):
        table.add_column(name)
    for name in ("answered", *(_HEADS.get(n, n) for n in _SHOWN), "service p50", "service p99"):
        table.add_column(name, justify="right")
    rows: list[tuple[str, str, Any]] = [
        (action, platform, latencies) for action, platform, latencies, _ in result.kinds()
    ]
    rows += [(action, "all", result.measures.of(action)) for action in result.options.mix.actions]
    rows.sort(key=lambda row: row[0])
    for action, platform, latencies in [*rows, ("all", "all", result.measures.of())]:
        times, service = latencies.latency.milliseconds(), latencies.service.milliseconds()
        cells = [_ms(times[name]) for name in _SHOWN]
        cells += [_ms(service["p50"]), _ms(service["p99"])]
        style = "bold" if platform == "all" else ""
        table.add_row(action, platform, str(latencies.latency.count), *cells, style=style)
    return table


def _ledger(result: Result) -> Iterator[Text]:
    line = Text.assemble(("ledger   ", "bold"), f"sent {result.count('sent')} = ")
    for number, name in enumerate(COLUMNS):
        count = result.count(name)
        line.append(" + " if number else "")
        line.append(f"{name} {count}", style=_STYLES.get(name, "") if count else "")
    yield line
    beside = ", ".join(f"{name} {result.count(name)}" for name in ("duplicate", "late", "unsent"))
    yield Text(f"         beside it: {beside}")


def _speeds(result: Result) -> Iterator[Text]:
    measures = result.measures
    yield Text.assemble(
        ("rate     ", "bold"),
        f"asked {result.rate_asked:.1f}/s, sent {result.rate_sent:.1f}/s,"
        f" answered {result.rate_reached:.1f}/s",
    )
    line = Text.assemble(("who      ", "bold"))
    for name, times in (
        ("generator's lag", measures.lag),
        ("a pass through the broker", measures.broker_pass),
        ("the simulator's turn", measures.simulator_pass),
    ):
        stats = times.milliseconds()
        line.append(f"{name} p50 {_ms(stats['p50'])} p99 {_ms(stats['p99'])} ms; ")
    line.append(result.slowest(), style="bold")
    yield line


def _storm(result: Result, storm: Storm) -> Text:
    meanwhile = result.ledger.storm
    back = storm.back.milliseconds()
    line = Text.assemble(("storm    ", "bold"), f"{storm.thrown_out} devices thrown out, ")
    if storm.all_back is None:
        line.append(f"{storm.missing} have not come back", style="red")
    else:
        line.append(f"all back after {storm.all_back:.2f} s")
    line.append(f" (p50 {_ms(back['p50'])} p99 {_ms(back['p99'])} ms); sent meanwhile ")
    line.append(f"{sum(meanwhile.values())}: ")
    line.append(", ".join(f"{c.value} {meanwhile[c]}" for c in Column if meanwhile[c]) or "none")
    p99 = result.measures.storm.milliseconds()["p99"]
    if p99 is not None:
        line.append(f", p99 {_ms(p99)} ms")
    return line


def _remarks(result: Result) -> Iterator[Text]:
    if result.ending is Ending.FLEET_GONE:
        yield Text(
            f"the fleet's process ended after {result.sending_took:.1f} s; what became of the"
            " commands on their way then is unknown",
            style="bold red",
        )
    elif result.ending is Ending.INTERRUPTED:
        yield Text(f"interrupted after {result.sending_took:.1f} s", style="yellow")
    if result.offline:
        yield Text(f"{result.offline} devices were offline before it began", style="yellow")
    if result.unsent and result.ending is Ending.COMPLETE:
        yield Text(
            f"{result.unsent} commands were due and never sent: the generator could not keep up,"
            " so the figures tell of it and not of the fleet",
            style="yellow",
        )
    if result.reconnects:
        yield Text(
            f"the generator's own connections were lost {result.reconnects} times", style="yellow"
        )


def _thresholds(result: Result) -> Iterator[Text]:
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


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
