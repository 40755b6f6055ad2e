"""The Company Portal website: a view of the `portal` actor, page by page as in the documents."""

from __future__ import annotations

from typing import Any, Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from broker.errors import UsageError
from fleet.web.pages.browser_user import BrowserUser
from fleet.web.pages.forms import FormHandler, field_of, handle_form, refusal_text
from fleet.web.pages.rendering import render
from fleet.web.pages.state import Pages
from scenarios.model.actor import StepRefusedError
from scenarios.model.matchers import TextVariants

__all__ = ["portal_routes"]

_EXPECTED: Final = ("screen", "message", "resetButton", "contact")
_FORGOTTEN: Final = "passwordReset"
"""The screen of the links to the password reset page, which is a page of its own here."""
_NAVIGATE: Final = "navigate"
_PHONES: Final = 6


def portal_routes() -> list[BaseRoute]:
    """The routes of this module."""
    return [Route("/portal", _page, methods=["GET"]), Route("/portal", _post, methods=["POST"])]


async def _page(request: Request) -> Response:
    pages: Pages = request.app.state.pages
    user = pages.user(request.state.session_id)
    for key, follow in (("device", _select), ("menu", _choose_menu), ("link", _open_link)):
        wanted = request.query_params.get(key)
        if wanted is not None:
            await follow(user, wanted)
            user.drafts["portal_page"] = True
            forgotten = _view(user)["screen"] == _FORGOTTEN
            return RedirectResponse("/account?page=reset" if forgotten else "/portal", 303)
    await _start_again(user, request)
    view = _view(user)
    device = user.drafts.get("device")
    name = user.drafts.get("user")
    address = user.drafts.get("address", "")
    values = {
        "title": "Company Portal",
        "view": view,
        "screen": view["screen"],
        "user": name,
        "address": address,
        "refused": user.drafts.pop("refused", None),
        "own": [pages.devices[each] for each in view.get("devices", ()) if each in pages.devices],
        "device": pages.devices.get(device) if device else None,
        "phones": _phones(pages, name or user.account_name(address), device),
    }
    return render(request, "portal", values)


async def _start_again(user: BrowserUser, request: Request) -> None:
    """Return to the sign-in page where the address was opened again before signing in."""
    if request.headers.get("sec-fetch-mode", _NAVIGATE) != _NAVIGATE:
        return  # the page's own script
    continued = user.drafts.pop("portal_page", False)
    view = _view(user)
    if not continued and view["screen"] != "signIn" and "devices" not in view:
        await user.perform("portal", "back", {}, {})


def _phones(pages: Pages, owner: str | None, device: str | None) -> list[str]:
    """The user's phones, the chosen one first."""
    own = pages.devices.of_owner(owner) if owner else []
    return sorted(own, key=lambda name: name != device)[:_PHONES]


def _view(user: BrowserUser) -> dict[str, Any]:
    view = dict(user.look("portal"))
    if isinstance(view["screen"], TextVariants):
        view["screen"] = view["screen"].texts[-1]
    return {"message": "", **view}


# -- links ----------------------------------------------------------------------------------------


async def _follow(user: BrowserUser, *steps: tuple[str, dict[str, Any]]) -> bool:
    """Take the steps of a link; a refusal is shown on the page. Returns True if all were taken."""
    try:
        for step, arguments in steps:
            await user.perform("portal", step, arguments, arguments)
    except (StepRefusedError, UsageError) as error:
        user.drafts["refused"] = refusal_text(error)
        return False
    _expect(user)
    return True


async def _select(user: BrowserUser, name: str) -> None:
    if name not in user.devices:
        user.drafts["refused"] = "There is no such device."
    elif await _follow(user, ("select_device", {"device": name})):
        user.drafts["device"] = name


async def _choose_menu(user: BrowserUser, item: str) -> None:
    await _follow(user, ("open_menu", {}), ("choose_menu", {"item": item}))


async def _open_link(user: BrowserUser, link: str) -> None:
    await _follow(user, ("open_link", {"link": link}))


def _expect(user: BrowserUser) -> None:
    """Record what the page shows now; a pending state only where the device takes its time."""
    view = _view(user)
    seen = {key: view[key] for key in _EXPECTED if view.get(key) not in (None, "")}
    if "resetButton" in seen:
        seen["resetButton"] = "present" if seen["resetButton"] else "absent"
    if "status" in view:
        seen.pop("message", None)
    user.recording.expect("portal", seen)


# -- forms ----------------------------------------------------------------------------------------


async def _post(request: Request) -> Response:
    pages: Pages = request.app.state.pages
    pages.user(request.state.session_id).drafts["portal_page"] = True
    return await handle_form(request, _HANDLERS, back="/portal")


async def _address(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    address = field_of(form, "address")
    arguments = {"address": address}
    user.drafts["address"] = address.strip()
    if (name := user.account_name(address)) is not None:
        user.recording.user(name)
    view = _view(user)
    if view["screen"] != "signIn" and "devices" not in view:  # the form of an older page
        await user.perform("portal", "back", {}, {})
    await user.perform("portal", "enter_address", arguments, arguments)
    _expect(user)


async def _account(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    arguments = {"account": field_of(form, "account")}
    await user.perform("portal", "choose_account", arguments, arguments)
    _expect(user)


async def _password(pages: Pages, user: BrowserUser, form: FormData) -> None:
    if _view(user)["screen"] == "accountChooser":
        await _account(pages, user, FormData({"account": "work"}))
    name = user.account_name(user.drafts.get("address", ""))
    typed, recorded = user.password_arguments(name, field_of(form, "password"))
    await user.perform("portal", "enter_password", typed, recorded)
    if "devices" in _view(user):
        user.drafts["user"] = name
    _expect(user)


async def _sign_out(pages: Pages, user: BrowserUser, form: FormData) -> None:
    await _plain("sign_out")(pages, user, form)
    user.drafts.pop("user", None)


def _plain(step: str) -> FormHandler:
    async def handle(pages: Pages, user: BrowserUser, form: FormData) -> None:
        del pages, form
        await user.perform("portal", step, {}, {})
        _expect(user)

    return handle


async def _notifications(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages, form
    await user.perform("portal", "open_notifications", {}, {})
    user.recording.expect("portal", {"notifications": list(_view(user)["notifications"])})


_HANDLERS: Final[dict[str, FormHandler]] = {
    "address": _address,
    "account": _account,
    "password": _password,
    "sign_out": _sign_out,
    "notifications": _notifications,
    **{step: _plain(step) for step in ("back", "reset_passcode", "remote_lock", "check_status")},
}
