"""Facts about a dialect, for `passfleet dialects` and its page."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from broker.dialects.definition import PRESETS
from broker.dialects.dialect import Dialect
from broker.dialects.reader import preset_dialect
from broker.dialects.sections import IncomingTemplate
from broker.dialects.toml_text import dialect_toml
from broker.dialects.trial import SectionTrial, try_dialect

__all__ = ["DIALECT_PAGES", "dialect_facts", "payload_text", "trial_text"]


def dialect_facts(dialect: Dialect) -> dict[str, Any]:
    """Return name, title, source, sections, words and TOML of a dialect as JSON."""
    return {
        "name": dialect.name,
        "title": dialect.about.title,
        "source": dialect.about.source,
        "date": dialect.about.date,
        "notes": dialect.about.notes,
        "namesDevice": dialect.names_device,
        "sections": [
            {
                "section": each.section,
                "direction": "in" if isinstance(each, IncomingTemplate) else "out",
                "topics": [topic.text for topic in each.topics],
                "qos": each.qos,
                "retain": getattr(each, "retain", False),
                "payload": each.template,
            }
            for each in dialect.sections
        ],
        "words": dialect.table.get("words", {}),
        "trial": [
            {
                "section": trial.section,
                "missing": list(trial.missing),
                "changed": list(trial.changed),
                "unreadable": trial.unreadable,
            }
            for trial in try_dialect(dialect)
        ],
        "toml": dialect_toml(dialect.name, dialect.table),
    }


def payload_text(template: Any) -> str:
    """Return a payload template as text."""
    if template is None:
        return "as in the contract"
    return template if isinstance(template, str) else json.dumps(template, ensure_ascii=False)


def trial_text(trial: SectionTrial) -> str:
    """Return the outcome of a section's trial in one sentence."""
    if trial.unreadable is not None:
        return f"cannot be read back: {trial.unreadable}"
    parts = [f"does not contain {', '.join(trial.missing)}"] if trial.missing else []
    parts += trial.changed
    return "; ".join(parts) or "survives both ways"


_HEADINGS = ("| section | direction | topic | QoS | payload |", "|---|---|---|---|---|")


def _page(name: str) -> str:
    """Return the documentation page of a dialect that passfleet ships."""
    dialect = preset_dialect(name)
    about = dialect.about
    rows = [
        f"| `{each.section}` | {'in' if isinstance(each, IncomingTemplate) else 'out'} |"
        f" {'<br>'.join(f'`{topic.text}`' for topic in each.topics)} | {each.qos} |"
        f" `{payload_text(each.template)}` |"
        for each in dialect.sections
    ]
    words = [
        f"| `{kind}` | {', '.join(f'`{value}` = `{word}`' for value, word in table.items())} |"
        for kind, table in dialect.table.get("words", {}).items()
    ]
    tried = [f"- `{trial.section}`: {trial_text(trial)}" for trial in try_dialect(dialect)]
    parts = [
        "<!-- Made by `make docs` from the dialect's TOML file. -->",
        f"# Dialect `{name}`",
        f"{about.title}. Read in {about.source} on {about.date}.",
        f'`dialect = "{name}"` in a group uses it. How dialects work: [Dialects](dialects.md).',
        (about.notes or "").strip(),
        "## Topics and payloads",
        "\n".join(
            ["| section | direction | topic | QoS | payload |", "|---|---|---|---|---|", *rows]
        ),
        *(["## Words", "\n".join(["| value | words |", "|---|---|", *words])] if words else []),
        "## Both ways",
        "Each template was rendered with sample values and read back:\n\n" + "\n".join(tried),
        "## As TOML",
        f"```toml\n{dialect_toml(name, dialect.table)}```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


DIALECT_PAGES: dict[str, Callable[[], str]] = {
    f"dialect-{name}.md": partial(_page, name) for name in PRESETS
}
"""Pages by file name."""
