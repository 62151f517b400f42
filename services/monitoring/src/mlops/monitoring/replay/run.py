# SPDX-License-Identifier: Apache-2.0
"""Run: a recorded history in, the same history out, with windows judged by the limits that are tried."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mlops.contracts.errors import MessageError
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.monitor_settings import PerformanceSettings
from mlops.contracts.monitoring import (
    PerformanceDegraded,
    PerformanceMeasured,
    PerformanceUnmeasured,
)
from mlops.contracts.serving import DeploymentCompleted
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered, ProjectUpdated
from mlops.monitoring.replay.again import Again

_KINDS: dict[str, type[Message]] = {
    kind.type: kind
    for kind in (
        ProjectRegistered,
        ProjectUpdated,
        DeploymentCompleted,
        PerformanceMeasured,
        PerformanceDegraded,
        PerformanceUnmeasured,
    )
}
_TOLD_EACH = 20_000
Name = tuple[str, int, int]


class HistoryError(Exception):
    """The history cannot be read; the text says where."""


@dataclass
class Rejudged:
    """What becomes of a history under other limits. `wanted` are `drop` and `min` of `[monitor.accuracy]`, as JSON has them."""

    project: str
    wanted: Mapping[str, object]
    since: datetime | None = None
    settings: ProjectSettings | None = None
    tell: Callable[[str], None] = field(default=lambda _: None)
    different: int = 0
    windows: int = 0

    def __post_init__(self) -> None:
        self._versions: dict[tuple[str, int], int] = {}
        self._own, self._tried = Again(self._versions), Again(self._versions)
        self._known = self.settings or ProjectSettings(name=self.project)
        self._began = False
        self._told: set[Name] = set()
        self._kept: dict[Name, bool] = {}
        self._rule()

    def write(self, source: Path, target: Path) -> list[str]:
        """Write the history to *target*; return what a reader should know."""
        for _, message in self._read(source):
            self._look_ahead(message)
        with target.open("w", encoding="utf-8") as out:
            for number, (line, message) in enumerate(self._read(source), 1):
                out.writelines(self._lines(line, message))
                if number % _TOLD_EACH == 0:
                    self.tell(f"judged again: {number} messages")
        return self._notes()

    def _look_ahead(self, message: Message | None) -> None:
        if isinstance(message, PerformanceDegraded) and _by_labels(message):
            self._told.add(_name(message))
        if isinstance(message, PerformanceUnmeasured) or (
            isinstance(message, PerformanceMeasured) and not message.partial
        ):
            self._versions[message.model, message.window.index] = message.version

    def _lines(self, line: str, message: Message | None) -> Iterator[str]:
        if message is not None and not self._began:
            self._began = self.since is None or message.time >= self.since
            self._rule()
        if isinstance(message, PerformanceMeasured) and not message.partial:
            yield from self._window(message)
            return
        if isinstance(message, PerformanceDegraded) and _by_labels(message):
            if self._kept.get(_name(message), True):
                yield line
            return
        if isinstance(message, ProjectRegistered | ProjectUpdated):
            self._known = message.settings
            self._rule()
        elif isinstance(message, DeploymentCompleted):
            self._own.deployed(message)
            self._tried.deployed(message)
        yield line

    def _window(self, event: PerformanceMeasured) -> Iterator[str]:
        own, tried = self._own.judged(event), self._tried.judged(event)
        self._own.passed(event)
        self._tried.passed(event)
        counts = self._began and (self.since is None or event.time >= self.since)
        was = _name(event) in self._told
        if not counts:
            yield _line(event)
            return
        self.windows += 1
        self.different += own.told is not was
        self._kept[_name(event)] = tried.told
        yield _line(event.model_copy(update={"degraded": tried.degraded}))
        if tried.told and not was:
            yield _line(_alarm(event, tried.threshold))

    def _rule(self) -> None:
        limits = self._known.monitor.accuracy
        self._own.rule(self._known.evaluate, limits)
        if self._began:  # until then the project's own limits hold
            tree = {**limits.model_dump(mode="json"), **self.wanted}
            limits = PerformanceSettings.model_validate(tree)
        self._tried.rule(self._known.evaluate, limits)

    def _read(self, source: Path) -> Iterator[tuple[str, Message | None]]:
        for number, line in _lines_of(source):
            try:
                found = json.loads(line)
            except ValueError as error:
                if not line.endswith("\n"):
                    return  # its writer was stopped in the middle of it
                raise HistoryError(f"line {number} is not JSON: {error}") from error
            yield line, self._message(found)

    def _message(self, found: object) -> Message | None:
        if not isinstance(found, dict) or found.get("project") != self.project:
            return None
        kind = _KINDS.get(str(found.get("type")))
        try:
            return kind.from_envelope(found) if kind else None
        except MessageError:
            return None

    def _notes(self) -> list[str]:
        notes = []
        if self.different:
            notes.append(
                f"judged again by the recorded settings, {self.different} of {self.windows} windows come out "
                "otherwise than recorded"
            )
        if self._tried.missing:
            notes.append(
                f"{self._tried.missing} windows do not tell their standard error: that of a share is taken for "
                "values from 0 to 1, none for others"
            )
        return notes


def _lines_of(source: Path) -> Iterator[tuple[int, str]]:
    try:
        with source.open(encoding="utf-8") as lines:
            yield from ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    except UnicodeDecodeError as error:
        raise HistoryError(
            f"{source.name} is no text in UTF-8; give what `mlops events tail --json` printed"
        ) from error


def _alarm(event: PerformanceMeasured, threshold: float | None) -> PerformanceDegraded:
    if threshold is None:
        raise ValueError("without a limit no window is degraded")
    return PerformanceDegraded(
        id=follow_up_id(event.id, "replay:performance.degraded", 0),
        time=event.time,
        source="/replay",
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        project=event.project,
        model=event.model,
        version=event.version,
        metric=event.metric,
        value=event.value,
        expected=event.expected,
        threshold=threshold,
        window=event.window,
    )


def _by_labels(event: PerformanceDegraded) -> bool:
    """Return whether it is about labels of the version that answers: not about speed, nor a version beside it."""
    return event.against_version is None and not event.about_speed


def _line(message: Message) -> str:
    return json.dumps(message.envelope()) + "\n"


def _name(event: PerformanceMeasured | PerformanceDegraded) -> Name:
    return event.model, event.version, event.window.index
