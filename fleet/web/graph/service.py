"""The Graph API without its transport: a request in, an answer out.

A single HTTP request and each request of a batch take the same way through `GraphService.answer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from broker.contract import ACTIONS
from broker.errors import BrokerError, UsageError
from fleet.config.graph_section import parse_throttle
from fleet.config.loader import FleetConfig
from fleet.web.fleet_view import FleetView
from fleet.web.graph.action_results import GRAPH_ACTIONS
from fleet.web.graph.directory import Directory
from fleet.web.graph.errors import GraphError
from fleet.web.graph.managed_device import PROPERTIES, ManagedDevice, Value, document_of
from fleet.web.graph.paths import Target, parse_path
from fleet.web.graph.query import ListQuery, parse_query, parse_select, skip_token
from fleet.web.graph.throttle import Throttle

__all__ = ["USER_HEADER", "GraphRequest", "GraphResponse", "GraphService"]

USER_HEADER: Final = "x-passfleet-user"
"""The header that names the user of `/me`."""
_RETRY_SECONDS: Final = "5"
_BY_LOWER: Final = {name.lower(): name for name in GRAPH_ACTIONS}
_NOT_DONE: Final = ("keepEnrollmentData", "keepUserData", "persistEsimDataPlan")
"""Parameters of `wipe` that ask for what no virtual device does."""
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class GraphRequest:
    """One request.

    `base` is the absolute URL of the version, such as `http://127.0.0.1:8765/v1.0`; `path` is what
    follows it. Header names are in lower case. `body` is the JSON value, None without one.
    """

    base: str
    method: str
    path: str
    options: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True, slots=True)
class GraphResponse:
    """Status, JSON value (None for an answer without a body), and headers."""

    status: int
    body: dict[str, Any] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


class GraphService:
    """Answers requests of the Graph API from the view of a fleet."""

    def __init__(self, view: FleetView, config: FleetConfig) -> None:
        self._view = view
        self._directory = Directory(view, config)
        self._lenient = config.graph.filters == "lenient"
        throttle = config.graph.throttle
        self._throttle = None if throttle is None else Throttle(*parse_throttle(throttle))

    async def answer(self, request: GraphRequest) -> GraphResponse:
        """Answer a request that is no batch. Raises GraphError for one that is refused."""
        if self._throttle is not None:
            self._throttle.take()
        target = parse_path(request.path)
        if target.batch:
            raise GraphError(400, "A batch cannot be part of a batch.")
        if target.action is not None:
            return await self._act(request, target)
        if request.method != "GET":
            raise GraphError(
                405, f"{request.method} is not simulated here.", headers={"Allow": "GET"}
            )
        if target.device is None:
            return self._list(request, target)
        return self._single(request, target)

    # -- reading --------------------------------------------------------------------------------

    def _single(self, request: GraphRequest, target: Target) -> GraphResponse:
        select = parse_select(request.options)
        device = self._find(request, target)
        context = f"{request.base}/$metadata#{self._collection(request, target, select)}/$entity"
        document = document_of(device, select, with_results=True)
        return GraphResponse(200, {"@odata.context": context, **document})

    def _list(self, request: GraphRequest, target: Target) -> GraphResponse:
        query = parse_query(request.options, lenient=self._lenient)
        found = self._found(request, target, query)
        page = found[query.skip : query.skip + query.top]
        context = f"{request.base}/$metadata#{self._collection(request, target, query.select)}"
        body: dict[str, Any] = {"@odata.context": context, "@odata.count": len(found)}
        if query.skip + query.top < len(found):
            body["@odata.nextLink"] = _next_link(request, query)
        body["value"] = [document_of(device, query.select, with_results=False) for device in page]
        return GraphResponse(200, body)

    def _found(
        self, request: GraphRequest, target: Target, query: ListQuery
    ) -> list[ManagedDevice]:
        devices: Iterable[ManagedDevice] = (
            self._directory.all()
            if target.user is None
            else self._directory.of_user(self._user(request, target.user))
        )
        kept = list(filter(query.filter, devices))
        # Sorting is stable: the last key first.
        for name, descending in reversed(query.order):
            read = PROPERTIES[name].read
            kept.sort(key=lambda device: _sortable(read(device)), reverse=descending)
        return kept

    def _find(self, request: GraphRequest, target: Target) -> ManagedDevice:
        device = self._directory.find(target.device or "")
        if device is not None and target.user is not None:
            owned = device.state.owner == self._user(request, target.user)
            device = device if owned else None
        if device is None:
            shown = (target.device or "")[:_SHOWN]
            raise GraphError(404, f"There is no managed device '{shown}'.")
        return device

    def _user(self, request: GraphRequest, key: str) -> str:
        """The user that a path names; "" is the user of `/me`."""
        key = key or request.headers.get(USER_HEADER) or self._directory.first_user()
        user = self._directory.user(key)
        if user is None:
            raise GraphError(404, f"There is no user '{key[:_SHOWN]}'.")
        return user

    def _collection(
        self, request: GraphRequest, target: Target, select: Sequence[str] | None
    ) -> str:
        if target.user is None:
            path = "deviceManagement/managedDevices"
        else:
            user = self._user(request, target.user).replace("'", "''")
            path = f"users('{quote(user, safe='@')}')/managedDevices"
        return path if select is None else f"{path}({','.join(select)})"

    # -- acting ---------------------------------------------------------------------------------

    async def _act(self, request: GraphRequest, target: Target) -> GraphResponse:
        name = (target.action or "")[:_SHOWN]
        action = _BY_LOWER.get(name.lower())
        if action is None or action not in ACTIONS:
            raise GraphError(400, f"The action '{name}' is not simulated.")
        if request.method != "POST":
            raise GraphError(405, f"The action '{action}' takes POST.", headers={"Allow": "POST"})
        _check_parameters(action, request.body)
        device = self._find(request, target)
        try:
            await self._view.send_command(device.view.device_id, action, issued_by="admin")
        except UsageError as error:
            raise GraphError(400, f"The action '{action}' cannot be sent: {error}") from None
        except BrokerError as error:
            headers = {"Retry-After": _RETRY_SECONDS}
            raise GraphError(
                503, f"The action '{action}' was not sent: {error}", headers=headers
            ) from None
        return GraphResponse(204)


def _check_parameters(action: str, body: Any) -> None:
    """Refuse what no device does: nothing is answered with 204 that was not done."""
    if body is None:
        return
    if not isinstance(body, dict):
        raise GraphError(400, "The request body must be a JSON object.")
    for name in _NOT_DONE:
        if body.get(name):
            raise GraphError(400, f"'{name}' of the action '{action}' is not simulated.")


def _sortable(value: Value) -> tuple[bool, Any]:
    """Nulls come first; strings without regard to case."""
    return value is not None, value.casefold() if isinstance(value, str) else value


def _next_link(request: GraphRequest, query: ListQuery) -> str:
    kept = [
        (key, value)
        for key, value in request.options
        if key.removeprefix("$").lower() != "skiptoken"
    ]
    options = [*kept, ("$skiptoken", skip_token(query.skip + query.top))]
    path = "/".join(quote(part, safe="@'()") for part in request.path.split("/") if part)
    return f"{request.base}/{path}?{urlencode(options, quote_via=quote, safe='$,')}"
