# SPDX-License-Identifier: Apache-2.0
"""What the policy promises through any history: nothing is lost, overfilled, or started where it is hot or silent.

The bridge's documents and decisions as they are, without bus and orchestrator (`simulation.production`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import takewhile

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlops.orchestration_bridge.model import heat, lifecycle, standing
from mlops.orchestration_bridge.model.attempts import Parting
from mlops.orchestration_bridge.model.departure import MOST_A_DAY
from mlops.orchestration_bridge.model.line import (
    GRACE_S,
    PATIENCE_S,
    PRIORITY_SHARE,
    SAME_SHARE,
)
from mlops.orchestration_bridge.model.nodes import Reading
from mlops.orchestration_bridge.model.placement import GIB, Needs
from mlops.orchestration_bridge.model.queue import ENDED, UNDER_WAY, Entry, Queue, State
from mlops.orchestration_bridge.model.usage import FOR_EVER_S, Amount, Usage
from mlops.orchestration_bridge.simulation.fleets import KINDS, Make
from mlops.orchestration_bridge.simulation.hearing import plain
from mlops.orchestration_bridge.simulation.production import MovedTooOftenError, Production
from mlops.orchestration_bridge.simulation.scheduler import EPOCH, SLOTS, Told
from mlops.orchestration_bridge.simulation.trace import Group, Job

TOTAL_GIB = 16
NODES = ("n1", "n2", "n3")
# The sizes of the three projects' jobs: the last fits a machine alone, and only just.
SIZES = {"a": 1, "b": 4, "c": 12}
MOST_JOBS = 40  # fewer than a queue forgets, so that everything can be counted


def makes(*names: str) -> tuple[Make, ...]:
    return tuple(Make(name, KINDS["air"], 25.0, thermometer=True) for name in names)


def group(project: str, gib: int = 1, weight: float = 1.0) -> Group:
    return Group(project, Needs(memory_bytes=gib * GIB), weight, 1.0, 1.0)


def said(node: str, now: datetime, level: int, available_gib: float = TOTAL_GIB) -> Told:
    reading = Reading(
        level,
        window_s=10.0,
        boot_id=node,
        memory_total=TOTAL_GIB * GIB,
        memory_available=int(available_gib * GIB),
        accelerators=("mlx", "mps"),
    )
    return Told(node, now, reading)


class AnyHistory(RuleBasedStateMachine):
    """People submit and cancel, machines heat, fill up and fall silent, work ends or leaves, in any order."""

    @initialize(spread=st.lists(st.floats(0.1, 10), min_size=3, max_size=3))
    def begin(self, spread: list[float]) -> None:
        groups = [
            group(name, gib, weight)
            for (name, gib), weight in zip(SIZES.items(), spread, strict=True)
        ]
        self.groups = {one.project: one for one in groups}
        self.bridge = Production(makes(*NODES), groups, plain())
        self.now = EPOCH
        self.submitted: list[str] = []
        self.spoke: dict[str, tuple[datetime, int]] = {}
        self.over: set[str] = set()

    @precondition(lambda self: len(self.submitted) < MOST_JOBS)
    @rule(project=st.sampled_from(sorted(SIZES)))
    def submits(self, project: str) -> None:
        key = f"w{len(self.submitted):02}"
        self.submitted.append(key)
        self.bridge.arrived(Job(key, self.groups[project], 0.0, 60.0, 0.0), self.now)

    @rule(
        node=st.sampled_from(NODES),
        level=st.sampled_from([0, 0, 0, 1, 2, 3, 4]),
        used_gib=st.sampled_from([0, 0, 0, 2, 8, 14]),
    )
    def speaks(self, node: str, level: int, used_gib: int) -> None:
        self.now += timedelta(seconds=1)
        self.spoke[node] = (self.now, level)
        self.bridge.told(said(node, self.now, level, TOTAL_GIB - used_gib), self.now)

    @precondition(lambda self: self.spoke)
    @rule(pick=st.integers(0, len(NODES)), level=st.sampled_from([0, 2, 3, 4]))
    def tells_an_edge(self, pick: int, level: int) -> None:
        self.now += timedelta(seconds=1)
        node = sorted(self.spoke)[pick % len(self.spoke)]
        self.spoke[node] = (self.now, level)
        episode = f"{node}-{self.now.timestamp()}"
        self.bridge.told(Told(node, self.now, None, level, "hot", episode), self.now)

    @rule(seconds=st.sampled_from([1, 10, 45, 130, 700]))
    def passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(pick=st.integers(0, MOST_JOBS))
    def ends(self, pick: int) -> None:
        running = [entry.key for entry in self.entries() if entry.state is State.RUNNING]
        if running:
            key = running[pick % len(running)]
            self.bridge.ended(key, self.now)
            self.over.add(key)

    @rule(pick=st.integers(0, MOST_JOBS))
    def is_cancelled(self, pick: int) -> None:
        active = [(queue, entry) for queue, entry in self.pairs() if entry.active]
        if active:
            queue, entry = active[pick % len(active)]
            wish = lifecycle.Wish("w", "enough")
            gone = lifecycle.cancelled(queue, entry.key, wish, self.now)
            self.bridge.queues[queue.project] = lifecycle.stopped(gone, entry.key)
            self.over.add(entry.key)

    @rule()
    def decides(self) -> None:
        world, before = self.bridge.world, self.under_way()
        free = {
            name: one.memory_free for name, one in standing.line_of(world, self.now).hosts.items()
        }
        self.bridge._changed = True

        decision = self.bridge.decide(self.now)

        assert not before & set(decision.starts)
        for key, node in decision.starts.items():
            self.starts_well(key, node)
        for node in set(decision.starts.values()):
            new = [key for key, name in decision.starts.items() if name == node]
            assert sum(_memory(self.entry(key)) for key in new) <= (free[node] or 0)
            there = [e for e in self.entries() if e.node == node and e.state in UNDER_WAY]
            assert len(there) <= world.fleet.slots(node, self.now) <= SLOTS
            assert sum(_memory(entry) for entry in there) <= TOTAL_GIB * GIB
        for key in decision.leaves:
            self.leaves(key)

    def starts_well(self, key: str, node: str) -> None:
        at, level = self.spoke[node]
        queue, entry = next(pair for pair in self.pairs() if pair[1].key == key)
        usual = standing.usual(queue)
        lasts = heat.PATIENCE if usual is None else usual - timedelta(seconds=entry.saved_s)
        waited = self.now - entry.waits_from
        most = 2 if waited >= min(heat.PATIENCE, lasts) else 1
        assert level <= most, f"{key} started on {node}, which is at level {level}"
        assert self.now - at <= timedelta(seconds=30), f"{node} has been silent"
        assert self.entry(key).state is State.RUNNING
        assert self.entry(key).node == node

    def leaves(self, key: str) -> None:
        entry = self.entry(key)
        assert entry.state is State.RUNNING
        try:
            self.bridge.left(key, self.now)
        except MovedTooOftenError:
            assert len(entry.stints) >= MOST_A_DAY[Parting.EVICTED]
            self.bridge.ended(key, self.now)  # it is over for good, and that is told
            self.over.add(key)
            return
        after = self.entry(key)
        assert (after.state, after.attempt) == (State.WAITING, entry.attempt + 1)

    @invariant()
    def nothing_is_lost_and_nothing_is_there_twice(self) -> None:
        if not hasattr(self, "bridge"):
            return
        found = Counter(entry.key for entry in self.entries())
        assert found == Counter(self.submitted)

    @invariant()
    def what_is_over_stays_over_and_nothing_else_is(self) -> None:
        if hasattr(self, "bridge"):
            assert {entry.key for entry in self.entries() if entry.state in ENDED} == self.over

    @invariant()
    def what_waits_holds_no_machine(self) -> None:
        if not hasattr(self, "bridge"):
            return
        for entry in self.entries():
            if entry.state is State.WAITING:
                assert (entry.admitted_at, entry.started_at, entry.needs) == (None, None, None)

    def pairs(self) -> list[tuple[Queue, Entry]]:
        return [(queue, one) for queue in self.bridge.queues.values() for one in queue.entries]

    def entries(self) -> list[Entry]:
        return [entry for _, entry in self.pairs()]

    def entry(self, key: str) -> Entry:
        return next(entry for entry in self.entries() if entry.key == key)

    def under_way(self) -> set[str]:
        return {entry.key for entry in self.entries() if entry.state in UNDER_WAY}


def _memory(entry: Entry) -> int:
    return entry.needs.memory_bytes if entry.needs else 0


AnyHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyHistory = AnyHistory.TestCase


_RIGHTS = st.tuples(st.floats(0.2, 10), st.sampled_from(["low", "normal", "high"]))


@settings(max_examples=60, deadline=None)
@given(
    rights=_RIGHTS,
    others=st.lists(_RIGHTS, min_size=1, max_size=3),
    lasts_s=st.integers(600, 7200),
    used_s=st.floats(4 * 3600, 40 * 3600),
    heats=st.lists(st.booleans(), min_size=5, max_size=20),
)
def test_nobody_starves_through_documents_rulings_and_heat(
    rights: tuple[float, str],
    others: list[tuple[float, str]],
    lasts_s: int,
    used_s: float,
    heats: list[bool],
) -> None:
    """The bound of `model/line.py`: after it, every other project starts at most once more before the victim does."""
    groups = [group("victim", weight=rights[0])]
    groups += [group(f"other-{n}", weight=weight) for n, (weight, _) in enumerate(others)]
    bridge = Production(makes("n1"), groups, plain())
    for one, (_, priority) in zip(groups, (rights, *others), strict=True):
        queue = bridge.queues[one.project]
        ranked = replace(queue.policy, priority=priority)
        bridge.queues[one.project] = replace(queue, policy=ranked)
    now_s = EPOCH.timestamp()
    past = Usage().took(Amount(runs=1.0), now_s - used_s, now_s)
    bridge.queues["victim"] = replace(bridge.queues["victim"], past=past)
    bridge.told(said("n1", EPOCH, 0), EPOCH)
    bridge.arrived(Job("v", groups[0], 0.0, 1.0, 0.0), EPOCH)
    share = past.amount.runs / SLOTS / FOR_EVER_S
    bound_s = GRACE_S + PATIENCE_S * (share / rights[0] + 2 * PRIORITY_SHARE + SAME_SHARE)
    late, now, rounds = Counter[str](), EPOCH, 0

    while bridge.queues["victim"].entries[0].state is State.WAITING:
        hot = heats[rounds % len(heats)] and rounds % len(heats) != 0
        bridge.told(said("n1", now, 2 if hot else 0), now)
        for one in groups[1:]:
            waiting = len(bridge.queues[one.project].in_state(State.WAITING))
            for number in range(waiting, SLOTS + 1):
                key = f"{one.project}-{rounds}.{number}"
                bridge.arrived(Job(key, one, 0.0, 1.0, 0.0), now)
        started = bridge.decide(now).starts
        if (now - EPOCH).total_seconds() > bound_s:
            before = takewhile(lambda key: key != "v", started)
            late.update(key.rpartition("-")[0] for key in before)
        now, rounds = now + timedelta(seconds=lasts_s), rounds + 1
        for key in started:
            bridge.ended(key, now)

    assert all(count <= 1 for count in late.values())
