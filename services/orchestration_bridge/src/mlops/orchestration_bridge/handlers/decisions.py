# SPDX-License-Identifier: Apache-2.0
"""The decision about one workflow, as it stands now, in the words of the contract."""

from __future__ import annotations

from mlops.chassis.clock import Clock
from mlops.contracts.orchestration_bridge import Decision, Gate, Obstacle
from mlops.orchestration_bridge.model import admission
from mlops.orchestration_bridge.model.admission import Ruling
from mlops.orchestration_bridge.model.queue import Entry
from mlops.orchestration_bridge.ports.books import Books


async def decided(books: Books, clock: Clock, entry: Entry) -> Decision:
    """Return why *entry* may start now, or why it waits."""
    rulings = admission.rulings(await books.world(), clock())
    found = next((ruling for ruling in rulings if ruling.key == entry.key), None)
    if found is None:  # said again after a crash: it has gone on meanwhile
        return Decision(admitted=True, reason=f"it is {entry.state.value}", gate=Gate.NONE)
    return decision_of(found)


def decision_of(ruling: Ruling) -> Decision:
    """Return a ruling in the words of the contract."""
    return Decision(
        admitted=ruling.admitted,
        reason=ruling.reason[:500],
        gate=Gate(ruling.gate.value),
        running=ruling.running,
        waiting=ruling.waiting,
        used_today=ruling.used_today,
        share_used_ratio=ruling.share_used_ratio,
        thermal_level=ruling.thermal_level,
        node=ruling.node,
        expected_start_at=ruling.expected_start_at,
        expected_error_s=ruling.expected_error_s,
        memory_needed_bytes=ruling.memory_needed_bytes,
        memory_free_bytes=ruling.memory_free_bytes,
        throttle_expected_s=ruling.throttle_s,
        cool_expected_s=ruling.cool_s,
        place=ruling.place,
        of=ruling.of,
        ahead=ruling.ahead,
        obstacles=tuple(
            Obstacle(node=one.host, gate=Gate(one.gate.value), reason=one.reason[:500])
            for one in ruling.obstacles
        ),
    )
