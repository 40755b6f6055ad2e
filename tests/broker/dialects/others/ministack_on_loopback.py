"""MiniStack, an emulator of AWS, listening on 127.0.0.1 alone.

Its MQTT listener binds to all addresses and has no option for that, so this program replaces the
address where the event loop creates servers. Run by the Python of `.venv-dialects`; the argument
is the file to write the certificate of its CA to.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"


def bind_to_loopback() -> None:
    """Let all servers of this process listen on the loopback address."""
    original = asyncio.base_events.BaseEventLoop.create_server

    async def create_server(self: Any, *arguments: Any, **options: Any) -> Any:
        if options.get("sock") is None:
            factory, _, *rest = (*arguments, None)
            options.pop("host", None)
            arguments = (factory, LOOPBACK, *[each for each in rest if each is not None])
        return await original(self, *arguments, **options)

    asyncio.base_events.BaseEventLoop.create_server = create_server  # type: ignore[method-assign]
    os.environ["BIND_HOST"] = LOOPBACK


if __name__ == "__main__":
    bind_to_loopback()
    from ministack.app import main
    from ministack.services.iot import get_ca_cert_pem

    Path(sys.argv.pop()).write_text(get_ca_cert_pem(), encoding="ascii")
    main()
