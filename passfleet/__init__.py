"""Launcher of passfleet, a simulator of a fleet of managed phones over MQTT.

passfleet is an application, not a library: run the command `passfleet`, or `python -m passfleet`.
An installed distribution has the application's packages in the folder `_app` of this package, so
that their general names (`agent`, `fleet`) are free for the projects in the same environment.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__: str


def __getattr__(name: str) -> str:
    """Return `__version__` from the installed distribution: reading it takes time."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415

        return version("passfleet")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
