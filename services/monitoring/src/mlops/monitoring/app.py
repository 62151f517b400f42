# SPDX-License-Identifier: Apache-2.0
"""Where the parts of monitoring meet: the table of what it reads and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from mlops.chassis.bus import Bus, Delivery, Handler
from mlops.chassis.service import Service
from mlops.chassis.sidecar import Sidecar
from mlops.contracts.gateway import LabelRecorded
from mlops.contracts.message import Message
from mlops.contracts.monitoring import (
    AcknowledgeAlert,
    DriftCleared,
    DriftDetected,
    EvaluateWindow,
    PerformanceDegraded,
    PerformanceRecovered,
    SetReference,
)
from mlops.contracts.serving import (
    DeploymentCompleted,
    DeploymentFailed,
    DeploymentRemoved,
    DeploymentReverted,
    DeploymentStarted,
    PredictionLogged,
)
from mlops.contracts.telemetry_agent import TelemetrySampled, ThermalRecovered, ThermalThrottled
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.monitoring import sources
from mlops.monitoring.adapters.evidently import WORKER, EvidentlyReports
from mlops.monitoring.adapters.sqlite import SqliteLedger
from mlops.monitoring.adapters.tables import FileTables
from mlops.monitoring.handlers.alerts import AlertHandlers
from mlops.monitoring.handlers.deployments import DeploymentHandlers
from mlops.monitoring.handlers.heat import HeatLog
from mlops.monitoring.handlers.judging import Judge
from mlops.monitoring.handlers.projects import ProjectHandlers
from mlops.monitoring.handlers.queries import Queries
from mlops.monitoring.handlers.rows import RowHandlers
from mlops.monitoring.handlers.tables import TableHandlers
from mlops.monitoring.ports import Alert, Ledger, Reports, Tables, WatchedProject
from mlops.monitoring.settings import Settings

NAME = "monitoring"
_PAUSE_S = 1.0

M = TypeVar("M", bound=Message)


def wire(
    bus: Bus, ledger: Ledger, reports: Reports, tables: Tables, keep_windows: int = 20
) -> None:
    """Subscribe everything; rows, labels and deployments one at a time, so that they keep their order."""
    projects = bus.documents("monitoring_projects", WatchedProject)
    alerts = bus.documents("monitoring_alerts", Alert)
    heat = HeatLog()
    judge = Judge(reports, heat)
    rows = RowHandlers(projects, ledger, judge, keep_windows)
    deployments = DeploymentHandlers(projects, ledger, judge)
    brought = TableHandlers(projects, ledger, judge, tables)
    settings = ProjectHandlers(projects, reports)
    alarms = AlertHandlers(alerts)
    queries = Queries(projects, alerts, ledger)
    in_order = Delivery(concurrency=1)

    bus.on(NAME, ProjectRegistered, settings.on_project_changed, in_order)
    bus.on(NAME, ProjectUpdated, settings.on_project_changed, in_order)
    bus.on(NAME, ProjectArchived, settings.on_project_archived, in_order)
    bus.on(NAME, PredictionLogged, rows.on_prediction_logged, in_order)
    bus.on(NAME, LabelRecorded, rows.on_label_recorded, in_order)
    bus.on(NAME, DeploymentStarted, deployments.on_deployment_started, in_order)
    completed = _both(deployments.on_deployment_completed, alarms.on_rollout_ended)
    bus.on(NAME, DeploymentCompleted, completed, in_order)
    ended = _both(deployments.on_deployment_ended, alarms.on_rollout_ended)
    bus.on(NAME, DeploymentFailed, ended, in_order)
    bus.on(NAME, DeploymentReverted, ended, in_order)
    bus.on(NAME, DeploymentRemoved, ended, in_order)
    bus.on(NAME, SetReference, brought.do_set_reference, in_order)
    bus.on(NAME, EvaluateWindow, deployments.do_evaluate_window)
    bus.on(NAME, TelemetrySampled, heat.on_telemetry_sampled, in_order)
    bus.on(NAME, ThermalThrottled, heat.on_thermal_throttled, in_order)
    bus.on(NAME, ThermalRecovered, heat.on_thermal_recovered, in_order)
    bus.on(NAME, DriftDetected, alarms.on_drift_detected, in_order)
    bus.on(NAME, DriftCleared, alarms.on_drift_cleared, in_order)
    bus.on(NAME, PerformanceDegraded, alarms.on_performance_degraded, in_order)
    bus.on(NAME, PerformanceRecovered, alarms.on_performance_recovered, in_order)
    bus.on(NAME, AcknowledgeAlert, alarms.do_acknowledge_alert)
    bus.answer(NAME, "models", queries.models)
    bus.answer(NAME, "alerts", queries.alerts)
    bus.answer(NAME, "judge", brought.judge)


def _both(one: Handler[M], other: Handler[M]) -> Handler[M]:
    """Return the two as one: a service hears of each message once."""

    async def handle(message: M) -> Sequence[Message]:
        return [*await one(message), *await other(message)]

    return handle


async def build(service: Service) -> None:
    """Make the parts and wire them."""
    settings = Settings()
    ledger = SqliteLedger(settings.state_dir(NAME) / "ledger.db")
    sidecar = Sidecar(WORKER, env={"DO_NOT_TRACK": "1"}, idle=settings.report_idle)
    shelf = EvidentlyReports(
        settings.reports_dir,
        settings.evidently_dir,
        sidecar,
        timeout=settings.report_timeout,
        keep=settings.keep_reports,
    )
    tables = FileTables(sidecar, settings.brought_dir)
    wire(service.bus, ledger, shelf, tables, settings.keep_windows)
    service.source(
        "reports", lambda: sources.reports(ledger, shelf, lambda: asyncio.sleep(_PAUSE_S))
    )
    service.at_stop(ledger.close)
    service.at_stop(sidecar.close)
