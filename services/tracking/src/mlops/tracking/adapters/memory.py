# SPDX-License-Identifier: Apache-2.0
"""MemoryTracking: runs, models, workspaces and the outbox in one process, for story tests and trials."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from mlops.chassis.errors import RejectedError
from mlops.tracking.model.changes import (
    CHAMPION,
    ChampionChanged,
    Change,
    Row,
    RunBegan,
    RunEnded,
    VersionAdded,
    Why,
)
from mlops.tracking.model.facts import Dataset, Origin, Package, RunFacts
from mlops.tracking.model.signs import ENDED_BY, HEARTBEAT, RESUMED, STALE
from mlops.tracking.ports import Version

# A run whose workflow waits to be started again.
_WAITS = "SCHEDULED"


@dataclass(frozen=True)
class _Run:
    project: str
    facts: RunFacts
    status: str = "RUNNING"
    started_ms: int = 1000
    ended_ms: int | None = None
    logged: int = 0


@dataclass
class MemoryTracking:
    """All ports of tracking over dicts; `start_run`, `log`, `end_run`, `register` act as a client would."""

    rows: list[Row] = field(default_factory=list)
    packages: dict[str, Package] = field(default_factory=dict)
    workspaces: set[str] = field(default_factory=set)
    closed: dict[str, str] = field(default_factory=dict)
    _told: dict[int, datetime] = field(default_factory=dict)
    _runs: dict[str, _Run] = field(default_factory=dict)
    _versions: dict[tuple[str, str, int], Origin] = field(default_factory=dict)
    _tags: dict[tuple[str, str, int], dict[str, str]] = field(default_factory=dict)
    _aliases: dict[tuple[str, str, str], int] = field(default_factory=dict)
    _sequence: int = 0
    _written: asyncio.Event = field(default_factory=asyncio.Event)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    # What a client does

    def start_run(
        self,
        project: str,
        *,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        inputs: Sequence[Dataset] = (),
        at_ms: int = 1000,
    ) -> str:
        """Begin a run and return its id."""
        run_id = uuid.uuid4().hex
        facts = RunFacts(
            project,
            f"memory:/{run_id}",
            dict(params or {}),
            {},
            dict(tags or {}),
            tuple(inputs),
            at_ms,
        )
        self._check_open(project)
        self._runs[run_id] = _Run(project, facts, started_ms=at_ms)
        self._write(project, RunBegan(run_id, project, run_id[:8], "somebody", at_ms))
        return run_id

    def log(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Log metrics to a run."""
        run = self._runs[run_id]
        facts = replace(run.facts, metrics={**run.facts.metrics, **metrics})
        self._runs[run_id] = replace(run, facts=facts, logged=run.logged + 1)

    def end_run(self, run_id: str, status: str = "FINISHED") -> None:
        """Set the status of a run, RUNNING too; the same status again changes nothing."""
        run = self._runs[run_id]
        if run.status == status:
            return
        if _WAITS in (status, run.status) and status in (_WAITS, "RUNNING"):
            self.move(run_id, status, run.ended_ms)  # it waits, or goes on: neither begins nor ends
            return
        again = run.ended_ms is not None or RESUMED in run.facts.tags
        was_stale = self._repair(run_id)
        if status == "RUNNING":
            ended_ms = None if was_stale else run.ended_ms
            self.tag(run_id, HEARTBEAT, None)
            self.tag(run_id, ENDED_BY, None)
            self.move(run_id, status, ended_ms)
            self._write(run.project, replace(self._began(run_id), resumed=True))
            return
        self.move(run_id, status, 2000)
        self._write(run.project, RunEnded(*self.about(run_id), 2000, status, again=again))

    def tag(self, run_id: str, key: str, text: str | None) -> None:
        """Set a tag of a run, or remove it; a heartbeat opens a run again that was ended as stale."""
        run = self._runs[run_id]
        tags = {name: value for name, value in run.facts.tags.items() if name != key}
        tags = tags if text is None else {**tags, key: text}
        self._runs[run_id] = replace(run, facts=replace(run.facts, tags=tags))
        if key == HEARTBEAT and run.facts.tags.get(key) != text and self._repair(run_id):
            self.move(run_id, "RUNNING", None)
            self._write(run.project, replace(self._began(run_id), resumed=True))

    def register(
        self, project: str, name: str, run_id: str | None, *, is_prompt: bool = False
    ) -> int:
        """Register the next version of a model and return its number."""
        self._check_open(project)
        number = 1 + max(
            (key[2] for key in self._versions if key[:2] == (project, name)), default=0
        )
        source = f"runs:/{run_id}/model"
        self._versions[project, name, number] = Origin(run_id, source, is_prompt)
        self._write(project, VersionAdded(name, number, run_id, source))
        return number

    def set_alias(self, project: str, name: str, alias: str, version: int) -> None:
        """Move an alias as a client does: without a reason."""
        self._move(project, name, alias, version, None)

    def delete_run(self, run_id: str) -> None:
        """Forget a run for good."""
        del self._runs[run_id]

    # Rows

    async def pending(self, most: int) -> list[Row]:
        """Return rows not yet told, oldest first."""
        self._written.clear()
        return [row for row in self.rows if row.sequence not in self._told][:most]

    async def told(self, sequences: Sequence[int]) -> None:
        """Mark rows as told."""
        for sequence in sequences:
            self._told.setdefault(sequence, datetime.now(UTC))

    async def prune(self, before: datetime) -> int:
        """Forget rows told before then."""
        old = {sequence for sequence, at in self._told.items() if at < before}
        pruned = [row for row in self.rows if row.sequence in old]
        self.rows = [row for row in self.rows if row.sequence not in old]
        return len(pruned)

    async def wait(self, timeout: timedelta) -> None:
        """Return when a row was written since `pending` last looked, or after *timeout*."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout.total_seconds()):
                await self._written.wait()

    # Runs

    async def run(self, run_id: str) -> RunFacts | None:
        """Return the facts of a run."""
        found = self._runs.get(run_id)
        return replace(found.facts, ended_ms=found.ended_ms) if found else None

    async def package(self, project: str, source_uri: str) -> Package:
        """Return what was put into `packages`."""
        del project
        return self.packages.get(source_uri, Package())

    async def origin(self, project: str, name: str, version: int) -> Origin | None:
        """Return where a version comes from."""
        return self._versions.get((project, name, version))

    # Registry and catalogue

    async def version(self, project: str, name: str, version: int) -> Version | None:
        """Return a version, or None."""
        key = (project, name, version)
        facts = self._versions.get(key)
        if facts is None:
            return None
        run = self._runs.get(facts.run_id or "")
        return Version(
            name=name,
            version=version,
            run_id=facts.run_id,
            running=run is not None and run.status == "RUNNING",
            metrics=dict(run.facts.metrics) if run else {},
            tags=dict(self._tags.get(key, {})),
        )

    async def champion(self, project: str, name: str, alias: str = CHAMPION) -> Version | None:
        """Return the version with the alias `champion`, or with another one, or None."""
        number = self._aliases.get((project, name, alias))
        return await self.version(project, name, number) if number else None

    async def of_run(self, project: str, run_id: str) -> list[Version]:
        """Return the versions registered from a run."""
        keys = [
            key
            for key, facts in sorted(self._versions.items())
            if facts.run_id == run_id and key[0] == project
        ]
        found = [await self.version(*key) for key in keys]
        return [version for version in found if version is not None]

    async def annotate(
        self, project: str, name: str, version: int, tags: Mapping[str, str]
    ) -> None:
        """Set tags of a version."""
        self._tags.setdefault((project, name, version), {}).update(tags)

    async def point(self, project: str, name: str, alias: str, version: int, why: Why) -> None:
        """Let *alias* name a version."""
        self._move(project, name, alias, version, why)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold the turn."""
        async with self._turn:
            yield

    async def models(self, project: str) -> dict[str, list[int]]:
        """Return the models of a project with their versions, newest first."""
        found: dict[str, list[int]] = {}
        for owner, name, number in sorted(self._versions, reverse=True):
            if owner == project:
                found.setdefault(name, []).append(number)
        return found

    # Workspaces

    async def close(self, project: str, reason: str) -> None:
        """Refuse new runs and versions."""
        self.closed[project] = reason

    async def reopen(self, project: str) -> None:
        """Take new runs and versions again."""
        self.closed.pop(project, None)

    async def provision(self, project: str) -> dict[str, str]:
        """Make a workspace, once; the same names are refused as by MLflow."""
        if project.endswith("-") or len(project) == 1:
            raise RejectedError(f"MLflow refuses: workspace name {project!r}")
        self.workspaces.add(project)
        return {"mlflow_workspace": project, "experiment": project}

    # For memory_lives.py

    @property
    def open(self) -> dict[str, _Run]:
        """Return the runs that have not ended: those that run, and those that wait to go on."""
        return {k: run for k, run in self._runs.items() if run.status in ("RUNNING", _WAITS)}

    @property
    def running(self) -> dict[str, _Run]:
        """Return the runs that are RUNNING."""
        return {run_id: run for run_id, run in self._runs.items() if run.status == "RUNNING"}

    def known(self, run_id: str) -> _Run:
        """Return a run."""
        return self._runs[run_id]

    def about(self, run_id: str) -> tuple[str, str, str, str, int]:
        """Return what every row says of a run."""
        run = self._runs[run_id]
        return (run_id, run.project, run_id[:8], "somebody", run.started_ms)

    def move(self, run_id: str, status: str, ended_ms: int | None) -> None:
        """Set status and end of a run, past every rule."""
        self._runs[run_id] = replace(self._runs[run_id], status=status, ended_ms=ended_ms)

    def write(self, project: str, change: Change) -> None:
        """Write a row."""
        self._write(project, change)

    def _began(self, run_id: str) -> RunBegan:
        return RunBegan(*self.about(run_id))

    def _repair(self, run_id: str) -> bool:
        run = self._runs[run_id]
        why = run.facts.tags.get(STALE)
        if why is None or run.status != "KILLED":
            return False
        kept = {name: value for name, value in run.facts.tags.items() if name != STALE}
        tags = {**kept, RESUMED: f"came back; before: {why}"}
        self._runs[run_id] = replace(run, facts=replace(run.facts, tags=tags))
        return True

    def _check_open(self, project: str) -> None:
        if project in self.closed:
            raise RejectedError(f"project {project!r} is {self.closed[project]}")

    def _move(self, project: str, name: str, alias: str, version: int, why: Why | None) -> None:
        previous = self._aliases.get((project, name, alias))
        self._aliases[project, name, alias] = version
        if alias == CHAMPION and previous != version:
            self._write(project, ChampionChanged(name, version, previous, why))

    def _write(self, project: str, change: Change) -> None:
        self._sequence += 1
        self.rows.append(Row(self._sequence, str(uuid.uuid4()), project, datetime.now(UTC), change))
        self._written.set()
