"""`python -m fleet.cli`: the command line where no `passfleet` script is installed."""

from __future__ import annotations

from fleet.cli import main

if __name__ == "__main__":
    main()
