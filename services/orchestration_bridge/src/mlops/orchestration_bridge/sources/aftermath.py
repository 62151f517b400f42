# SPDX-License-Identifier: Apache-2.0
"""Aftermath: what a workflow took of its machines, and of a failed one what they had to do with it, at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import reduce

from mlops.contracts.attribution import NOTHING, Taken
from mlops.contracts.energy import EnergyUse
from mlops.orchestration_bridge.model import findings, nodes
from mlops.orchestration_bridge.model.energy import Used
from mlops.orchestration_bridge.model.findings import Stay
from mlops.orchestration_bridge.model.lifecycle import End
from mlops.orchestration_bridge.model.nodes import Node
from mlops.orchestration_bridge.model.queue import Entry
from mlops.orchestration_bridge.model.strain import Strain
from mlops.orchestration_bridge.ports import stays
from mlops.orchestration_bridge.ports.books import Books, NodeDocument

Documents = Mapping[str, NodeDocument]


async def seen(books: Books, entry: Entry, end: End) -> End:
    """Return the end with its energy, and with findings and a suggestion where it failed.

    The same end again charges nothing twice. What never started took nothing.
    """
    if entry.started_at is None:
        return end
    await parted(books, entry, end.at)
    documents = await books.nodes.all()
    known = replace(end, energy=_energy(documents, entry, end))
    if end.completed:
        return known
    found = findings.findings(_stays(documents, entry, end.at), end.diagnosis)
    return replace(known, hardware=found, suggestion=findings.suggestion(found))


async def parted(books: Books, entry: Entry, at: datetime) -> None:
    """Charge an attempt that is over for the time since the last sample of each machine that it ran on, once."""
    world = books.last
    if world is None:
        return
    for name, node in world.nodes.items():
        if all(one.key != entry.key for one in stays.under_way(world, name)):
            continue

        def change(now: NodeDocument | None, name: str = name, node: Node = node) -> NodeDocument:
            return stays.left(now or NodeDocument(node=node), name, entry.key, world, at)

        await books.nodes.change(name, change, applied=f"{entry.key}:{entry.attempt}:left")


def _energy(documents: Documents, entry: Entry, end: End) -> Used | None:
    parts = {name: found.tab.taken.get(entry.key) for name, found in documents.items()}
    there = {name: taken for name, taken in parts.items() if taken is not None}
    whole = reduce(Taken.plus, there.values(), NOTHING)
    ran_s = replace(entry, ended_at=end.at).ran_s(end.at) * max(1, len(entry.nodes))
    node = next(iter(there)) if len(there) == 1 else None
    use = EnergyUse.of(whole, ran_s, stays.SHARE, node=node)
    return Used(**use.model_dump()) if use else None


def _stays(documents: Documents, entry: Entry, at: datetime) -> tuple[Stay, ...]:
    """Return each machine that the workflow was on; the one under it at the end may have fallen silent before that."""
    last = entry.nodes or (entry.node,)
    found = []
    for name, document in sorted(documents.items()):
        if name in last or entry.key in document.strains:
            strain = document.strains.get(entry.key, Strain())
            silent = _silent(name, document.node, at) if name in last else ""
            found.append(Stay(name, strain, silent))
    return tuple(found)


def _silent(name: str, node: Node, at: datetime) -> str:
    silence = at - node.seen_at
    if silence <= nodes.patience(node):
        return ""
    return f"{name} had said nothing for {silence.total_seconds():.0f} s when the workflow ended"
