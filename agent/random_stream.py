"""Random stream of a device: numbered bits and passcode digests, keyed by seed and device id.

A draw is addressed by its number, not by its order in this process: the same seed, device and
number give the same bits after a restart, in another worker, or in another order. So a stored
result can refer to its temporary passcode without containing it.
"""

from __future__ import annotations

from hashlib import blake2b

from agent.passcode import DIGEST_BYTES

__all__ = ["DeviceRandomStream"]

_DRAW_BYTES = 64


class DeviceRandomStream:
    """Random stream of one device."""

    __slots__ = ("_key",)

    def __init__(self, seed: int, device_id: str) -> None:
        self._key = blake2b(f"{seed}/{device_id}".encode(), digest_size=32).digest()

    def bits(self, purpose: str, number: int) -> int:
        """Return 512 uniform bits: draw `number` (from 1 on) of those for `purpose`."""
        stream = blake2b(f"{purpose}/{number}".encode(), key=self._key, digest_size=_DRAW_BYTES)
        return int.from_bytes(stream.digest())

    def digest(self, passcode: str) -> bytes:
        """Return the digest of a passcode on this device; equal passcodes have equal digests.

        The seed is the key, so that a four-digit passcode cannot be found from the state file
        alone by trying all 10,000.
        """
        text = b"passcode/" + passcode.encode("utf-8", "surrogatepass")
        return blake2b(text, key=self._key, digest_size=DIGEST_BYTES).digest()
