# SPDX-License-Identifier: Apache-2.0
"""Where the parts of orchestration_bridge meet: the table of what it reads and answers."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from mlops.chassis.bus import Bus, Delivery
from mlops.chassis.clock import Clock, utc_now
from mlops.chassis.service import Service
from mlops.contracts.monitoring import DriftDetected, PerformanceDegraded, PerformanceMeasured
from mlops.contracts.orchestration_bridge import ApproveWorkflow, CancelWorkflow, StartWorkflow
from mlops.contracts.telemetry_agent import TelemetrySampled, ThermalRecovered, ThermalThrottled
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.orchestration_bridge.adapters.airflow import AirflowPipelines
from mlops.orchestration_bridge.adapters.airflow_edge import AirflowEdge
from mlops.orchestration_bridge.adapters.airflow_files import Installation
from mlops.orchestration_bridge.adapters.airflow_rest import AirflowRest
from mlops.orchestration_bridge.handlers.machines import Machines
from mlops.orchestration_bridge.handlers.nodes import Nodes
from mlops.orchestration_bridge.handlers.projects import Projects
from mlops.orchestration_bridge.handlers.questions import Questions
from mlops.orchestration_bridge.handlers.triggers import Triggers
from mlops.orchestration_bridge.handlers.verdicts import Verdicts
from mlops.orchestration_bridge.handlers.workflows import Workflows
from mlops.orchestration_bridge.model.heat import USUAL, Rules
from mlops.orchestration_bridge.ports.books import Books, NodeDocument, QueueDocument
from mlops.orchestration_bridge.ports.pipelines import Orchestrator
from mlops.orchestration_bridge.settings import Settings
from mlops.orchestration_bridge.sources.dispatcher import Dispatcher
from mlops.orchestration_bridge.sources.pools import PoolKeeper

NAME = "orchestration_bridge"

# About an hour: what is asked of Airflow must outlast its start, its upgrade and its repair.
_PATIENT = Delivery(
    delays=(*(timedelta(seconds=s) for s in (1, 2, 3, 5, 10)), *[timedelta(seconds=20)] * 180),
    ack_wait=timedelta(seconds=60),
)
_IN_ORDER = Delivery(concurrency=1)


def wire(
    bus: Bus,
    pipelines: Orchestrator,
    *,
    max_parallel: int = 2,
    pause: timedelta = timedelta(seconds=1),
    clock: Clock = utc_now,
    hosts: tuple[str, ...] = (),
    local: str = "",
    several: bool = False,
    heat_rules: Rules = USUAL,
) -> Dispatcher:
    """Subscribe everything; return the dispatcher, whose messages are a source, as are those of its pools."""
    books = Books(
        bus.documents("orchestration_bridge_queues", QueueDocument),
        bus.documents("orchestration_bridge_nodes", NodeDocument),
        max_parallel,
        hosts,
        local,
        several=several,
        heat_rules=heat_rules,
    )
    projects = Projects(books, pipelines, clock)
    bus.on(NAME, ProjectRegistered, projects.on_project_registered, _PATIENT)
    bus.on(NAME, ProjectUpdated, projects.on_project_registered, _PATIENT)
    bus.on(NAME, ProjectArchived, projects.on_project_archived, _PATIENT)
    triggers = Triggers(books, clock)
    bus.on(NAME, DriftDetected, triggers.on_drift_detected)
    bus.on(NAME, PerformanceDegraded, triggers.on_performance_degraded)
    bus.on(NAME, PerformanceMeasured, triggers.on_performance_measured)
    bus.on(NAME, StartWorkflow, triggers.do_start_workflow)
    workflows = Workflows(books, pipelines, clock)
    bus.on(NAME, CancelWorkflow, workflows.do_cancel_workflow, _PATIENT)
    bus.on(NAME, ApproveWorkflow, workflows.do_approve_workflow)
    nodes = Nodes(books, clock)
    bus.on(NAME, ThermalThrottled, nodes.on_thermal_throttled, _IN_ORDER)
    bus.on(NAME, ThermalRecovered, nodes.on_thermal_recovered, _IN_ORDER)
    bus.on(NAME, TelemetrySampled, nodes.on_telemetry_sampled, _IN_ORDER)
    questions = Questions(books, clock)
    bus.answer(NAME, "queue", questions.queue)
    bus.answer(NAME, "why", questions.why)
    bus.answer(NAME, "verdict", Verdicts(books, clock).verdict)
    machines = Machines(books, pipelines, clock)
    bus.answer(NAME, "nodes", machines.nodes)
    bus.answer(NAME, "files", machines.files)
    pools = PoolKeeper(books, pipelines, clock, pause)
    return Dispatcher(books, pipelines, clock, pause, pools)


async def build(service: Service) -> None:
    """Make the parts and wire them."""
    settings = Settings()
    rest = AirflowRest(
        settings.airflow_url, settings.airflow_user, settings.airflow_password.get_secret_value()
    )
    installation = Installation(
        dags=settings.dags, home=settings.home.resolve(), python=settings.step_python
    )
    await asyncio.to_thread(installation.prepare)
    edge = AirflowEdge(rest) if settings.edge else None
    pipelines = AirflowPipelines(rest, installation, edge)
    dispatcher = wire(
        service.bus,
        pipelines,
        max_parallel=settings.max_parallel,
        pause=settings.pause,
        hosts=settings.hosts,
        local=settings.node,
        several=settings.edge,
        heat_rules=Rules(settings.heat_patience, timedelta(seconds=settings.recover_step_s)),
    )
    service.source("dispatcher", dispatcher.messages)
    service.source("pools", dispatcher.pools.messages)
    service.ready_when("airflow", pipelines.problem)
    service.at_stop(pipelines.close)
