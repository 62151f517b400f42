# SPDX-License-Identifier: Apache-2.0
"""Services: which of the platform's stopped answering, or cannot work, for so long that a person should know.

A service that was ready once is expected from then on. What lasts shorter than `PATIENCE` is a restart and no news. An
agent that tells of a machine is missed as that machine is (`nodes.py`): one cause, one alert.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import AwareDatetime

from mlops.chassis.bus import Bus, Documents
from mlops.chassis.errors import ChassisError
from mlops.contracts.message import Part
from mlops.contracts.monitoring import Severity
from mlops.monitoring.handlers.looks import Found
from mlops.monitoring.handlers.troubles import Trouble

PATIENCE = timedelta(minutes=3)
_ANSWER = timedelta(seconds=5)
_SLEPT = timedelta(minutes=2)
_FORGOTTEN = timedelta(days=7)
_NOTED_EVERY = timedelta(hours=1)
_LONGEST = 300
_MEANWHILE = {
    "gateway": "Nobody reaches the page, the API or a model meanwhile.",
    "serving": "Models that run still answer; nothing is rolled out, replaced or measured meanwhile.",
    "tracking": "Runs are not stored and no version is registered or promoted meanwhile; clients keep theirs and send them later.",
    "versioning": "No data are added, pushed or restored meanwhile; what is asked waits on the bus.",
    "orchestration_bridge": "No workflow starts meanwhile; triggers wait on the bus.",
    "workspaces": "No project is registered or changed meanwhile; what is asked waits on the bus.",
}
_WAY = (
    "A process that ends is started again by itself: `mlops status` shows how often, `mlops logs {name}` why. "
    "`mlops doctor` looks for what is missing; `mlops down` and `mlops up` start all anew (about a minute, no data are lost)."
)


class ExpectedService(Part):
    """A service that was ready; a document of `monitoring_services`, by its name."""

    ready_at: AwareDatetime


@dataclass(frozen=True)
class _Bad:
    """Since when something is wrong with a service, and what; `answers` when it says so itself."""

    since: datetime
    reason: str
    answers: bool


class ServiceWatch:
    """Asks every service how it is."""

    def __init__(self, bus: Bus, expected: Documents[ExpectedService]) -> None:
        self._bus = bus
        self._expected = expected
        self._known: dict[str, ExpectedService] | None = None
        self._bad: dict[str, _Bad] = {}
        self._looked_at: datetime | None = None

    async def find(self, now: datetime) -> Found:
        """Return which services are in trouble now, and which are well."""
        if self._known is None:
            self._known = dict(await self._expected.all())
        self._forgive_sleep(now)
        answers = await asyncio.gather(*(self._problem(name) for name in _MEANWHILE))
        found = dict(zip(_MEANWHILE, answers, strict=True))
        gone = [name for name, one in found.items() if one and await self._is_forgotten(name, now)]
        for name, problem in found.items():
            await self._note(name, problem, now)
        well = {
            kind_of(name): f"{name} answers and is ready"
            for name, problem in found.items()
            if problem is None
        }
        removed = f"it has not been ready for {_FORGOTTEN.days} days and counts as removed"
        return Found(self._troubles(now), well | {kind_of(name): removed for name in gone})

    def _troubles(self, now: datetime) -> list[Trouble]:
        return [
            _trouble(name, bad)
            for name, bad in self._bad.items()
            if name in (self._known or {}) and now - bad.since >= PATIENCE
        ]

    def _forgive_sleep(self, now: datetime) -> None:
        # A machine that slept heard nobody: what it missed meanwhile says nothing.
        if self._looked_at is not None and now - self._looked_at > _SLEPT:
            self._bad.clear()
        self._looked_at = now

    async def _problem(self, name: str) -> tuple[str, bool] | None:
        """Return what is wrong and whether the service says so itself; None when it is ready."""
        try:
            told = await self._bus.ask(name, "status", {}, _ANSWER)
        except (ChassisError, TimeoutError):
            return "", False
        if told.get("ready") is True:
            return None
        checks = told.get("checks")
        pairs = checks.items() if isinstance(checks, Mapping) else ()
        return "; ".join(f"{key}: {value}" for key, value in pairs if value != "ok"), True

    async def _note(self, name: str, problem: tuple[str, bool] | None, now: datetime) -> None:
        if problem is not None:
            since = self._bad[name].since if name in self._bad else now
            self._bad[name] = _Bad(since, *problem)
            return
        self._bad.pop(name, None)
        known = (self._known or {}).get(name)
        if known is None or now - known.ready_at >= _NOTED_EVERY:
            fresh = ExpectedService(ready_at=now)
            self._known = {**(self._known or {}), name: fresh}
            await self._expected.change(name, lambda _: fresh, applied=now.isoformat())

    async def _is_forgotten(self, name: str, now: datetime) -> bool:
        known = (self._known or {}).get(name)
        if known is None or now - known.ready_at < _FORGOTTEN:
            return False
        self._known = {key: one for key, one in (self._known or {}).items() if key != name}
        await self._expected.delete(name)
        return True


def kind_of(service: str) -> str:
    """Return the kind of alert about a service."""
    return f"service-{service}"


def _trouble(name: str, bad: _Bad) -> Trouble:
    since = f"since {bad.since:%Y-%m-%d %H:%M} UTC"
    title = (
        f"{name} is not ready {since}: {bad.reason}"
        if bad.answers
        else f"{name} does not answer {since}"
    )
    return Trouble(
        model="",
        kind=kind_of(name),
        severity=Severity.WARNING if bad.answers else Severity.CRITICAL,
        title=title[:_LONGEST],
        suggestion=f"{_MEANWHILE[name]} {_WAY.format(name=name)}",
    )
