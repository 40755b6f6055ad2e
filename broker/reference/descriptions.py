"""Descriptions of the keys, error codes and payloads of the wire contract.

The schemas, the AsyncAPI document and docs/contract.md share them. A test requires a description
of every key of every payload and of every error code that a device can answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["COMMAND_ERROR_CODES", "ERROR_CODES", "INPUT_ERROR_CODES", "KEYS", "RULES"]

ERROR_CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "invalidJson": "The payload is empty or not JSON.",
        "invalidCommand": "A key is unknown, missing, or has a value that it does not take.",
        "unknownAction": "There is no action of this name.",
        "retainedCommand": "The command came with the retained flag: it would come again.",
        "expired": "`expiresDateTime` had passed before the device did the command.",
        "commandIdReused": "This commandId was used before, with another action.",
        "wrongUser": "The current user is not the user who enrolled the device.",
        "passcodeNotSet": "The device has no passcode, and the action needs one.",
        "policyViolation": "A policy is out of the platform's bounds, or a passcode breaks the"
        " policy in force.",
        "notEnrolled": "The device wiped itself; its state says `wiped: true`.",
        "payloadTooLarge": "The payload is above 64 KiB; it was not read.",
        "refused": "A scripted refusal; `native` is the answer of the platform's protocol.",
        "wrongPasscode": "The passcode is wrong.",
        "deviceLocked": "The device is locked.",
        "passcodeRequired": "The time to set a passcode is over: nothing opens until one is set.",
        "tooManyAttempts": "Too many wrong passcodes: the lock screen takes none for a while.",
        "biometricNotEnrolled": "No biometric is set up.",
        "biometricBlocked": "The passcode must be entered before a biometric is taken again.",
        "notOnScreen": "The button is not on the screen.",
        "inputIdReused": "This inputId was used before, with another action.",
    }
)
"""Every `errorCode`, with its meaning."""

INPUT_ERROR_CODES: Final = frozenset(
    {
        "wrongPasscode",
        "deviceLocked",
        "passcodeRequired",
        "tooManyAttempts",
        "biometricNotEnrolled",
        "biometricBlocked",
        "notOnScreen",
        "inputIdReused",
    }
)
"""Error codes that answer inputs only."""

COMMAND_ERROR_CODES: Final = frozenset({"expired", "commandIdReused", "wrongUser", "refused"})
"""Error codes that answer commands only."""

_ID = "Yours to choose; the same id again counts once."
_INSTANT = "ISO 8601 in UTC, whole seconds or three decimals."

KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "commandId": f"Names the command. {_ID}",
        "LockCommand.message": "Text for the lock screen, where the platform shows one.",
        "phoneNumber": "Telephone number for the lock screen, where the platform shows one.",
        "actionName": "What to do.",
        "issuedBy": "`user` for the end user's portal, `admin` for the administrator's console.",
        "issuedDateTime": "When it was issued; for the record, not held against the clock.",
        "expiresDateTime": "The device refuses it after this instant. Without it: never.",
        "policy": "The passcode policy.",
        "minLength": "The shortest passcode allowed.",
        "requireAlphanumeric": "Whether both letters and digits must occur.",
        "minComplexCharacters": "How many complex characters, or kinds of them, must occur.",
        "allowSimple": "Whether 1111 and 1234 are allowed.",
        "history": "How many former passcodes may not be used again.",
        "maxFailedAttempts": "How many wrong passcodes it takes until the device wipes itself;"
        " 0 never.",
        "maxInactivityMinutes": "Minutes until the device locks itself; 0 never.",
        "maxAgeDays": "Days until the passcode expires; 0 never.",
        "forcePin": "False lets the user do without a passcode; one that is set must satisfy the"
        " policy all the same. Unset, a policy requires a passcode.",
        "maxGracePeriodMinutes": "Minutes after an automatic lock in which a swipe opens the"
        " device (iOS); 0 none.",
        "case": "Refusal of the platform: iOS `staleUnlockToken` and `notNow`, Windows phones"
        " `status405` and `status500`, Android `securityException` and `returnedFalse`.",
        "count": "Number of commands that are refused.",
        "inputId": f"Names the press. {_ID}",
        "action": "What is done.",
        "passcode": "The passcode typed, in clear.",
        "user": "Who signs in.",
        "key": "The key pressed on the call: a digit, `*` or `#`.",
        "messageId": f"Names the message. {_ID}",
        "kind": "A text message or a call.",
        "from": "Who it is from.",
        "body": "The text.",
        "to": f"Virtual time moves to this instant. {_INSTANT}",
        "deviceId": "The device.",
        "actionState": "How far it came. `done` never waits for the user.",
        "message": "What portal and console show.",
        "newPasscode": "The temporary passcode, where this management shows it to the user.",
        "errorCode": "Why, where `actionState` is `failed`; else null.",
        "startDateTime": f"When the device took it up. {_INSTANT}",
        "lastUpdatedDateTime": f"When this was said. {_INSTANT}",
        "duplicate": "Whether this result was given before, to the same id.",
        "native": "What the platform's own protocol would have answered; null where it is not"
        " asked.",
        "notificationId": "Names the notification; unique on its device.",
        "title": "The heading.",
        "buttons": "The buttons below it, as input names.",
        "dateTime": f"When it appeared. {_INSTANT}",
        "resetNumber": "How many resets this device has had; the console shows the passcode from 2"
        " on.",
        "platform": "The platform's id; a fleet may define its own.",
        "management": "How the device is managed.",
        "group": "The device's group.",
        "owner": "The user who enrolled the device.",
        "currentUser": "The user who is signed in.",
        "locked": "Whether the lock screen shows.",
        "passcodeDeadline": "Until when a passcode must be set; null unless `inGracePeriod`.",
        "compliance": "Whether the passcode is as it must be.",
        "biometrics": "Whether each biometric opens the device.",
        "touchId": "Touch ID.",
        "face": "Windows Hello face.",
        "failedAttempts": "Wrong passcodes since the last right one.",
        "wiped": "Whether the device was wiped: by a command, or by itself.",
        "enrolled": "Whether the device is enrolled; false after a wipe, a retire or an unenroll.",
        "lostMode": "Whether the device is in Lost Mode.",
        "lastCheckIn": "When the device last checked in; null before the first time.",
        "version": "Grows by one with each change of the state, and with nothing else.",
        "status": "Whether the device is connected.",
        "session": "Only grows; readers ignore a presence with an older one.",
        "now": f"The fleet's time. {_INSTANT}",
        "clock": "`virtual`, or a speed such as `60x`.",
        "realDateTime": "When `now` was true, by the time of day.",
        "requestId": "Names the question. Yours to choose; the answer does not repeat it.",
        "results": "The last results, without passcodes.",
        "notifications": "The last notifications.",
        # A key that means something else in one payload.
        "DeviceState.passcode": "Which kind of passcode opens the device; never the passcode.",
        "InputResult.inputId": "The input that this answers; null where none could be read.",
        "ActionResult.commandId": "The command that this answers; null where none could be read.",
        "InputResult.actionName": "The input's action; null where none could be read.",
        "ActionResult.actionName": "The command's action; null where none could be read.",
        "Escrow.commandId": "The reset that made it.",
        "Escrow.newPasscode": "The temporary passcode.",
        "Inspection.policy": "The passcode policy in force; null for none.",
    }
)
"""Description of each key: `Model.key` where a payload differs, else `key`."""

RULES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Order": (
            "A device does its commands one at a time, in the order they arrive.",
            (
                "For each it publishes state, notifications, escrow, then the result: who sees the"
                " result can read the state it left."
            ),
            "`active` is published once, where the reaction takes more than a second.",
            "`done` never waits for the user.",
        ),
        "Exactly once": (
            (
                "The key is (device, commandId). The same command again, also while the first is"
                " still at work, gets the stored result with `duplicate: true` and changes nothing."
            ),
            "At least the last 32 results a device are kept. A refusal is not stored.",
            "The same commandId with another action is `failed` with `commandIdReused`.",
            (
                "This holds across a reconnect, and with `state` set in fleet.toml across a kill -9"
                " of the whole process."
            ),
            "The same inputId twice counts once, too.",
        ),
        "Retained": (
            "`state` and `presence` are retained, and `clock/now` is. Nothing else is.",
            "A command that arrives with the retained flag is refused with `retainedCommand`.",
            "`presence` says `offline` by Last Will when the connection breaks.",
        ),
        "Sizes and form": (
            (
                "Everything is JSON in UTF-8, keys in camelCase. Above 64 KiB a payload is refused"
                " unread."
            ),
            (
                "Unknown keys are refused. What a device publishes always has every key, null where"
                " unset."
            ),
            "Device ids and group names match `[A-Za-z0-9._-]{1,64}`.",
            "Times are ISO 8601 in UTC, with whole seconds or three decimals.",
        ),
        "Errors": (
            "Errors are answers, never crashes: nothing that arrives can stop a device.",
            (
                "Bad input is answered on `results`, with its commandId where one can be read, else"
                " null."
            ),
            "Every `errorCode` comes with `failed`.",
        ),
        "Passcodes": (
            (
                "A passcode stands in `newPasscode` and in inputs alone: not in state, logs,"
                " reports or error messages."
            ),
        ),
    }
)
"""Rules of the contract that a schema cannot express."""
