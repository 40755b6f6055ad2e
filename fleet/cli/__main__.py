"""Entry point of `python -m fleet.cli`, for use without the `passfleet` script."""

from __future__ import annotations

from fleet.cli import main

if __name__ == "__main__":
    main()
