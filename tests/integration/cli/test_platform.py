# SPDX-License-Identifier: Apache-2.0
"""The command line on a real bus and a real service: what starts, restarts, survives, tells, and leaves nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
from pathlib import Path

import psutil
import pytest

from integration.cli.conftest import Platform, eventually
from mlops.chassis.bus_nats import NatsBus
from mlops.cli.home import read_json, write_json
from mlops.cli.supervisor import processes
from mlops.contracts.monitoring import PerformanceDegraded
from mlops.contracts.orchestration_bridge import WorkflowKind, WorkflowStarted

pytestmark = [pytest.mark.server, pytest.mark.timeout(240)]


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_up_outlives_its_terminal_and_down_leaves_nothing(platform: Platform) -> None:
    platform.up("nats", "workspaces")

    nats, workspaces = platform.status("nats"), platform.status("workspaces")
    pids = {nats["pid"], workspaces["pid"]}
    supervisor = platform.supervisor
    stopped = platform.run("down")

    assert (nats["state"], workspaces["state"]) == ("ready", "ready")
    assert nats["memory_bytes"] > 1_000_000
    assert supervisor is not None
    assert stopped.returncode == 0
    assert all(gone(pid) for pid in {*pids, supervisor})
    assert not (platform.home / "endpoints.json").exists()


def test_secrets_and_the_bus_configuration_are_private(platform: Platform) -> None:
    platform.up("nats")

    modes = {
        name: stat.S_IMODE((platform.home / name).stat().st_mode)
        for name in ("credentials.json", "nats/nats.conf", "supervisor.lock", ".")
    }

    assert modes == {
        "credentials.json": 0o600,
        "nats/nats.conf": 0o600,
        "supervisor.lock": 0o600,
        ".": 0o700,
    }


def test_a_second_up_joins_the_first(platform: Platform) -> None:
    platform.up("nats")
    before = platform.supervisor

    again = platform.run("up")

    assert again.returncode == 0
    assert "runs already" in again.stdout
    assert platform.supervisor == before


def test_a_killed_component_comes_back_at_the_same_address(platform: Platform) -> None:
    platform.up("nats", "workspaces")
    before = platform.status("nats")

    os.kill(before["pid"], signal.SIGKILL)
    eventually(
        lambda: (
            platform.status("nats")["restarts"] == 1 and platform.status("nats")["state"] == "ready"
        )
    )

    after = platform.status("nats")
    assert after["pid"] != before["pid"]
    assert after["address"] == before["address"]
    assert platform.status("workspaces")["restarts"] == 0


def test_down_ends_what_a_killed_supervisor_left(platform: Platform) -> None:
    platform.up("nats", "workspaces")
    children = {platform.status(name)["pid"] for name in ("nats", "workspaces")}
    supervisor = platform.supervisor
    assert supervisor is not None

    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: gone(supervisor))
    assert platform.processes() >= children
    stopped = platform.run("down")

    assert "leftover processes ended" in stopped.stdout
    assert all(gone(pid) for pid in children)


def test_up_after_a_killed_supervisor_starts_afresh(platform: Platform) -> None:
    platform.up("nats")
    old, supervisor = platform.status("nats")["pid"], platform.supervisor
    assert supervisor is not None

    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: gone(supervisor))
    platform.up("nats")

    assert gone(old)
    assert platform.status("nats")["state"] == "ready"


def test_the_daemon_stays_small(platform: Platform) -> None:
    platform.up("nats")
    supervisor = platform.supervisor
    assert supervisor is not None

    assert processes.memory_bytes(supervisor) < 50_000_000


def test_a_taken_port_moves_and_is_kept(platform: Platform) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        taken = held.getsockname()[1]
        platform.home.mkdir()
        write_json(platform.home / "ports.json", {"nats": taken, "nats_monitor": taken})

        platform.up("nats")
        address = read_json(platform.home / "endpoints.json")["nats"]
        platform.run("down")
    platform.up("nats")

    assert not address.endswith(f":{taken}")
    assert read_json(platform.home / "endpoints.json")["nats"] == address


def test_a_component_that_cannot_work_is_named_with_its_log_and_the_fix(platform: Platform) -> None:
    (platform.home / "nats").mkdir(parents=True)
    (platform.home / "nats" / "store").write_text("a file where the bus wants its folder")

    started = platform.run("up", "--only", "nats")

    assert started.returncode == 1
    assert "nats: ended with code" in started.stderr
    assert str(platform.home / "logs" / "nats.log") in started.stderr
    assert "fix:" in started.stderr


def test_damaged_credentials_stop_the_start_and_stay_as_they_are(platform: Platform) -> None:
    platform.home.mkdir()
    (platform.home / "credentials.json").write_text("{")

    started = platform.run("up", "--only", "nats")

    assert started.returncode == 1
    assert "restore it, or remove it" in started.stderr
    assert (platform.home / "credentials.json").read_text() == "{"


def test_logs_are_shown_per_component(platform: Platform) -> None:
    platform.up("nats")

    found = platform.run("logs", "nats", "-n", "200")

    assert "Server is ready" in found.stdout


def test_the_bus_is_told_and_explained(platform: Platform) -> None:
    platform.up("nats")
    cause = PerformanceDegraded.model_validate(
        {
            "project": "rain",
            "model": "rain",
            "version": 1,
            "metric": "accuracy",
            "value": 0.6,
            "threshold": 0.7,
            "window": WINDOW,
        }
    )
    effect = WorkflowStarted(
        project="rain",
        workflow_key="w-1",
        kind=WorkflowKind.RETRAIN,
        dag_id="rain__train",
        dag_run_id="w-1",
        waited_s=0.5,
    ).caused_by(cause, 0)
    asyncio.run(_say(platform.home, cause, effect))

    tail = platform.run("events", "tail", "--no-follow", "--since", "all")
    lines = platform.run("events", "tail", "--no-follow", "--type", "workflow.*", "--json")
    shown = platform.run("events", "show", cause.id, "--json")
    why = platform.run("explain", "w-1")
    tree = platform.run("explain", effect.id, "--json")

    assert [line.split()[1] for line in tail.stdout.splitlines()] == [
        "performance.degraded",
        "workflow.started",
    ]
    assert [json.loads(line)["id"] for line in lines.stdout.splitlines()] == [effect.id]
    assert json.loads(shown.stdout)["data"]["metric"] == "accuracy"
    assert why.stdout.index("performance.degraded") < why.stdout.index("workflow.started")
    assert [(one["id"], one["effects"][0]["asked"]) for one in json.loads(tree.stdout)] == [
        (cause.id, True)
    ]
    assert platform.run("explain", "nothing-like-it").returncode == 2
    assert platform.run("explain", "w-1", "--project", "rain").stdout == why.stdout
    elsewhere = platform.run("explain", "w-1", "--project", "snow")
    assert (elsewhere.returncode, elsewhere.stdout) == (2, "")
    assert "nothing of project 'snow' is called 'w-1'" in elsewhere.stderr


def test_dead_letters_are_listed_and_discarded(platform: Platform) -> None:
    platform.up("nats", "workspaces")
    asyncio.run(_say_nonsense(platform.home))
    eventually(lambda: len(json.loads(platform.run("events", "dlq", "list", "--json").stdout)) == 1)

    letter = json.loads(platform.run("events", "dlq", "list", "--json").stdout)[0]
    shown = platform.run("events", "dlq", "show", str(letter["number"]), "--json")
    discarded = platform.run("events", "dlq", "discard", str(letter["number"]))
    again = platform.run("events", "dlq", "discard", str(letter["number"]))

    assert (letter["service"], letter["subject"]) == ("workspaces", "cmd.project.archive.rain")
    assert json.loads(shown.stdout)["message"] == "no CloudEvent"
    assert discarded.returncode == 0
    assert again.returncode == 2


WINDOW = {
    "index": 1,
    "rows": 500,
    "first_at": "2026-01-01T00:00:00Z",
    "last_at": "2026-01-02T00:00:00Z",
}


async def _say(home: Path, *messages: PerformanceDegraded | WorkflowStarted) -> None:
    bus = await _bus(home)
    for message in messages:
        await bus.publish(message)
    await bus.stop()


async def _say_nonsense(home: Path) -> None:
    bus = await _bus(home)
    await bus.publish_bytes("cmd.project.archive.rain", b"no CloudEvent", "nonsense-1")
    await bus.stop()


async def _bus(home: Path) -> NatsBus:
    token = read_json(home / "credentials.json")["nats_token"]
    bus = NatsBus(read_json(home / "endpoints.json")["nats"], token=token, name="test")
    await bus.start()
    return bus
