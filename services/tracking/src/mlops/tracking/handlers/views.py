# SPDX-License-Identifier: Apache-2.0
"""Views: runs, points and models as the JSON that queries answer with, and how much of it one answer holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from mlops.tracking.model.compare import Row
from mlops.tracking.model.facts import LONGEST_FLAVOR, MOST_FLAVORS, Package, is_number
from mlops.tracking.model.records import (
    ModelRecord,
    Point,
    RunRecord,
    VersionRecord,
    is_labelled,
)
from mlops.tracking.model.records import compatibility as tagged
from mlops.tracking.model.techniques import Chip

View = dict[str, Any]

# The bus carries 1 MiB in a message; the gateway wraps an answer once more.
MOST_BYTES = 800_000

_GATE = "mlops.gate."


def run(record: RunRecord) -> View:
    """Return a run as lists show it."""
    view: View = {
        "run_id": record.run_id,
        "project": record.project,
        "name": record.name,
        "status": record.status,
        "user": record.user or record.tags.get("mlflow.user", ""),
        "started_at": moment(record.started_ms),
        "ended_at": moment(record.ended_ms),
        "duration_s": record.duration_s,
        "technique": record.technique,
        "chip": record.chip,
        "datasets": [
            {"name": one.name, "version": one.version, "hash": one.hash} for one in record.datasets
        ],
        "source_commit": record.source_commit,
        "metrics": numbers(record.metrics),
        "params": dict(record.params),
        "hardware": record.hardware,
        "throughput": record.throughput,
        "models": [{"name": name, "version": version} for name, version in record.models],
    }
    if record.more_metrics or record.more_params:
        view["left_out"] = {"metrics": record.more_metrics, "params": record.more_params}
    return view


def whole_run(record: RunRecord) -> View:
    """Return a run as its own page shows it."""
    tags = {name: value for name, value in record.tags.items() if not name.startswith("mlflow.")}
    return {
        **run(record),
        "tags": dict(sorted(tags.items())),
        "system": record.system,
        "artifact_uri": record.artifact_uri,
        "experiment_id": record.experiment_id,
    }


def row(compared: Row) -> View:
    """Return a row of a comparison."""
    return {
        "name": compared.name,
        "kind": compared.kind,
        "unit": compared.unit,
        "values": list(compared.values),
        "best": compared.best,
        "same": compared.same,
    }


def point(logged: Point) -> list[Any]:
    """Return a point as [key, value, timestamp in ms, step]; a value that is no number is null."""
    return [logged.name, _finite(logged.value), logged.at_ms, logged.step]


def chip(found: Chip) -> View:
    """Return a chip with its techniques."""
    return {
        "chip": found.chip,
        "throughput_metric": found.throughput_metric,
        "techniques": [
            {**asdict(technique), "projects": list(technique.projects)}
            for technique in found.techniques
        ],
        "best": dict(found.best),
    }


def model(record: ModelRecord, package: Package | None) -> View:
    """Return a model; *package* is what the files of its champion, or else of its latest version, say."""
    return {
        "project": record.project,
        "name": record.name,
        "latest": record.latest,
        "champion": record.aliases.get("champion"),
        "challenger": record.aliases.get("challenger"),
        "tags": dict(record.tags),
        "apple_compatibility": compatibility(record.labels.get(record.shown or 0, {}), package),
        "updated_at": moment(record.updated_ms),
    }


def version(record: VersionRecord, aliases: Mapping[str, int], package: Package | None) -> View:
    """Return a version of a model."""
    gate = {
        name.removeprefix(_GATE): value
        for name, value in record.tags.items()
        if name.startswith(_GATE)
    }
    own = {name: value for name, value in record.tags.items() if not name.startswith("mlops.")}
    return {
        "version": record.version,
        "run_id": record.run_id,
        "aliases": sorted(alias for alias, number in aliases.items() if number == record.version),
        "created_at": moment(record.created_ms),
        "status": record.status,
        "flavors": [flavor[:LONGEST_FLAVOR] for flavor in package.flavors[:MOST_FLAVORS]]
        if package
        else [],
        "size_bytes": package.size_bytes if package else None,
        "metrics": numbers(record.metrics),
        "gate": _gate(gate),
        "apple_compatibility": compatibility(record.tags, package),
        "tags": own,
    }


def compatibility(tags: Mapping[str, str], package: Package | None) -> dict[str, str]:
    """Return what is known of Apple's backends: from a version's tags, or else from its files; empty where nothing is."""
    if is_labelled(tags) or package is None:
        return tagged(tags)
    return dict(package.apple)


def numbers(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Return metrics as JSON holds them: what is no number is null."""
    return {name: _finite(value) for name, value in metrics.items()}


def within(views: Iterable[Any], most_bytes: int = MOST_BYTES) -> tuple[list[Any], int]:
    """Return as many of the first as fit, and how many were left out."""
    kept: list[Any] = []
    left_out = 0
    room = most_bytes
    for view in views:
        room -= len(json.dumps(view, ensure_ascii=False).encode()) + 2
        if room < 0:
            left_out += 1
        else:
            kept.append(view)
    return kept, left_out


def within_moments(points: list[list[Any]], most_bytes: int = MOST_BYTES) -> tuple[list[Any], int]:
    """Return as many of the first points as fit without parting those of one millisecond."""
    kept, left_out = within(points, most_bytes)
    if left_out:
        cut_ms = points[len(kept)][2]
        whole = [each for each in kept if each[2] < cut_ms]
        kept = whole or kept
    return kept, len(points) - len(kept)


def moment(milliseconds: int | None) -> str | None:
    """Return a time as ISO 8601, None for what is no time."""
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None  # a client may claim any number


def _gate(said: Mapping[str, str]) -> View | None:
    if not said.get("decision"):
        return None
    stays = said.get("champion_version", "")
    return {
        "decision": said["decision"],
        "reason": said.get("reason", ""),
        "metric": said.get("metric", ""),
        "candidate": _number(said.get("candidate", "")),
        "champion": _number(said.get("champion", "")),
        "champion_version": int(stays) if stays.isdecimal() else None,
    }


def _number(text: str) -> float | None:
    try:
        return _finite(float(text)) if text else None
    except ValueError:
        return None  # somebody edited the tag


def _finite(value: float) -> float | None:
    return value if is_number(value) else None
