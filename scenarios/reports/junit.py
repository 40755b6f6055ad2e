"""JUnit XML report, for GitLab, GitHub Actions and Jenkins.

The report has one suite, with one test case per scenario. `classname` is the file name without its
extension, so that CI systems group by file. The document conforms to the schemas of both Jenkins
and Ant. A failed test case contains the same text as the terminal output.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, Final

from junitparser import Error, Failure, JUnitXml, Skipped, SystemErr, SystemOut, TestCase, TestSuite

from broker.timestamps import format_timestamp
from scenarios.model.outcome import Failure as StepFailure
from scenarios.model.outcome import ScenarioOutcome, Status, StepOutcome

__all__ = ["write"]

_SUITE: Final = "passfleet"
_HOST: Final = "localhost"
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow, not even escaped."""


def write(path: Path, outcomes: Sequence[ScenarioOutcome]) -> None:
    """Write the report of `outcomes` to `path`."""
    suite: Any = TestSuite(_SUITE)  # junitparser is only partly typed
    suite.hostname = _HOST
    suite.timestamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    suite.add_property("scenarios", str(len(outcomes)))
    for outcome in outcomes:
        suite.add_testcase(_case(outcome))
    suite.update_statistics()
    suite.time = round(sum(outcome.seconds for outcome in outcomes), 3)
    # Required by the schema of Ant, in this order; allowed by the schema of Jenkins.
    for output in (SystemOut(""), SystemErr("")):
        suite.append(output)
    _add_ant_attributes(suite)
    document: Any = JUnitXml()
    document.append(suite)
    document.write(str(path), pretty=True)


def _add_ant_attributes(suite: Any) -> None:
    suite._elem.set("package", _SUITE)  # noqa: SLF001  # junitparser has no such attribute
    suite._elem.set("id", "0")  # noqa: SLF001


def _case(outcome: ScenarioOutcome) -> TestCase:
    name = _clean(outcome.name).strip() or PurePath(outcome.path).stem
    case = TestCase(name, classname=_class_of(outcome.path), time=round(outcome.seconds, 3))
    if outcome.status is Status.SKIPPED:
        case.result = [Skipped()]
    elif outcome.problem is not None:
        error = Error(_clean(outcome.problem), "problem")
        error.text = _clean(_details(outcome))
        case.result = [error]
    elif outcome.status is Status.FAILED:
        case.result = [_failure(outcome)]
    return case


def _class_of(path: str) -> str:
    """Return the class name of a file: `library.ios-reset` for `library/ios-reset.yaml`."""
    pure = PurePath(path)
    parts = [part for part in pure.with_suffix("").parts if part not in (pure.anchor, "..", ".")]
    return _clean(".".join(parts)) or _SUITE


def _failure(outcome: ScenarioOutcome) -> Failure:
    step = next((step for step in outcome.steps if step.failure is not None), None)
    if step is None or step.failure is None:
        failure = Failure("the scenario failed", "scenario")
    else:
        reason = step.failure
        message = (
            f"step {step.number}, {step.name}: expected {reason.expected}; seen: {reason.seen}"
        )
        failure = Failure(_clean(message), _clean(step.name))
    failure.text = _clean(_details(outcome))
    return failure


def _details(outcome: ScenarioOutcome) -> str:
    """Return the text of a failed test case: the problem and all steps with their status."""
    lines = [outcome.problem] if outcome.problem else []
    for step in outcome.steps:
        lines += [_step_line(step)]
        if step.failure is not None:
            lines += [f"    {line}" for line in _failure_lines(step.failure)]
    return "\n".join(lines)


def _step_line(step: StepOutcome) -> str:
    mark = {Status.PASSED: "ok  ", Status.FAILED: "FAIL", Status.SKIPPED: "skip"}[step.status]
    return f"{mark} {step.number:>3}. {step.text} (line {step.line})"


def _failure_lines(failure: StepFailure) -> list[str]:
    lines = [
        f"at:       {failure.path}:{failure.line}:{failure.column}",
        f"expected: {failure.expected}",
        f"seen:     {failure.seen}",
    ]
    if failure.messages:
        lines.append("last messages:")
    for message in failure.messages:
        device = f"{message.device} " if message.device else ""
        lines.append(f"  {format_timestamp(message.at)} {device}{message.kind}: {message.text}")
    return lines


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
