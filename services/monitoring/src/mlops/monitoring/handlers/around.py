# SPDX-License-Identifier: Apache-2.0
"""Around: the looks at services and machines, put together."""

from __future__ import annotations

from collections.abc import Callable

from mlops.chassis.bus import Bus
from mlops.chassis.clock import Clock
from mlops.monitoring.handlers.alerts import alarms_of
from mlops.monitoring.handlers.looks import Looks, ToldLook
from mlops.monitoring.handlers.nodes import NodeLog
from mlops.monitoring.handlers.services import ExpectedService, ServiceWatch
from mlops.monitoring.ports import Alert


def looks_around(
    bus: Bus, heard: NodeLog, clock: Clock, ring: Callable[[], None] = lambda: None
) -> Looks:
    """Return what raises alerts about services and machines."""
    services = ServiceWatch(bus, bus.documents("monitoring_services", ExpectedService))
    told = bus.documents("monitoring_looks", ToldLook)
    alerts = bus.documents("monitoring_alerts", Alert)
    return Looks([services, heard], told, alerts, alarms_of(bus, ring), clock)
