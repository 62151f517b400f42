# SPDX-License-Identifier: Apache-2.0
"""Nodes: which machines fell silent, and whose disk is nearly full or will be soon.

When a machine was heard is a document, because replicas share the samples: each hears only some of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import AwareDatetime

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.contracts.message import Message, Part
from mlops.contracts.monitoring import Severity
from mlops.contracts.telemetry_agent import SampleSource, TelemetrySampled
from mlops.monitoring.handlers.looks import FORGOTTEN_DAYS, Found, Missed
from mlops.monitoring.handlers.troubles import Trouble
from mlops.monitoring.model.disk import Free, Outlook, State, noted, outlook

_SHORTEST_SILENCE = timedelta(minutes=3)
_WINDOWS = 4
_NOTED_EVERY = timedelta(minutes=1)
_LONGEST_KIND = 64
_SILENT = (
    "It is off, cannot be reached, or its agent has ended (`mlops logs telemetry_agent` there). Its heat, load and free "
    "memory are unknown, so no new heavy work is placed there; what ran there is started elsewhere once its worker is "
    "silent, too. `mlops node list` shows it. When it left for good: `mlops node remove {node}`; the alert ends by "
    "itself after 7 days."
)
_FREE_SOME = (
    "`mlops data gc --dry-run` says what versions of data that were given up would free, `mlops data gc` frees it; "
    "`du -sh $MLOPS_HOME/*` shows what takes most. When it is full, nothing is stored: runs, events and data wait "
    "or are refused."
)


class SeenNode(Part):
    """When a machine was heard last and how far apart its samples are; a document of `monitoring_nodes`, by its name."""

    heard_at: AwareDatetime
    window_s: float = 0.0
    missed: Missed = Missed()

    @property
    def patience(self) -> timedelta:
        """Return how long it may be silent."""
        return max(_SHORTEST_SILENCE, _WINDOWS * timedelta(seconds=self.window_s))


class NodeLog:
    """What machines tell of themselves; simulated and replayed ones come and go, and are not missed."""

    def __init__(self, seen: Documents[SeenNode], clock: Clock) -> None:
        self._seen = seen
        self._clock = clock
        self._noted: dict[str, SeenNode] = {}
        self._disks: dict[str, tuple[Free, ...]] = {}

    async def on_telemetry_sampled(self, event: TelemetrySampled) -> Sequence[Message]:
        """Note that a machine was heard, and what is free of its disk."""
        sample, now = event.sample, self._clock()
        if sample.source is not SampleSource.REAL:
            return []
        if not sample.backfill and sample.disk.free_bytes is not None and sample.disk.total_bytes:
            free = Free(sample.observed_at, sample.disk.free_bytes, sample.disk.total_bytes)
            self._disks[event.node] = noted(self._disks.get(event.node, ()), free)
        known = self._noted.get(event.node)
        if known is None or now - known.heard_at >= _NOTED_EVERY:
            fresh = SeenNode(heard_at=now, window_s=sample.window_s)
            self._noted[event.node] = fresh
            await self._seen.change(event.node, lambda _: fresh, applied=event.id)
        return []

    async def find(self, now: datetime, awake_since: datetime) -> Found:
        """Return which machines are silent or short of disk now, and which are well."""
        return _together([await self._silences(now, awake_since), self._rooms()])

    async def _silences(self, now: datetime, awake_since: datetime) -> Found:
        troubles, well = list[Trouble](), dict[str, str]()
        for node, seen in (await self._seen.all()).items():
            if now - max(seen.heard_at, awake_since) > seen.patience:
                if await self._is_gone(node, seen, now):
                    well |= self._forgotten(node)
                else:
                    troubles.append(_silent(node, seen))
            elif now - seen.heard_at <= seen.patience:
                well[silent_kind(node)] = f"{node} is heard again"
        return Found(troubles, well)

    def _rooms(self) -> Found:
        found = {node: (history[-1], outlook(history)) for node, history in self._disks.items()}
        return Found(
            [
                _short_of_disk(node, newest, told)
                for node, (newest, told) in found.items()
                if told.state in (State.LOW, State.FULL)
            ],
            {
                disk_kind(node): f"{_size(newest.free)} are free on {node} again"
                for node, (newest, told) in found.items()
                if told.state is State.WELL
            },
        )

    async def _is_gone(self, node: str, seen: SeenNode, now: datetime) -> bool:
        """Note that it is missed; return whether it has been for so long that it is expected no more."""
        missed = seen.missed.at(now)
        if missed.is_gone:
            await self._seen.delete(node)
        elif missed != seen.missed:

            def change(known: SeenNode | None) -> SeenNode:
                if known is not None and known.heard_at != seen.heard_at:
                    return known  # another replica has heard it meanwhile
                return seen.model_copy(update={"missed": missed})

            await self._seen.change(node, change, applied=now.isoformat())
        return missed.is_gone

    def _forgotten(self, node: str) -> dict[str, str]:
        self._noted.pop(node, None)
        self._disks.pop(node, None)
        reason = f"{node} has said nothing for {FORGOTTEN_DAYS} days and counts as gone"
        return {silent_kind(node): reason, disk_kind(node): reason}


def _together(found: Sequence[Found]) -> Found:
    troubles = [trouble for one in found for trouble in one.troubles]
    return Found(troubles, {kind: why for one in found for kind, why in one.well.items()})


def silent_kind(node: str) -> str:
    """Return the kind of alert about a silent machine."""
    return f"silent-{node}"[:_LONGEST_KIND]


def disk_kind(node: str) -> str:
    """Return the kind of alert about the disk of a machine."""
    return f"disk-{node}"[:_LONGEST_KIND]


def _silent(node: str, seen: SeenNode) -> Trouble:
    title = f"{node} has said nothing since {seen.heard_at:%Y-%m-%d %H:%M} UTC"
    advice = _SILENT.format(node=node)
    return Trouble("", silent_kind(node), Severity.WARNING, title, advice)


def _short_of_disk(node: str, now: Free, found: Outlook) -> Trouble:
    title = f"{node}: {_size(now.free)} of {_size(now.total)} are free where the platform keeps its files"
    if found.full_at is not None:
        title += (
            f"; full at about {found.full_at:%Y-%m-%d %H:%M} UTC if it goes on like this "
            f"({_size(found.per_hour)} an hour)"
        )
    severity = Severity.CRITICAL if found.state is State.FULL else Severity.WARNING
    return Trouble("", disk_kind(node), severity, title, _FREE_SOME)


def _size(amount: float) -> str:
    return f"{amount / 1e9:.1f} GB"
