"""Entry point of `python -m passfleet`."""

from __future__ import annotations

from passfleet.launcher import main

if __name__ == "__main__":
    main()
