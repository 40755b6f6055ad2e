"""Shared access signature (SAS) tokens of Azure, made from a device's key.

A token is the password of a device at Azure IoT Hub. Source:
https://learn.microsoft.com/azure/iot-hub/authenticate-authorize-sas
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from urllib.parse import quote

__all__ = ["decode_key", "sas_token"]


def decode_key(text: str) -> bytes:
    """Return a device's key from its Base64 text. Raises ValueError if it is not one."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("not Base64") from None
    if not key:
        raise ValueError("empty")
    return key


def sas_token(resource: str, key: bytes, expiry: int) -> str:
    """Return a token for a resource such as `myhub.azure-devices.net/devices/d-1`.

    `expiry` is the end of its validity, in seconds since 1970.
    """
    encoded = quote(resource, safe="")
    digest = hmac.new(key, f"{encoded}\n{expiry}".encode(), hashlib.sha256).digest()
    signature = quote(base64.b64encode(digest), safe="")
    return f"SharedAccessSignature sr={encoded}&sig={signature}&se={expiry}"
