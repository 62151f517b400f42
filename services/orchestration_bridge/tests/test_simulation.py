# SPDX-License-Identifier: Apache-2.0
"""The simulated installation: events come in order, work is conserved, and each scheduler does what its name says."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.orchestration_bridge.model.nodes import Reading
from mlops.orchestration_bridge.model.placement import GIB, Needs
from mlops.orchestration_bridge.simulation import baselines, fleets, trace
from mlops.orchestration_bridge.simulation.engine import MOVE_S, START_S, Engine
from mlops.orchestration_bridge.simulation.fleets import KINDS, Make
from mlops.orchestration_bridge.simulation.hearing import VARIANTS
from mlops.orchestration_bridge.simulation.machine import Machine
from mlops.orchestration_bridge.simulation.outcome import FIGURES, filled, outcome, percentile
from mlops.orchestration_bridge.simulation.production import Production
from mlops.orchestration_bridge.simulation.scheduler import EPOCH, SLOTS, Decision, Told, moment
from mlops.orchestration_bridge.simulation.trace import Group, Job, Lengths

GROUP = Group("p", Needs(1.0, GIB, "any"), 1.0, 1.0, 1.0)
LENGTHS = Lengths(60.0, 600.0, 1.1)


def make(name: str, kind: str = "studio") -> Make:
    return Make(name, KINDS[kind], 25.0, thermometer=True)


def job(key: str, at_s: float = 0.0, work: float = 220.0, group: Group = GROUP) -> Job:
    return Job(key, group, at_s, work, at_s + 1000.0)


@dataclass
class Scripted:
    """Starts and moves what it was told to, when it was told to; remembers what it heard."""

    starts: dict[str, str]
    leaves: dict[float, str] = field(default_factory=dict)
    name: str = "scripted"
    waiting: list[str] = field(default_factory=list)
    heard: list[tuple[datetime, str]] = field(default_factory=list)

    def arrived(self, job: Job, now: datetime) -> None:
        self.heard.append((now, f"arrived {job.key}"))
        self.waiting.append(job.key)

    def told(self, said: Told, now: datetime) -> None:
        assert said.at <= now
        self.heard.append((now, "told"))

    def ended(self, key: str, now: datetime) -> None:
        self.heard.append((now, f"ended {key}"))

    def left(self, key: str, now: datetime) -> None:
        self.heard.append((now, f"left {key}"))
        self.waiting.append(key)

    def decide(self, now: datetime) -> Decision:
        started, self.waiting = self.waiting, []
        due = [at_s for at_s in self.leaves if moment(at_s) <= now]
        return Decision(
            {key: self.starts[key] for key in started}, [self.leaves.pop(at_s) for at_s in due]
        )


def played(scheduler: Scripted, makes: Sequence[Make], jobs: Sequence[Job]) -> Engine:
    engine = Engine([Machine(one) for one in makes], jobs, 1)
    engine.run(scheduler)
    return engine


def test_a_job_begins_after_the_start_and_ends_after_its_work() -> None:
    engine = played(Scripted({"j": "s"}), [make("s")], [job("j", at_s=10.0)])

    assert engine.log.began_s == {"j": 10.0 + START_S}
    assert engine.log.done_s["j"] == pytest.approx(10.0 + START_S + 220.0 / KINDS["studio"].fast)


def test_what_is_heard_is_heard_in_order_of_time() -> None:
    jobs = [job(f"j{n}", at_s=7.3 * n) for n in range(6)]
    scheduler = Scripted({one.key: f"s{n % 2}" for n, one in enumerate(jobs)})

    played(scheduler, [make("s0", "air"), make("s1", "air")], jobs)

    times = [at for at, _ in scheduler.heard]
    assert times == sorted(times)
    assert times[0] >= EPOCH
    said = [what for _, what in scheduler.heard]
    assert all(said.index(f"arrived {one.key}") < said.index(f"ended {one.key}") for one in jobs)


def test_a_moved_job_keeps_its_work_and_pays_for_the_move() -> None:
    scheduler = Scripted({"j": "a"}, leaves={50.0: "j"})

    engine = played(scheduler, [make("a")], [job("j", work=440.0)])

    alone_s = START_S + 440.0 / KINDS["studio"].fast
    assert engine.log.moves == 1
    assert [stay.machine for stay in engine.log.stays] == ["a", "a"]
    assert engine.log.done_s["j"] == pytest.approx(alone_s + START_S + MOVE_S)
    assert engine.machines["a"].account.work == pytest.approx(440.0)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(1, 10_000),
    load=st.floats(0.2, 1.2),
    name=st.sampled_from([*VARIANTS, *baselines.BASELINES]),
)
def test_every_job_is_done_once_and_its_work_is_done_on_machines(
    seed: int, load: float, name: str
) -> None:
    makes = fleets.fleet("fanless", seed)
    jobs = trace.jobs(makes, load, LENGTHS, seed)[:25]
    engine = Engine([Machine(one) for one in makes], jobs, seed)

    log = engine.run(scheduler_of(name, makes, seed))

    assert set(log.done_s) == {one.key for one in jobs}
    done = sum(machine.work for machine in log.machines.values())
    assert done == pytest.approx(sum(one.work for one in jobs))
    for one in jobs:
        assert one.at_s < log.began_s[one.key] < log.done_s[one.key]
        assert log.done_s[one.key] - log.began_s[one.key] >= one.work / KINDS["air"].fast - 1e-6
    for stay in log.stays:
        beside = [
            other
            for other in log.stays
            if other.machine == stay.machine and other.since_s <= stay.since_s < other.until_s
        ]
        assert len(beside) <= SLOTS


def scheduler_of(name: str, makes: Sequence[Make], seed: int) -> Production | baselines.Greedy:
    if name in VARIANTS:
        return Production(makes, trace.mix(makes), VARIANTS[name](), name)
    return baselines.BASELINES[name](makes, seed)


def test_the_short_cut_of_rounds_in_which_nothing_starts_changes_no_start() -> None:
    makes = fleets.fleet("fanless", 3)
    jobs = trace.jobs(makes, 0.9, LENGTHS, 3)[:40]
    groups = trace.mix(makes)

    class Whole(Production):
        def _nothing_starts(self, now: datetime) -> bool:  # noqa: ARG002 - the parent's
            return False

    logs = [
        Engine([Machine(one) for one in makes], jobs, 3).run(
            kind(makes, groups, VARIANTS["ours"]())
        )
        for kind in (Production, Whole)
    ]

    assert logs[0].began_s == logs[1].began_s
    assert logs[0].stays == logs[1].stays


def told(machine: str, level: int, temp_c: float | None = None, busy: float = 1.0) -> Told:
    reading = Reading(
        level,
        window_s=10.0,
        boot_id=machine,
        memory_total=64 * GIB,
        memory_available=60 * GIB,
        accelerators=("mlx", "mps"),
        cpu_busy_ratio=busy,
        temp_c=temp_c,
    )
    return Told(machine, EPOCH, reading)


def decided(scheduler: baselines.Greedy | Production, *keys: str) -> list[str]:
    for key in keys:
        scheduler.arrived(job(key), EPOCH)
    starts = scheduler.decide(EPOCH).starts
    return [starts[key] for key in keys if key in starts]


THREE = (make("a"), make("b"), make("c"))


def test_round_robin_goes_round() -> None:
    assert decided(baselines.round_robin(THREE, 1), *"123456") == ["a", "b", "c"] * 2


def test_least_loaded_takes_the_one_with_fewest_jobs() -> None:
    scheduler = baselines.least_loaded(THREE, 1)
    assert decided(scheduler, "1", "2", "3", "4") == ["a", "b", "c", "a"]

    scheduler.ended("2", EPOCH)

    assert decided(scheduler, "5") == ["b"]


def test_the_coolest_of_the_least_loaded_is_taken() -> None:
    scheduler = baselines.coolest(THREE, 1)
    for name, temp_c in (("a", 80.0), ("b", 40.0), ("c", 60.0)):
        scheduler.told(told(name, 0, temp_c), EPOCH)

    assert decided(scheduler, "1", "2", "3", "4") == ["b", "c", "a", "b"]


def test_cooldown_leaves_a_hot_machine_alone_for_two_minutes() -> None:
    scheduler = baselines.cooldown(THREE[:1], 1)
    scheduler.told(told("a", 2), EPOCH)

    assert decided(scheduler, "1") == []
    assert scheduler.decide(EPOCH + timedelta(seconds=119)).starts == {}
    assert scheduler.decide(EPOCH + timedelta(seconds=130)).starts == {"1": "a"}


def test_cooldown_draws_lots() -> None:
    found = {tuple(decided(baselines.cooldown(THREE, seed), *"123")) for seed in range(12)}

    assert len(found) > 3


@pytest.mark.parametrize("name", sorted(baselines.BASELINES))
def test_no_baseline_overfills_a_machine(name: str) -> None:
    large = replace(GROUP, needs=Needs(1.0, 60 * GIB, "any"))
    scheduler = baselines.BASELINES[name](THREE[:1], 1)
    scheduler.arrived(job("1", group=large), EPOCH)
    scheduler.arrived(job("2", group=large), EPOCH)
    scheduler.arrived(job("3"), EPOCH)
    scheduler.arrived(job("4"), EPOCH)

    assert sorted(scheduler.decide(EPOCH).starts) == ["1", "3"]


@pytest.mark.parametrize(
    ("variant", "busy", "starts"),
    [
        ("ours", 1.0, []),
        ("blind", 1.0, ["a"]),
        ("penalising", 1.0, ["a"]),
        ("resting", 1.0, []),
        ("resting", 0.0, ["a"]),
        ("draining", 1.0, []),
    ],
)
def test_each_variant_hears_of_heat_in_its_own_way(
    variant: str, busy: float, starts: list[str]
) -> None:
    scheduler = Production(THREE[:1], [GROUP], VARIANTS[variant](), variant)
    scheduler.told(told("a", 2, busy=busy), EPOCH)

    assert decided(scheduler, "1") == starts


def test_draining_lets_what_runs_leave_for_a_cooler_machine() -> None:
    scheduler = Production(THREE[:2], [GROUP], VARIANTS["draining"](), "draining")
    asked, now = list[str](), EPOCH
    scheduler.told(told("a", 0), now)
    assert decided(scheduler, "1") == ["a"]

    for seconds in range(10, 600, 10):
        now = EPOCH + timedelta(seconds=seconds)
        for name, level in (("a", 2), ("b", 0)):
            scheduler.told(replace(told(name, level), at=now), now)
        asked += scheduler.decide(now).leaves

    assert asked == ["1"]
    scheduler.left("1", now)
    assert scheduler.decide(now).starts == {"1": "b"}


def test_what_can_never_run_is_not_silently_lost() -> None:
    scheduler = Production(THREE, [GROUP], VARIANTS["ours"]())
    for one in THREE:
        scheduler.told(told(one.name, 0), EPOCH)
    scheduler.queues["p"] = replace(
        scheduler.queues["p"],
        policy=replace(scheduler.queues["p"].policy, needs=Needs(memory_bytes=900 * GIB)),
    )

    with pytest.raises(ValueError, match="900 GiB"):
        scheduler.arrived(job("1"), EPOCH)


def test_load_is_what_comes_by_what_the_machines_could_do() -> None:
    makes = fleets.fleet("mixed", 1)
    pace = sum(one.kind.fast for one in makes)

    ratios = []
    for seed in range(60):
        come = trace.jobs(makes, 0.7, trace.Lengths(60.0, 600.0, 1.1), seed)
        until_s = trace.ARRIVALS_S if len(come) < trace.MOST_JOBS else come[-1].at_s
        ratios.append(sum(one.work for one in come) / (until_s * pace))

    assert sum(ratios) / len(ratios) == pytest.approx(0.7, rel=0.05)


def test_lengths_are_heavy_tailed_and_have_the_mean_they_say() -> None:
    lengths = trace.JOBS["heavy-tailed"]
    dice = random.Random(1)  # noqa: S311 - lengths, not secrets
    drawn = sorted(lengths.drawn(dice) for _ in range(40_000))

    assert lengths.least <= drawn[0]
    assert drawn[-1] <= lengths.most
    assert sum(drawn) / len(drawn) == pytest.approx(lengths.mean, rel=0.03)
    longest_tenth = sum(drawn[-4000:]) / sum(drawn)
    assert longest_tenth > 0.4


def test_every_figure_is_of_the_run() -> None:
    jobs = [job("1", at_s=0.0, work=220.0), job("2", at_s=10.0, work=2200.0)]
    engine = played(Scripted({"1": "a", "2": "b"}), [make("a"), make("b")], jobs)

    found = outcome(engine.log, jobs)

    assert set(found) == {figure.key for figure in FIGURES}
    assert found["makespan_s"] == pytest.approx(10 + START_S + 1000)
    assert found["completion_mean_s"] == pytest.approx((103 + 1003) / 2)
    assert found["wait_mean_s"] == pytest.approx(START_S)
    assert found["late_ratio"] == 0.5
    assert found["slowed_s"] == found["onsets"] == found["moves"] == 0
    watts = KINDS["studio"].body.dynamic_w
    assert found["work_wh"] == pytest.approx(watts * 1100 / 3600, rel=0.01)


def test_max_min_gives_nobody_more_than_it_asked_for() -> None:
    found = filled({"a": 10.0, "b": 100.0, "c": 100.0}, {"a": 5.0, "b": 1.0, "c": 2.0}, 100.0)

    assert found == pytest.approx({"a": 10.0, "b": 30.0, "c": 60.0})


def test_a_percentile_lies_between_two_values() -> None:
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0
    assert percentile([0.0, 10.0], 0.95) == pytest.approx(9.5)
    assert all(a <= b for a, b in pairwise(percentile([3.0, 5.0, 8.0], p / 10) for p in range(11)))
