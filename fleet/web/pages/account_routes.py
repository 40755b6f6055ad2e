"""The work account's pages, registration and password reset: a view of the `account` actor."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from broker.errors import UsageError
from fleet.web.pages.browser_user import BrowserUser
from fleet.web.pages.forms import FormHandler, account_named, field_of, handle_form
from fleet.web.pages.recording import REPLACED_PASSWORDS
from fleet.web.pages.rendering import render
from fleet.web.pages.state import Pages
from scenarios.actors.account_steps import METHODS

__all__ = ["account_routes"]

_UNKNOWN: Final = "The user ID you entered does not exist."
_REGISTRABLE: Final = {
    "authenticationPhone": "Authentication Phone",
    "alternateEmail": "Alternate Email",
    "officePhone": "Office Phone",
    "securityQuestions": "Security Questions",
}
_METHOD_NAMES: Final = {
    "emailAlternate": "Email my alternate email",
    "textMobile": "Text my mobile phone",
    "callMobile": "Call my mobile phone",
    "callOffice": "Call my office phone",
    "securityQuestions": "Answer my security questions",
}
_QUESTIONS: Final = ("In what city were you born?", "What was the name of your first pet?")
_COUNTRIES: Final = (
    ("+1", "United States"),
    ("+44", "United Kingdom"),
    ("+49", "Germany"),
    ("+33", "France"),
    ("+91", "India"),
    ("+81", "Japan"),
)
_PROBLEMS: Final = frozenset(
    {
        "signInRejected",
        "accountUnknown",
        "captchaFailed",
        "notEnabled",
        "notRegistered",
        "lockedOut",
        "numberNotVerified",
        "codeRejected",
        "answersRejected",
        "passwordMismatch",
        "passwordRejected",
    }
)
"""Statuses of the actor whose message the page shows as a problem."""
_SCREENS: Final = {
    "captchaFailed": "who",
    "notEnabled": "notPossible",
    "notRegistered": "notPossible",
    "chooseMethod": "method",
    "secondMethod": "method",
    "numberNotVerified": "number",
    "codeSent": "code",
    "calling": "calling",
    "codeRejected": "code",
    "answersRejected": "answers",
    "choosePassword": "choosePassword",
    "passwordMismatch": "choosePassword",
    "passwordRejected": "choosePassword",
    "lockedOut": "notPossible",
    "accountUnknown": "who",
    "signInRejected": "register",
    "done": "done",
    "registered": "thanks",
}
"""The page that each status of the actor leads to."""
_OPEN: Final = ("start", "register", "reset")
_SIGNED_IN: Final = ("options", *_REGISTRABLE)
_LETTERS: Final = "ACDEFHJKLMNPRTUVWXY347"
_PHONES: Final = 4


def account_routes() -> list[BaseRoute]:
    """The routes of this module."""
    return [Route("/account", _page, methods=["GET"]), Route("/account", _post, methods=["POST"])]


async def _page(request: Request) -> Response:
    pages: Pages = request.app.state.pages
    user = pages.user(request.state.session_id)
    wanted = request.query_params.get("page")
    if wanted is not None:
        _open_page(user, wanted)
        return RedirectResponse("/account", 303)
    view = user.look("account")
    screen = _screen(user, view)
    if screen == "who" and "captcha" not in user.drafts:
        user.drafts["captcha"] = "".join(secrets.choice(_LETTERS) for _ in range(5))
    name = user.drafts.get("reset_user")
    status = str(view.get("status", ""))
    own = pages.devices.of_owner(name) if name else []
    values = {
        "title": "Work account",
        "screen": screen,
        "user": name,
        "own": own[:_PHONES],
        "refused": user.drafts.pop("refused", None),
        "problem": view["message"] if _is_flow(user) and status in _PROBLEMS else None,
        "captcha": user.drafts.get("captcha", ""),
        "registrable": _REGISTRABLE.items(),
        "registered": user.drafts.get("registered", {}).get(name, ()),
        "countries": _COUNTRIES,
        "questions": _QUESTIONS,
        "asked": _QUESTIONS,
        "methods": [(each, _METHOD_NAMES[each]) for each in view.get("options", ())],
        "second": status == "secondMethod",
        "method": user.drafts.get("method", ""),
        "mailbox": view.get("mailbox"),
        "phones": own[:_PHONES],
    }
    return render(request, "account", values)


def _open_page(user: BrowserUser, page: str) -> None:
    if page == "reset":
        user.drafts.pop("captcha", None)
        user.drafts["account_page"] = "who"
    elif page in _OPEN or (page in _SIGNED_IN and user.drafts.get("reset_user")):
        user.drafts["account_page"] = page


def _is_flow(user: BrowserUser) -> bool:
    """Return True if the page follows the actor's status, not a link."""
    return bool(user.drafts.get("account_page", "start") == "flow")


