# SPDX-License-Identifier: Apache-2.0
"""Ours: the very functions that the bridge decides with, on documents as it keeps them; nothing is written anew.

What the bridge's handlers and dispatcher do with bus and orchestrator is done here with plain dictionaries: a submission
goes through `policy`, a message through `nodes`, a decision through `admission` and `plans`, what running work is asked
through `moving`, how it goes on through `departure`, and each change of a workflow through `lifecycle` and `parting`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta

from mlops.orchestration_bridge.model import (
    admission,
    departure,
    heat,
    lifecycle,
    moving,
    nodes,
    parting,
    plans,
    policy,
    standing,
)
from mlops.orchestration_bridge.model.admission import Ruling, World
from mlops.orchestration_bridge.model.attempts import Ask
from mlops.orchestration_bridge.model.lifecycle import End, Run
from mlops.orchestration_bridge.model.moving import Verdict
from mlops.orchestration_bridge.model.nodes import Node
from mlops.orchestration_bridge.model.placement import has
from mlops.orchestration_bridge.model.queue import (
    UNDER_WAY,
    Entry,
    Policy,
    Queue,
    State,
    Trigger,
)
from mlops.orchestration_bridge.simulation.fleets import Make
from mlops.orchestration_bridge.simulation.hearing import Hearing
from mlops.orchestration_bridge.simulation.scheduler import SAVES_WITHIN, SLOTS, Decision, Told
from mlops.orchestration_bridge.simulation.trace import Group, Job

# The dispatcher looks every second; what time alone changes (silence, slots that come back) is not that urgent.
_LOOK_AGAIN = timedelta(seconds=10)


class MovedTooOftenError(RuntimeError):
    """The bridge gives a job up that its own rules never let leave so often."""


class Production:
    """The bridge without bus and orchestrator."""

    def __init__(
        self,
        makes: Sequence[Make],
        groups: Sequence[Group],
        hearing: Hearing,
        name: str = "ours",
        patience: timedelta | None = heat.PATIENCE,
    ) -> None:
        self.name = name
        self._patience = patience
        self.nodes: dict[str, Node] = {}
        self._hearing = hearing
        self._hosts = tuple(sorted(make.name for make in makes))
        most = SLOTS * len(makes)
        self.queues = {
            group.project: Queue(group.project, _policy(group, most)) for group in groups
        }
        self._project: dict[str, str] = {}
        self._looked_at: datetime | None = None
        self._changed = False

    @property
    def world(self) -> World:
        """Return what the bridge would read from its documents."""
        return World(
            dict(self.queues),
            dict(self.nodes),
            SLOTS,
            hosts=self._hosts,
            heat_rules=heat.Rules(self._patience),
        )

    def arrived(self, job: Job, now: datetime) -> None:
        """Submit it, as a person does; raises ValueError where the bridge would refuse it."""
        project, key = job.group.project, job.key
        wish = Trigger(key, "cmd.workflow.start", "train", key, "", key, now, automatic=False)
        queue = policy.apply(self.queues[project], wish, key, key, now, self.world.fleet)
        if queue.entry(key) is None:
            raise ValueError(f"{key} of {project} was refused: {queue.declined[-1].reason}")
        self.queues[project], self._project[key] = queue, project
        self._changed = True

    def told(self, said: Told, now: datetime) -> None:
        """Take in a sample or an edge by the rules of the bridge."""
        heard = self._hearing(said)
        before = self.nodes.get(said.machine)
        after = None if heard is None else _after(before, heard, now)
        if after is None:
            return
        self.nodes[said.machine] = after
        if before is None or (before.level, before.slots.now) != (after.level, after.slots.now):
            self._changed = True

    def ended(self, key: str, now: datetime) -> None:
        """Write down that the orchestrator saw it end."""
        self._change(key, lambda queue: lifecycle.ended(queue, key, End(completed=True, at=now)))

    def left(self, key: str, now: datetime) -> None:
        """Write down that it saved and left; raises MovedTooOftenError where the bridge would let it fail."""
        queue = self.queues[self._project[key]]
        entry = _entry(queue, key)
        end = End(completed=False, at=now, left=True, saved=True)
        then = departure.after(self.world, queue, entry, end, now)
        if isinstance(then, End):
            raise MovedTooOftenError(f"{key} failed: {then.diagnosis}")
        self._change(key, lambda one: parting.parted(one, key, entry.attempt, then))

    def decide(self, now: datetime) -> Decision:
        """Decide as a round of the dispatcher does: when something changed, and every few seconds besides."""
        due = self._looked_at is None or now - self._looked_at >= _LOOK_AGAIN
        if not (self._changed or due):
            return Decision()
        self._looked_at, self._changed = now, False
        starts = {} if self._nothing_starts(now) else dict(self._admit(now))
        return Decision(starts, tuple(self._request(now)))

    def _admit(self, now: datetime) -> Iterator[tuple[str, str]]:
        world = self.world
        for ruling in admission.rulings(world, now):
            entry = world.queues[ruling.project].entry(ruling.key)
            if entry is not None and entry.state is State.WAITING:
                self._apply(world, ruling, entry, now)
                if ruling.admitted:
                    yield ruling.key, ruling.node or ""

    def _apply(self, world: World, ruling: Ruling, entry: Entry, now: datetime) -> None:
        queue = self.queues[ruling.project]
        for _, change in plans.steps(world, ruling, entry, now):
            queue = change(queue)
        if ruling.admitted:
            run = Run("", ruling.key, node=ruling.node or "")
            queue = lifecycle.started(queue, ruling.key, run, now)
        self.queues[ruling.project] = _told(queue)

    def _request(self, now: datetime) -> Iterator[str]:
        """Ask what runs where it is hot; yield what is to leave."""
        for verdict in moving.verdicts(self.world, now):
            if verdict.due:
                self._ask(verdict, now)
                if verdict.ask is not Ask.SAVE:
                    yield verdict.key

    def _ask(self, verdict: Verdict, now: datetime) -> None:
        queue, key = self.queues[verdict.project], verdict.key
        request = verdict.request(_entry(queue, key).requests + 1, now)
        self.queues[verdict.project] = _told(parting.asked(queue, key, verdict.attempt, request))

    def _nothing_starts(self, now: datetime) -> bool:
        """Return whether no start is possible: the records of those who go on waiting change none, and take long."""
        wanted = {
            queue.policy.needs.accelerator
            for queue in self.queues.values()
            if queue.in_state(State.WAITING)
        }
        if not any(self._takes(name, wanted, now) for name in self.nodes):
            return True
        return not standing.line_of(self.world, now).decide(now.timestamp(), 1)

    def _takes(self, name: str, wanted: Collection[str], now: datetime) -> bool:
        """Return whether a machine is open, or throttled and no worse, has a slot, and an accelerator that is waited for."""
        node, fleet = self.nodes[name], self.world.fleet
        if not any(has(node.reading.accelerators, one) for one in wanted):
            return False
        here = sum(
            1
            for queue in self.queues.values()
            for entry in queue.in_state(*UNDER_WAY)
            if entry.node == name
        )
        shut = fleet.too_hot(name, now) and node.level != heat.SHRINKS
        return here < fleet.slots(name, now) and not shut

    def _change(self, key: str, change: Callable[[Queue], Queue]) -> None:
        project = self._project[key]
        self.queues[project] = _told(change(self.queues[project]))
        self._changed = True


def _after(before: Node | None, said: Told, now: datetime) -> Node | None:
    if said.reading is not None:
        return nodes.sampled(before, said.machine, said.reading, said.at, now, SLOTS)
    edge = Node(said.level, said.at, reason=said.reason, episode=said.episode)
    return nodes.edged(before, said.machine, edge, now, SLOTS)


def _policy(group: Group, most: int) -> Policy:
    return Policy(
        can_train=True,
        weight=group.weight,
        max_parallel=most,
        needs=group.needs,
        saves_within=SAVES_WITHIN,
    )


def _entry(queue: Queue, key: str) -> Entry:
    found = queue.entry(key)
    if found is None:
        raise ValueError(f"{queue.project} knows no {key}")
    return found


def _told(queue: Queue) -> Queue:
    """Return the queue after the bus has heard everything: what was told may be forgotten one day."""
    while waiting := lifecycle.untold(queue):
        for entry in waiting:
            queue = lifecycle.heard(queue, entry)
    return queue
