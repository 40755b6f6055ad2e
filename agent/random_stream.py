"""Random stream of a device: numbered bits and passcode digests, keyed by seed and device id.

A draw is addressed by its number, not by its order in this process: the same seed, device and
number give the same bits after a restart, in another worker, or in another order. So a stored
result can refer to its temporary passcode without containing it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Protocol

from agent.passcode import DIGEST_BYTES, FORM_BITS, TEMPORARY_BIT

__all__ = ["DeviceRandomStream", "KeptDigests"]

_DRAW_BYTES = 64


class KeptDigests(Protocol):
    """Digests in the forms of a state file: see `agent.storage.digests`."""

    def matches(self, digest: bytes, kept: bytes, *, quick: bool) -> bool:
        """Return True if `kept`, end to end, contains the digest in a form of the file.

        `quick` leaves out the slow form.
        """


class DeviceRandomStream:
    """Random stream of one device.

    `kept` is the state file's key, None where the device has no digests from a state file.
    """

    __slots__ = ("_kept", "_key")

    def __init__(self, seed: int, device_id: str, kept: KeptDigests | None = None) -> None:
        self._key = blake2b(f"{seed}/{device_id}".encode(), digest_size=32).digest()
        self._kept = kept

    def bits(self, purpose: str, number: int) -> int:
        """Return 512 uniform bits: draw `number` (from 1 on) of those for `purpose`."""
        stream = blake2b(f"{purpose}/{number}".encode(), key=self._key, digest_size=_DRAW_BYTES)
        return int.from_bytes(stream.digest())

    def digest(self, passcode: str, *, temporary: bool = False) -> bytes:
        """Return the digest of a passcode on this device; equal passcodes have equal digests.

        Fast, for memory alone: a state file keeps another form of it.
        """
        text = b"passcode/" + passcode.encode("utf-8", "surrogatepass")
        made = blake2b(text, key=self._key, digest_size=DIGEST_BYTES).digest()
        form = TEMPORARY_BIT if temporary else 0
        return bytes([made[0] & ~FORM_BITS | form]) + made[1:]

    def matches(self, passcode: str, digests: bytes, *, quick: bool = False) -> bool:
        """Return True if `digests`, end to end, contain one of the passcode, in any form.

        They are searched as bytes: a false match across two digests is as unlikely as two passcodes
        with one digest. `quick` leaves out those that take a slow hash to compare: passcodes that
        users set before the last restart.
        """
        if not digests:
            return False
        digest = self.digest(passcode)
        if digest in digests or self.digest(passcode, temporary=True) in digests:
            return True
        return self._kept is not None and self._kept.matches(digest, digests, quick=quick)
