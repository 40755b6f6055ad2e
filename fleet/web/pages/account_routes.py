"""The work account's pages, registration and password reset: a view of the `account` actor."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from broker.errors import UsageError
from fleet.web.pages.account_texts import (
    COUNTRIES,
    METHOD_NAMES,
    OPEN_PAGES,
    OPTION_NAMES,
    PROBLEMS,
    QUESTIONS,
    SCREENS,
    TARGET_NAMES,
)
from fleet.web.pages.browser_user import BrowserUser
from fleet.web.pages.forms import FormHandler, field_of, handle_form, refusal_text
from fleet.web.pages.recording import REPLACED_PASSWORDS, WEAK_PASSWORD
from fleet.web.pages.rendering import render
from fleet.web.pages.state import Pages
from scenarios.actors.account_rules import is_strong
from scenarios.model.actor import StepRefusedError

__all__ = ["account_routes"]

_FLOW: Final = "flow"
"""The page that the actor's status names, in place of one that a link opened."""
_ELSEWHERE: Final = "@unknown.example"
_LETTERS: Final = "ACDEFHJKLMNPRTUVWXY347"
_PHONES: Final = 4
_CHOICES: Final = 100
"""Devices offered for a phone number at most."""


def account_routes() -> list[BaseRoute]:
    """The routes of this module."""
    return [Route("/account", _page, methods=["GET"]), Route("/account", _post, methods=["POST"])]


async def _page(request: Request) -> Response:
    pages: Pages = request.app.state.pages
    user = pages.user(request.state.session_id)
    wanted = request.query_params.get("page")
    if wanted is not None:
        await _open_page(user, wanted)
        return RedirectResponse("/account", 303)
    view = user.look("account")
    screen = _screen(user, view)
    if screen == "who" and "captcha" not in user.drafts:
        user.drafts["captcha"] = "".join(secrets.choice(_LETTERS) for _ in range(5))
    name = user.drafts.get("account_user")
    own = pages.devices.of_owner(name) if name else []
    methods = view.get("options", ())
    values = {
        "title": "Work account",
        "screen": screen,
        "user": name,
        "view": view,
        "own": own[:_CHOICES],
        "refused": user.drafts.pop("refused", None),
        "problem": view["message"] if _follows(user) and view.get("status") in PROBLEMS else None,
        "captcha": user.drafts.get("captcha", ""),
        "option": user.drafts.get("option", ""),
        "option_names": OPTION_NAMES,
        "countries": COUNTRIES,
        "questions": QUESTIONS,
        "methods": [(each, METHOD_NAMES[each], _targets(view, each)) for each in methods],
        "in_reset": "options" in view,
        "phones": own[:_PHONES],
    }
    return render(request, "account", values)


def _targets(view: Mapping[str, Any], method: str) -> list[tuple[str, str]]:
    """Return (name, title) of each target of a method, nothing where there is no choice."""
    targets = view.get("targets", {}).get(method, ())
    return [(each, TARGET_NAMES[each]) for each in targets] if len(targets) > 1 else []


async def _open_page(user: BrowserUser, page: str) -> None:
    """Open the page of a link."""
    signed_in = user.drafts.get("account_user")
    try:
        if page == "reset":
            user.drafts.pop("captcha", None)
            user.drafts["account_page"] = "who"
        elif page in OPEN_PAGES or (page == "method" and "options" in user.look("account")):
            user.drafts["account_page"] = page
        elif page == "options" and signed_in:
            await _perform(user, "sign_in", {"user": signed_in})
        elif page == "contact":
            await _perform(user, "contact_administrator", {})
        elif page in OPTION_NAMES:
            user.drafts["option"] = page
            await _perform(user, "set_up", {"option": page})
    except (StepRefusedError, UsageError) as error:
        user.drafts["refused"] = refusal_text(error)


def _follows(user: BrowserUser) -> bool:
    """Return True if the page follows the actor's status, not a link."""
    return bool(user.drafts.get("account_page", "start") == _FLOW)


def _screen(user: BrowserUser, view: Mapping[str, Any]) -> str:
    if not _follows(user):
        return str(user.drafts.get("account_page", "start"))
    return SCREENS.get(str(view.get("status")), "start")


async def _post(request: Request) -> Response:
    return await handle_form(request, _HANDLERS, back="/account")


