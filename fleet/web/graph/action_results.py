"""deviceActionResults: what became of a device's last commands, in Graph's types.

Each action appears once, with its latest command; a reset whose passcode the device still has
appears as well. The passcode is the one that the administrator's console would show.
"""

from __future__ import annotations

from typing import Any, Final

from broker.timestamps import format_timestamp
from fleet.web.device_view import DeviceAction, DeviceView
from fleet.web.graph.error_codes import error_number

__all__ = ["GRAPH_ACTIONS", "action_results"]

RESET: Final = "resetPasscode"
LOCK: Final = "remoteLock"
GRAPH_ACTIONS: Final = (
    RESET,
    LOCK,
    "syncDevice",
    "wipe",
    "retire",
    "rebootNow",
    "disableLostMode",
)
"""The actions of the API. A result of another one, such as a policy, is no deviceActionResult."""


def action_results(view: DeviceView) -> list[dict[str, Any]]:
    """The results as JSON values, the latest command first."""
    shown = view.administrator_passcode
    seen: set[str] = set()
    results = []
    for action in reversed(view.actions):
        holds_passcode = shown is not None and shown[0] == action.command_id
        if action.action_name not in GRAPH_ACTIONS:
            continue
        if action.action_name in seen and not holds_passcode:
            continue
        seen.add(action.action_name)
        results.append(_document(action, shown[1] if shown and holds_passcode else None))
    return results


def _document(action: DeviceAction, passcode: str | None) -> dict[str, Any]:
    kinds = {RESET: "resetPasscodeActionResult", LOCK: "remoteLockActionResult"}
    document: dict[str, Any] = {
        "@odata.type": f"#microsoft.graph.{kinds.get(action.action_name, 'deviceActionResult')}",
        "actionName": action.action_name,
        "actionState": action.action_state,
        "startDateTime": format_timestamp(action.started),
        "lastUpdatedDateTime": format_timestamp(action.updated),
    }
    if action.action_name == RESET:
        error = action.result.error_code if action.result else None
        document |= {"passcode": passcode, "errorCode": error_number(error)}
    elif action.action_name == LOCK:
        document["unlockPin"] = None
    return document
