# SPDX-License-Identifier: Apache-2.0
"""Where the parts of the agent meet: which probes this machine gets, and the one source."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from mlops.chassis.bus import Bus
from mlops.chassis.clock import utc_now
from mlops.chassis.service import Service
from mlops.contracts.telemetry_agent import SampleSource
from mlops.telemetry_agent.adapters import linux
from mlops.telemetry_agent.adapters.darwin import DarwinProbe, LibSystem
from mlops.telemetry_agent.adapters.host import HostProbe
from mlops.telemetry_agent.adapters.nvml import NvmlProbe
from mlops.telemetry_agent.adapters.recordings import RecordingProbe, ReplayProbe
from mlops.telemetry_agent.adapters.simulated import SimulatedProbe
from mlops.telemetry_agent.adapters.state import FileMemory, boot_id, node_id
from mlops.telemetry_agent.model import scenario
from mlops.telemetry_agent.model.episodes import Rule, Where
from mlops.telemetry_agent.ports import TelemetryProbe
from mlops.telemetry_agent.settings import Settings
from mlops.telemetry_agent.sources import Agent, Identity, Pace

NAME = "telemetry_agent"


def wire(bus: Bus, agent: Agent) -> None:
    """Answer who asks for the newest sample; the agent reads no messages."""

    async def newest(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"sample": agent.newest.envelope() if agent.newest else None}

    bus.answer(NAME, "get", newest)


async def build(service: Service) -> None:
    """Make the parts and wire them."""
    settings = Settings()
    folder = settings.state_dir(NAME)
    probes, source = choose_probes(settings)
    identity = Identity(
        where=Where(settings.node or node_id(folder), boot_id()),
        start_id=secrets.token_hex(4),
        source=source,
    )
    memory = FileMemory(folder / "thermal.json")
    agent = Agent(
        probes, memory, identity, pace_of(settings), clock=utc_now, monotonic=time.monotonic
    )
    wire(service.bus, agent)
    service.source("telemetry", agent.telemetry)
    service.at_stop(_closing(probes))


def choose_probes(settings: Settings) -> tuple[list[TelemetryProbe], SampleSource]:
    """Return the probes in the order of their priority, and what their values are."""
    if settings.simulate:
        played = scenario.parse(settings.simulate)
        return [SimulatedProbe(played)], SampleSource.SIMULATED
    if settings.replay:
        with settings.replay.open() as recording:
            return [ReplayProbe(recording)], SampleSource.REPLAY
    probes = real_probes()
    if settings.record:
        probes = [RecordingProbe(probe, settings.record) for probe in probes]
    return probes, SampleSource.REAL


def real_probes() -> list[TelemetryProbe]:
    """Return what can look at this machine."""
    own: list[TelemetryProbe] = []
    if sys.platform == "darwin":
        own = [DarwinProbe(LibSystem())]
    if sys.platform == "linux":
        root = Path("/")
        own = [linux.heat_probe(root), linux.power_probe(root), linux.pressure_probe(root)]
    return [*own, NvmlProbe(), HostProbe()]


def pace_of(settings: Settings) -> Pace:
    """Return the agent's pace as the settings say it."""
    return Pace(
        read_every=timedelta(seconds=settings.read_every_s),
        sample_every=timedelta(seconds=settings.sample_every_s),
        rule=Rule(recover_after=timedelta(seconds=settings.recover_after_s)),
    )


def _closing(probes: Sequence[TelemetryProbe]) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        for probe in probes:
            probe.close()

    return close
