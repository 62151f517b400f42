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
from mlops.monitoring.handlers.looks import FORGOTTEN_DAYS, Found, Missed
from mlops.monitoring.handlers.troubles import Trouble

PATIENCE = timedelta(minutes=3)
# Longer than any check of readiness waits for what it checks: a service that says what hangs is not silent itself.
_ANSWER = timedelta(seconds=20)
_NOTED_EVERY = timedelta(hours=1)
_LONGEST = 300
_REMOVED = f"it has not been ready for {FORGOTTEN_DAYS} days and counts as removed"
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
    missed: Missed = Missed()


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
        self._bad: dict[str, _Bad] = {}

    async def find(self, now: datetime, awake_since: datetime) -> Found:
        """Return which services are in trouble now, and which are well."""
        known = await self._expected.all()
        answers = await asyncio.gather(*(self._problem(name) for name in _MEANWHILE))
        troubles, well = list[Trouble](), dict[str, str]()
        for name, problem in zip(_MEANWHILE, answers, strict=True):
            expected = known.get(name)
            if problem is None:
                self._bad.pop(name, None)
                well[kind_of(name)] = f"{name} answers and is ready"
                await self._note_ready(name, expected, now)
                continue
            bad = self._bad[name] = _Bad(self._since(name, now, awake_since), *problem)
            if expected is None or now - bad.since < PATIENCE:
                continue
            if await self._is_gone(name, expected, now):
                well[kind_of(name)] = _REMOVED
            else:
                troubles.append(_trouble(name, bad))
        return Found(troubles, well)

    def _since(self, name: str, now: datetime, awake_since: datetime) -> datetime:
        return max(self._bad[name].since, awake_since) if name in self._bad else now

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

    async def _note_ready(self, name: str, known: ExpectedService | None, now: datetime) -> None:
        if known is None or known.missed.days or now - known.ready_at >= _NOTED_EVERY:
            fresh = ExpectedService(ready_at=now)
            await self._expected.change(name, lambda _: fresh, applied=now.isoformat())

    async def _is_gone(self, name: str, known: ExpectedService, now: datetime) -> bool:
        """Note that it is missed; return whether it has been for so long that it is expected no more."""
        missed = known.missed.at(now)
        if missed.is_gone:
            await self._expected.delete(name)
        elif missed != known.missed:
            fresh = known.model_copy(update={"missed": missed})
            await self._expected.change(name, lambda _: fresh, applied=now.isoformat())
        return missed.is_gone


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
