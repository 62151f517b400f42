# SPDX-License-Identifier: Apache-2.0
"""A process that leaves its session, its title and its environment behind ends all the same, and nobody else does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlops.cli.home import Home, read_json
from mlops.cli.supervisor import launch, processes

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux gives orphans back to the supervisor"
)

# What a daemon does: two forks, a session of its own, nothing inherited, and it does not end when asked.
DAEMON = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
time.sleep(100)
"""
COMPONENT = f"""
import os, sys, time
pids, ready = sys.argv[1:]
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        os.execve(sys.executable, ["innocent", "-c", {DAEMON!r}, pids], {{}})
    if "stays" in pids:
        time.sleep(100)
    os._exit(0)
open(ready, "w").close()
time.sleep(100)
"""
SUPERVISOR = """
import asyncio, fcntl, json, os, sys
from pathlib import Path
from mlops.cli.home import Home
from mlops.cli.supervisor.component import Component, Gate
from mlops.cli.supervisor.daemon import Daemon

home = Home(Path(sys.argv[1]))
lock = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(lock, fcntl.LOCK_EX)
os.write(lock, str(os.getpid()).encode())
components = [
    Component(name, (sys.executable, "-c", *rest), Gate(file=Path(rest[-1]), within_s=20, shut_s=1))
    for name, *rest in json.loads(sys.argv[2])
]
asyncio.run(Daemon(home, components, dict(os.environ)).run())
"""


@dataclass
class Supervised:
    """A real supervisor over components made for this."""

    home: Home
    process: subprocess.Popen[bytes]

    def pids(self, component: str) -> list[int]:
        """Return the daemons that a component has started so far."""
        path = self.home.root / component
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def status(self, component: str) -> dict[str, Any]:
        told: list[dict[str, Any]] = read_json(self.home.state).get("components", [])
        return next((one for one in told if one["name"] == component), {})

    def written_down(self) -> set[int]:
        return {pid for pid, _ in read_json(self.home.state).get("past", [])}


@pytest.fixture
def supervise(
    tmp_path: Path,
    leaves_nothing: None,  # noqa: ARG001 - it looks last
) -> Iterator[Callable[..., Supervised]]:
    home = Home(tmp_path)
    home.logs.mkdir()
    running: list[Supervised] = []

    def start(*names: str) -> Supervised:
        components = [
            (name, COMPONENT, str(tmp_path / name), str(tmp_path / f"{name}.ready"))
            for name in names
        ]
        command = [sys.executable, "-c", SUPERVISOR, str(tmp_path), json.dumps(components)]
        with home.log("supervisor").open("ab") as log:
            process = subprocess.Popen(command, stderr=log, start_new_session=True)
        found = Supervised(home, process)
        running.append(found)
        eventually(lambda: all(found.pids(name) for name in names))
        eventually(lambda: all(found.status(name).get("state") == "ready" for name in names))
        return found

    yield start
    for one in running:
        one.process.terminate()
        one.process.wait(60)


def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.05)


def lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@linux
def test_what_a_killed_component_left_ends_before_it_starts_again(
    supervise: Callable[..., Supervised],
) -> None:
    platform = supervise("one", "other")
    [orphan] = platform.pids("one")

    os.kill(platform.status("one")["pid"], signal.SIGKILL)
    eventually(lambda: len(platform.pids("one")) == 2)

    assert not lives(orphan)
    eventually(lambda: not psutil.pid_exists(orphan))  # buried, too
    assert lives(platform.pids("one")[1])
    assert platform.status("other")["restarts"] == 0


def test_a_component_that_is_ready_no_more_starts_again(
    supervise: Callable[..., Supervised],
) -> None:
    platform = supervise("one", "other")
    before = platform.status("one")["pid"]

    (platform.home.root / "one.ready").unlink()
    eventually(lambda: platform.status("one")["restarts"] == 1)
    eventually(lambda: platform.status("one")["state"] == "ready")

    assert platform.status("one")["pid"] != before
    assert platform.status("other")["restarts"] == 0


@linux
def test_a_neighbours_daemon_that_was_seen_before_is_left_alone(
    supervise: Callable[..., Supervised],
) -> None:
    platform = supervise("one-stays", "other-stays")
    [orphan], [neighbour] = platform.pids("one-stays"), platform.pids("other-stays")
    eventually(lambda: {orphan, neighbour} <= platform.written_down())

    os.kill(psutil.Process(neighbour).ppid(), signal.SIGKILL)
    os.kill(platform.status("one-stays")["pid"], signal.SIGKILL)
    eventually(lambda: len(platform.pids("one-stays")) == 2)

    assert not lives(orphan)
    assert lives(neighbour)


@linux
def test_nothing_lives_after_the_supervisor_has_stopped(
    supervise: Callable[..., Supervised],
) -> None:
    platform = supervise("one", "other")
    daemons = [*platform.pids("one"), *platform.pids("other")]

    platform.process.send_signal(signal.SIGTERM)
    platform.process.wait(60)

    assert [pid for pid in daemons if lives(pid)] == []
    assert platform.written_down() == set()


@linux
def test_down_ends_what_a_killed_supervisor_had_written_down(
    supervise: Callable[..., Supervised],
) -> None:
    platform = supervise("one")
    daemons = platform.pids("one")
    eventually(lambda: platform.written_down() >= set(daemons))

    platform.process.kill()
    platform.process.wait(10)
    assert [pid for pid in daemons if lives(pid)] == daemons
    launch.stop(platform.home)

    assert [pid for pid in daemons if lives(pid)] == []
    assert platform.written_down() == set()


def test_a_stranger_in_the_same_place_is_left_alone(
    supervise: Callable[..., Supervised], tmp_path: Path
) -> None:
    platform = supervise("one")
    with subprocess.Popen(["sleep", "100"], cwd=tmp_path, start_new_session=True) as stranger:
        platform.process.send_signal(signal.SIGTERM)
        platform.process.wait(60)
        launch.stop(platform.home)

        assert lives(stranger.pid)
        stranger.kill()


def test_a_dead_process_that_nobody_waits_for_is_no_reason_to_wait() -> None:
    with subprocess.Popen(["sleep", "100"]) as child:
        began = time.monotonic()

        left = processes.end([child.pid], 10.0)

        assert left == []
        assert time.monotonic() - began < 8
