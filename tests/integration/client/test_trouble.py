# SPDX-License-Identifier: Apache-2.0
"""Servers and clients that die, disks that fail, runs that are shared: nothing is lost and nothing is there twice."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mlops.client import MLOpsClient

pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(240)]

LOG_FOREVER = """
run = client.start_run(os.environ["NAME"], hardware=False)
print(run.ref)
for step in range(1_000_000):
    run.log_metrics({"loss": step / 3}, step=step)
    print(step)
    time.sleep(0.0005)
"""


def test_server_and_clients_are_killed_again_and_again(shaky: Any) -> None:
    shaky.server.start()
    # MLflow makes its tables at the first call, and cannot repair them when it is killed meanwhile.
    shaky.server.call("POST", "experiments/search", json={"max_results": 1})
    over = threading.Event()
    chance = random.Random(7)  # noqa: S311 - guards nothing

    def kill_the_server() -> None:
        while not over.wait(chance.uniform(0.5, 2)):
            shaky.server.kill()
            shaky.server.start()

    killer = threading.Thread(target=kill_the_server)
    killer.start()
    logged: dict[str, int] = {}
    for number in range(6):
        child = shaky.program(LOG_FOREVER, NAME=f"r{number}")
        ref = next(line.strip() for line in child.stdout if not line.startswith("mlops:"))
        time.sleep(chance.uniform(0.3, 2))
        child.kill()
        steps = [line for line in child.stdout.read().split() if line.isdigit()]
        child.wait()
        child.stdout.close()
        logged[ref] = int(steps[-1]) + 1 if steps else 0
    over.set()
    killer.join()
    shaky.flush(120)

    left = shaky.listing()
    assert (left.journals, left.refused) == ((), ())
    found = {ref: shaky.points(shaky.run_of(ref)) for ref in logged}
    lost = {ref: sorted(set(range(count)) - set(found[ref])) for ref, count in logged.items()}
    assert lost == {ref: [] for ref in logged}
    assert all(len(steps) == len(set(steps)) for steps in found.values())
    assert {shaky.status(shaky.run_of(ref)) for ref in logged} == {"KILLED"}
    assert shaky.listing().journals == ()
    assert sum(logged.values()) > 500


def test_run_that_begins_without_a_server_is_there_once_the_server_is(
    shaky: Any, shaky_client: MLOpsClient
) -> None:
    with shaky_client.start_run("offline", hardware=False) as run:
        for step in range(50):
            run.log_metrics({"loss": step}, step=step)
        nothing_yet = run.run_id
        with shaky_client.start_run("inner", nested=True, hardware=False) as inner:
            inner.log_metric("loss", 1.0)
        shaky.server.start()
        run_id = run.wait_for_id(60)
        inner_id = inner.wait_for_id(60)

    assert nothing_yet is None
    assert shaky.points(run_id) == list(range(50))
    assert shaky.tags(inner_id)["mlflow.parentRunId"] == run_id
    assert shaky.status(inner_id) == "FINISHED"


def test_next_client_delivers_what_a_dead_one_left(shaky: Any, shaky_client: MLOpsClient) -> None:
    said = shaky.run(
        "run = client.start_run('dead', hardware=False)\n"
        "for step in range(20): run.log_metric('loss', step, step=step)\n"
        "run.log_artifact(os.environ['FILE'])\n"
        "print(run.ref, flush=True); os._exit(9)",
        status=9,
        FILE=__file__,
    )
    ref = said.split()[-1]
    shaky.server.start()

    with shaky_client.start_run("next", hardware=False) as run:
        run.flush()
        deadline = time.monotonic() + 60
        while len(shaky.listing().journals) > 1 and time.monotonic() < deadline:
            time.sleep(0.1)

    dead = shaky.run_of(ref)
    assert shaky.points(dead) == list(range(20))
    assert shaky.status(dead) == "KILLED"
    assert list((shaky.server.folder / "artifacts").rglob(f"{dead}/**/test_trouble.py"))


@pytest.mark.parametrize(
    ("ending", "status", "exit_status"),
    [
        ("pass", "KILLED", 0),
        ("os.kill(os.getpid(), 15); time.sleep(30)", "KILLED", 143),
        ("sys.exit(3)", "KILLED", 3),
        ("run.end()", "FINISHED", 0),
    ],
)
def test_run_that_is_left_open_is_ended_with_the_interpreter(
    place: Any, ending: str, status: str, exit_status: int
) -> None:
    said = place.run(
        f"run = client.start_run(hardware=False); run.log_metric('loss', 1.0)\n"
        f"print(run.run_id)\n{ending}",
        exit_status,
    )

    run_id = next(word for word in said.split() if len(word) == 32)
    assert place.status(run_id) == status
    assert place.points(run_id) == [0]
    assert place.listing().journals == ()


def test_sigterm_in_a_block_kills_the_run_and_handlers_of_others_are_left_alone(place: Any) -> None:
    said = place.run(
        "import signal\n"
        "with client.start_run(hardware=False) as run: pass\n"
        "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)\n"
        "mine = lambda *_: print('mine')\n"
        "signal.signal(signal.SIGTERM, mine)\n"
        "with client.start_run(hardware=False) as run:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "print(signal.getsignal(signal.SIGTERM) is mine)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "with client.start_run(hardware=False) as run:\n"
        "    print(run.run_id)\n"
        "    os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)\n",
        143,
    )

    first, mine, second, run_id = said.split()[:4]
    assert (first, mine, second) == ("True", "mine", "True")
    assert place.status(run_id) == "KILLED"


def test_environment_names_a_run_that_is_joined_and_ended_as_mlflow_does(
    place: Any, client: MLOpsClient
) -> None:
    script = (
        "with client.start_run(hardware=False) as run: run.log_metric('loss', 1.0, step=1)\n"
        "print(run.run_id, 'MLFLOW_RUN_ID' in os.environ)\n"
        "with client.start_run(hardware=False) as other: print(other.run_id != run.run_id)\n"
    )
    made = place.server.call(
        "POST", "runs/create", "rain", json={"experiment_id": _experiment(client)}
    )
    run_id = made["run"]["info"]["run_id"]

    said = place.run(script, MLFLOW_RUN_ID=run_id)

    assert said.split() == [run_id, "False", "True"]
    assert place.status(run_id) == "FINISHED"
    assert place.points(run_id) == [1]


def test_subprocess_and_parent_log_to_one_run_and_the_parent_ends_it(
    place: Any, client: MLOpsClient
) -> None:
    script = (
        "with client.start_run(hardware=False) as run:\n"
        "    for step in range(500): run.log_metric('loss', 0.5, step=1000 + step)\n"
    )

    with client.start_run(hardware=False) as run:
        children = [place.program(script, **run.environment()) for _ in range(2)]
        for step in range(500):
            run.log_metric("loss", 0.5, step=step)
        for child in children:
            said, _ = child.communicate(timeout=60)
            assert child.returncode == 0, said
        status = place.status(run.run_id)

    assert status == "RUNNING"
    assert place.status(run.run_id) == "FINISHED"
    assert set(place.points(run.run_id)) == {*range(500), *range(1000, 1500)}


def test_forked_children_log_to_the_run_of_their_parent(place: Any) -> None:
    said = place.run(
        "with client.start_run(hardware=False) as run:\n"
        "    run.log_metric('loss', 1.0, step=0)\n"
        "    children = []\n"
        "    for number in range(3):\n"
        "        child = os.fork()\n"
        "        if child == 0:\n"
        "            for step in range(100): client.log_metric('loss', 1.0, step=1 + number * 100 + step)\n"
        "            os._exit(0)\n"
        "        children.append(child)\n"
        "    for child in children: os.waitpid(child, 0)\n"
        "    run.log_metric('loss', 1.0, step=301)\n"
        "print(run.run_id)\n"
    )
    place.flush()

    run_id = said.split()[-1]
    assert place.points(run_id) == list(range(302))
    assert place.status(run_id) == "FINISHED"
    assert place.listing().journals == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_spool_keeps_everything_in_memory_and_says_so(place: Any) -> None:
    place.spool.mkdir()
    place.spool.chmod(0o500)

    said = place.run(LOG_A_FEW)

    place.spool.chmod(0o700)
    assert "cannot be written" in said
    assert place.points(said.split()[-1]) == list(range(100))


def test_spool_that_cannot_be_made_keeps_everything_in_memory_and_says_so(
    place: Any, tmp_path: Path
) -> None:
    (tmp_path / "spool").write_text("in the way")

    said = place.run(LOG_A_FEW)

    assert "cannot be written" in said
    assert place.points(said.split()[-1]) == list(range(100))


LOG_A_FEW = (
    "with client.start_run(hardware=False) as run:\n"
    "    for step in range(100): run.log_metric('loss', 1.0, step=step)\n"
    "print(run.run_id)\n"
)


def test_full_spool_drops_metrics_only_counts_them_and_tells(
    shaky: Any, shaky_client: MLOpsClient, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setenv("MLOPS_SPOOL_MAX_MB", "0.2")
    kept = 20_000

    with shaky_client.start_run(hardware=False) as run:
        for step in range(kept):
            run.log_metrics({"loss": step}, step=step)
        run.log_params({"after": "full"})
        shaky.server.start()
        told = run.flush(60)
        run.end()

    run_id = str(run.run_id)
    points = shaky.points(run_id)
    assert told.dropped > 0
    assert len(points) == kept - told.dropped
    assert points == list(range(len(points)))
    assert shaky.params(run_id) == {"after": "full"}
    assert shaky.tags(run_id)["mlops.dropped_metrics"] == str(told.dropped)
    assert sum("is full" in one.getMessage() for one in caplog.records) == 1


def test_what_is_still_spooled_is_said_plainly(shaky: Any) -> None:
    said = shaky.run(
        "run = client.start_run(hardware=False); run.log_metric('loss', 1.0)\n"
        "told = client.flush(0.5); print(told.waiting, told.complete)\n"
        "client.close(); run.end()\n",
        MLOPS_FLUSH_TIMEOUT_S="1",
    )

    assert "2 False" in said
    assert "still spooled in" in said
    assert "mlops spool flush" in said
    assert shaky.listing().waiting == 3


def test_outage_is_told_once_and_the_recovery_too(
    shaky: Any, shaky_client: MLOpsClient, caplog: Any
) -> None:
    shaky.server.start()
    with shaky_client.start_run(hardware=False) as run:
        run.log_metric("loss", 1.0, step=0)
        run.flush()
        shaky.server.kill()
        for step in itertools.count(1):
            run.log_metric("loss", 1.0, step=step)
            run.flush(0.2)
            if step > 20:
                break
        shaky.server.start()
        run.flush(60)

    said = [one.getMessage() for one in caplog.records]
    assert sum("are delivered later" in line for line in said) == 1
    assert sum("answers again" in line for line in said) == 1
    assert shaky.points(str(run.run_id)) == list(range(22))


def _experiment(client: MLOpsClient) -> str:
    with client.start_run(hardware=False) as run:
        pass
    server = client._channel().server()
    found = server.run(str(run.run_id)).experiment_id
    server.close()
    return found
