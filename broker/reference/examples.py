"""Examples of every payload, for the generated documents."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

__all__ = ["EXAMPLES"]

_RESULT = {
    "actionState": "done",
    "message": "Passcode successfully reset",
    "newPasscode": "k3Wq9T",
    "errorCode": None,
    "startDateTime": "2015-12-10T20:19:08Z",
    "lastUpdatedDateTime": "2015-12-10T20:19:09.250Z",
    "duplicate": False,
}

EXAMPLES: Final[Mapping[str, Mapping[str, dict[str, Any]]]] = MappingProxyType(
    {
        "command": {
            "reset requested by the user": {
                "commandId": "c-1",
                "actionName": "resetPasscode",
                "issuedBy": "user",
                "issuedDateTime": "2015-12-10T20:19:07Z",
                "expiresDateTime": "2015-12-10T20:24:07Z",
            },
            "remote lock, required keys only": {
                "commandId": "c-2",
                "actionName": "remoteLock",
            },
            "remote lock with a message": {
                "commandId": "c-8",
                "actionName": "remoteLock",
                "message": "Please call us if you find this phone.",
                "phoneNumber": "+1 555 0100",
            },
            "wipe": {"commandId": "c-9", "actionName": "wipe"},
            "passcode policy": {
                "commandId": "c-3",
                "actionName": "applyPasscodePolicy",
                "policy": {"minLength": 6, "maxFailedAttempts": 10},
            },
        },
        "input": {
            "set a passcode": {"inputId": "i-1", "action": "setPasscode", "passcode": "4826"},
            "swipe up": {"inputId": "i-2", "action": "swipeUp"},
            "sign in": {"inputId": "i-3", "action": "signIn", "user": "alex"},
            "key press during a call": {"inputId": "i-4", "action": "pressKey", "key": "#"},
        },
        "message": {
            "verification code": {
                "messageId": "m-1",
                "kind": "text",
                "from": "Microsoft",
                "body": "Your verification code is 123456",
            }
        },
        "simulate": {
            "network lost": {"action": "offline"},
            "stale unlock token": {"action": "refuse", "case": "staleUnlockToken", "count": 1},
        },
        "clock": {"61 minutes later": {"to": "2015-12-10T21:20:07Z"}},
        "inspect": {"request": {"requestId": "q-1"}},
        "result": {
            "Android, done": {
                "commandId": "c-1",
                "deviceId": "android-001",
                "actionName": "resetPasscode",
                **_RESULT,
                "native": {"protocol": "android-device-admin", "status": "true"},
            },
            "refused": {
                "commandId": None,
                "deviceId": "android-001",
                "actionName": None,
                **_RESULT,
                "actionState": "failed",
                "message": "The payload is not JSON.",
                "newPasscode": None,
                "errorCode": "invalidJson",
                "native": None,
            },
        },
        "input-result": {
            "passcode set": {
                "inputId": "i-1",
                "deviceId": "ios-001",
                "actionName": "setPasscode",
                **_RESULT,
                "message": "The passcode was set.",
                "newPasscode": None,
                "native": None,
            }
        },
        "notification": {
            "iOS after a reset": {
                "deviceId": "ios-001",
                "notificationId": "n-1",
                "title": "Passcode Requirement",
                "body": "You must change your passcode within 60 minutes.",
                "buttons": ["changeNow", "later"],
                "dateTime": "2015-12-10T20:19:09Z",
            }
        },
        "escrow": {"second reset": {"commandId": "c-7", "newPasscode": "493207", "resetNumber": 2}},
        "state": {
            "iOS in its grace period": {
                "deviceId": "ios-001",
                "platform": "ios",
                "management": "standalone",
                "group": "phones",
                "owner": "alex",
                "currentUser": "alex",
                "locked": False,
                "passcode": "none",
                "passcodeDeadline": "2015-12-10T21:19:07Z",
                "compliance": "inGracePeriod",
                "biometrics": {"touchId": "mustEnroll", "face": "none"},
                "failedAttempts": 0,
                "wiped": False,
                "enrolled": True,
                "lostMode": False,
                "lastCheckIn": "2015-12-10T20:10:00Z",
                "version": 7,
            }
        },
        "presence": {"connected": {"status": "online", "session": 3}},
        "clock-now": {
            "virtual time": {
                "now": "2015-12-10T21:20:07Z",
                "clock": "virtual",
                "realDateTime": "2026-01-05T09:30:00.125Z",
            }
        },
        "inspection": {
            "nothing happened yet": {
                "deviceId": "ios-001",
                "policy": None,
                "results": [],
                "notifications": [],
            }
        },
    }
)
"""Examples by payload name and title."""
