"""Keyring: a small back-end that manages phones, with topics and payloads of its own.

This module does not depend on passfleet. It keeps orders and phones in SQLite, sends orders over
MQTT, and has an HTTP API for a help desk.

    KEYRING_BROKER=mqtt://127.0.0.1:1883 KEYRING_API_KEY=secret uvicorn keyring:app
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import aiomqtt
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response

_TABLES = """
create table if not exists phones (
    id text primary key, online integer default 0, locked integer, pin text, compliance text
);
create table if not exists orders (
    id text primary key, phone text not null, op text not null, status text not null,
    message text, code text, pin text
);
"""
Operation = Literal["PIN_RESET", "LOCK"]


class Store:
    """Phones and orders in SQLite."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path)
        self._database.row_factory = sqlite3.Row
        self._database.executescript(_TABLES)

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        return [dict(row) for row in self._database.execute(query, values)]

    def change(self, statement: str, *values: object) -> None:
        """Execute a statement and commit."""
        with self._database:
            self._database.execute(statement, values)

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def take_message(store: Store, topic: str, payload: bytes) -> None:
    """Store a message of a phone; ignore one that does not have the expected form."""
    parts = topic.split("/")
    try:
        document = json.loads(payload)
        match parts[2:]:
            case ["receipts", order]:
                store.change(
                    "update orders set status = ?, message = ?, code = ?, pin = ?"
                    " where id = ? and phone = ? and status not in ('OK', 'ERROR', 'REJECTED')",
                    *(document["status"], document.get("text"), document.get("code")),
                    *(document.get("pin"), order, parts[1]),
                )
            case ["status"]:
                store.change(
                    "insert into phones (id, locked, pin, compliance) values (?, ?, ?, ?)"
                    " on conflict (id) do update set locked = excluded.locked,"
                    " pin = excluded.pin, compliance = excluded.compliance",
                    *(parts[1], document["locked"], document["pin"], document["compliance"]),
                )
            case ["online"]:
                store.change(
                    "insert into phones (id, online) values (?, ?)"
                    " on conflict (id) do update set online = excluded.online",
                    *(parts[1], document["online"]),
                )
    except (ValueError, KeyError, TypeError, sqlite3.Error):
        return


@asynccontextmanager
async def lifespan(application: FastAPI) -> AsyncIterator[None]:
    """Connect to the broker and listen while the application runs."""
    broker = urlsplit(os.environ["KEYRING_BROKER"])
    store = application.state.store = Store(os.environ.get("KEYRING_DATABASE", ":memory:"))
    async with aiomqtt.Client(
        broker.hostname or "127.0.0.1",
        broker.port or 1883,
        identifier="keyring",
        username=os.environ.get("KEYRING_USER"),
        password=os.environ.get("KEYRING_PASSWORD"),
    ) as client:
        application.state.client = client
        for leaf in ("receipts/+", "status", "online"):
            await client.subscribe(f"keyring/+/{leaf}", qos=1)

        async def listen() -> None:
            async for message in client.messages:
                take_message(store, message.topic.value, bytes(message.payload))

        listening = asyncio.create_task(listen())
        yield
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    store.close()


def check_key(x_api_key: Annotated[str, Header()] = "") -> None:
    """Refuse a request without the right key."""
    if not secrets.compare_digest(x_api_key, os.environ["KEYRING_API_KEY"]):
        raise HTTPException(401, "the key is missing or wrong")


app = FastAPI(title="Keyring", lifespan=lifespan, dependencies=[Depends(check_key)])


@app.get("/phones")
async def phones(request: Request) -> list[dict[str, Any]]:
    """All phones that ever reported."""
    return _store(request).rows("select * from phones order by id")


@app.get("/phones/{phone}")
async def phone(request: Request, phone: str) -> dict[str, Any]:
    """One phone: the last state that it reported."""
    return _one(request, "phones", phone)


@app.post("/phones/{phone}/orders", status_code=202)
async def give_order(
    request: Request,
    response: Response,
    phone: str,
    op: Operation,
    by: Literal["desk", "user"] = "desk",
) -> dict[str, str]:
    """Order a phone to reset its PIN or to lock itself."""
    _one(request, "phones", phone)
    order = f"order-{secrets.token_hex(4)}"
    _store(request).change(
        "insert into orders (id, phone, op, status) values (?, ?, ?, 'SENT')", order, phone, op
    )
    client: aiomqtt.Client = request.app.state.client
    payload = json.dumps({"op": op, "by": by})
    await client.publish(f"keyring/{phone}/orders/{order}", payload, qos=1)
    response.headers["Location"] = f"/orders/{order}"
    return {"order": order}


@app.get("/orders/{order}")
async def order(request: Request, order: str) -> dict[str, Any]:
    """One order with the phone's answer; the new PIN is for the help desk to tell the user."""
    return _one(request, "orders", order)


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


def _one(request: Request, table: Literal["phones", "orders"], key: str) -> dict[str, Any]:
    rows = _store(request).rows(f"select * from {table} where id = ?", key)  # noqa: S608  # fixed names
    if not rows:
        raise HTTPException(404, f"there is no {key}")
    return rows[0]
