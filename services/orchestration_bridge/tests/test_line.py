# SPDX-License-Identifier: Apache-2.0
"""What the line promises whatever is asked of it: nobody starves, nothing is overcommitted, shares follow weights."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.orchestration_bridge.model.accounts import Account, Quota, over_quota, share
from mlops.orchestration_bridge.model.line import (
    GRACE_S,
    PATIENCE_S,
    PRIORITY_SHARE,
    SAME_SHARE,
    Line,
    Start,
)
from mlops.orchestration_bridge.model.placement import GIB, Gate, Host, Needs
from mlops.orchestration_bridge.model.usage import Amount, Capacity
from mlops.orchestration_bridge.model.waiting import Job

NOW = 1_000_000.0
SIZES = (1, 2, 4, 8)


@dataclass
class Yard:
    """A small installation in its own time: what starts also ends, and its promises are looked at on the way."""

    line: Line
    lasts: dict[str, float]
    now_s: float = NOW
    ends: list[tuple[float, str, str]] = field(default_factory=list)
    started: dict[str, float] = field(default_factory=dict)
    order: list[Start] = field(default_factory=list)

    def round(self) -> None:
        for start in self.line.decide(self.now_s, 1000):
            assert start.key not in self.started
            self.started[start.key] = self.now_s
            self.order.append(start)
            end_s = self.now_s + self.lasts[start.key]
            heapq.heappush(self.ends, (end_s, start.project, start.key))
        for host in self.line.hosts.values():
            assert host.slots >= 0
            assert host.memory_free is None or host.memory_free >= 0

    def next_end(self) -> None:
        self.now_s, project, key = heapq.heappop(self.ends)
        self.line.ended(project, key, self.now_s)


def host(name: str, slots: int = 1, gib: int = 16, level: int = 0) -> Host:
    shut = Gate.HEAT if level >= 2 else Gate.NONE
    return Host(name, slots, slots, level, shut, "hot", gib * GIB, gib * GIB, ("mlx", "mps"))


def job(key: str, project: str, gib: int = 1, queued_s: float = NOW, **more: float | None) -> Job:
    return Job(key, project, Needs(memory_bytes=gib * GIB), queued_s, **more)  # type: ignore[arg-type]  # times


def line_of(hosts: Iterable[Host], accounts: Iterable[Account], jobs: Iterable[Job]) -> Line:
    found = {one.name: one for one in hosts}
    slots = sum(one.of for one in found.values())
    line = Line(Capacity(runs=float(slots), memory=16.0 * len(found)), found)
    for account in accounts:
        line.account(account)
    for one in jobs:
        line.join(one)
    return line


_JOBS = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(SIZES),
        st.floats(0, 5000),
        st.floats(1, 3000),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
)
_RIGHTS = st.tuples(
    st.floats(0.1, 10), st.sampled_from(["low", "normal", "high"]), st.integers(1, 4)
)


def _yard(
    wanted: list[tuple[str, int, float, float, bool]],
    rights: tuple[tuple[float, str, int], ...],
    machines: tuple[tuple[int, int], ...],
) -> Yard:
    accounts = [
        Account(name, weight, priority, Quota(parallel))
        for name, (weight, priority, parallel) in zip("abcd", rights, strict=True)
    ]
    hosts = [host(f"n{i}", slots, gib) for i, (slots, gib) in enumerate(machines)]
    jobs = [
        job(f"{i:02}", name, gib, NOW - ago, lasts_s=lasts if known else None, limit_s=lasts)
        for i, (name, gib, ago, lasts, known) in enumerate(wanted)
    ]
    return Yard(line_of(hosts, accounts, jobs), {f"{i:02}": w[3] for i, w in enumerate(wanted)})


_FOUR_RIGHTS = st.tuples(_RIGHTS, _RIGHTS, _RIGHTS, _RIGHTS)
_MACHINES = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from([10, 16])), min_size=1, max_size=3
).map(tuple)


@settings(max_examples=150, deadline=None)
@given(wanted=_JOBS, rights=_FOUR_RIGHTS, machines=_MACHINES)
def test_everything_that_fits_somewhere_starts_and_nothing_is_overcommitted(
    wanted: list[tuple[str, int, float, float, bool]],
    rights: tuple[tuple[float, str, int], ...],
    machines: tuple[tuple[int, int], ...],
) -> None:
    yard = _yard(wanted, rights, machines)

    yard.round()
    while yard.ends:
        yard.next_end()
        yard.round()
        for account in yard.line.accounts.values():
            assert len(account.runs) <= account.quota.parallel

    assert len(yard.started) == len(wanted)


@settings(max_examples=60, deadline=None)
@given(
    rights=_RIGHTS,
    flood=st.lists(_RIGHTS, min_size=1, max_size=3),
    lasts_s=st.floats(60, 7200),
    used_s=st.floats(0, 40 * 3600),
)
def test_nobody_starves_however_many_others_come(
    rights: tuple[float, str, int],
    flood: list[tuple[float, str, int]],
    lasts_s: float,
    used_s: float,
) -> None:
    """The bound of the module: after it, each other project is served at most once more before the victim."""
    victim = Account("victim", rights[0], rights[1], Quota(1))
    usage = victim.usage.took(Amount(runs=1.0), NOW - used_s, NOW)
    victim = replace(victim, usage=usage)
    others = [Account(f"o{i}", w, p, Quota(99)) for i, (w, p, _) in enumerate(flood)]
    line = line_of([host("n", 1)], [victim, *others], [job("v", "victim", lasts_s=lasts_s)])
    most = share(victim, Capacity(runs=1.0), NOW) / victim.weight
    bound_s = NOW + GRACE_S + PATIENCE_S * (most + 2 * PRIORITY_SHARE + SAME_SHARE)
    now_s, count = NOW, 0
    late: list[Start] = []
    while not any(start.project == "victim" for start in late[-1:]):
        for other in others:
            count += 1
            line.join(job(f"{count}", other.project, queued_s=now_s, lasts_s=lasts_s))
        (start,) = line.decide(now_s)
        if now_s > bound_s or start.project == "victim":
            late.append(start)
        assert len(late) <= len(others) + 1
        now_s += lasts_s
        line.ended(start.project, start.key, now_s)


@settings(max_examples=100, deadline=None)
@given(
    small=st.lists(
        st.tuples(st.integers(1, 6), st.floats(60, 3600), st.booleans()), min_size=1, max_size=6
    ),
    big_gib=st.integers(9, 13),
    seed=st.randoms(use_true_random=False),
)
def test_small_work_never_keeps_the_big_one_out(
    small: list[tuple[int, float, bool]], big_gib: int, seed: random.Random
) -> None:
    """While it is first in the line, a reserved workflow waits for what ran when it came, and for nothing that came later."""
    accounts = [Account("big"), Account("small", quota=Quota(9))]
    yard = Yard(line_of([host("n", 4, 16)], accounts, []), {"big": 60.0})
    number = 0

    def flood() -> None:
        nonlocal number
        for _ in range(5):
            number += 1
            gib, lasts_s, known = seed.choice(small)
            yard.lasts[f"s{number}"] = lasts_s
            told = lasts_s if known else None
            one = job(f"s{number}", "small", gib, yard.now_s, lasts_s=told, limit_s=lasts_s)
            yard.line.join(one)

    flood()
    yard.round()
    last_s = max(end_s for end_s, _, _ in yard.ends)
    yard.now_s += 1
    yard.line.join(job("big", "big", big_gib, yard.now_s, lasts_s=60.0))
    yard.now_s += 1
    while "big" not in yard.started:
        flood()
        yard.round()
        yard.next_end()
        yard.round()

    assert yard.started["big"] <= last_s


def test_shares_come_to_the_weights_over_a_long_trace() -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 5.0}
    accounts = [Account(name, weight, quota=Quota(99)) for name, weight in weights.items()]
    lasts = {"a": 300.0, "b": 900.0, "c": 600.0}
    yard = Yard(line_of([host("n", 4)], accounts, []), {})
    took = dict.fromkeys(weights, 0.0)
    for number in range(6000):
        for name in weights:
            key = f"{name}{number}"
            yard.lasts[key] = lasts[name]
            yard.line.join(job(key, name, 0, NOW + number, lasts_s=lasts[name]))

    while yard.now_s < NOW + 7 * 86400:
        yard.round()
        yard.next_end()
    for start in yard.order:
        took[start.project] += lasts[start.project]

    total, right = sum(took.values()), sum(weights.values())
    for name, weight in weights.items():
        assert abs(took[name] / total - weight / right) < 0.02


@settings(max_examples=80, deadline=None)
@given(wanted=_JOBS, rights=_FOUR_RIGHTS, machines=_MACHINES, data=st.data())
def test_the_order_of_arrival_of_messages_decides_nothing(
    wanted: list[tuple[str, int, float, float, bool]],
    rights: tuple[tuple[float, str, int], ...],
    machines: tuple[tuple[int, int], ...],
    data: st.DataObject,
) -> None:
    plain = _yard(wanted, rights, machines).line
    line = line_of(
        data.draw(st.permutations(list(plain.hosts.values()))),
        data.draw(st.permutations(list(plain.accounts.values()))),
        data.draw(st.permutations(list(plain.in_order(NOW)))),
    )

    assert [one.key for one in line.in_order(NOW)] == [one.key for one in plain.in_order(NOW)]
    assert line.decide(NOW) == plain.decide(NOW)


@settings(max_examples=120, deadline=None)
@given(
    levels=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    warmer=st.lists(st.integers(0, 4), min_size=4, max_size=4),
    critical=st.booleans(),
)
def test_a_hotter_machine_never_takes_more(
    levels: list[int], warmer: list[int], *, critical: bool
) -> None:
    def starts(now: list[int]) -> dict[str, int]:
        hosts = [host(f"n{i}", 2, 16, level) for i, level in enumerate(now)]
        line = line_of(hosts, [Account("a", quota=Quota(99))], [])
        for number in range(12):
            needs = Needs(memory_bytes=GIB, latency_critical=critical)
            line.join(Job(f"{number:02}", "a", needs, NOW))
        found = dict.fromkeys((one.name for one in hosts), 0)
        for start in line.decide(NOW):
            found[start.host] += 1
        return found

    hot = [max(level, more) for level, more in zip(levels, warmer, strict=False)]

    before, after = starts(levels), starts(hot)

    assert all(after[name] <= before[name] for name in before if hot[int(name[1:])] > 0)
    assert all(after[f"n{i}"] == 0 for i, level in enumerate(hot) if level >= 2)


def test_small_work_passes_only_where_the_first_is_not_delayed() -> None:
    big = Account("big", quota=Quota(9))
    small = Account("small", priority="low", quota=Quota(9))
    running = job("r", "small", 8, NOW - 100, lasts_s=1000.0, limit_s=2000.0)
    line = line_of([host("n", 3, 16)], [big, small], [running])
    line.decide(NOW)
    line.join(job("big", "big", 10, NOW + 1, lasts_s=500.0))
    line.join(job("long", "small", 4, NOW + 2, lasts_s=100.0, limit_s=5000.0))
    line.join(job("short", "small", 5, NOW + 3, lasts_s=100.0, limit_s=900.0))

    found = line.decide(NOW + 10)

    assert line.reservation is not None
    assert (line.reservation.key, line.reservation.at_s) == ("big", NOW + 1000)
    assert [start.key for start in found] == ["short"]


def test_what_has_left_and_comes_again_with_other_needs_starts_once() -> None:
    line = line_of([host("n", 3)], [Account("a", quota=Quota(9))], [job("j", "a", 1)])

    line.leave("a", "j")
    line.join(job("j", "a", 2, NOW + 1))

    assert [one.needs.memory_bytes for one in line.in_order(NOW)] == [2 * GIB]
    assert line.decide(NOW + 2) == [Start("j", "a", "n")]
    assert line.decide(NOW + 2) == []


def test_small_work_may_stay_beside_the_first_where_both_have_room() -> None:
    accounts = [Account("big", quota=Quota(9)), Account("small", priority="low", quota=Quota(9))]
    running = job("r", "small", 8, NOW - 100, lasts_s=1000.0)
    line = line_of([host("n", 3, 16)], accounts, [running])
    line.decide(NOW)
    line.join(job("big", "big", 10, NOW + 1))
    line.join(job("tiny", "small", 1, NOW + 2))

    assert [start.key for start in line.decide(NOW + 10)] == ["tiny"]


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (Account("a", quota=Quota(0)), "runs 0 of at most 0"),
        (Account("a", quota=Quota(9, memory_bytes=2 * GIB)), "[share].memory_gb"),
        (Account("a", quota=Quota(9, gpu_s=3600), gpu_s=3600), "[share].gpu_hours_per_day"),
        (Account("a", quota=Quota(9, energy_j=7200), energy_j=7300), "2.03 of 2 Wh"),
    ],
)
def test_each_quota_holds_and_says_its_limit(account: Account, words: str) -> None:
    needs = Needs(memory_bytes=4 * GIB, accelerator="mlx")

    assert line_of([host("n")], [account], [Job("j", "a", needs, NOW)]).decide(NOW) == []
    found = over_quota(account, needs)
    assert found is not None
    assert words in found[1]
