"""Digests of passcodes and row checksums as a state file keeps them.

In memory a passcode is a fast digest keyed by the seed, which a short passcode and a seed such as 7
do not protect. The file therefore keeps another form of each digest, told apart by the two highest
bits of its first byte:

- `00`, memory only: the fast digest of a passcode that a user set; `01`, of a temporary passcode;
- `10`: `scrypt` of a digest `00`, about a tenth of a second per guess;
- `11`: a digest `01` keyed by the seed and the salt. A temporary passcode follows from the seed and
  the number of its draw, so a slower hash would not protect it;
- sixteen bytes `ff`: the passcode of the fleet file, of which the file keeps nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b, scrypt
from typing import Final

from agent.passcode import DIGEST_BYTES, FORM_BITS, TEMPORARY_BIT

__all__ = ["MAC_BYTES", "SALT_BYTES", "FileKey"]

MAC_BYTES: Final = 16
SALT_BYTES: Final = 16

_COST: Final = 1 << 15
_BLOCK: Final = 8
_MEMORY: Final = 64 << 20
"""Bytes that `scrypt` may use: twice the 32 MB that it needs with this cost."""
_SLOW: Final = 0x80
_KEYED: Final = 0xC0
_FIRST: Final = b"\xff" * DIGEST_BYTES
_REMEMBERED: Final = 65_536
"""Slow digests in memory; an older one is computed again when its device changes."""


def _slow_hash(secret: bytes, salt: bytes, length: int) -> bytes:
    return scrypt(secret, salt=salt, n=_COST, r=_BLOCK, p=1, maxmem=_MEMORY, dklen=length)


# A process opens few files; each costs a tenth of a second.
@lru_cache(maxsize=4)
def _key_and_print(seed: int, salt: bytes) -> tuple[bytes, str]:
    made = _slow_hash(f"seed/{seed}".encode(), salt, 48)
    return made[:32], made[32:].hex()


class FileKey:
    """Key of one state file, made of the fleet's seed and the file's salt.

    `seed_print` is the fingerprint of the seed: one guess of a seed costs one `scrypt`.
    """

    def __init__(self, seed: int, salt: bytes) -> None:
        self._salt = salt
        self._key, self.seed_print = _key_and_print(seed, salt)
        self._slow = lru_cache(maxsize=_REMEMBERED)(self._make_slow)
        self._keyed = lru_cache(maxsize=_REMEMBERED)(self._make_keyed)
        self._done: set[bytes] = set()

    # -- rows ------------------------------------------------------------------------------------

    def mac(self, *columns: str | int) -> bytes:
        """Checksum of a row that only a holder of the seed can make."""
        made = blake2b(key=self._key, digest_size=MAC_BYTES)
        for column in columns:
            # Text from a damaged file may hold lone surrogates.
            data = str(column).encode("utf-8", "surrogatepass")
            made.update(b"%d:" % len(data))
            made.update(data)
        return made.digest()

    def is_mac(self, found: object, *columns: str | int) -> bool:
        """True if `found` is the checksum of the row."""
        return isinstance(found, bytes) and hmac.compare_digest(found, self.mac(*columns))

    # -- digests ---------------------------------------------------------------------------------

    def to_hash(self, digests: bytes, first: bytes | None) -> list[bytes]:
        """Digests among `digests`, end to end, whose slow form is not in memory yet."""
        # The lowest first byte tells if one of them is of the form `00`.
        if not digests or min(digests[::DIGEST_BYTES]) >= TEMPORARY_BIT:
            return []
        found = (each for each in _split(digests) if each[0] < TEMPORARY_BIT)
        return [each for each in found if each != first and each not in self._done]

    def hash_slowly(self, digests: Iterable[bytes]) -> None:
        """Compute slow forms; about 0.1 s each. May run in a thread."""
        for digest in digests:
            self._slow(digest)
            if len(self._done) >= _REMEMBERED:
                self._done.clear()
            self._done.add(digest)

    def kept(self, digests: bytes, first: bytes | None) -> bytes:
        """Digests, end to end, in the form of the file. `first`: that of the fleet's passcode."""
        return b"".join(self._kept(each, first) for each in _split(digests))

    def _kept(self, digest: bytes, first: bytes | None) -> bytes:
        if digest == first:
            return _FIRST
        if digest[0] >= _SLOW:
            return digest
        return self._keyed(digest) if digest[0] >= TEMPORARY_BIT else self._slow(digest)

    @staticmethod
    def restored(kept: bytes, first: bytes | None) -> bytes:
        """Digests from the file for the memory of a device whose first digest is `first`."""
        if first is None:
            return kept
        return b"".join(first if each == _FIRST else each for each in _split(kept))

    def matches(self, digest: bytes, kept: bytes, *, quick: bool) -> bool:
        """True if `kept`, end to end, contains a digest `00` in a form of the file.

        `quick` leaves out the slow form.
        """
        forms = {each[0] & FORM_BITS for each in _split(kept)}
        if _KEYED in forms:
            temporary = bytes([digest[0] | TEMPORARY_BIT]) + digest[1:]
            if self._keyed(temporary) in kept:
                return True
        return not quick and _SLOW in forms and self._slow(digest) in kept

    def _make_keyed(self, digest: bytes) -> bytes:
        made = blake2b(digest, key=self._key, person=b"temporary", digest_size=DIGEST_BYTES)
        return _in_form(made.digest(), _KEYED)

    def _make_slow(self, digest: bytes) -> bytes:
        return _in_form(_slow_hash(digest, self._salt, DIGEST_BYTES), _SLOW)


def _split(digests: bytes) -> Iterator[bytes]:
    return (digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES))


def _in_form(digest: bytes, form: int) -> bytes:
    return bytes([digest[0] & ~FORM_BITS & 0xFF | form]) + digest[1:]
