"""HTML report in one file, without scripts or network access."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from fleet.load.ledger import COLUMNS
from fleet.load.report.charts import charts_of
from fleet.load.report.terminal import connection_remarks
from fleet.load.result import LoadResult

__all__ = ["render_page"]


def render_page(result: LoadResult) -> str:
    """Render the page."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files("fleet.load.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        result=result,
        document=result.document(),
        charts=charts_of(result),
        columns=COLUMNS,
        shares=_shares(result),
        remarks=[remark.plain for remark in connection_remarks(result)],
    )


def _shares(result: LoadResult) -> list[tuple[str, int, float]]:
    """Return (outcome, count, percent of sent) of each outcome with a count above 0."""
    sent = result.count("sent")
    counts = [(name, result.count(name)) for name in COLUMNS]
    return [(name, count, 100 * count / sent) for name, count in counts if count]
