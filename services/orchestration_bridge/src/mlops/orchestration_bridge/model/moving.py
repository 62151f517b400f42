# SPDX-License-Identifier: Apache-2.0
"""Moving: what work that runs is asked because of its machine's heat, and the reason where nothing is asked.

Level 2 asks to save; level 3 to save and leave, where that is worth it; level 4 stops what runs, whether it can save or
not. Of one episode each is asked once, and nothing milder after it. Leaving costs a restart, so nothing leaves that has
just been moved, that was moved often today, that is nearly done by its usual length, or that would neither find a cooler
machine nor see this one cool soon; and of one machine one workflow leaves at a time, since its heat may then be over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mlops.orchestration_bridge.model import cohort, heat, nodes
from mlops.orchestration_bridge.model.attempts import Ask, Asked, Parting
from mlops.orchestration_bridge.model.lifecycle import is_told
from mlops.orchestration_bridge.model.nodes import Node
from mlops.orchestration_bridge.model.placement import Host, best
from mlops.orchestration_bridge.model.queue import DAY, Entry, Queue, State
from mlops.orchestration_bridge.model.standing import World, line_of, usual

# What a start costs beside the time that saving takes: the new process, its data, its first steps.
RESTART = timedelta(minutes=2)
# Leaving must be worth so many of its costs.
WORTH = 2.0
# What was moved stays at least so long, and saves no oftener than that.
LEAST_STAY = timedelta(minutes=5)
SAVE_EVERY = timedelta(minutes=5)
MOST_MOVES = 3
# A cooler machine must stay cool for so long, and a hot one be cool again within so long, as far as is known.
STAYS_COOL = timedelta(minutes=10)
LONGEST_WAIT = timedelta(minutes=30)
# Of twice its usual length nobody knows any more how much is left.
_OVERDUE = 2.0
_UNNAMED_AGAIN = timedelta(hours=1)


@dataclass(frozen=True)
class Verdict:
    """What a running workflow should do about its machine's heat, and why; *ask* None where it just goes on.

    `due` when it is to be asked now: it was not yet, and may be.
    """

    project: str
    key: str
    attempt: int
    node: str
    reason: str
    ask: Ask | None = None
    episode: str = ""
    to: str = ""
    due: bool = False

    def request(self, number: int, now: datetime) -> Asked:
        """Return the request that is made of it; only of a verdict that asks."""
        if self.ask is None:
            raise ValueError(f"nothing is asked of {self.key}")
        return Asked(self.ask, number, self.reason, now, self.node, self.episode, self.to)


def verdicts(world: World, now: datetime) -> tuple[Verdict, ...]:
    """Return a verdict for each workflow that runs on a machine known to be hot; the same world gives the same ones."""
    return tuple(_Look(world, now).verdicts())


class _Look:
    """One look at what runs where it is hot."""

    def __init__(self, world: World, now: datetime) -> None:
        self._world, self._now = world, now
        self._hosts: dict[str, Host] = {}
        self._going: set[str] = set()

    def verdicts(self) -> Iterator[Verdict]:
        found = sorted(self._hot(), key=lambda one: self._turn(*one))
        if any((self._world.nodes[entry.node].level or 0) >= heat.DRAINS for _, entry in found):
            self._hosts = dict(line_of(self._world, self._now).hosts)
        for queue, entry in found:
            if self._leaves(queue, entry):
                self._go(entry, entry.asked[-1].to)
        for queue, entry in found:
            verdict = self._verdict(queue, entry, self._world.nodes[entry.node])
            if verdict.ask is Ask.LEAVE and verdict.due:
                self._go(entry, verdict.to)
            yield verdict

    def _hot(self) -> Iterator[tuple[Queue, Entry]]:
        for queue in self._world.queues.values():
            for entry in queue.in_state(State.RUNNING):
                node = self._world.nodes.get(entry.node)
                alone = len(entry.nodes) <= 1  # a cohort does without its hot machines by itself
                if node is not None and alone and _is_hot(entry.node, node, self._now):
                    yield queue, entry

    def _turn(self, queue: Queue, entry: Entry) -> tuple[float, str]:
        """Order what runs: who has most left to do leaves first, for it is worth most to it."""
        left_s = self._left_s(queue, entry)
        return (float("-inf") if left_s is None else -left_s, entry.key)

    def _go(self, entry: Entry, to: str) -> None:
        """Count on a workflow to leave: no other of its machine does meanwhile, and its place there is taken."""
        self._going.add(entry.node)
        if to in self._hosts:
            self._hosts[to] = replace(self._hosts[to], slots=self._hosts[to].slots - 1)

    def _verdict(self, queue: Queue, entry: Entry, node: Node) -> Verdict:
        ask, to, why = self._wanted(queue, entry, node.level or 0)
        cause = f": {node.reason}" if node.reason else ""
        reason = f"{entry.node} is at heat level {node.level}{cause}; {why}"
        return Verdict(
            project=queue.project,
            key=entry.key,
            attempt=entry.attempt,
            node=entry.node,
            reason=reason[:500],
            ask=ask,
            episode=node.episode,
            to=to,
            due=ask is not None and _is_due(entry, ask, node.episode, self._now),
        )

    def _wanted(self, queue: Queue, entry: Entry, level: int) -> tuple[Ask | None, str, str]:
        if level >= heat.EVICTS:
            return Ask.STOP, "", "what runs there is stopped, and waits again"
        if queue.policy.saves_within is None:
            return None, "", "it goes on, for it cannot save ([train.checkpoint] is not set)"
        if entry.kind == cohort.FEDERATED:
            return None, "", "it goes on, for what a round has learnt is saved when the round ends"
        if moves_today(entry, self._now) >= MOST_MOVES and _leaves_to_save(entry):
            return None, "", f"it goes on: it was moved {MOST_MOVES} times in 24 h"
        if level < heat.DRAINS:
            return Ask.SAVE, "", "it should save, and goes on"
        return self._drained(queue, entry)

    def _drained(self, queue: Queue, entry: Entry) -> tuple[Ask, str, str]:
        if self._leaves(queue, entry):
            return Ask.LEAVE, entry.asked[-1].to, "it should save and leave"
        stays = self._stays(queue, entry)
        if stays:
            return Ask.SAVE, "", f"it should save, and stays: {stays}"
        return self._away(queue, entry)

    def _stays(self, queue: Queue, entry: Entry) -> str:
        """Return why leaving is not worth it, or not its turn; empty when neither is so."""
        here = self._now - (entry.started_at or self._now)
        if entry.attempt > 1 and here < LEAST_STAY:
            return f"it was moved here {here.total_seconds():.0f} s ago"
        moves = moves_today(entry, self._now)
        if moves >= MOST_MOVES:
            return f"it was moved {moves} times in 24 h"
        left_s, cost_s = self._left_s(queue, entry), self._cost_s(queue)
        if left_s is not None and left_s <= cost_s:
            return f"about {left_s:.0f} s are left by its usual length, leaving must be worth {cost_s:.0f} s"
        return "another leaves first" if entry.node in self._going else ""

    def _away(self, queue: Queue, entry: Entry) -> tuple[Ask, str, str]:
        needs = entry.needs or queue.policy.needs
        others = [host for host in self._hosts.values() if _is_cooler(host, entry.node)]
        found = best(others, needs)
        if found is not None:
            return Ask.LEAVE, found.name, f"it should save and leave: {found.name} is cooler"
        here = self._hosts.get(entry.node)
        cool_s = None if here is None else here.cool_s
        waits = not needs.latency_critical and queue.policy.priority != "high"
        if waits and cool_s is not None and cool_s <= LONGEST_WAIT.total_seconds():
            why = f"it should save and leave, and wait about {cool_s:.0f} s until it is cool"
            return Ask.LEAVE, "", why
        known = "nobody knows when" if cool_s is None else f"only in {cool_s:.0f} s"
        why = f"it is cool again {known}" if waits else "it may not wait"
        return Ask.SAVE, "", f"it should save, and stays: no cooler machine is fit, and {why}"

    def _leaves(self, queue: Queue, entry: Entry) -> bool:
        """Return whether it was asked to leave and still has time to."""
        last = entry.asked[-1] if entry.asked else None
        within = (queue.policy.saves_within or timedelta(0)) + RESTART
        return last is not None and last.ask is Ask.LEAVE and self._now - last.at < within

    def _cost_s(self, queue: Queue) -> float:
        return WORTH * ((queue.policy.saves_within or timedelta(0)) + RESTART).total_seconds()

    def _left_s(self, queue: Queue, entry: Entry) -> float | None:
        """Return how long it still takes by the usual length of such work, None where nobody knows."""
        lasts, worked_s = usual(queue), entry.worked_s(self._now)
        if lasts is None or worked_s > _OVERDUE * lasts.total_seconds():
            return None
        return max(0.0, lasts.total_seconds() - worked_s)


def moves_today(entry: Entry, now: datetime) -> int:
    """Return how often it was moved at a request in the last 24 hours."""
    return count_today(entry, Parting.LEFT, now)


def count_today(entry: Entry, parting: Parting, now: datetime) -> int:
    """Return how often it parted so in the last 24 hours."""
    return sum(1 for one in entry.stints if one.parting is parting and one.ended_at > now - DAY)


def _is_cooler(host: Host, than: str) -> bool:
    stays = host.throttle_s is None or host.throttle_s >= STAYS_COOL.total_seconds()
    return host.name != than and stays


def _is_hot(name: str, node: Node, now: datetime) -> bool:
    return (node.level or 0) >= heat.SHRINKS and not nodes.unknown(name, node, now)


def _leaves_to_save(entry: Entry) -> bool:
    """Return whether its command ends when it is only asked to save: then saving is as dear as leaving."""
    return any(one.asked is Ask.SAVE and one.parting is Parting.LEFT for one in entry.stints)


def _is_due(entry: Entry, ask: Ask, episode: str, now: datetime) -> bool:
    """Return whether it may be asked now: once per episode and kind, nothing milder after it, saves not too often."""
    if entry.forced is not None or not is_told(entry):
        return False
    for one in entry.asked:
        same = one.episode == episode and (episode or now - one.at < _UNNAMED_AGAIN)
        if same and one.ask.force >= ask.force:
            return False
        if ask is Ask.SAVE and now - one.at < SAVE_EVERY:
            return False
    return True
