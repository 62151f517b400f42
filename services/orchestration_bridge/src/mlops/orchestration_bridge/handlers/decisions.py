# SPDX-License-Identifier: Apache-2.0
"""The decision about one workflow, as it stands now, in the words of the contract."""

from __future__ import annotations

from mlops.chassis.clock import Clock
from mlops.contracts.orchestration_bridge import Decision
from mlops.orchestration_bridge.model import admission
from mlops.orchestration_bridge.model.queue import Entry
from mlops.orchestration_bridge.ports.books import Books


async def decided(books: Books, clock: Clock, entry: Entry) -> Decision:
    """Return why *entry* may start now, or why it waits."""
    rulings = admission.rulings(await books.world(), clock())
    found = next((ruling for ruling in rulings if ruling.key == entry.key), None)
    if found is None:  # said again after a crash: it has gone on meanwhile
        return Decision(admitted=True, reason=f"it is {entry.state.value}")
    return Decision(
        admitted=found.admitted,
        reason=found.reason[:500],
        running=found.running,
        waiting=found.waiting,
        used_today=found.used_today,
        share_used_ratio=found.share_used_ratio,
        thermal_level=found.thermal_level,
        node=found.node,
        expected_start_at=found.expected_start_at,
    )
