# SPDX-License-Identifier: Apache-2.0
"""Where the parts of monitoring meet: the table of what it reads and answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from mlops.chassis.bus import Bus, Delivery, Handler
from mlops.chassis.clock import Clock, utc_now
from mlops.chassis.service import Service
from mlops.chassis.sidecar import Sidecar
from mlops.contracts.gateway import LabelRecorded
from mlops.contracts.message import Message
from mlops.contracts.monitoring import (
    AcknowledgeAlert,
    AdvanceWindows,
    DriftCleared,
    DriftDetected,
    EvaluateWindow,
    MakeReport,
    PerformanceDegraded,
    PerformanceRecovered,
    ReferenceChosen,
    SetReference,
    SilenceAlerts,
    UnsilenceAlerts,
)
from mlops.contracts.orchestration_bridge import (
    WorkflowApproved,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowDeclined,
    WorkflowFailed,
    WorkflowQueued,
    WorkflowStarted,
)
from mlops.contracts.serving import (
    DeploymentCompleted,
    DeploymentFailed,
    DeploymentMetered,
    DeploymentProgressed,
    DeploymentRemoved,
    DeploymentReverted,
    DeploymentStarted,
    PredictionLogged,
)
from mlops.contracts.telemetry_agent import TelemetrySampled, ThermalRecovered, ThermalThrottled
from mlops.contracts.tracking import ModelNominated, ModelPromoted
from mlops.contracts.versioning import RemoteLost, RemoteRegained
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.monitoring import sources
from mlops.monitoring.adapters.apprise import WORKER as CHANNELS_WORKER
from mlops.monitoring.adapters.apprise import AppriseChannels
from mlops.monitoring.adapters.channels_file import ChannelsFile
from mlops.monitoring.adapters.evidently import WORKER, EvidentlyReports
from mlops.monitoring.adapters.pages import WORKER as PAGE_WORKER
from mlops.monitoring.adapters.pages import SidecarPages
from mlops.monitoring.adapters.places import Place
from mlops.monitoring.adapters.report_shelf import WORKER as SHELF_WORKER
from mlops.monitoring.adapters.report_shelf import FolderShelf, SidecarShelf
from mlops.monitoring.adapters.sqlite import SqliteLedger
from mlops.monitoring.adapters.tables import FileTables
from mlops.monitoring.handlers import troubles, waiting
from mlops.monitoring.handlers.ageing import Ageing
from mlops.monitoring.handlers.alert_queries import AlertQueries
from mlops.monitoring.handlers.alerts import AlertHandlers, alarms_of
from mlops.monitoring.handlers.around import looks_around
from mlops.monitoring.handlers.costs import CostHandlers, Costs
from mlops.monitoring.handlers.dead_letters import watch_of_dead_letters
from mlops.monitoring.handlers.declines import DeclineHandlers, Declines
from mlops.monitoring.handlers.deployments import DeploymentHandlers
from mlops.monitoring.handlers.heat import HeatLog
from mlops.monitoring.handlers.judging import Judge
from mlops.monitoring.handlers.listening import Listening
from mlops.monitoring.handlers.nodes import NodeLog, SeenNode
from mlops.monitoring.handlers.notices import Notifier
from mlops.monitoring.handlers.projects import ProjectHandlers
from mlops.monitoring.handlers.queries import Queries
from mlops.monitoring.handlers.recorded import Records
from mlops.monitoring.handlers.remembered import RememberedProjects
from mlops.monitoring.handlers.reports import ReportMaker
from mlops.monitoring.handlers.reports_shelf import ShelfQueries
from mlops.monitoring.handlers.rows import RowHandlers
from mlops.monitoring.handlers.side_by_side import side_by_side
from mlops.monitoring.handlers.silences import SilenceHandlers
from mlops.monitoring.handlers.speed import SpeedHandlers
from mlops.monitoring.handlers.tables import TableHandlers
from mlops.monitoring.ports import (
    Alert,
    Channels,
    Ledger,
    MadeReports,
    PaceBook,
    Pages,
    Reports,
    Shelf,
    Silence,
    SpokenBus,
    Tables,
    WatchedProject,
)
from mlops.monitoring.settings import Settings

NAME = "monitoring"
_PAUSE_S = 1.0
_ALERTS_EVERY_S = 15.0
_GATHER_S = 2.0
_DEAD_LETTERS_EVERY_S = 60.0
_LOOK_AROUND_EVERY_S = 30.0
_WINDOWS_EVERY_S = 60.0
_LOOK_S = 30.0
_READ_WITHIN = timedelta(seconds=20)  # those who ask for a page wait for no longer

M = TypeVar("M", bound=Message)


def wire(
    bus: Bus,
    ledger: Ledger,
    reports: Reports,
    tables: Tables,
    keep_windows: int = 20,
    ring: Callable[[], None] = lambda: None,
    elapsed_s: Callable[[], float] = time.monotonic,
    waiting_rows: int = 1_000_000,
    heard: NodeLog | None = None,
) -> Ageing:
    """Subscribe everything; rows, labels and deployments one at a time, so that they keep their order.

    *ring* is called when an alert may have changed. Returns what finds windows that time alone has made due.
    """
    documents = bus.documents("monitoring_projects", WatchedProject)
    projects = RememberedProjects(documents, elapsed_s)
    heat = HeatLog()
    judge = Judge(reports, heat)
    listening = Listening(elapsed_s)
    rows = RowHandlers(projects, ledger, judge, keep_windows, listening, waiting_rows)
    brought = TableHandlers(projects, ledger, judge, tables)
    deployments = DeploymentHandlers(projects, ledger, judge, brought)
    settings = ProjectHandlers(projects, reports)
    alarms = alarms_of(bus, ring)
    declines = DeclineHandlers(bus.documents("monitoring_declines", Declines), alarms)
    queries = Queries(projects, ledger)
    in_order = Delivery(concurrency=1)

    bus.on(NAME, ProjectRegistered, settings.on_project_changed, in_order)
    bus.on(NAME, ProjectUpdated, settings.on_project_changed, in_order)
    bus.on(NAME, ProjectArchived, settings.on_project_archived, in_order)
    bus.on(NAME, PredictionLogged, rows.on_prediction_logged, in_order)
    bus.on(NAME, LabelRecorded, rows.on_label_recorded, in_order)
    bus.on(NAME, DeploymentStarted, deployments.on_deployment_started, in_order)
    completed = _both(deployments.on_deployment_completed, alarms.on(troubles.of_deployed))
    speed = SpeedHandlers(bus.documents("monitoring_pace", PaceBook), heat)
    completed = _both(completed, speed.on_deployment_completed)
    bus.on(NAME, DeploymentCompleted, completed, in_order)
    progressed = _both(speed.on_deployment_progressed, alarms.on(troubles.of_progressed))
    bus.on(NAME, DeploymentProgressed, progressed, in_order)
    bus.on(NAME, DeploymentMetered, speed.on_deployment_metered, in_order)
    ended = deployments.on_deployment_ended
    failed = _both(ended, alarms.on(troubles.of_deployment_failed))
    bus.on(NAME, DeploymentFailed, failed, in_order)
    reverted = _both(ended, alarms.on(troubles.of_deployment_reverted))
    bus.on(NAME, DeploymentReverted, reverted, in_order)
    removed = _both(_removed(deployments, alarms), speed.on_deployment_removed)
    removed = _both(removed, declines.on_settled)
    bus.on(NAME, DeploymentRemoved, removed, in_order)
    bus.on(NAME, SetReference, brought.do_set_reference, in_order)
    bus.on(NAME, EvaluateWindow, deployments.do_evaluate_window)
    bus.on(NAME, AdvanceWindows, rows.do_advance_windows, in_order)
    nodes = heard or NodeLog(bus.documents("monitoring_nodes", SeenNode), utc_now)
    sampled = _both(heat.on_telemetry_sampled, nodes.on_telemetry_sampled)
    bus.on(NAME, TelemetrySampled, sampled, in_order)
    hot = _both(heat.on_thermal_throttled, alarms.on(troubles.of_heat))
    bus.on(NAME, ThermalThrottled, hot, in_order)
    cooled = _both(heat.on_thermal_recovered, alarms.on(troubles.of_cooled))
    bus.on(NAME, ThermalRecovered, cooled, in_order)
    _wire_troubles(bus, alarms, declines)
    bus.answer(NAME, "models", queries.models)
    bus.answer(NAME, "judge", brought.judge)
    return Ageing(projects, ledger, listening)


def wire_reports(bus: SpokenBus, pages: Pages, zone: ZoneInfo, gateway: str = "") -> ReportMaker:
    """Subscribe the reports over a time; return what makes those that are due by the clock."""
    maker = ReportMaker(
        bus.documents("monitoring_projects", WatchedProject),
        bus.documents("monitoring_reports", MadeReports),
        Records(bus),
        pages,
        zone,
        gateway,
    )
    bus.on(NAME, MakeReport, maker.do_make_report, Delivery(concurrency=1))
    return maker


def wire_shelf(bus: Bus, shelf: Shelf, reports: Reports, ledger: Ledger) -> None:
    """Answer what can be read, and read it out."""
    queries = ShelfQueries(shelf, reports, ledger)
    bus.answer(NAME, "reports", queries.reports)
    bus.answer(NAME, "report", queries.report)


def wire_notices(
    bus: Bus,
    channels: Channels,
    clock: Clock,
    new_claim: Callable[[], str],
    ring: Callable[[], None] = lambda: None,
) -> Notifier:
    """Subscribe what people say about alerts, and return what tells them."""
    alerts = bus.documents("monitoring_alerts", Alert)
    silences = bus.documents("monitoring_silences", Silence)
    projects = bus.documents("monitoring_projects", WatchedProject)
    quiet = SilenceHandlers(silences, clock, ring)
    asked = AlertQueries(alerts, silences, projects, channels, clock)
    bus.on(NAME, SilenceAlerts, quiet.do_silence_alerts)
    bus.on(NAME, UnsilenceAlerts, quiet.do_unsilence_alerts)
    bus.answer(NAME, "alerts", asked.alerts)
    bus.answer(NAME, "silences", asked.silences)
    bus.answer(NAME, "channels", asked.channels)
    bus.answer(NAME, "try_channel", asked.try_channel)
    return Notifier(alerts, silences, projects, channels, clock, new_claim)


def _wire_troubles(bus: Bus, alarms: AlertHandlers, declines: DeclineHandlers) -> None:
    """Subscribe what raises and resolves alerts, but for deployments: a service hears of each message once."""
    in_order = Delivery(concurrency=1)
    costs = CostHandlers(bus.documents("monitoring_costs", Costs))
    completed = _both(costs.on_workflow_completed, alarms.on(troubles.of_workflow_completed))
    bus.on(NAME, DriftDetected, alarms.on(troubles.of_drift), in_order)
    cleared = _both(alarms.on(troubles.of_drift_cleared), declines.on_settled)
    bus.on(NAME, DriftCleared, cleared, in_order)
    bus.on(NAME, PerformanceDegraded, alarms.on(troubles.of_degraded), in_order)
    recovered = _both(alarms.on(troubles.of_recovered), declines.on_settled)
    bus.on(NAME, PerformanceRecovered, recovered, in_order)
    bus.on(NAME, WorkflowFailed, alarms.on(troubles.of_workflow_failed), in_order)
    bus.on(NAME, WorkflowCompleted, completed, in_order)
    queued = _both(alarms.on(waiting.of_queued), declines.on_settled)
    bus.on(NAME, WorkflowQueued, queued, in_order)
    bus.on(NAME, WorkflowDeclined, declines.on_workflow_declined, in_order)
    bus.on(NAME, WorkflowApproved, alarms.on(waiting.of_decided), in_order)
    bus.on(NAME, WorkflowStarted, alarms.on(waiting.of_decided), in_order)
    bus.on(NAME, WorkflowCancelled, alarms.on(waiting.of_decided), in_order)
    bus.on(NAME, ModelNominated, alarms.on(waiting.of_nominated), in_order)
    bus.on(NAME, ModelPromoted, alarms.on(waiting.of_promoted), in_order)
    bus.on(NAME, ReferenceChosen, alarms.on(troubles.of_reference), in_order)
    bus.on(NAME, RemoteLost, alarms.on(troubles.of_remote_lost), in_order)
    bus.on(NAME, RemoteRegained, alarms.on(troubles.of_remote_regained), in_order)
    bus.on(NAME, AcknowledgeAlert, alarms.do_acknowledge_alert)


def _removed(deployments: DeploymentHandlers, alarms: AlertHandlers) -> Handler[DeploymentRemoved]:
    async def handle(event: DeploymentRemoved) -> Sequence[Message]:
        told = await deployments.on_deployment_removed(event)
        meaning = await deployments.meaning_of_removed(event)
        return [*told, *await alarms.on(lambda _: meaning)(event)]

    return handle


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
        Place(settings.reports_root).at("reports"),
        Place(settings.reports_root).at("evidently"),
        sidecar,
        timeout=settings.report_timeout,
        keep=settings.keep_reports,
        keep_for=timedelta(days=settings.keep_reports_days),
    )
    tables = FileTables(sidecar, settings.brought_dir)
    rung = asyncio.Event()
    heard = NodeLog(service.bus.documents("monitoring_nodes", SeenNode), utc_now)
    ageing = wire(
        service.bus,
        ledger,
        shelf,
        tables,
        settings.keep_windows,
        rung.set,
        waiting_rows=settings.keep_waiting_rows,
        heard=heard,
    )
    service.source(
        "windows", lambda: sources.looks(ageing.tell, lambda: asyncio.sleep(_WINDOWS_EVERY_S))
    )
    channels = AppriseChannels(
        ChannelsFile(settings.alerts_file, os.environ),
        lambda: Sidecar(CHANNELS_WORKER, idle=settings.report_idle),
        settings.gateway_url,
    )
    notifier = wire_notices(service.bus, channels, utc_now, lambda: str(uuid.uuid4()), rung.set)
    service.source("alerts", lambda: side_by_side(notifier.tellers, lambda: _rung(rung)))
    around = looks_around(service.bus, heard, utc_now, rung.set)
    service.source(
        "around", lambda: sources.looks(around.tell, lambda: asyncio.sleep(_LOOK_AROUND_EVERY_S))
    )
    watch = watch_of_dead_letters(service.bus, service.bus, utc_now, rung.set)
    service.source(
        "dead-letters",
        lambda: sources.looks(watch.tell, lambda: asyncio.sleep(_DEAD_LETTERS_EVERY_S)),
    )
    service.source(
        "reports",
        lambda: sources.reports(
            ledger, shelf, lambda: asyncio.sleep(_PAUSE_S), settings.gateway_url
        ),
    )
    _add_shelf(service, settings, ledger, shelf)
    _add_snapshots(service, settings, ledger, shelf)
    _add_period_reports(service, settings)
    service.at_stop(ledger.close)
    service.at_stop(channels.close)
    service.at_stop(sidecar.close)


def _add_shelf(service: Service, settings: Settings, ledger: Ledger, reports: Reports) -> None:
    root = Place(settings.reports_root).at("reports")
    if settings.reports_url is None:
        wire_shelf(service.bus, FolderShelf(Path(root.address)), reports, ledger)
        return
    reader = Sidecar(SHELF_WORKER, idle=settings.report_idle)
    wire_shelf(service.bus, SidecarShelf(root, reader, _READ_WITHIN), reports, ledger)
    service.at_stop(reader.close)


def _add_snapshots(service: Service, settings: Settings, ledger: Ledger, shelf: Reports) -> None:
    every_s = settings.snapshots_every_s
    if not every_s:
        return
    taken = service.bus.documents("monitoring_snapshots", sources.Snapshotted)
    service.source(
        "snapshots",
        lambda: sources.snapshots(ledger, shelf, taken, lambda: asyncio.sleep(every_s)),
    )


def _add_period_reports(service: Service, settings: Settings) -> None:
    drawer = Sidecar(PAGE_WORKER, idle=settings.report_idle)
    pages = SidecarPages(
        Place(settings.reports_root).at("reports", "_periods"),  # no project can have this name
        drawer,
        settings.zone,
        timeout=settings.report_timeout,
        keep=settings.keep_period_reports,
    )
    maker = wire_reports(service.bus, pages, settings.zone, settings.gateway_url)
    reports_at = settings.reports_time
    if reports_at is not None:
        service.source(
            "scheduled-reports",
            lambda: maker.scheduled(reports_at, utc_now, lambda: asyncio.sleep(_LOOK_S)),
        )
    service.at_stop(drawer.close)


async def _rung(bell: asyncio.Event) -> None:
    # Not only when somebody rings: alerts also escalate, repeat and settle by the clock.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ALERTS_EVERY_S):
            await bell.wait()
            await asyncio.sleep(_GATHER_S)  # one cause often rings several times
    bell.clear()
