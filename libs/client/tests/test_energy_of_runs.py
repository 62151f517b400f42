# SPDX-License-Identifier: Apache-2.0
"""What a run takes of its machine's energy, in numbers that can be checked by hand; and who shares it with whom."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.client.hardware import tree
from mlops.client.hardware.crowd import Crowd
from mlops.client.hardware.effort import Effort
from mlops.client.hardware.energy import Drawn, Work, closed, drawn
from mlops.client.hardware.neighbours import Neighbours, accelerated

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def sample(seq: int, **parts: Any) -> dict[str, Any]:
    """A sample of a ten second window, one after the other."""
    at = NOW + timedelta(seconds=10 * seq)
    given = {"boot_id": "b", "seq": seq, "observed_at": at.isoformat(), "window_s": 10.0}
    return {**given, **parts}


def apple(seq: int, package_j: float | None = None, **parts: Any) -> dict[str, Any]:
    energy = {} if package_j is None else {"package_j": package_j, "measured": True}
    return sample(seq, chip={"vendor": "apple", "cores": 8}, energy=energy, **parts)


def summed(*told: tuple[Mapping[str, Any], Work], end: Work | None = None) -> Drawn:
    found = Drawn()
    for one, work in told:
        found = drawn(found, one, work)
    return closed(found, end) if end else found


ALONE = Work(10, 10, busy_s=10)


def test_counters_are_compared_and_the_edges_of_the_run_are_power_times_time() -> None:
    draws: dict[str, Any] = {"power": {"package_w": 20.0}}

    found = summed(
        (apple(1, 1000, **draws), Work(4, 4, 4)),
        (apple(2, 1250, **draws), ALONE),
        (apple(3, 1400, **draws), ALONE),
        end=Work(5, 5, 5),
    )

    assert found.taken.joules == 4 * 20 + 250 + 150 + 5 * 20
    assert (found.covered_s, found.taken.known_s, found.taken.measured_s) == (29, 20, 20)


def test_the_share_is_that_of_processor_time() -> None:
    # 5 of the 20 busy processor seconds were this process's, then all of them.
    found = summed(
        (apple(1, 0), Work(0, 0)),
        (apple(2, 100), Work(10, 5, busy_s=20)),
        (apple(3, 200), Work(10, 40, busy_s=35)),
    )

    assert found.taken.joules == 25 + 100
    assert found.taken.machine_j == 200


def test_the_agents_word_about_busy_counts_where_the_kernel_gives_none() -> None:
    found = summed((apple(1, 0), Work(0, 0)), (apple(2, 100, cpu_busy_ratio=0.5), Work(10, 10)))

    assert found.taken.joules == 100 * 10 / 40


def test_who_uses_the_accelerator_has_an_equal_part_of_it() -> None:
    first = apple(1, 0) | {"energy": {"package_j": 0, "gpu_j": 0}}
    then = apple(2) | {"energy": {"package_j": 100, "gpu_j": 60}}

    alone = summed((first, Work(0, 0)), (then, Work(10, 1, busy_s=4, accelerator=1)))
    shared = summed((first, Work(0, 0)), (then, Work(10, 1, busy_s=4, accelerator=0.5)))
    none = summed((first, Work(0, 0)), (then, Work(10, 1, busy_s=4)))

    assert [one.taken.joules for one in (alone, shared, none)] == [10 + 60, 10 + 30, 10]


@given(
    package_j=st.floats(0, 2e5),
    gpu_j=st.floats(0, 2e5),
    busy_s=st.floats(0.1, 80),
    parts=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    accelerated=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_processes_together_take_no_more_than_the_machine(
    package_j: float, gpu_j: float, busy_s: float, parts: list[float], accelerated: list[bool]
) -> None:
    before = sample(1, energy={"package_j": 0.0, "gpu_j": 0.0}, chip={"cores": 8})
    after = sample(2, energy={"package_j": package_j, "gpu_j": gpu_j}, chip={"cores": 8})
    users = sum(accelerated[: len(parts)]) or 1
    whole = sum(parts) or 1.0

    taken = [
        summed(
            (before, Work(0, 0)),
            (after, Work(10, busy_s * part / max(whole, 1.0), busy_s, 1.0, uses / users)),
        ).taken
        for part, uses in zip(parts, accelerated, strict=False)
    ]

    assert sum(one.joules for one in taken) <= (package_j + gpu_j) * (1 + 1e-9) + 1e-6
    assert all(one.machine_j == pytest.approx(package_j + gpu_j) for one in taken)


def test_two_runs_of_a_process_have_half_of_it_each() -> None:
    half = Work(10, 10, busy_s=10, own=0.5)

    found = summed((apple(1, 0), Work(0, 0)), (apple(2, 100), half))

    assert (found.taken.joules, found.taken.machine_j) == (50, 100)


def test_a_lost_sample_loses_nothing_where_counters_grow() -> None:
    found = summed((apple(1, 0), Work(0, 0)), (apple(6, 500), Work(50, 50, busy_s=50)))

    assert (found.taken.joules, found.taken.known_s) == (500, 50)


def test_nothing_is_invented_over_a_gap_where_nothing_is_counted() -> None:
    draws: dict[str, Any] = {"power": {"package_w": 10.0}}

    found = summed((apple(1, **draws), Work(10, 10, 10)), (apple(11, **draws), Work(100, 100, 100)))

    assert (found.taken.joules, found.covered_s) == (200, 20)


def test_an_agent_that_starts_again_costs_only_what_nobody_saw() -> None:
    again = apple(1, 30, boot_id="c")

    found = summed((apple(90, 9000), Work(0, 0)), (again, ALONE))

    assert (found.taken.joules, found.taken.known_s) == (30, 10)


def test_runs_of_a_process_share_its_time_and_the_innermost_has_it() -> None:
    clock = Clock()
    crowd = Crowd(clock)
    crowd.join("outer")
    clock.now_s = 10
    crowd.join("inner", "outer")
    clock.now_s = 14
    crowd.join("beside")
    clock.now_s = 20

    assert [crowd.own_s(name) for name in ("outer", "inner", "beside")] == [10, 7, 3]
    crowd.leave("inner")
    crowd.leave("inner")
    clock.now_s = 24
    assert [crowd.own_s(name) for name in ("outer", "inner", "beside")] == [12, 0, 5]
    crowd.forget()
    assert crowd.own_s("outer") == 0


def test_neighbours_are_counted_while_they_live(tmp_path: Path) -> None:
    (tmp_path / "1").touch()  # lives as long as the machine
    (tmp_path / "999999999").touch()
    (tmp_path / "notes.txt").touch()
    here = Neighbours(tmp_path)

    assert here.count() == 2
    assert {one.name for one in tmp_path.iterdir()} == {"1", str(os.getpid()), "notes.txt"}
    here.leave()
    here.leave()
    assert not (tmp_path / str(os.getpid())).exists()
    file = tmp_path / "file"
    file.touch()
    assert Neighbours(file / "below").count() == 1


def test_the_time_of_children_counts_while_they_run_and_after() -> None:
    before = tree.tree_s()
    code = (
        "import time\nt = time.process_time()\nwhile time.process_time() - t < 0.4: pass\ninput()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while tree.tree_s() - before < 0.4 and time.monotonic() < deadline:
        time.sleep(0.02)
    running = tree.tree_s() - before

    child.communicate(b"\n")

    assert running >= 0.4
    assert tree.tree_s() - before >= running - 0.05
    assert not accelerated([os.getpid(), 999_999_999])


def test_effort_is_what_was_done_since_it_was_asked_before(tmp_path: Path) -> None:
    clock = Clock()
    crowd = Crowd(clock)
    effort = Effort("a", "", crowd, Neighbours(tmp_path), clock)
    crowd.join("b")
    clock.now_s = 10

    work = effort.since_last()
    effort.end()

    assert (work.passed_s, work.own, work.accelerator) == (10, 0.5, 0)
    assert work.core_s >= 0
    assert crowd.own_s("a") == 0
