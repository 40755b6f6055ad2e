"""Int32 values for `errorCode` in `resetPasscodeActionResult`, by the contract's error code.

Intune's own numbers are not documented; these are passfleet's, and the same in every release.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["ERROR_CODES", "OTHER_ERROR", "error_number"]

ERROR_CODES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "invalidJson": 1,
        "invalidCommand": 2,
        "unknownAction": 3,
        "retainedCommand": 4,
        "expired": 5,
        "commandIdReused": 6,
        "wrongUser": 7,
        "passcodeNotSet": 8,
        "policyViolation": 9,
        "notEnrolled": 10,
        "payloadTooLarge": 11,
        "refused": 12,
    }
)
"""Every error code that a command's result can have."""
OTHER_ERROR: Final = 99
"""A code that is not in the table."""


def error_number(code: str | None) -> int:
    """The Int32 for a contract error code; 0 where there is no error."""
    return 0 if code is None else ERROR_CODES.get(code, OTHER_ERROR)
