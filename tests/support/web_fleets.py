"""A fleet in this process with its web server, and clients for both."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from agent.clock import Clock, RealClock, VirtualClock
from broker.contract import Topics
from broker.operator.operator import Operator
from broker.server.open import EMBEDDED, open_broker
from fleet.config.loader import parse_fleet
from fleet.hosting.host import Host
from fleet.web.server import open_listener, serving
from fleet.web.settings import WebOptions

LISTED = "/v1.0/deviceManagement/managedDevices"


@dataclass
class WebFleet:
    """A running fleet: `http` speaks to its web server, `operator` to its devices over MQTT."""

    url: str
    http: httpx.AsyncClient
    operator: Operator

    async def get(self, path: str, **options: Any) -> Any:
        """Fetch a JSON document that is expected to be there."""
        answer = await self.http.get(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def act(self, device: str, action: str, **options: Any) -> httpx.Response:
        """Post an action on a device."""
        return await self.http.post(f"{LISTED}/{device}/{action}", **options)

    async def result(self, device: str, action: str = "resetPasscode") -> dict[str, Any]:
        """The latest result of an action on a device."""
        document = await self.get(f"{LISTED}/{device}")
        found = [r for r in document["deviceActionResults"] if r["actionName"] == action]
        return dict(found[0]) if found else {}

    async def result_when(
        self,
        device: str,
        condition: Callable[[dict[str, Any]], bool],
        action: str = "resetPasscode",
    ) -> dict[str, Any]:
        """The result once `condition` holds for it."""
        seen: dict[str, Any] = {}

        async def look() -> bool:
            seen.clear()
            seen.update(await self.result(device, action))
            return condition(seen)

        await eventually(look)
        return seen

    async def done(self, device: str, action: str = "resetPasscode") -> dict[str, Any]:
        """The result once it is `done`."""
        return await self.result_when(device, lambda r: r.get("actionState") == "done", action)


async def eventually(look: Callable[[], Any], limit: float = 60.0) -> None:
    """Wait until an asynchronous look gives true, within a limit in seconds."""
    async with asyncio.timeout(limit):
        while not await look():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def web_fleet(text: str, **options: Any) -> AsyncIterator[WebFleet]:
    """The fleet of a fleet file's text; `options` are those of WebOptions."""
    config = parse_fleet(text)
    clock: Clock = VirtualClock() if config.speed is None else RealClock(config.speed)
    topics = Topics(config.root)
    web = WebOptions(**{"host": "127.0.0.1", "port": 0, **options})
    async with open_broker(EMBEDDED) as broker:
        host = Host(config.devices(), topics, seed=config.seed, clock=clock, known=config.known)
        await host.start(broker.address, fresh=True)
        try:
            async with (
                serving(open_listener(web), web, config, broker.address) as url,
                httpx.AsyncClient(base_url=url, trust_env=False) as http,
                Operator(broker.address, topics) as operator,
            ):
                yield WebFleet(url, http, operator)
        finally:
            await host.abandon()
