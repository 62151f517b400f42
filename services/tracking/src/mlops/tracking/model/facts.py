# SPDX-License-Identifier: Apache-2.0
"""Facts: what MLflow knows of runs and model versions, in our words and cut to what a message may hold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MOST_PARAMS = 100
MOST_TAGS = 50
MOST_METRICS = 200
MOST_DATASETS = 64
MOST_FLAVORS = 50
MOST_METRIC_BYTES = 20_000
LONGEST_VALUE = 250
LONGEST_FLAVOR = 64
LONGEST_RUN_ID = 64
MOST_BACKENDS = 16

_BYTES_OF_A_NUMBER = 28
_DATASET_TAG = "mlops.dataset."
_HARDWARE_TAG = "hw."
_MLFLOW_TAG = "mlflow."
_BACKEND = re.compile(r"^[A-Za-z0-9_-]{1,32}$")
_VERSION = re.compile(r"^(\d{1,9})(?:@(.*))?$")


@dataclass(frozen=True)
class Dataset:
    """The exact version of a dataset; where only its place is known, the version that likely stood there.

    `source` is where an unmodified client says it has read it, as a path or URI.
    """

    name: str
    version: int | None
    hash: str | None
    likely: int | None = None
    source: str = ""


@dataclass(frozen=True)
class RunFacts:
    """Everything a message says about a run."""

    experiment_name: str = ""
    artifact_uri: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Dataset, ...] = ()
    started_ms: int | None = None
    ended_ms: int | None = None


@dataclass(frozen=True)
class Origin:
    """Where a version of a model comes from."""

    run_id: str | None
    source_uri: str
    is_prompt: bool = False


@dataclass(frozen=True)
class Package:
    """What the files of a model say; None and empty where there is no MLmodel file to ask."""

    flavors: tuple[str, ...] = ()
    size_bytes: int | None = None
    signature: str | None = None
    apple: Mapping[str, str] = field(default_factory=dict)


def datasets(run: RunFacts) -> tuple[Dataset, ...]:
    """Return the datasets a run has read: tags `mlops.dataset.<name>` first, then MLflow's logged inputs."""
    tagged = [
        _tagged(key.removeprefix(_DATASET_TAG), value)
        for key, value in sorted(run.tags.items())
        if key.startswith(_DATASET_TAG)
    ]
    names = {dataset.name for dataset in tagged}
    found = [*tagged, *(dataset for dataset in run.inputs if dataset.name not in names)]
    return tuple(found[:MOST_DATASETS])


def short_params(run: RunFacts, share: float = 1.0) -> dict[str, str]:
    """Return the params a message holds, by name."""
    return _cut(run.params, int(MOST_PARAMS * share))


def short_tags(run: RunFacts, share: float = 1.0) -> dict[str, str]:
    """Return the tags a message holds: the project's own first to stay, MLflow's left out."""
    own = {key: value for key, value in run.tags.items() if not key.startswith(_MLFLOW_TAG)}
    return _cut(own, int(MOST_TAGS * share))


def hardware(run: RunFacts, share: float = 1.0) -> dict[str, str]:
    """Return the tags under `hw.`, without that prefix."""
    found = {
        key.removeprefix(_HARDWARE_TAG): value
        for key, value in run.tags.items()
        if key.startswith(_HARDWARE_TAG)
    }
    return _cut(found, int(MOST_TAGS * share))


def short_metrics(
    metrics: Mapping[str, float], share: float = 1.0, first: str = ""
) -> dict[str, float]:
    """Return the metrics a message holds, *first* foremost: finite ones, as JSON knows no other numbers."""
    names = sorted(
        (name for name, value in metrics.items() if is_number(value)),
        key=lambda name: (name != first, name),
    )
    kept: dict[str, float] = {}
    room = MOST_METRIC_BYTES * share
    for name in names[: max(1, int(MOST_METRICS * share))]:
        room -= len(name.encode()) + _BYTES_OF_A_NUMBER
        if room < 0 and kept:
            break
        kept[name] = metrics[name]
    return kept


def short_flavors(package: Package, share: float = 1.0) -> tuple[str, ...]:
    """Return the flavors a message holds, one at least where there are any."""
    kept = package.flavors[: max(1, int(MOST_FLAVORS * share))]
    return tuple(flavor[:LONGEST_FLAVOR] for flavor in kept)


def apple_compatibility(found: object) -> dict[str, str]:
    """Return what a model's files say of Apple's backends, by backend: a few short texts, whatever stands there."""
    if not isinstance(found, Mapping):
        return {}
    texts = {
        str(backend): "yes" if value is True else "no" if value is False else str(value)
        for backend, value in list(found.items())[:MOST_BACKENDS]
        if isinstance(value, bool) or (isinstance(value, str) and is_text(value))
    }
    return {key: texts[key][:LONGEST_VALUE] for key in sorted(texts) if _BACKEND.match(key)}


def registry_tags(project: str, apple: Mapping[str, str]) -> dict[str, str]:
    """Return the tags by which the registry shows a version across projects."""
    return {"mlops.project": project, **{f"mlops.apple.{name}": apple[name] for name in apple}}


def known_run_id(run_id: str | None) -> str | None:
    """Return the id of a run, None for what cannot be one: MLflow takes any text that a client claims."""
    return run_id if run_id and len(run_id) <= LONGEST_RUN_ID else None


def is_text(text: str) -> bool:
    """Say whether a text can be told: JSON and YAML may hold halves of characters, which no message can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_number(value: float) -> bool:
    """Say whether a metric is a real number; databases keep an infinite one as the largest float."""
    return math.isfinite(value) and abs(value) < 1.797e308  # noqa: PLR2004 - what MLflow writes for infinity


def _tagged(name: str, value: str) -> Dataset:
    if found := _VERSION.match(value):
        return Dataset(name[:128], int(found[1]) or None, (found[2] or "")[:128] or None)
    return Dataset(name[:128], None, value.rpartition("@")[2][:128] or None)


def _cut(values: Mapping[str, str], most: int) -> dict[str, str]:
    return {key: value[:LONGEST_VALUE] for key, value in sorted(values.items())[:most]}
