"""Resets a device's passcode over Microsoft Graph, and prints the new one.

Usage: python reset.py URL DEVICE, such as: python reset.py http://127.0.0.1:8765 android-001
Against Intune itself URL is https://graph.microsoft.com, with a token in GRAPH_TOKEN.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.parse
import urllib.request
from typing import Any

DEVICES = "/v1.0/deviceManagement/managedDevices"
FINAL = {"done", "failed", "notSupported", "canceled"}
LIMIT = 30.0


def call(url: str, method: str = "GET") -> Any:
    """Send a request and read the JSON of its answer, None without one."""
    token = os.environ.get("GRAPH_TOKEN", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=LIMIT) as answer:  # noqa: S310
        body = answer.read()
    return json.loads(body) if body else None


def find(url: str, name: str) -> str:
    """Return the id of the device of that name."""
    wanted = name.replace("'", "''")
    query = urllib.parse.urlencode({"$filter": f"deviceName eq '{wanted}'", "$select": "id"})
    found = call(f"{url}{DEVICES}?{query}")["value"]
    if not found:
        sys.exit(f"there is no device {name}")
    return str(found[0]["id"])


def reset(url: str, name: str) -> dict[str, Any]:
    """Reset the passcode and wait for the result; a single GET has it, a list has not."""
    device = f"{url}{DEVICES}/{find(url, name)}"
    call(f"{device}/resetPasscode", "POST")
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        for result in call(device)["deviceActionResults"]:
            if result["actionName"] == "resetPasscode" and result["actionState"] in FINAL:
                return dict(result)
        time.sleep(0.1)
    sys.exit(f"{name} has not answered within {LIMIT:.0f} s; is it offline?")


def main() -> None:
    """Reset one device."""
    if len(sys.argv) != 3:  # noqa: PLR2004
        sys.exit(__doc__)
    result = reset(sys.argv[1].rstrip("/"), sys.argv[2])
    print(result["actionState"], result["passcode"] or "no passcode to show")  # noqa: T201
    sys.exit(result["actionState"] != "done")


if __name__ == "__main__":
    main()
