# SPDX-License-Identifier: Apache-2.0
"""MemoryReadings: runs and registered models in lists, answering as the database does; for story tests and trials."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mlops.tracking.model.facts import LONGEST_VALUE, Package
from mlops.tracking.model.records import (
    MOST_OF_A_RUN,
    MOST_TAGS_OF_A_RUN,
    SYSTEM_METRICS,
    THROUGHPUT,
    ModelRecord,
    Point,
    RunRecord,
    VersionRecord,
    Wanted,
)

_PLATFORM = ("mlops.", "hw.")
_KEPT_OF_MLFLOW = ("mlflow.user", "mlflow.source.git.commit")


@dataclass
class MemoryReadings:
    """The ports Readings, Shelf and Packages over plain lists, filled by whoever tests."""

    records: list[RunRecord] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    logged: dict[str, list[Point]] = field(default_factory=dict)
    shelf: list[ModelRecord] = field(default_factory=list)
    by_model: dict[tuple[str, str], list[VersionRecord]] = field(default_factory=dict)
    packages: dict[tuple[str, str], Package] = field(default_factory=dict)
    workspaces: set[str] = field(default_factory=lambda: {"default"})

    async def projects(self) -> list[str]:
        """Return the names of all projects."""
        return sorted(self.workspaces | {record.project for record in self.records})

    async def runs(self, wanted: Wanted, first: Collection[str] = ()) -> list[RunRecord]:
        """Return the newest runs."""
        return [_cut(record, first) for record in self._newest(wanted)]

    async def some(self, run_ids: Sequence[str], first: Collection[str] = ()) -> list[RunRecord]:
        """Return the runs of these ids, in their order."""
        known = {record.run_id: record for record in self.records}
        return [_cut(known[run_id], first) for run_id in run_ids if run_id in known]

    async def samples(self, wanted: Wanted, metrics: Collection[str]) -> list[RunRecord]:
        """Return the newest runs with these metrics and the platform's own tags only."""
        return [
            replace(
                record,
                params={},
                metrics={name: it for name, it in record.metrics.items() if name in metrics},
                tags={name: it for name, it in record.tags.items() if name.startswith(_PLATFORM)},
                inputs=(),
                models=(),
            )
            for record in self._newest(wanted)
        ]

    async def points(self, run_id: str, since_ms: int, limit: int) -> list[Point]:
        """Return what was logged after *since_ms*, oldest first."""
        later = [point for point in self.logged.get(run_id, []) if point.at_ms > since_ms]
        later.sort(key=lambda point: (point.at_ms, point.name, point.step))
        last_ms = later[:limit][-1].at_ms if later else 0
        return [point for point in later if point.at_ms <= last_ms]

    async def models(
        self,
        project: str | None = None,
        name: str | None = None,
        tag: tuple[str, str] | None = None,
        limit: int = 200,
    ) -> list[ModelRecord]:
        """Return the models that changed last, newest first."""
        found = [
            record
            for record in self.shelf
            if project in (None, record.project)
            and name in (None, record.name)
            and (tag is None or record.tags.get(tag[0]) == tag[1])
        ]
        return sorted(found, key=lambda it: (-(it.updated_ms or 0), it.project, it.name))[:limit]

    async def versions(self, project: str, name: str, limit: int) -> list[VersionRecord]:
        """Return the versions of a model, newest first."""
        found = self.by_model.get((project, name), [])
        return sorted(found, key=lambda version: -version.version)[:limit]

    async def of(self, sources: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Package]:
        """Return what was put into `packages`."""
        return {source: self.packages[source] for source in sources if source in self.packages}

    def _newest(self, wanted: Wanted) -> list[RunRecord]:
        found = [record for record in self.records if self._is_wanted(record, wanted)]
        found.sort(key=lambda record: (-(record.started_ms or 0), record.run_id))
        return found[: wanted.limit]

    def _is_wanted(self, record: RunRecord, wanted: Wanted) -> bool:
        return (
            record.run_id not in self.deleted
            and wanted.project in (None, record.project)
            and wanted.status in (None, record.status)
            and all(
                name in record.tags and value in (None, record.tags[name])
                for name, value in wanted.tags.items()
            )
        )


def _cut(record: RunRecord, first: Collection[str]) -> RunRecord:
    foremost = {*THROUGHPUT, *first}
    metrics = sorted(
        (name for name in record.metrics if not name.startswith(SYSTEM_METRICS)),
        key=lambda name: (name not in foremost, name),
    )
    tags = sorted(
        (name for name in record.tags if name in _KEPT_OF_MLFLOW or not name.startswith("mlflow.")),
        key=lambda name: (not name.startswith(_PLATFORM), name not in _KEPT_OF_MLFLOW, name),
    )
    params = sorted(record.params)
    return replace(
        record,
        params={name: record.params[name][:LONGEST_VALUE] for name in params[:MOST_OF_A_RUN]},
        metrics={name: record.metrics[name] for name in metrics[:MOST_OF_A_RUN]},
        tags={name: record.tags[name][:LONGEST_VALUE] for name in tags[:MOST_TAGS_OF_A_RUN]},
        more_params=max(0, len(params) - MOST_OF_A_RUN),
        more_metrics=max(0, len(metrics) - MOST_OF_A_RUN),
    )
