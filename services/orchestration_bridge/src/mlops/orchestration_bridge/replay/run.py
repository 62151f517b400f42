# SPDX-License-Identifier: Apache-2.0
"""Run: all policies that are tried over one history, beside what happened, and what a reader should know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mlops.contracts.message import Message
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered, ProjectUpdated
from mlops.orchestration_bridge.replay import outcome
from mlops.orchestration_bridge.replay.changes import change_of, changed
from mlops.orchestration_bridge.replay.played import Played, Terms
from mlops.orchestration_bridge.replay.reading import History, HistoryError
from mlops.orchestration_bridge.replay.recorded import NOTHING_RECORDED, Recorded, recorded_in

UNCHANGED = "unchanged"
_TOLD_EACH = 20_000


@dataclass(frozen=True)
class Tried:
    """One policy to try: its settings by dotted name; `file` where its windows were judged again."""

    name: str
    settings: Mapping[str, object]
    file: Path | None = None


_AS_IT_IS = Tried(UNCHANGED, {})


@dataclass(frozen=True)
class Question:
    """What is asked: which history, from when on, and which policies beside the unchanged one.

    `settings` are used where the history does not hold the project's own. `lasts` is the length of a retraining that
    never was, None the median of those that were; `approval`, when a person approves one.
    """

    project: str
    file: Path
    since: datetime | None
    until: datetime | None
    policies: Sequence[Tried]
    settings: ProjectSettings | None = None
    lasts: timedelta | None = None
    approval: timedelta = timedelta(0)
    tell: Callable[[str], None] = field(default=lambda _: None)


def played(asked: Question) -> dict[str, Any]:
    """Return everything a replay finds; HistoryError where there is nothing to replay."""
    history = History(asked.file, asked.project)
    recorded = recorded_in(history.messages())
    notes = [f"{count} of {name} not understood" for name, count in history.unread.items()]
    if recorded.first_at is None or recorded.last_at is None:
        raise HistoryError(
            f"no message of project {asked.project!r} in this history; `mlops projects` shows the names"
        )
    since, until = _period(asked, recorded.first_at, recorded.last_at)
    first = _first_settings(asked, recorded, notes)
    terms = _terms(asked, recorded, since, notes)
    for tried in asked.policies:  # a value that does not fit is said before the work
        changed(first.settings, tried.settings)
    unchanged, *others = _all(asked, recorded, terms, first, until)
    _note_limits(asked, recorded, unchanged, notes)
    _note_energy(recorded, since, until, notes)
    return {
        "project": asked.project,
        "since": since.isoformat(),
        "until": until.isoformat(),
        "recorded": outcome.agreement(unchanged.made, recorded, since, until),
        "usual": _usual(recorded, terms),
        "notes": notes,
        "happened": outcome.of_reality(recorded, since, until, unchanged.degraded),
        "policies": [
            outcome.of_policy(tried.name, tried.settings, one, recorded)
            for tried, one in zip((_AS_IT_IS, *asked.policies), (unchanged, *others), strict=True)
        ],
    }


def _period(asked: Question, first: datetime, last: datetime) -> tuple[datetime, datetime]:
    since, until = max(asked.since or first, first), asked.until or last
    if since <= until:
        return since, until
    raise HistoryError(
        f"nothing is recorded in this period: the history of {asked.project!r} goes from "
        f"{first.isoformat(timespec='seconds')} to {last.isoformat(timespec='seconds')}"
    )


def _all(
    asked: Question,
    recorded: Recorded,
    terms: Terms,
    first: ProjectRegistered | ProjectUpdated,
    until: datetime,
) -> list[Played]:
    """Return every policy after the history; those of the same windows hear them in one reading."""
    tried = (_AS_IT_IS, *asked.policies)
    policies = [Played(recorded, terms, change_of(one.settings), asked.project) for one in tried]
    if first is not recorded.settings or _was_there_before(first):
        for one in policies:
            one.hear(first.model_copy(update={"time": recorded.first_at}))
    files = dict.fromkeys(one.file for one in tried)
    for file in files:
        of_file = [p for p, one in zip(policies, tried, strict=True) if one.file == file]
        for number, message in enumerate(_up_to(file or asked.file, asked.project, until), 1):
            for one in of_file:
                one.hear(message)
            if number % _TOLD_EACH == 0:
                asked.tell(f"{number} messages replayed by {len(of_file)} of {len(tried)} policies")
    for one in policies:
        one.pass_to(until)
    asked.tell(f"{len(tried)} policies replayed")
    return policies


def _up_to(file: Path, project: str, until: datetime) -> Iterator[Message]:
    return (one for one in History(file, project).messages() if one.time <= until)


def _first_settings(
    asked: Question, recorded: Recorded, notes: list[str]
) -> ProjectRegistered | ProjectUpdated:
    """Return the settings in force when the history begins."""
    found = recorded.settings
    if found is not None:
        if _was_there_before(found):
            notes.append("the settings before their first change in this history are taken from it")
        return found
    if asked.settings is None:
        raise HistoryError(
            f"the history does not hold the settings of project {asked.project!r}: give its folder with --settings"
        )
    notes.append("the history is younger than the settings: those of today are taken throughout")
    return ProjectRegistered(
        project=asked.project, settings=asked.settings, path="(given)", revision=1
    )


def _was_there_before(event: ProjectRegistered | ProjectUpdated) -> bool:
    return isinstance(event, ProjectUpdated) or event.revision > 1


def _terms(asked: Question, recorded: Recorded, since: datetime, notes: list[str]) -> Terms:
    usual = recorded.lasts
    if asked.lasts is not None:
        return Terms(since, asked.lasts, asked.approval)
    if usual is not None:
        return Terms(since, timedelta(seconds=usual.median), asked.approval)
    notes.append(
        f"no retraining of this project has completed: each is taken to last {NOTHING_RECORDED.total_seconds():g} s "
        "(--lasts changes it), its energy is unknown"
    )
    return Terms(since, NOTHING_RECORDED, asked.approval)


def _usual(recorded: Recorded, terms: Terms) -> dict[str, Any]:
    return {
        "lasts_s": terms.lasts.total_seconds(),
        "approval_s": terms.approval.total_seconds(),
        "queue_to_end_s": outcome.spread_of(recorded.lasts),
        "ran_s": outcome.spread_of(recorded.runs),
        "energy_j": outcome.spread_of(recorded.joules),
    }


def _note_limits(asked: Question, recorded: Recorded, unchanged: Played, notes: list[str]) -> None:
    if asked.since is not None and recorded.first_at is not None:
        late_s = (recorded.first_at - asked.since).total_seconds()
        if late_s > 0:
            notes.append(f"the history begins at {recorded.first_at.isoformat(timespec='seconds')}")
    lost = len(recorded.decisions.keys() - recorded.heard) - sum(
        one.by_person for one in recorded.decisions.values()
    )
    if lost > 0:
        notes.append(f"the triggers of {lost} recorded decisions are not in the history")
    before = [one.key for one in recorded.courses.values() if one.queued_at is None]
    if before:
        notes.append(f"{len(before)} workflows were queued before the history begins")
    if recorded.archived_at is not None:
        at = recorded.archived_at.isoformat(timespec="seconds")
        notes.append(f"the project was archived at {at}: nothing starts after that")
    if not unchanged.made:
        notes.append("nothing in this period asked for a workflow")


def _note_energy(recorded: Recorded, since: datetime, until: datetime, notes: list[str]) -> None:
    ran = [
        one
        for one in recorded.courses.values()
        if one.trained and one.queued_at is not None and since <= one.queued_at <= until
    ]
    unknown = sum(one.joules is None for one in ran)
    if unknown and recorded.joules is not None:
        notes.append(
            f"the energy of {unknown} of {len(ran)} retrainings is not recorded: the usual one is taken"
        )
