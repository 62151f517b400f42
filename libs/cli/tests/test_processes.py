# SPDX-License-Identifier: Apache-2.0
"""Which processes belong to an installation, by four signs; and that they really end."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from mlops.cli.supervisor import processes
from mlops.cli.supervisor.processes import Seen


def machine(*seen: Seen) -> dict[int, Seen]:
    return {one.pid: one for one in seen}


def seen(pid: int, parent: int = 1, session: int = 0, created: float = 100.0, **more: str) -> Seen:
    return Seen(
        pid,
        parent,
        session or pid,
        created,
        more.get("command", ""),
        more.get("home", ""),
        more.get("component", ""),
    )


def test_a_process_that_bears_the_mark_belongs() -> None:
    found = processes.belonging(
        machine(seen(10, home="/h"), seen(11, home="/other"), seen(12)), home="/h"
    )

    assert found == {10}


def test_the_mark_of_a_component_tells_components_apart() -> None:
    all_of_it = machine(seen(10, home="/h", component="ray"), seen(11, home="/h", component="nats"))

    assert processes.belonging(all_of_it, home="/h", component="ray") == {10}


def test_whole_families_belong() -> None:
    all_of_it = machine(seen(10, home="/h"), seen(11, parent=10), seen(12, parent=11), seen(13))

    assert processes.belonging(all_of_it, home="/h") == {10, 11, 12}


def test_orphans_of_a_recorded_session_belong_though_its_leader_died() -> None:
    assert processes.belonging(machine(seen(11, session=10), seen(12)), roots={10: 95.0}) == {11}


def test_a_reused_pid_and_its_session_do_not_belong() -> None:
    later = machine(seen(10, created=9999.0), seen(11, session=10, created=9999.5))

    assert processes.belonging(later, roots={10: 95.0}) == set()


def test_a_path_on_the_command_line_belongs() -> None:
    found = processes.belonging(
        machine(seen(10, command="haproxy -f /tmp/mlops-1/haproxy.cfg"), seen(11, command="vi")),
        markers=["/tmp/mlops-1", ""],  # noqa: S108 - text only
    )

    assert found == {10}


def test_the_asking_process_and_its_parents_never_belong() -> None:
    mine = os.getpid()
    all_of_it = machine(seen(mine, parent=10, home="/h"), seen(10, home="/h"), seen(11, home="/h"))

    assert processes.belonging(all_of_it, home="/h") == {11}


def test_a_process_that_ignores_the_request_is_killed() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        started = processes.created(stubborn.pid)

        left = processes.end([stubborn.pid], 0.2)

        assert left == []
        assert not processes.alive(stubborn.pid, started)


def test_what_the_dying_start_is_ended_too() -> None:
    child = subprocess.Popen(["sleep", "60"])
    then = subprocess.Popen(["sleep", "60"])
    found = [{child.pid}, {then.pid}, set[int](), {0}]

    ended, left = processes.end_all(lambda: found.pop(0), 5.0)

    assert (ended, left) == ({child.pid, then.pid}, [])
    assert [child.wait(5), then.wait(5)] == [-15, -15]
    assert found == [{0}]


def test_what_cannot_be_ended_is_told() -> None:
    nobody = 2**22 + 1  # above the highest pid of a Linux
    _, left = processes.end_all(lambda: {nobody}, 0.1)

    assert left == [nobody]


def test_what_is_below_a_process_is_found_without_itself() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60; true"]) as shell:
        deadline = time.monotonic() + 5
        while len(found := processes.below(shell.pid)) != 1:
            assert time.monotonic() < deadline
        processes.end([shell.pid, *found], 1.0)

    assert shell.pid not in found


def test_a_living_process_is_known_by_pid_and_start() -> None:
    mine = os.getpid()
    started = processes.created(mine)

    assert processes.alive(mine, started)
    assert not processes.alive(mine, started - 3600)
    assert not processes.alive(None, None)


def test_a_child_is_found_by_its_mark() -> None:
    marked = {**os.environ, processes.HOME_MARK: "/some/home", processes.COMPONENT_MARK: "nats"}
    with subprocess.Popen(["sleep", "60"], env=marked, start_new_session=True) as child:
        deadline = time.monotonic() + 5
        while child.pid not in (found := processes.belonging(processes.scan(), home="/some/home")):
            assert time.monotonic() < deadline
        child.kill()

    assert found == {child.pid}


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells proportional shares"
)
def test_memory_is_a_share_not_a_sum() -> None:
    mine = processes.memory_bytes(os.getpid())

    assert 1_000_000 < mine < 4_000_000_000
