"""CSV report: one row per time slice."""

from __future__ import annotations

import csv
import io

from fleet.load.result import CSV_HEADER, LoadResult

__all__ = ["render_csv"]


def render_csv(result: LoadResult) -> str:
    """Render the rows; a value that was not measured is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    writer.writerows(result.timeline())
    return text.getvalue()
