"""Certificates of an authority of our own, minted with the openssl command line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Certificates:
    """A folder of `<name>.pem` and `<name>.key`; `ca` is the authority, two days are the validity.

    Skips the test where there is no openssl.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("missing server: a broker with TLS needs openssl for its certificate")
        self._folder = folder
        self.authority("ca")

    def authority(self, name: str) -> None:
        """Mint an authority."""
        self._openssl(
            *("req", "-x509", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.pem"),
            *("-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    def signed(self, name: str, extension: str) -> None:
        """Mint a certificate that `ca` has signed, with an extension in openssl's words."""
        (self._folder / "extension").write_text(extension + "\n")
        self._openssl(
            *("req", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr"),
            *("-subj", f"/CN={name}"),
        )
        self._openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", "-days", "2"),
            *("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extension"),
        )

    def server(self) -> None:
        """Mint `server`, for 127.0.0.1 and localhost."""
        self.signed("server", "subjectAltName=IP:127.0.0.1,DNS:localhost")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)
