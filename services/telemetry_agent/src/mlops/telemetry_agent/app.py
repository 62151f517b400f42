# SPDX-License-Identifier: Apache-2.0
"""Where the parts of the agent meet: which probes it reads, the one source, and the node's name."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import structlog

from mlops.chassis import metrics
from mlops.chassis.bus import Bus
from mlops.chassis.clock import utc_now
from mlops.chassis.service import Service
from mlops.contracts.telemetry_agent import SampleSource
from mlops.telemetry_agent.adapters import disk
from mlops.telemetry_agent.adapters.backlog import BusLine, SqliteBacklog
from mlops.telemetry_agent.adapters.costs import ProcessCosts
from mlops.telemetry_agent.adapters.disk import DiskProbe
from mlops.telemetry_agent.adapters.figures import HardwareFigures
from mlops.telemetry_agent.adapters.formats.document import FormatError
from mlops.telemetry_agent.adapters.machine import probes_here
from mlops.telemetry_agent.adapters.simulated import SimulatedProbe
from mlops.telemetry_agent.adapters.state import Alone, FileMemory, boot_id, node_id, owner_id
from mlops.telemetry_agent.adapters.waking import Waking
from mlops.telemetry_agent.adapters.watched import Chosen, WatchedProbe
from mlops.telemetry_agent.errors import AlreadyRunningError
from mlops.telemetry_agent.model import scenario
from mlops.telemetry_agent.model.claims import Claim
from mlops.telemetry_agent.model.episodes import Rule, Where
from mlops.telemetry_agent.model.pace import Pace
from mlops.telemetry_agent.ports import TelemetryProbe
from mlops.telemetry_agent.settings import Settings
from mlops.telemetry_agent.sources.agent import Activity, Agent, Identity, Surroundings
from mlops.telemetry_agent.sources.early import Early
from mlops.telemetry_agent.sources.owning import BUCKET, ClaimDocument, Owning
from mlops.telemetry_agent.sources.telling import Telling

NAME = "telemetry_agent"


class Closes(Protocol):
    """Something that is let go of at the end."""

    def close(self) -> None:
        """Let go."""


def wire(bus: Bus, agent: Agent) -> None:
    """Answer who asks for the newest sample; the agent reads no messages."""

    async def newest(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"sample": agent.newest.envelope() if agent.newest else None}

    bus.answer(NAME, "get", newest)


async def build(service: Service) -> None:
    """Make the parts and wire them."""
    settings = Settings()
    folder = settings.state_dir(NAME)
    alone = _alone(folder)
    where = Where(settings.node or node_id(folder), boot_id())
    owning = Owning(
        service.bus.documents(BUCKET, ClaimDocument),
        where.node,
        Claim(owner_id(folder), where.boot_id),
        monotonic=time.monotonic,
    )
    backlog = SqliteBacklog(folder / "samples.db")
    telling = Telling(BusLine(service.bus.check, _waiting), backlog)
    waking, activity = Waking(), Activity()
    probes, source = choose_probes(settings, waking, activity)
    agent = Agent(
        probes,
        FileMemory(folder / "thermal.json"),
        Identity(where, secrets.token_hex(4), source),
        pace_of(settings),
        clock=utc_now,
        monotonic=time.monotonic,
        sleep=waking.pause,
        around=Surroundings(telling, _costs(probes), lambda: owning.tells, activity=activity),
    )
    _serve(service, agent, owning)
    service.at_stop(_closing([*probes, backlog, alone]))


def _serve(service: Service, agent: Agent, owning: Owning) -> None:
    wire(service.bus, agent)
    HardwareFigures(lambda: agent.newest, lambda: agent.episodes).offer(metrics.REGISTRY)
    early = Early(agent, service.bus.publish)
    early.begin()
    service.source("telemetry", early.telemetry)
    service.source("claim", owning.keep)
    service.ready_when("node", owning.reason)


def choose_probes(
    settings: Settings, waking: Waking, activity: Activity
) -> tuple[list[TelemetryProbe], SampleSource]:
    """Return the probes in the order of their priority, and what their values are."""
    if settings.simulate:
        return [SimulatedProbe(scenario.parse(settings.simulate))], SampleSource.SIMULATED
    if settings.replay:
        return [_replayed(settings.replay)], SampleSource.REPLAY
    recorded = _recorded_to(settings.record)
    found = probes_here(lambda: activity.busy, settings.powermetrics_socket, waking.on_bytes)
    found.append(
        Chosen(DiskProbe(settings.state_dir(NAME)), lambda: disk.EVERY_S, gives=disk.GIVES)
    )
    watched = [
        WatchedProbe(recorded(one.probe), every_s=one.every_s, gives=one.gives) for one in found
    ]
    return [*watched], SampleSource.REAL


def _recorded_to(file: Path | None) -> Callable[[TelemetryProbe], TelemetryProbe]:
    if file is None:
        return lambda probe: probe
    from mlops.telemetry_agent.adapters import recordings  # noqa: PLC0415 - all formats are memory for nothing elsewhere

    recording = recordings.Recording(file)
    return lambda probe: recordings.RecordingProbe(probe, recording)


def _replayed(file: Path) -> TelemetryProbe:
    from mlops.telemetry_agent.adapters import replayed  # noqa: PLC0415 - the same

    try:
        return replayed.open_recording(file)
    except (FormatError, ValueError) as error:
        raise SystemExit(f"mlops telemetry_agent: {file} cannot be replayed: {error}") from None


def pace_of(settings: Settings) -> Pace:
    """Return the agent's pace as the settings say it."""
    return Pace(
        read_every=timedelta(seconds=settings.read_every_s),
        sample_every=timedelta(seconds=settings.sample_every_s),
        idle_every=timedelta(seconds=settings.idle_sample_every_s),
        rule=Rule(recover_after=timedelta(seconds=settings.recover_after_s)),
    )


def _alone(folder: Path) -> Alone:
    try:
        return Alone(folder)
    except AlreadyRunningError as error:
        structlog.get_logger("telemetry").error("agent.second", what=str(error))
        raise SystemExit(f"mlops telemetry_agent: {error}") from None


def _costs(probes: Sequence[TelemetryProbe]) -> ProcessCosts:
    return ProcessCosts(
        [found for probe in probes if (found := getattr(probe, "child_cpu_s", None))]
    )


def _waiting() -> float | None:
    return metrics.REGISTRY.get_sample_value("chassis_outbox_messages")


def _closing(parts: Sequence[Closes]) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        for part in parts:
            part.close()

    return close