async def _perform(
    user: BrowserUser, step: str, arguments: dict[str, Any], recorded: dict[str, Any] | None = None
) -> None:
    await user.perform("account", step, arguments, arguments if recorded is None else recorded)
    user.drafts["account_page"] = _FLOW
    view = user.look("account")
    seen = {key: view[key] for key in ("status", "message", "contact") if key in view}
    user.recording.expect("account", seen)


# -- registering ----------------------------------------------------------------------------------


def _named(user: BrowserUser, form: FormData) -> str:
    """Return the typed user ID, and remember the user that it names."""
    typed = field_of(form, "user")
    name = user.account_name(typed)
    user.drafts["account_user"] = name
    if name is not None:
        user.recording.user(name)
    elif "@" not in typed:
        return f"{typed}{_ELSEWHERE}"  # a scenario accepts unknown users as addresses only
    return typed


async def _credentials(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    named = {"user": _named(user, form)}
    name = user.drafts["account_user"]
    typed, recorded = user.password_arguments(name, field_of(form, "password"))
    await _perform(user, "sign_in", named | typed, named | recorded)


async def _register(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    option, name = user.drafts.get("option"), user.drafts.get("account_user")
    if option is None or name is None:
        raise UsageError("Enter your username and password first.")
    await _perform(user, "register", {"user": name, option: _registered_value(option, form)})


def _registered_value(option: str, form: FormData) -> Any:
    if option.endswith("Email"):
        return field_of(form, "email")
    if option == "securityQuestions":
        return _answers_of(form, QUESTIONS)
    phone = {"countryCode": field_of(form, "country"), "number": field_of(form, "number")}
    if device := field_of(form, "device"):
        phone["device"] = device
    return phone | ({"by": field_of(form, "by")} if option == "authenticationPhone" else {})


def _answers_of(form: FormData, questions: Iterable[str]) -> dict[str, str]:
    return {
        question: field_of(form, f"answer-{number}") for number, question in enumerate(questions, 1)
    }


# -- resetting ------------------------------------------------------------------------------------


async def _who(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    right = user.drafts.pop("captcha", None)
    typed = field_of(form, "captcha").strip().upper()
    solved = "solved" if right is not None and typed == right else "failed"
    await _perform(user, "start_reset", {"user": _named(user, form), "captcha": solved})


async def _method(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    method = field_of(form, "method")
    target = field_of(form, f"target-{method}")
    await _perform(
        user, "choose_method", {"method": method} | ({"target": target} if target else {})
    )


async def _number(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    await _perform(user, "enter_number", {"number": field_of(form, "number")})


async def _answers(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    asked = user.look("account").get("questions", ())
    await _perform(user, "answer_questions", {"answers": _answers_of(form, asked)})


async def _code(pages: Pages, user: BrowserUser, form: FormData) -> None:
    code = field_of(form, "code").strip()
    await _perform(user, "enter_code", {"code": code}, _code_source(pages, user, code))


def _code_source(pages: Pages, user: BrowserUser, code: str) -> dict[str, str]:
    """Arguments with which a scenario enters a code: read again, since codes differ per run."""
    if code and code in str(user.look("account").get("mailbox", "")):
        return {"from": "mailbox"}
    for name in pages.devices.of_owner(user.drafts.get("account_user") or ""):
        if code and any(code in text.body for text in pages.view.devices[name].messages[-1:]):
            return {"from": name}
    return {"code": code}


async def _choose(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    password, confirm = field_of(form, "password"), field_of(form, "confirm")
    recorded = _replaced(password, confirm)
    await _perform(user, "choose_password", {"password": password, "confirm": confirm}, recorded)
    if user.look("account")["status"] == "done":
        user.open_accounts.discard(user.drafts.get("account_user") or "")


def _replaced(password: str, confirm: str) -> dict[str, str]:
    """Return passwords of the same strength and equality, to be written into the scenario."""
    strong, other = REPLACED_PASSWORDS
    first = strong if is_strong(password) else WEAK_PASSWORD
    return {"password": first, "confirm": first if password == confirm else other}


_HANDLERS: Final[dict[str, FormHandler]] = {
    "credentials": _credentials,
    "register": _register,
    "who": _who,
    "method": _method,
    "number": _number,
    "answers": _answers,
    "code": _code,
    "choose": _choose,
}
