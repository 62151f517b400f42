# SPDX-License-Identifier: Apache-2.0
"""What the rooms of tracking need: the outbox's rows, facts about runs and versions, the registry, workspaces."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from mlops.tracking.model.changes import CHAMPION, Row, RunEnded, RunWentStale, Why
from mlops.tracking.model.energy import Present, Used
from mlops.tracking.model.facts import Origin, Package, RunFacts
from mlops.tracking.model.lineage import Telling
from mlops.tracking.model.records import ModelRecord, Point, RunRecord, VersionRecord, Wanted
from mlops.tracking.model.signs import Heard, Sign, Stale


@dataclass(frozen=True)
class Version:
    """A version in the registry, with the last metrics of its run (they may be NaN or infinite)."""

    name: str
    version: int
    run_id: str | None
    running: bool
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


class Rows(Protocol):
    """The outbox: written with the change itself, so a row exists exactly if the change does."""

    async def pending(self, most: int) -> list[Row]:
        """Return rows not yet told, oldest first."""

    async def told(self, sequences: Sequence[int]) -> None:
        """Mark rows as told; they are not pending any more."""

    async def prune(self, before: datetime) -> int:
        """Forget rows that were told before then; return how many. Rows not told are kept for ever."""

    async def wait(self, timeout: timedelta) -> None:
        """Return when a row was committed since the last `wait`, or after *timeout*."""


class Runs(Protocol):
    """What is known of runs and versions; each reads what is there now.

    Raises UnavailableError when the store is away.
    """

    async def run(self, run_id: str) -> RunFacts | None:
        """Return the facts of a run, deleted ones too, or None when it is gone for good."""

    async def origin(self, project: str, name: str, version: int) -> Origin | None:
        """Return where a version comes from, or None when it is gone."""

    async def package(self, project: str, source_uri: str) -> Package:
        """Return what the model's files say; an empty one when they cannot be read."""


class Lives(Protocol):
    """Runs that are RUNNING, and the end of those that nobody will end.

    Each end is one transaction with its row of the outbox: a run is ended and told, or neither.
    Raises UnavailableError when the store is away.
    """

    async def signs(self) -> list[Sign]:
        """Return a sign of each RUNNING run that is not deleted."""

    async def remembered(self) -> dict[str, Heard]:
        """Return what `remember` kept."""

    async def remember(self, heard: Mapping[str, Heard]) -> None:
        """Keep how long runs have been silent, instead of what was kept before."""

    async def end_stale(self, run: Stale, now: datetime) -> bool:
        """Set a run KILLED at its last sign of life; False when it has ended, or given a sign, meanwhile."""

    async def end_workflow(self, project: str, key: str, at: datetime, why: Why) -> list[str]:
        """Set the RUNNING and SCHEDULED runs of a workflow KILLED and return them; the same again ends nothing."""


