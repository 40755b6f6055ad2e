"""Distributions built from the checkout, and environments in which they are installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "pytest-passfleet"
_BUILD_LIMIT = 120
_OFFLINE = ("--no-index", "--no-deps", "--ignore-installed", "--disable-pip-version-check")
# Settings of the test run that must not reach the programs in the new environment.
_OURS = ("PYTEST_", "PASSFLEET_", "PYTHON", "COLUMNS", "FORCE_COLOR", "PY_COLORS", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Distribution:
    """Wheel and source archive of one project."""

    wheel: Path
    archive: Path

    def wheel_names(self) -> list[str]:
        """Return the paths of the files in the wheel."""
        with zipfile.ZipFile(self.wheel) as opened:
            return opened.namelist()

    def archive_names(self) -> list[str]:
        """Return the paths of the files in the archive, below its top folder."""
        with tarfile.open(self.archive) as opened:
            return [name.partition("/")[2] for name in opened.getnames()]


def build(project: Path, target: Path) -> Distribution:
    """Build a source archive, and a wheel from that archive, as a release does."""
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", target, project],
        check=True,
        capture_output=True,
        timeout=_BUILD_LIMIT,
    )
    return Distribution(next(target.glob("*.whl")), next(target.glob("*.tar.gz")))


def install(home: Path, *wheels: Path) -> Path:
    """Make an environment with the wheels; return its folder of commands.

    Third parties come from the environment of the tests. An editable passfleet there is not found,
    since `.pth` files in a folder that another `.pth` file names are ignored.
    """
    venv.create(home, with_pip=False)
    ours = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    packages = next(home.glob("lib/python*/site-packages"))
    (packages / "ours.pth").write_text(f"{ours}\n")
    subprocess.run(
        [home / "bin" / "python", "-m", "pip", "install", *_OFFLINE, *wheels],
        check=True,
        capture_output=True,
        env=environment(home / "bin"),
        timeout=_BUILD_LIMIT,
    )
    return home / "bin"


def environment(commands: Path, **more: str) -> dict[str, str]:
    """Environment variables with `commands` first on PATH, and without the tests' own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**kept, "PATH": f"{commands}{os.pathsep}{kept['PATH']}", **more}
