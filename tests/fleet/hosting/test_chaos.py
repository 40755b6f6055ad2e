"""Short form of `make chaos`: nothing is lost or done twice while processes are killed."""

from __future__ import annotations

from pathlib import Path

from tests.support.chaos import run_chaos


async def test_nothing_is_lost_or_done_twice_while_processes_are_killed_and_stopped(
    tmp_path: Path,
) -> None:
    ledger = await run_chaos(commands=200, faults=6, seed=5, folder=tmp_path)
    assert (ledger.lost, ledger.twice, ledger.wrong) == (0, 0, 0)
    assert ledger.ok == ledger.sent == 200
