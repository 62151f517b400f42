# SPDX-License-Identifier: Apache-2.0
"""Records: runs and models as people ask for them, and what can be said of one without knowing another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mlops.tracking.model.facts import Dataset, RunFacts, datasets, is_number

FINISHED = "FINISHED"
TECHNIQUE = "mlops.technique"
CHIP = "mlops.system.chip"
PROJECT = "mlops.project"
APPLE = "mlops.apple."
SYSTEM_METRICS = "system/"
MOST_OF_A_RUN = 50
MOST_TAGS_OF_A_RUN = 200
THROUGHPUT = ("tokens_per_second", "samples_per_second", "iterations_per_second")
HARDWARE = {
    "energy_j": "J",
    "machine_energy_j": "J",
    "mean_power_w": "W",
    "peak_memory_gb": "GB",
    "peak_heat_level": "",
    "throttled_s": "s",
}

_SYSTEM = "mlops.system."
_HARDWARE = "hw."
_ENERGY_SOURCE = "hw.energy_source"
_COMMITS = ("mlops.git.commit", "mlflow.source.git.commit")
_SMALLER = re.compile(
    r"(^|[^a-z])(loss|error|mse|rmse|mae|latency|perplexity|duration|energy|memory|heat)([^a-z]|$)"
)
_LARGER = re.compile(r"(^|[^a-z])(throughput|per_second)([^a-z]|$)")


@dataclass(frozen=True)
class RunRecord:
    """A run as MLflow keeps it; times in ms since 1970. What was cut away is counted."""

    run_id: str
    project: str
    experiment_id: str = ""
    name: str = ""
    status: str = ""
    user: str = ""
    started_ms: int | None = None
    ended_ms: int | None = None
    artifact_uri: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Dataset, ...] = ()
    models: tuple[tuple[str, int], ...] = ()
    more_params: int = 0
    more_metrics: int = 0

    @property
    def technique(self) -> str | None:
        """Return which technique of optimisation the run tried, None when it says none."""
        return self.tags.get(TECHNIQUE) or None

    @property
    def chip(self) -> str | None:
        """Return the chip it ran on, None when it does not say."""
        return self.tags.get(CHIP) or None

    @property
    def duration_s(self) -> float | None:
        """Return how long it took, None while it runs and where its times make no sense."""
        if self.started_ms is None or self.ended_ms is None or self.ended_ms < self.started_ms:
            return None
        return (self.ended_ms - self.started_ms) / 1000

    @property
    def hardware(self) -> dict[str, float | None]:
        """Return the summary of the hardware; None is "not measured"."""
        found = {name: number(self.tags.get(_HARDWARE + name)) for name in HARDWARE}
        if _ENERGY_SOURCE not in self.tags and found["machine_energy_j"] is None:
            # Clients of before logged the whole machine's energy as the run's.
            found["machine_energy_j"] = found["energy_j"]
        return found

    @property
    def throughput(self) -> dict[str, float]:
        """Return what it got through per second, by the metric's name."""
        found = {name: self.metrics.get(name) for name in THROUGHPUT}
        return {
            name: value for name, value in found.items() if value is not None and is_number(value)
        }

    @property
    def system(self) -> dict[str, str]:
        """Return what it ran on, as it said at its start."""
        return self._under(_SYSTEM)

    @property
    def own_tags(self) -> dict[str, str]:
        """Return the tags that neither MLflow nor the platform has set."""
        kept = {
            name: value
            for name, value in self.tags.items()
            if not name.startswith(("mlflow.", "mlops.", _HARDWARE))
        }
        return dict(sorted(kept.items()))

    @property
    def source_commit(self) -> str | None:
        """Return the git commit of its code."""
        return next((self.tags[name] for name in _COMMITS if self.tags.get(name)), None)

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """Return the datasets it has read."""
        return datasets(RunFacts(tags=self.tags, inputs=self.inputs))

    def _under(self, prefix: str) -> dict[str, str]:
        found = {
            name.removeprefix(prefix): value
            for name, value in self.tags.items()
            if name.startswith(prefix)
        }
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class Point:
    """A logged value of a metric."""

    name: str
    value: float
    at_ms: int
    step: int


@dataclass(frozen=True)
class ModelRecord:
    """A registered model: which versions count, and what its owners say of it.

    *labels* are the tags of versions by which the registry shows them across projects.
    """

    project: str
    name: str
    latest: int | None = None
    aliases: Mapping[str, int] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    updated_ms: int | None = None
    sources: Mapping[int, str] = field(default_factory=dict)
    labels: Mapping[int, Mapping[str, str]] = field(default_factory=dict)

    @property
    def shown(self) -> int | None:
        """Return the version that speaks for the model: the champion, without one the latest."""
        return self.aliases.get("champion", self.latest)


@dataclass(frozen=True)
class VersionRecord:
    """A version of a registered model, with the last metrics of its run."""

    version: int
    run_id: str | None = None
    created_ms: int | None = None
    status: str = ""
    source_uri: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """Which runs are asked for; None is any. A tag without a value must be there, with whatever value."""

    project: str | None = None
    status: str | None = None
    tags: Mapping[str, str | None] = field(default_factory=dict)
    limit: int = 50


def is_labelled(tags: Mapping[str, str]) -> bool:
    """Say whether the registry has labelled a version: then its tags say all of its compatibility."""
    return PROJECT in tags


def compatibility(tags: Mapping[str, str]) -> dict[str, str]:
    """Return what a version's tags say of Apple's backends."""
    return {
        name.removeprefix(APPLE): text
        for name, text in sorted(tags.items())
        if name.startswith(APPLE)
    }


def number(text: str | None) -> float | None:
    """Return the number a tag holds, None for anything else."""
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and is_number(value) else None


def direction(name: str, goals: Mapping[str, str]) -> str | None:
    """Return "max" or "min", whichever is better, or None when nobody knows.

    *goals* is what the projects say of their own metrics.
    """
    if name in goals:
        return goals[name] if goals[name] in ("max", "min") else None
    lower = name.lower()
    if _LARGER.search(lower):
        return "max"
    return "min" if _SMALLER.search(lower) else None


def best(values: Mapping[str, float | None], goal: str | None) -> str | None:
    """Return which of several is best: None with fewer than two, at a tie, and where better is unknown."""
    known = {
        name: value for name, value in values.items() if value is not None and is_number(value)
    }
    if goal is None or len(known) < 2:  # noqa: PLR2004 - one alone is not better than anything
        return None
    first = (max if goal == "max" else min)(known.values())
    winners = list(_with(known, first))
    return winners[0] if len(winners) == 1 else None


def _with(known: Mapping[str, float], value: float) -> Iterator[str]:
    return (name for name, other in known.items() if other == value)
