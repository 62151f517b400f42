# SPDX-License-Identifier: Apache-2.0
"""What serving needs of the world: packages, replicas, probes, traffic; and the documents it keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pydantic import AwareDatetime, Field

from mlops.contracts.attribution import Taken
from mlops.contracts.energy import EnergyUse
from mlops.contracts.latency import Latencies
from mlops.contracts.message import Part
from mlops.contracts.metering import Meter
from mlops.contracts.settings import ServeSettings
from mlops.serving.model import metering
from mlops.serving.model.apps import App
from mlops.serving.model.evidence import Comparison, Counts
from mlops.serving.model.heat import Climate, Node
from mlops.serving.model.metering import Reading, Window
from mlops.serving.model.promotions import Promotion
from mlops.serving.model.state import Package, State


class Served(Part):
    """The document of a project in the bucket `serving_projects`, by the project's name; *at* is when this was told."""

    settings: ServeSettings
    metric: str = ""
    revision: int = 0
    archived: bool = False
    refusal: str = ""
    weight: float = 1.0
    at: AwareDatetime | None = None

    def serves(self, model: str) -> bool:
        """Return whether the champions of a model are to answer."""
        return self.settings.model == model and not self.archived and not self.refusal

    def is_after(self, at: datetime) -> bool:
        """Return whether this was told after *at*, so that a message of then comes too late."""
        return self.at is not None and at < self.at


class Promoted(Part):
    """The document of a model in the bucket `serving_promotions`, by `<project>.<model>`: the last champion that nobody served.

    *promotion* is None again once it was rolled out, or its project was closed.
    """

    project: str
    model: str
    promotion: Promotion | None = None


class Deployment(Part):
    """The document of a model in the bucket `serving_deployments`, by `<project>.<model>`."""

    project: str
    model: str
    state: State = Field(default_factory=State)


class NodeHeat(Part):
    """The document of a machine in the bucket `serving_nodes`, by its name: none while it is cool.

    *was* is what was known before the message *cause*, so that what follows from that is told though a process died.
    """

    node: Node
    was: Node | None = None
    cause: str = ""


class Answers(Part):
    """What was asked of a version within a window, and how long its answers took, as `Latencies.as_json` writes it."""

    requests: int = 0
    failed: int = 0
    latencies: dict[str, int] = Field(default_factory=dict)

    def plus(self, last: Report, now: Report) -> Answers:
        """Return the sum with what a replica has counted between two of its reports."""
        added = Latencies.read(now.latencies).since(Latencies.read(last.latencies))
        return Answers(
            requests=self.requests + max(0, now.requests - last.requests),
            failed=self.failed + max(0, now.errors - last.errors),
            latencies=Latencies.read(self.latencies).plus(added).as_json(),
        )


class Page(Part):
    """A window that has ended, and what its version took of its machines within it.

    *answers* is None where the process has heard no replica within the window.
    """

    window: Window
    until: AwareDatetime
    taken: Taken
    answers: Answers | None = None
    replicas: int | None = None

    @property
    def energy(self) -> EnergyUse | None:
        """Return the energy, None where nobody can tell."""
        lasted_s = (self.until - self.window.since).total_seconds()
        return EnergyUse.of(
            self.taken, lasted_s, "of processor time", node=metering.node_of(self.window)
        )

    @property
    def joules_per_1000(self) -> float | None:
        """Return the joules of a thousand predictions, None without any."""
        if self.energy is None or not self.window.predictions:
            return None
        return self.energy.joules * 1000 / self.window.predictions


class MeterBook(Part):
    """The one document of the bucket `serving_meter`: open windows by application, and the last word of each machine.

    *taken* is what each has taken in its window so far. *untold* are windows that have ended and are to be told, *last*
    the last one of each application that runs. *memory* is the most bytes that a replica of a version was seen to take.
    """

    windows: dict[str, Window] = Field(default_factory=dict)
    taken: dict[str, Taken] = Field(default_factory=dict)
    machines: dict[str, Meter] = Field(default_factory=dict)
    untold: tuple[Page, ...] = ()
    last: dict[str, Page] = Field(default_factory=dict)
    memory: dict[str, int] = Field(default_factory=dict)


class Rest(StrEnum):
    """Whether a model sleeps."""

    ASLEEP = "asleep"
    WAKING = "waking"
    AWAKE = "awake"


class Nap(Part):
    """The document of a model in the bucket `serving_naps`, by `<project>.<model>`: none while it is simply awake.

    It runs until *stops_at*. *told* when its message is out; *waited_s* is how long the last waking took.
    """

    project: str
    model: str
    version: int
    deployment_id: str
    rest: Rest
    since: AwareDatetime
    stops_at: AwareDatetime
    why: str = ""
    told: bool = False
    waited_s: float | None = None


class Loss(Part):
    """The document of an application in the bucket `serving_losses`, by its name: none while all of it answers."""

    project: str
    model: str
    version: int
    deployment_id: str
    since: AwareDatetime
    reason: str = ""
    ratio: float = 0.0
    told: bool = False


class Condition(StrEnum):
    """How an application does."""

    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    LEAVING = "leaving"


@dataclass(frozen=True)
class AppState:
    """What the replicas say of one application; *url* where its version answers."""

    condition: Condition
    replicas: int = 0
    reason: str = ""
    url: str = ""


