"""The operator's connection when the broker drops it."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from broker.operator.link import open_client
from tests.support.brokers import until
from tests.support.fleet_processes import Server, both


@both
async def test_connection_lost_before_it_is_closed_leaves_no_unhandled_error(
    server: Server,
) -> None:
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    async with open_client(server.address, "test-link") as client:
        server.kill()
        await until(client._disconnected.done)
    del client
    gc.collect()
    assert unhandled == []
