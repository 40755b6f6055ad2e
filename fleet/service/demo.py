"""`passfleet demo`: one device of every platform, and the flows of the source documents on each.

A real fleet on the embedded broker, an operator beside it, and virtual time, so that the hour that
iOS gives its user passes at once. Platform rules come from each platform's profile, as on the
devices.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from agent.clock import VirtualClock
from agent.device_factory import DeviceSpec
from agent.state import GroupSetup
from broker.contract import ActionResult, InputResult, Topics
from broker.operator.operator import Operator
from broker.server.open import EMBEDDED, open_broker
from fleet.hosting.host import Host
from platforms import PLATFORMS
from platforms.profile import Alphabet, Management, PlatformProfile, ResetOutcome

__all__ = ["DemoRow", "demo_list", "demo_table", "run_demo", "save_svg"]

_SEED: Final = 7
_PASSCODE: Final = "2580"
_NEW_PASSCODE: Final = "4826"
_OWNER: Final = "alex"
_OTHER_USER: Final = "kim"
_LIMIT: Final = 10.0
_ALPHABETS: Final[dict[Alphabet | None, str]] = {
    Alphabet.DIGITS: "digits",
    Alphabet.LETTERS_AND_DIGITS: "letters and digits",
}
_PAST_GRACE: Final = 61 * 60 * 1000


@dataclass
class DemoRow:
    """Row of the table: the outcome on one device. `story` describes its user's next steps."""

    device_id: str
    profile: PlatformProfile
    management: Management
    passcode: str = ""
    portal: str = ""
    new_passcode: str | None = None
    screen: str = ""
    story: str = ""
    lock: str = ""
    ok: bool = True

    @property
    def title(self) -> str:
        """The platform, and how it is managed where that matters."""
        hybrid = self.management is Management.HYBRID
        return f"{self.profile.title} (hybrid)" if hybrid else self.profile.title

    def as_json(self) -> dict[str, Any]:
        """The row for `--json`."""
        return {
            "platform": self.profile.id,
            "management": self.management.value,
            "passcode": self.passcode,
            "portal": self.portal,
            "newPasscode": self.new_passcode,
            "device": self.screen,
            "then": self.story,
            "remoteLock": self.lock,
            "ok": self.ok,
        }


async def run_demo(err: Console) -> list[DemoRow]:
    """Run the tour on a broker of its own. Raises the errors of the fleet and of the operator."""
    rows = list(_rows())
    specs = [
        DeviceSpec(
            row.device_id,
            _OWNER,
            GroupSetup(
                name=row.device_id,
                profile=row.profile,
                management=row.management,
                biometrics=row.profile.biometrics,
            ),
            _PASSCODE,
        )
        for row in rows
    ]
    topics = Topics()
    host = Host(specs, topics, seed=_SEED, clock=VirtualClock())
    async with open_broker(EMBEDDED) as broker:
        with err.status(f"{len(rows)} devices on {broker.address.url}"):
            await host.start(broker.address, fresh=True)
            async with Operator(broker.address, topics) as operator:
                await _run_flows(operator, rows)
        await host.abandon()
    return rows


def _rows() -> Iterable[DemoRow]:
    """One device a platform, and one in hybrid where hybrid hides the passcode from the user."""
    for profile in PLATFORMS:
        name = profile.id.replace("_", "-")
        yield DemoRow(f"{name}-001", profile, Management.STANDALONE)
        rule = profile.reset
        if rule.outcome is ResetOutcome.TEMPORARY and Management.HYBRID not in rule.shown_to_user:
            yield DemoRow(f"{name}-hybrid-001", profile, Management.HYBRID)


async def _run_flows(operator: Operator, rows: list[DemoRow]) -> None:
    escrow: dict[str, dict[str, Any]] = {}
    listening = asyncio.create_task(_collect_escrow(operator, escrow))
    try:
        results = await asyncio.gather(*(_reset(operator, row) for row in rows))
        await asyncio.gather(
            *(
                _use_device(operator, row, result, escrow)
                for row, result in zip(rows, results, strict=True)
            )
        )
        waiting = [row for row in rows if row.profile.reset.grace is not None]
        if waiting:
            await operator.advance(by=_PAST_GRACE, limit=_LIMIT)
            await asyncio.gather(*(_after_grace(operator, row) for row in waiting))
        await asyncio.gather(*(_lock(operator, row) for row in rows))
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _collect_escrow(operator: Operator, escrow: dict[str, dict[str, Any]]) -> None:
    """Store the escrow documents that reach the administrator's console, by device."""
    async for message in operator.watch():
        document = message.document()
        if message.leaf == "escrow" and message.device_id and isinstance(document, dict):
            escrow[message.device_id] = document