class Presences(Protocol):
    """Runs as those who take energy of a machine. Raises UnavailableError when the store is away."""

    async def running(self) -> list[Present]:
        """Return the runs that are RUNNING and not deleted, with the machine they name."""

    async def note(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run, ended or not; the same again changes nothing, and a run that is gone has none."""


class Charges(Protocol):
    """What runs took."""

    async def of(self, change: RunEnded | RunWentStale, row: str, facts: RunFacts) -> Used | None:
        """Return what a run took that has ended, None where nobody can tell; the same *row* again gives the same."""


class ReadData(Protocol):
    """Which versions of datasets runs have read."""

    async def named(self, project: str, run: RunFacts) -> RunFacts:
        """Return the run, its logged inputs by the versions they are; it never fails for want of that."""


class NamedData(Protocol):
    """Which content the `.dvc` file of a path in a project's folder names, or else a pipeline's `dvc.lock` there.

    None where nobody can tell.
    """

    async def now(self, folder: str, path: str) -> str | None:
        """Return what it names just now."""

    async def committed(self, folder: str, commit: str, path: str) -> str | None:
        """Return what it named in a git commit."""


class Leader(Protocol):
    """One process of all that share a store: it alone relays and looks for stale runs."""

    async def leads(self) -> bool:
        """Say whether this process leads now; it takes the lead when nobody has it."""

    async def who(self) -> str | None:
        """Return the name of the process that leads, None while nobody does."""


class Turns(Protocol):
    """Who decides, decides alone: over all processes on one store, not only within this one."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait for the turn and hold it within; UnavailableError when it does not come."""


class Registry(Turns, Protocol):
    """Model versions and their aliases.

    Raises UnavailableError when the store is away.
    """

    async def version(self, project: str, name: str, version: int) -> Version | None:
        """Return a version, or None."""

    async def champion(self, project: str, name: str, alias: str = CHAMPION) -> Version | None:
        """Return the version with the alias `champion`, or with another one, or None."""

    async def of_run(self, project: str, run_id: str) -> list[Version]:
        """Return the versions that were registered from a run, oldest first."""

    async def annotate(
        self, project: str, name: str, version: int, tags: Mapping[str, str]
    ) -> None:
        """Set tags of a version, in order; the same again changes nothing."""

    async def point(self, project: str, name: str, alias: str, version: int, why: Why) -> None:
        """Let *alias* name a version; the same again changes nothing and makes no row."""


class Catalogue(Protocol):
    """What exists, for errors that help."""

    async def models(self, project: str) -> dict[str, list[int]]:
        """Return up to 20 models of a project with their latest versions, newest first."""


class Workspaces(Protocol):
    """Where the runs of a project live."""

    async def provision(self, project: str) -> dict[str, str]:
        """Make workspace and experiment of a project, once; return their names.

        Raises RejectedError when MLflow will never take the name, UnavailableError when the store is away.
        """

    async def close(self, project: str, reason: str) -> None:
        """Refuse new runs and new versions of a project, with the reason; the same again changes nothing."""

    async def reopen(self, project: str) -> None:
        """Take new runs and versions again; the same again changes nothing."""


class Readings(Protocol):
    """Runs for people who ask: at most 50 params, 50 metrics (none under `system/`) and 200 tags of each.

    What was cut is counted. Raises UnavailableError when the store is away.
    """

    async def projects(self) -> list[str]:
        """Return the names of all projects, sorted."""

    async def runs(self, wanted: Wanted, first: Collection[str] = ()) -> list[RunRecord]:
        """Return the newest runs, newest first, without deleted ones; metrics *first* are cut last."""

    async def some(self, run_ids: Sequence[str], first: Collection[str] = ()) -> list[RunRecord]:
        """Return the runs of these ids in their order, deleted ones too; unknown ids are left out."""

    async def samples(self, wanted: Wanted, metrics: Collection[str]) -> list[RunRecord]:
        """Return the newest runs with these metrics and the platform's tags only, for statistics."""

    async def points(self, run_id: str, since_ms: int, limit: int) -> list[Point]:
        """Return what was logged after *since_ms*, oldest first, `system/` too.

        *limit* is exceeded rather than points of one millisecond parted: nothing is lost between two pages.
        """


class Shelf(Protocol):
    """Registered models of all projects; prompts are none. Raises UnavailableError when the store is away."""

    async def models(
        self,
        project: str | None = None,
        name: str | None = None,
        tag: tuple[str, str] | None = None,
        limit: int = 200,
    ) -> list[ModelRecord]:
        """Return the models that changed last, newest first."""

    async def versions(self, project: str, name: str, limit: int) -> list[VersionRecord]:
        """Return the versions of a model, newest first, with up to 50 metrics of their runs."""


class Packages(Protocol):
    """What models' files say."""

    async def of(self, sources: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Package]:
        """Return what is known of each (project, source URI) within two seconds; what is not is left out."""


class LineageSink(Protocol):
    """Where lineage goes. The same telling again is the same event: a sink may get it twice."""

    async def tell(self, telling: Telling) -> None:
        """Hand the telling over.

        Raises UnavailableError while the sink is away or refuses us, RejectedError when it will never take this one.
        """

    async def close(self) -> None:
        """Let go of the sink."""
