# SPDX-License-Identifier: Apache-2.0
"""What is asked of the bridge: `queue` (all that waits, runs and ended) and `why` (one workflow: why it waits, until when)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError
from mlops.orchestration_bridge.handlers import answers
from mlops.orchestration_bridge.model import admission
from mlops.orchestration_bridge.model.admission import Ruling, World
from mlops.orchestration_bridge.model.line import Line
from mlops.orchestration_bridge.model.queue import UNDER_WAY, Entry, Queue, State
from mlops.orchestration_bridge.model.standing import line_of
from mlops.orchestration_bridge.ports.books import Books

_RECENT = 20
_FEW = 3  # of each project where all are shown: an answer must fit into one message


class Questions:
    """What people and programs may ask."""

    def __init__(self, books: Books, clock: Clock) -> None:
        self._books = books
        self._clock = clock

    async def queue(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer for all projects, or at more length for the one named by `project`."""
        wanted = question.get("project")
        world, now = await self._books.world(), self._clock()
        rulings = {ruling.key: ruling for ruling in admission.rulings(world, now)}
        line = line_of(world, now)
        return {
            "orchestrator": {"away": self._books.away or None},
            "max_parallel": world.max_parallel,
            "expected_error_s": world.expected_off.known_s,
            "nodes": {n: answers.machine(n, node, world, now) for n, node in world.nodes.items()},
            "projects": [
                self._project(line, queue, rulings, now, _RECENT if wanted else _FEW)
                for name, queue in sorted(world.queues.items())
                if wanted in (None, "", name)
            ],
        }

    async def why(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer for the workflow named by `workflow_key`, or for what the message `workflow_key` asked for.

        Raises RejectedError when nothing of that name is known.
        """
        wanted, project = str(question.get("workflow_key", "")), str(question.get("project", ""))
        world, now = await self._books.world(), self._clock()
        queues = [q for name, q in sorted(world.queues.items()) if project in ("", name)]
        for queue in queues:
            entry = queue.entry(wanted) or queue.entry_of(wanted)
            if entry is not None:
                return self._because(world, queue, entry, now)
            declined = queue.refusal_of(wanted)
            if declined is not None:
                return {
                    **_answer(queue, "declined", declined.reason, declined.retry_at),
                    "declined": asdict(declined),
                }
        raise RejectedError(_unknown(wanted, queues))

    def _because(self, world: World, queue: Queue, entry: Entry, now: datetime) -> dict[str, Any]:
        found = admission.rulings(world, now)
        ruling = next((one for one in found if one.key == entry.key), None)
        heat = answers.on_its_machine(entry, world, now)
        reason = ruling.reason if ruling else _standing(entry, heat)
        until = ruling.expected_start_at if ruling else None
        note = self._books.notes.get(entry.key)
        return {
            **_answer(queue, entry.state.value, note or reason, until),
            "place": ruling.place if ruling else None,
            "of": ruling.of if ruling else sum(1 for one in found if one.place),
            "ahead": list(ruling.ahead) if ruling else [],
            **answers.attempts(entry),
            "hardware": [one.text for one in entry.hardware],
            "suggestion": entry.suggestion,
            "energy": asdict(entry.energy) if entry.energy else None,
            "workflow": answers.workflow(entry, ruling, note, whole=True),
        }

    def _project(
        self, line: Line, queue: Queue, rulings: Mapping[str, Ruling], now: datetime, recent: int
    ) -> dict[str, Any]:
        ended = [entry for entry in queue.entries if not entry.active]
        return {
            "project": queue.project,
            "archived": queue.archived,
            "mode": queue.policy.mode,
            "cooldown_s": queue.policy.cooldown.total_seconds(),
            "used_today": queue.used_today(now),
            "max_per_day": queue.policy.max_per_day,
            "max_parallel": queue.policy.max_parallel,
            "share_used_ratio": line.share_used(queue.project, now.timestamp()),
            "follow_ups": [
                {"after": f.key, "windows": len(f.windows), "of": queue.policy.follow_up_windows}
                for f in queue.follow_ups
            ],
            "workflows": [self._entry(e, rulings.get(e.key)) for e in queue.entries if e.active],
            "ended": [self._entry(entry, None) for entry in ended[-recent:]],
            "declined": [asdict(declined) for declined in queue.declined[-recent:]],
        }

    def _entry(self, entry: Entry, ruling: Ruling | None) -> dict[str, Any]:
        return answers.workflow(entry, ruling, self._books.notes.get(entry.key), whole=False)


def _answer(queue: Queue, state: str, reason: str, until: datetime | None) -> dict[str, Any]:
    waits = state in (State.WAITING, State.AWAITS_APPROVAL)
    return {
        "project": queue.project,
        "state": state,
        "waits": waits,
        "reason": reason,
        "until": until,
    }


def _standing(entry: Entry, heat: str) -> str:
    if entry.state in UNDER_WAY:
        told = f"it no longer waits: it is {entry.state.value}"
        return f"{told}; {heat}" if heat else told
    return (
        f"it is {entry.state.value}: {entry.reason}"
        if entry.reason
        else f"it is {entry.state.value}"
    )


def _unknown(wanted: str, queues: Sequence[Queue]) -> str:
    if not wanted:
        return "no workflow is named; ask with workflow_key=…"
    names = [entry.key for queue in queues for entry in queue.entries if entry.active]
    known = ", ".join(names[:_RECENT]) or "none"
    return f"no workflow {wanted!r}, and no message of that id asked for one; waiting or running: {known}"
