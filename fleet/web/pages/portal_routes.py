"""The Company Portal website: a view of the `portal` actor, page by page as in the documents."""

from __future__ import annotations

from typing import Any, Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from broker.errors import UsageError
from fleet.web.pages.browser_user import BrowserUser
from fleet.web.pages.forms import FormHandler, account_named, field_of, handle_form
from fleet.web.pages.recording import WRONG_PASSWORD
from fleet.web.pages.rendering import render
from fleet.web.pages.state import Pages
from scenarios.actors.portal import CONTACT_ADMIN
from scenarios.model.actor import StepRefusedError
from scenarios.model.matchers import TextVariants

__all__ = ["portal_routes"]

_UNKNOWN: Final = "We couldn't find an account with that username."
_EXPECTED: Final = ("screen", "message", "resetButton", "status")
_PHONES: Final = 6


def portal_routes() -> list[BaseRoute]:
    """The routes of this module."""
    return [Route("/portal", _page, methods=["GET"]), Route("/portal", _post, methods=["POST"])]


async def _page(request: Request) -> Response:
    pages: Pages = request.app.state.pages
    user = pages.user(request.state.session_id)
    wanted = request.query_params.get("device")
    if wanted is not None:
        await _select(user, wanted)
        return RedirectResponse("/portal", 303)
    view = _view(user)
    name = user.drafts.get("user")
    page = request.query_params.get("page", "")
    device = user.drafts.get("device")
    own = [pages.devices[each] for each in view.get("devices", ()) if each in pages.devices]
    values = {
        "title": "Company Portal",
        "view": view,
        "screen": f"{view['screen']} {page}",
        "page": page,
        "user": name,
        "address": user.drafts.get("address"),
        "work": user.drafts.get("work", False),
        "refused": user.drafts.pop("refused", None),
        "own": own,
        "device": pages.devices.get(device) if device else None,
        "contact": pages.contact,
        "contact_admin": CONTACT_ADMIN,
        "phones": _phones(pages, name or user.drafts.get("account_name"), device),
    }
    return render(request, "portal", values)


def _phones(pages: Pages, owner: str | None, device: str | None) -> list[str]:
    """The user's phones, the chosen one first."""
    own = pages.devices.of_owner(owner) if owner else []
    return sorted(own, key=lambda name: name != device)[:_PHONES]


def _view(user: BrowserUser) -> dict[str, Any]:
    view = dict(user.look("portal"))
    if isinstance(view["screen"], TextVariants):
        view["screen"] = view["screen"].texts[-1]
    return {"message": "", **view}


async def _select(user: BrowserUser, name: str) -> None:
    if name not in user.devices:
        user.drafts["refused"] = "There is no such device."
        return
    arguments = {"device": name}
    user.recording.device(user.devices.state(name))
    try:
        await user.perform("portal", "select_device", arguments, arguments)
    except StepRefusedError:
        user.drafts["refused"] = "This device is not among your devices."
        return
    user.drafts["device"] = name
    _expect(user)


def _expect(user: BrowserUser) -> None:
    """Record what the page shows now; a pending state only where the device takes its time."""
    view = _view(user)
    seen = {key: view[key] for key in _EXPECTED if view.get(key) not in (None, "")}
    if "resetButton" in seen:
        seen["resetButton"] = "present" if seen["resetButton"] else "absent"
    if "status" in seen:
        del seen["status"], seen["message"]
    user.recording.expect("portal", seen)


async def _post(request: Request) -> Response:
    return await handle_form(request, _HANDLERS, back="/portal")


async def _address(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    address = field_of(form, "address")
    name = account_named(user, address)
    if name is None:
        raise UsageError(_UNKNOWN)
    user.drafts |= {"address": address.strip(), "account_name": name, "work": False}


async def _account(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    if field_of(form, "account") == "work":
        user.drafts["work"] = True
        return
    await _sign_in(user, {"account": "personal"}, {"account": "personal"})


async def _password(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    name, password = user.drafts.get("account_name", ""), field_of(form, "password")
    account = user.accounts.get(name)
    if name in user.open_accounts or account is None:
        await _sign_in(user, {"account": "work"}, {"account": "work"})
        return
    wrong = password != account.password
    typed = {"account": "work", "password": password or WRONG_PASSWORD}
    recorded = {"account": "work"} | ({"password": WRONG_PASSWORD} if wrong else {})
    await _sign_in(user, typed, recorded)


async def _sign_in(user: BrowserUser, arguments: dict[str, str], recorded: dict[str, str]) -> None:
    name = user.drafts.pop("account_name", None)
    if name is None:
        return
    user.recording.user(name)
    await user.perform("portal", "sign_in", {"user": name, **arguments}, {"user": name, **recorded})
    if _view(user)["screen"] != "signIn":
        user.drafts["user"] = name
    for key in ("address", "work"):
        user.drafts.pop(key, None)
    _expect(user)


async def _back(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages, form
    for key in ("address", "work", "account_name"):
        user.drafts.pop(key, None)


async def _sign_out(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages, form
    await user.perform("portal", "sign_out", {}, {})
    user.drafts.pop("user", None)
    _expect(user)


def _plain(step: str) -> FormHandler:
    async def handle(pages: Pages, user: BrowserUser, form: FormData) -> None:
        del pages, form
        await user.perform("portal", step, {}, {})
        _expect(user)

    return handle


_HANDLERS: Final[dict[str, FormHandler]] = {
    "address": _address,
    "account": _account,
    "password": _password,
    "back": _back,
    "sign_out": _sign_out,
    "reset_passcode": _plain("reset_passcode"),
    "remote_lock": _plain("remote_lock"),
    "check_status": _plain("check_status"),
    "notifications": _plain("open_notifications"),
}
