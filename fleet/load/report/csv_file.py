"""`--csv`: the run over time, one row a stretch."""

from __future__ import annotations

import csv
import io

from fleet.load.result import CSV_HEADER, LoadResult

__all__ = ["render_csv"]


def render_csv(result: LoadResult) -> str:
    """The rows as text; what was not measured is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    writer.writerows(result.timeline())
    return text.getvalue()
