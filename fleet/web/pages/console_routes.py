"""The administrator's console: a view of the `console` actor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from broker.errors import UsageError
from fleet.web.pages.browser_user import BrowserUser
from fleet.web.pages.forms import FormHandler, handle_form
from fleet.web.pages.rendering import render
from fleet.web.pages.state import Pages
from scenarios.actors.console import ConsoleActor

__all__ = ["console_routes"]

_TREE: Final = (
    (1, "groups", "Groups"),
    (2, "devices", "All Devices"),
    (3, "mobile", "All Mobile Devices"),
    (4, "directManaged", "All Direct Managed Devices"),
    (4, "exchangeActiveSync", "All Exchange ActiveSync Managed Devices"),
    (2, "users", "All Users"),
)
"""(level, key, name) of each item of the tree, as in the documents."""
_NAMES: Final = {key: name for _, key, name in _TREE}
_GROUPS: Final = ("directManaged", "exchangeActiveSync")
_PAGE: Final = 100
_PHONES: Final = 4


def console_routes() -> list[BaseRoute]:
    """The routes of this module."""
    return [Route("/console", _page, methods=["GET"]), Route("/console", _post, methods=["POST"])]


async def _page(request: Request) -> Response:
    pages: Pages = request.app.state.pages
    user = pages.user(request.state.session_id)
    query = {key: request.query_params.get(key, "") for key in ("list", "user", "tab")}
    listed = query["list"] if query["list"] in _NAMES else "groups"
    number = request.query_params.get("page", "1")
    names = _names(pages, user, listed, query["user"])
    pages_of_list = max(1, -(-len(names) // _PAGE))
    page = min(int(number), pages_of_list) if number.isdecimal() and int(number) else 1
    shown = names[(page - 1) * _PAGE : page * _PAGE]
    users = listed == "users" and not query["user"]
    selected = user.look("console").get("devices", ())
    values = {
        "title": "Console",
        "tree": _TREE,
        "list": listed,
        "heading": query["user"] or _NAMES[listed],
        "user": query["user"],
        "tab": query["tab"],
        "users": shown if users else (),
        "rows": () if users else [_row(user, name, selected) for name in shown],
        "total": len(names),
        "number": page,
        "pages": pages_of_list,
        "query": urlencode({key: value for key, value in query.items() if value}),
        "refused": user.drafts.pop("refused", None),
        "phones": selected[:_PHONES],
        "screen": urlencode({**query, "page": page}),
    }
    return render(request, "console", values)


def _names(pages: Pages, user: BrowserUser, listed: str, owner: str) -> Sequence[str]:
    """Names of the users or devices in a list."""
    if listed == "users":
        return pages.devices.of_owner(owner) if owner else pages.devices.owners()
    if listed in _GROUPS:
        console = user.actors["console"]
        assert isinstance(console, ConsoleActor)  # noqa: S101  # by its name
        return [device.name for device in console.devices_of_group(listed)]
    return tuple(pages.devices)


def _row(user: BrowserUser, name: str, selected: Sequence[str]) -> dict[str, Any]:
    device = user.devices[name]
    seen = user.look_at(name)
    return {
        "name": name,
        "owner": device.owner,
        "title": device.profile.title,
        "management": device.management.value,
        "selected": name in selected,
        "view": {key: seen.get(key) for key in ("actionState", "message", "newPasscode")},
    }


async def _post(request: Request) -> Response:
    back = f"/console?{request.url.query}" if request.url.query else "/console"
    return await handle_form(request, _HANDLERS, back=back)


def _task(step: str) -> FormHandler:
    async def handle(pages: Pages, user: BrowserUser, form: FormData) -> None:
        names = [each for each in form.getlist("device") if isinstance(each, str)]
        if not names or any(name not in pages.devices for name in names):
            raise UsageError("Select one or more devices in the list first.")
        for name in names:
            user.recording.device(pages.devices.state(name))
        selection = {"devices": names}
        if list(user.look("console").get("devices", ())) != names:
            await user.perform("console", "select", selection, selection)
        await user.perform("console", step, {}, {})
        if step == "show_passcode":
            _expect_shown(user, names)

    return handle


def _expect_shown(user: BrowserUser, names: Sequence[str]) -> None:
    """Record which passcodes, or which message instead, the console shows now."""
    for name in names:
        seen = user.look_at(name)
        expected = {"newPasscode": "present" if "newPasscode" in seen else "absent"}
        message = {"message": seen["message"]} if "message" in seen else {}
        user.recording.expect("console", {"device": name, **message, **expected})


_HANDLERS: Final[dict[str, FormHandler]] = {
    "reset_passcode": _task("reset_passcode"),
    "remote_lock": _task("remote_lock"),
    "show_passcode": _task("show_passcode"),
}
