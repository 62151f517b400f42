# SPDX-License-Identifier: Apache-2.0
"""A row of the outbox and what MLflow knows about it become one message that surely fits the bus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TypedDict

from mlops.contracts.energy import EnergyUse
from mlops.contracts.errors import MessageTooLargeError
from mlops.contracts.message import Message
from mlops.contracts.tracking import (
    ModelPromoted,
    ModelRegistered,
    RunCompleted,
    RunFailed,
    RunStale,
    RunStarted,
)
from mlops.contracts.units import DatasetVersion
from mlops.tracking.model import facts as shorten
from mlops.tracking.model.changes import (
    CHAMPION,
    ChampionChanged,
    Row,
    RunBegan,
    RunEnded,
    RunWentStale,
    VersionAdded,
    Why,
)
from mlops.tracking.model.energy import Used
from mlops.tracking.model.facts import Origin, Package, RunFacts

_SHARES = (1.0, 0.5, 0.25, 0.1, 0.0)
_LONGEST_SIGNATURE = 8000
_LONGEST_REASON = 500


class _Story(TypedDict):
    id: str
    project: str
    time: datetime
    correlation_id: str | None
    causation_id: str | None
    traceparent: str | None


class _About(TypedDict):
    run_id: str
    experiment_id: str
    experiment_name: str
    run_name: str
    user: str
    started_at: datetime | None
    source_commit: str | None
    datasets: tuple[DatasetVersion, ...]
    params: dict[str, str]
    tags: dict[str, str]
    artifact_uri: str


class _End(TypedDict):
    metrics: dict[str, float]
    hardware: dict[str, str]
    energy: EnergyUse | None
    again: bool


def run_started(row: Row, change: RunBegan, run: RunFacts) -> Message:
    """Return the message of a run that began."""
    story = _story(row, run.tags, change.run_id)
    return _fit(
        lambda share: RunStarted(**story, **_about(change, run, share), resumed=change.resumed)
    )


def run_ended(row: Row, change: RunEnded, run: RunFacts, energy: Used | None = None) -> Message:
    """Return the message of a run that ended: completed, or failed with its status."""
    story = _because(_story(row, run.tags, change.run_id), change.why)
    ended_at = _moment(change.ended_ms)

    def make(share: float) -> Message:
        about, end = _about(change, run, share), _end(run, energy, share, again=change.again)
        if change.status == "FINISHED":
            return RunCompleted(**story, **about, **end, ended_at=ended_at)
        return RunFailed(
            **story,
            **about,
            **end,
            ended_at=ended_at,
            status=change.status,
            reason=change.why.reason[:_LONGEST_REASON] if change.why else "",
        )

    return _fit(make)


def run_stale(row: Row, change: RunWentStale, run: RunFacts, energy: Used | None = None) -> Message:
    """Return the message of a run that we ended for want of signs of life."""
    story = _story(row, run.tags, change.run_id)
    last_seen_at = _moment(change.last_seen_ms)

    def make(share: float) -> Message:
        return RunStale(
            **story,
            **_about(change, run, share),
            **_end(run, energy, share, again=change.again),
            ended_at=last_seen_at,
            last_seen_at=last_seen_at,
            reason=change.reason[:_LONGEST_REASON],
        )

    return _fit(make)


def model_registered(row: Row, change: VersionAdded, run: RunFacts, package: Package) -> Message:
    """Return the message of a version that was registered."""
    run_id = shorten.known_run_id(change.run_id)
    story = _story(row, run.tags, run_id)
    signature = package.signature
    if signature is not None and len(signature) > _LONGEST_SIGNATURE:
        signature = None  # half a signature is none; the model's files hold it

    def make(share: float) -> Message:
        return ModelRegistered(
            **story,
            name=change.name,
            version=change.version,
            run_id=run_id,
            source_uri=change.source_uri[:1024],
            flavors=shorten.short_flavors(package, share),
            size_bytes=package.size_bytes if (package.size_bytes or 0) >= 0 else None,
            signature=signature,
            metrics=shorten.short_metrics(run.metrics, share),
            datasets=_datasets(run, share),
            apple_compatibility=dict(package.apple),
        )

    return _fit(make)


def model_promoted(
    row: Row, change: ChampionChanged, version: Origin | None, run: RunFacts
) -> Message:
    """Return the message of a version that became champion, by our gate or by a client."""
    why = change.why or Why("alias set by a client")
    story: _Story = {
        "id": row.id,
        "project": row.project,
        "time": row.written_at,
        "correlation_id": why.correlation_id,
        "causation_id": why.causation_id,
        "traceparent": why.traceparent,
    }

    def make(share: float) -> Message:
        return ModelPromoted(
            **story,
            name=change.name,
            version=change.version,
            run_id=shorten.known_run_id(version.run_id) if version else None,
            alias=CHAMPION,
            source_uri=version.source_uri[:1024] if version else "",
            previous_version=change.previous,
            metric=why.metric,
            candidate_metrics=shorten.short_metrics(run.metrics, share, why.metric),
            champion_metrics=shorten.short_metrics(why.champion_metrics, share, why.metric),
            reason=why.reason[:1000],
        )

    return _fit(make)


def _story(row: Row, tags: Mapping[str, str], run_id: str | None) -> _Story:
    # A run that nobody's workflow started is a story of its own, told under its run id.
    return {
        "id": row.id,
        "project": row.project,
        "time": row.written_at,
        "correlation_id": _short(tags.get("mlops.correlation_id")) or run_id,
        "causation_id": _short(tags.get("mlops.causation_id")),
        "traceparent": _short(tags.get("mlops.traceparent")),
    }


def _because(story: _Story, why: Why | None) -> _Story:
    if why is None:
        return story
    return {
        **story,
        "correlation_id": why.correlation_id,
        "causation_id": why.causation_id,
        "traceparent": why.traceparent,
    }


def _end(run: RunFacts, energy: Used | None, share: float, *, again: bool) -> _End:
    return {
        "metrics": shorten.short_metrics(run.metrics, share),
        "hardware": shorten.hardware(run, share),
        "energy": EnergyUse(**asdict(energy)) if energy else None,
        "again": again,
    }


def _about(change: RunBegan | RunEnded | RunWentStale, run: RunFacts, share: float) -> _About:
    commit = run.tags.get("mlflow.source.git.commit")
    return {
        "run_id": change.run_id,
        "experiment_id": change.experiment_id,
        "experiment_name": run.experiment_name[:500],
        "run_name": change.name[:500],
        "user": (change.user or run.tags.get("mlflow.user", ""))[:256],
        "started_at": _moment(change.started_ms),
        "source_commit": commit[:64] if commit else None,
        "datasets": _datasets(run, share),
        "params": shorten.short_params(run, share),
        "tags": shorten.short_tags(run, share),
        "artifact_uri": run.artifact_uri[:1024],
    }


def _datasets(run: RunFacts, share: float) -> tuple[DatasetVersion, ...]:
    found = shorten.datasets(run)
    kept = found[: max(1, int(len(found) * share))]
    return tuple(
        DatasetVersion(name=d.name, version=d.version, hash=d.hash, likely_version=d.likely)
        for d in kept
    )


def _fit(make: Callable[[float], Message]) -> Message:
    """Return the fullest message that fits: told with less rather than not told.

    Raises MessageTooLargeError when none does.
    """
    for share in _SHARES[:-1]:
        message = make(share)
        if _fits(message):
            return message
    least = make(_SHARES[-1])
    least.encode()
    return least


def _fits(message: Message) -> bool:
    # The chassis puts the service's name and a trace into the envelope later.
    roomy = message.model_copy(update={"source": "/" + "x" * 255, "traceparent": "0" * 128})
    try:
        roomy.encode()
    except MessageTooLargeError:
        return False
    return True


def _moment(milliseconds: int | None) -> datetime | None:
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None  # a client may claim any number; beyond the calendar it is no time


def _short(text: str | None) -> str | None:
    return text[:128] if text else None