async def _reset(operator: Operator, row: DemoRow) -> ActionResult | InputResult | None:
    """Reset the passcode as the portal does, and note the outcome in the row."""
    outcome = (await operator.send(row.device_id, "resetPasscode", issued_by="user"))[0]
    result = outcome.result
    if result is None:
        row.ok = False
        row.portal = "no answer"
        return None
    row.portal, row.new_passcode = result.message, result.new_passcode
    inspection = await operator.inspect(row.device_id)
    shown = inspection.notifications[-1:] or [{"title": "", "body": "nothing changes"}]
    row.screen = ": ".join(part for part in (shown[0]["title"], shown[0]["body"]) if part)
    state = (await operator.devices([row.device_id]))[row.device_id].state
    kind = state.passcode if state else "unknown"
    alphabet = row.profile.reset.alphabet
    row.passcode = {
        "none": "removed",
        "temporary": f"removed; a temporary one of {_ALPHABETS.get(alphabet, '?')}",
        "user": "unchanged",
    }.get(kind, kind)
    supported = row.profile.reset.outcome is not ResetOutcome.NOT_SUPPORTED
    row.ok = (result.action_state == "done") is supported
    return result


async def _use_device(
    operator: Operator,
    row: DemoRow,
    result: ActionResult | InputResult | None,
    escrow: dict[str, dict[str, Any]],
) -> None:
    """Perform the user's next steps after the reset."""
    rule = row.profile.reset
    if rule.outcome is ResetOutcome.REMOVES:
        await _tap(operator, row, "swipeUp")
        await _tap(operator, row, "later")
        row.story = "swiped up without a passcode, chose Later"
    elif rule.outcome is ResetOutcome.TEMPORARY:
        passcode = result.new_passcode if result else None
        row.story = "opened with the new passcode, set an own one"
        if passcode is None:
            # The console shows it only where a reset had been done before: reset once more.
            await operator.send(row.device_id, "resetPasscode")
            passcode = escrow.get(row.device_id, {}).get("newPasscode")
            row.story = "the administrator reset once more and read it out; then the same"
        await _tap(operator, row, "enterPasscode", passcode=passcode)
        await _tap(operator, row, "setPasscode", passcode=_NEW_PASSCODE)
    else:
        row.story = "asked the IT admin"


async def _after_grace(operator: Operator, row: DemoRow) -> None:
    state = (await operator.devices([row.device_id]))[row.device_id].state
    compliance = state.compliance if state else "unknown"
    await _tap(operator, row, "setPasscode", passcode=_NEW_PASSCODE)
    row.story += f"; after 61 minutes {compliance}; set a passcode"


async def _lock(operator: Operator, row: DemoRow) -> None:
    """Lock the device; also with another user signed in, where only the enrolling user counts."""
    parts = []
    if row.profile.lock.enrolling_user_only:
        await _tap(operator, row, "signIn", user=_OTHER_USER)
        refused = (await operator.send(row.device_id, "remoteLock"))[0].result
        row.ok &= refused is not None and refused.error_code is not None
        parts.append(f"{refused.error_code if refused else 'no answer'} for another user")
        await _tap(operator, row, "signIn", user=_OWNER)
    result = (await operator.send(row.device_id, "remoteLock"))[0].result
    row.ok &= result is not None and result.action_state == "done"
    parts.insert(0, "locked" if result and result.action_state == "done" else "not locked")
    row.lock = "; ".join(parts)


async def _tap(
    operator: Operator,
    row: DemoRow,
    action: str,
    *,
    passcode: str | None = None,
    user: str | None = None,
) -> None:
    outcome = await operator.tap(row.device_id, action, passcode=passcode, user=user)
    row.ok &= outcome.result is not None and outcome.result.action_state == "done"


_TITLE: Final = "What each platform does"
_COLUMNS: Final = (
    "platform",
    "passcode",
    "the portal says",
    "the device shows",
    "then",
    "remote lock",
)


def demo_table(rows: Iterable[DemoRow]) -> Table:
    """The tour as one table."""
    table = Table(title=_TITLE, title_justify="left", show_lines=True)
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    return table


def demo_list(rows: Iterable[DemoRow]) -> Table:
    """The tour as a list of platforms, for terminals that are too narrow for the table."""
    listed = Table.grid(padding=(0, 2, 0, 0))
    listed.title, listed.title_justify = _TITLE, "left"
    listed.add_column(no_wrap=True)
    listed.add_column()
    for row in rows:
        title, *cells = _cells(row)
        listed.add_row()
        listed.add_row(f"[bold]{title}[/]")
        for label, cell in zip(_COLUMNS[1:], cells, strict=True):
            listed.add_row(f"  {label}", cell)
    return listed


def _cells(row: DemoRow) -> tuple[str, ...]:
    mark = "" if row.ok else "  [red]not as it should be[/]"
    new_passcode = f"\nNew Passcode: {row.new_passcode}" if row.new_passcode else ""
    return (
        row.title + mark,
        row.passcode,
        row.portal + new_passcode,
        row.screen,
        row.story,
        row.lock,
    )


def save_svg(rows: Iterable[DemoRow], path: Path) -> None:
    """Save the table as an SVG picture."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=150, file=nowhere)
        console.print(demo_table(rows))
        svg = console.export_svg(title="passfleet demo")
    # rich's template fetches its font from the web; a picture should need nothing but itself.
    path.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")