@dataclass(frozen=True)
class Report:
    """What a replica tells of itself: counted since its start, but for *waiting* and *memory_bytes*, which are now.

    *latencies* as `Latencies.as_json` writes them.
    """

    reading: Reading
    requests: int = 0
    errors: int = 0
    shed: int = 0
    dropped: int = 0
    waiting: int = 0
    memory_bytes: int | None = None
    latencies: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    """What the replicas of an application have counted since serving began.

    *memory_bytes* of all that speak now, *rate* is requests per second lately.
    """

    requests: int = 0
    errors: int = 0
    shed: int = 0
    dropped: int = 0
    answered: int = 0
    waiting: int = 0
    memory_bytes: int | None = None
    replicas: int = 0
    rate: float | None = None
    latencies: Latencies = field(default_factory=Latencies)


@dataclass(frozen=True)
class RoomFigures:
    """The memory that serving may fill, what of it is taken, and by which application."""

    capacity_bytes: int
    used_bytes: int = 0
    held: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Shown:
    """A version that runs, as its figures are shown."""

    project: str
    model: str
    version: int
    replicas: int
    traffic_ratio: float
    figures: Figures
    joules_per_1000: float | None = None


class Packages(Protocol):
    """Versions of the registry, packed to run anywhere.

    Packing the same version again is cheap and returns the same package.
    Raises BrokenModelError when no attempt can work, UnavailableError when the registry is away.
    """

    async def prepare(self) -> None:
        """Make what the first `pack` would wait for."""

    async def pack(
        self, project: str, model: str, version: int, backend: str, *, allow_pickle: bool = False
    ) -> Package:
        """Fetch a version, keep it as a Bento, and say what will run it; *backend* "auto" lets it choose.

        A model kept as a pickle, which may run any code when it is loaded, is broken unless *allow_pickle*.
        """

    async def keep_only(self, project: str, model: str, bento_tags: Sequence[str]) -> None:
        """Forget every other package of a model; each can be made again."""


class Replicas(Protocol):
    """The applications that answer. One writer: nobody else deploys there.

    Promises: `apply` takes the full set, and what is left out is stopped; applying the same set again disturbs
    nothing; other bounds of replicas and another concurrency restart nothing; an application that cannot start is FAILED with the reason,
    and the others answer on.
    All raise UnavailableError when the replicas' home is away; it comes back empty.
    """

    async def prepare(self) -> None:
        """Make what the first `apply` would wait for."""

    async def apply(self, apps: Sequence[App]) -> None:
        """Want exactly these; returns before they run."""

    async def states(self) -> dict[str, AppState]:
        """Return how each application does, by name."""


class Probes(Protocol):
    """Whether a version answers requests, asked from outside, as a caller would."""

    async def ready(self, url: str, app: App) -> bool:
        """Return whether the version at *url* says that it is ready; False when nobody answers."""


class Traffic(Protocol):
    """What the gateway counts since it started: requests and answer times of callers, and pairs of answers.

    Copies for a shadow are no requests; the requests of a comparison are those that were compared.
    """

    async def counts(self, project: str, model: str) -> dict[int, Counts] | None:
        """Return the counts by version, or None when nobody counts."""

    async def comparisons(self, project: str, model: str) -> dict[int, Comparison] | None:
        """Return how the answers of each shadow compare, by its version; None when nobody compares."""


class Weather(Protocol):
    """What the heat of machines means for what is served."""

    async def over(self, app: str) -> Climate:
        """Return what it means for an application now."""

    async def nodes(self) -> Mapping[str, Node]:
        """Return every machine that has told its heat, as it counts now."""


class Counting(Protocol):
    """What replicas tell of themselves."""

    def hear(self, app: str, report: Report) -> None:
        """Take in what a replica of an application has counted since its start."""

    def places(self, app: str) -> frozenset[str]:
        """Return the machines on which an application's replicas run, "" for one that does not know."""

    def busy(self, app: str) -> float | None:
        """Return how many predictions an application computes at once on average; None where nobody knows."""

    async def last(self, app: str) -> Page | None:
        """Return the last window of an application that runs, with what it took."""

    def figures(self, app: str) -> Figures | None:
        """Return what the replicas of an application have counted; None when none has spoken."""


class Living(Protocol):
    """What tells who is used, and how much memory it takes."""

    def replicas(self, app: str) -> frozenset[str]:
        """Return the names of the replicas that speak now."""

    def used_at(self, app: str) -> datetime | None:
        """Return when a request was last told of, or a replica began; None when none has spoken."""

    def ongoing(self, app: str) -> float | None:
        """Return how many requests are under way on average; None where nobody knows."""

    async def memory(self, app: str) -> int | None:
        """Return the most bytes that a replica was seen to take; None before it was measured."""


class Waker(Protocol):
    """Who wakes models."""

    async def wake(self, project: str, model: str, why: str) -> Nap | None:
        """Let a model that sleeps be started again; return its nap, None when it is awake."""


class Sleep(Protocol):
    """Which models sleep."""

    async def is_asleep(self, project: str, model: str) -> bool:
        """Return whether nothing of a model answers, because it sleeps or is waking only now."""


class Leftovers(Protocol):
    """Prediction logs whose replica died while the bus was away."""

    async def abandoned(self) -> list[str]:
        """Return the names of logs that nobody writes any more."""

    async def waiting(self, name: str) -> list[tuple[int, bytes]]:
        """Return what waits in a log, oldest first, with its place."""

    async def forget(self, name: str, place: int) -> None:
        """Remove what has been told."""

    async def discard(self, name: str) -> None:
        """Remove an empty log."""