def _screen(user: BrowserUser, view: Mapping[str, Any]) -> str:
    if not _is_flow(user):
        return str(user.drafts.get("account_page", "start"))
    status = view.get("status")
    if status in ("chooseMethod", "secondMethod") and user.drafts.get("asking") == status:
        return "answers" if user.drafts["method"] == "securityQuestions" else "number"
    screen = _SCREENS.get(str(status), "start")
    return "registerCode" if screen == "code" and user.drafts.get("registering") else screen


async def _post(request: Request) -> Response:
    return await handle_form(request, _HANDLERS, back="/account")


async def _perform(
    user: BrowserUser, step: str, arguments: dict[str, Any], recorded: dict[str, Any] | None = None
) -> None:
    user.drafts.pop("asking", None)
    await user.perform("account", step, arguments, arguments if recorded is None else recorded)
    user.drafts["account_page"] = "flow"
    user.recording.expect("account", {"status": user.look("account")["status"]})


def _known(user: BrowserUser, form: FormData, problem: str) -> str:
    name = account_named(user, field_of(form, "user"))
    if name is None:
        raise UsageError(problem)
    return name


async def _credentials(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    name = _known(user, form, "Your account or password is incorrect.")
    wrong = field_of(form, "password") != user.accounts[name].password
    if wrong and name not in user.open_accounts:
        raise UsageError("Your account or password is incorrect.")
    user.drafts |= {"reset_user": name, "account_page": "options"}


def _registers(key: str) -> FormHandler:
    async def handle(pages: Pages, user: BrowserUser, form: FormData) -> None:
        del pages
        name = user.drafts.get("reset_user")
        if name is None:
            raise UsageError("Enter your username and password first.")
        user.drafts["registering"] = True
        user.recording.user(name)
        arguments = {"user": name, key: _registered_value(key, form)}
        await _perform(user, "register", arguments)
        if user.look("account")["status"] != "notEnabled":
            user.drafts.setdefault("registered", {}).setdefault(name, set()).add(key)

    return handle


def _registered_value(key: str, form: FormData) -> Any:
    if key == "alternateEmail":
        return field_of(form, "email")
    if key == "securityQuestions":
        return _answers_of(form)
    phone = {"countryCode": field_of(form, "country"), "number": field_of(form, "number")}
    if device := field_of(form, "device"):
        phone["device"] = device
    return phone | ({"by": field_of(form, "by")} if key == "authenticationPhone" else {})


def _answers_of(form: FormData) -> dict[str, str]:
    return {
        question: field_of(form, f"answer-{number}")
        for number, question in enumerate(_QUESTIONS, 1)
    }


async def _who(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    name = _known(user, form, _UNKNOWN)
    right = user.drafts.pop("captcha", None)
    typed = field_of(form, "captcha").strip().upper()
    user.drafts |= {"reset_user": name, "registering": False}
    user.recording.user(name)
    solved = "solved" if right is not None and typed == right else "failed"
    await _perform(user, "start_reset", {"user": name, "captcha": solved})


async def _method(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    method = field_of(form, "method")
    if method not in METHODS:
        raise UsageError("Choose one of the contact methods.")
    user.drafts["method"] = method
    if method == "emailAlternate":
        await _perform(user, "verify", {"method": method})
    else:
        user.drafts["asking"] = user.look("account")["status"]
        user.on_change()


async def _number(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    arguments = {"method": user.drafts.get("method"), "number": field_of(form, "number")}
    await _perform(user, "verify", arguments)


async def _answers(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    await _perform(user, "verify", {"method": "securityQuestions", "answers": _answers_of(form)})


async def _code(pages: Pages, user: BrowserUser, form: FormData) -> None:
    code = field_of(form, "code").strip()
    await _perform(user, "enter_code", {"code": code}, _code_source(pages, user, code))


def _code_source(pages: Pages, user: BrowserUser, code: str) -> dict[str, str]:
    """Arguments with which a scenario enters a code: read again, since codes differ per run."""
    if code and code in str(user.look("account").get("mailbox", "")):
        return {"from": "mailbox"}
    own = pages.devices.of_owner(user.drafts.get("reset_user", ""))
    texts = (message.body for name in own for message in pages.view.devices[name].messages[-1:])
    return {"from": "phone"} if code and any(code in text for text in texts) else {"code": code}


async def _choose(pages: Pages, user: BrowserUser, form: FormData) -> None:
    del pages
    password, confirm = field_of(form, "password"), field_of(form, "confirm")
    same = password == confirm
    recorded = {
        "password": REPLACED_PASSWORDS[0],
        "confirm": REPLACED_PASSWORDS[0 if same else 1],
    }
    await _perform(user, "choose_password", {"password": password, "confirm": confirm}, recorded)
    if user.look("account")["status"] == "done":
        user.open_accounts.discard(user.drafts.get("reset_user", ""))


_HANDLERS: Final[dict[str, FormHandler]] = {
    "credentials": _credentials,
    **{key: _registers(key) for key in _REGISTRABLE},
    "who": _who,
    "method": _method,
    "number": _number,
    "answers": _answers,
    "code": _code,
    "choose": _choose,
}
