# SPDX-License-Identifier: Apache-2.0
"""What Airflow's pages say of workers, in our words; and where a step goes by the hook that Airflow runs."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops.orchestration_bridge.adapters import airflow_local_settings
from mlops.orchestration_bridge.adapters.airflow_edge import AirflowEdge
from mlops.orchestration_bridge.adapters.airflow_files import Installation
from mlops.orchestration_bridge.adapters.airflow_rest import AirflowRest
from mlops.orchestration_bridge.errors import OrchestratorAwayError
from mlops.orchestration_bridge.model.workers import MARK, Work

WORKER = "/edge_worker/ui/worker"
HEAT = f"[2026-01-01 12:00] - bridge put node into maintenance mode\nComment: {MARK} b is at heat level 3: fan"
PERSON = "[2026-01-01 12:05] - ann put node into maintenance mode\nComment: new disk\nin bay 2"


@dataclass
class Airflow:
    """What it answers to each method and path, and what it was asked."""

    url: str
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def worker(self, state: str, comment: str | None = None, name: str = "b") -> None:
        told = {
            "worker_name": name,
            "state": state,
            "jobs_active": 1,
            "queues": [f"n_{name}"],
            "sysinfo": {"concurrency": 2},
            "maintenance_comments": comment,
            "last_heartbeat": "2026-01-01T12:00:00Z",
        }
        self.answers[f"GET {WORKER}"] = (200, {"workers": [told], "total_entries": 1})


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = f"{self.command} {self.path.partition('?')[0]}"
            if not asked.startswith(("POST /auth", "GET")):
                found.asked.append((asked, json.loads(body) if body else None))
            status, told = found.answers.get(asked, (404, {"detail": "no"}))
            payload = told.encode() if isinstance(told, str) else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - the names http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Airflow(f"http://127.0.0.1:{http.server_port}")
    found.answers["POST /auth/token"] = (201, {"access_token": "token"})
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    yield found
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
async def edge(airflow: Airflow) -> AsyncIterator[AirflowEdge]:
    rest = AirflowRest(airflow.url, "bridge", "secret")
    yield AirflowEdge(rest)
    await rest.close()


@pytest.mark.parametrize(
    ("state", "work"),
    [
        ("idle", Work.READY),
        ("running", Work.READY),
        ("maintenance exit", Work.RETURNING),
        ("maintenance request", Work.DRAINING),
        ("maintenance pending", Work.DRAINING),
        ("maintenance mode", Work.DRAINED),
        ("terminating", Work.STOPPING),
        ("offline", Work.STOPPED),
        ("unknown", Work.GONE),
        ("a state of a newer Airflow", Work.GONE),
    ],
)
async def test_each_state_has_one_of_our_words(
    airflow: Airflow, edge: AirflowEdge, state: str, work: Work
) -> None:
    airflow.worker(state)

    (found,) = await edge.workers()

    assert (found.name, found.work, found.jobs, found.slots) == ("b", work, 1, 2)
    assert found.seen_at == datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("comment", "why", "ours"),
    [
        (HEAT, f"{MARK} b is at heat level 3: fan", True),
        (PERSON, "new disk\nin bay 2", False),
        (f"{PERSON}\n\n{HEAT}", "new disk\nin bay 2", False),
        (f"{HEAT}\n\n{PERSON}", "new disk\nin bay 2", False),
        (f"{HEAT}\n\n{HEAT}", f"{MARK} b is at heat level 3: fan", True),
        (
            "[x] - bridge put\n[2026] - ann updated comment:\n[heat] mine now",
            "[x] - bridge put\n[2026] - ann updated comment:\n[heat] mine now",
            False,
        ),
        (None, "", False),
    ],
)
async def test_who_has_drained_it_is_told_by_the_comment(
    airflow: Airflow, edge: AirflowEdge, comment: str | None, why: str, *, ours: bool
) -> None:
    airflow.worker("maintenance mode", comment)

    (found,) = await edge.workers()

    assert (found.why, found.ours) == (why, ours)


@pytest.mark.parametrize(
    ("state", "asked"),
    [
        ("idle", [(f"POST {WORKER}/b/maintenance", {"maintenance_comment": "hot"})]),
        ("maintenance exit", []),
        ("maintenance mode", []),
        ("offline", []),
        ("unknown", []),
    ],
)
async def test_only_a_worker_that_takes_work_is_drained(
    airflow: Airflow, edge: AirflowEdge, state: str, asked: list[Any]
) -> None:
    airflow.worker(state)
    airflow.answers[f"POST {WORKER}/b/maintenance"] = (200, None)

    await edge.drain("b", "hot")
    await edge.drain("unknown", "hot")

    assert airflow.asked == asked


async def test_only_a_maintenance_is_ended(airflow: Airflow, edge: AirflowEdge) -> None:
    airflow.answers[f"DELETE {WORKER}/b/maintenance"] = (200, None)
    airflow.worker("idle")
    await edge.undrain("b")
    airflow.worker("maintenance pending")

    await edge.undrain("b")

    assert airflow.asked == [(f"DELETE {WORKER}/b/maintenance", None)]


async def test_only_shards_that_wait_in_the_queue_are_given_up(
    airflow: Airflow, edge: AirflowEdge
) -> None:
    def job(**more: Any) -> dict[str, Any]:
        usual = {"dag_id": "rain__federated", "run_id": "r", "task_id": "train_1", "map_index": 0}
        now = datetime.now(UTC).isoformat()
        return {**usual, "state": "queued", "queue": "n_b", "last_update": now, **more}

    jobs = [
        job(task_id="train_0"),
        job(),
        job(map_index=1, queue="n_bb"),
        job(map_index=2, state="restarting"),
        job(map_index=3, state="restarting", last_update="2026-01-01T12:00:00Z"),
        job(dag_id="rain__train", task_id="train", map_index=-1),
    ]
    airflow.answers["GET /edge_worker/ui/jobs"] = (200, {"jobs": jobs, "total_entries": 6})
    runs = "PATCH /api/v2/dags/rain__federated/dagRuns/r/taskInstances"
    before, path = f"{runs}/train_0", f"{runs}/train_1"
    airflow.answers[f"{before}/0"] = (409, {"detail": "is already in failed state"})
    airflow.answers[f"{path}/0"] = (200, {"task_instances": []})

    await edge.release("b", "b is gone")

    failed = {"new_state": "failed", "note": "b is gone"}
    assert [asked for asked, _ in airflow.asked] == [f"{before}/0", f"{path}/0", f"{path}/3"]
    assert airflow.asked[-1][1] == failed


async def test_an_airflow_without_workers_is_away_not_broken(
    airflow: Airflow, edge: AirflowEdge
) -> None:
    airflow.answers[f"GET {WORKER}"] = (200, "<html>its own page</html>")

    with pytest.raises(OrchestratorAwayError, match="cannot read"):
        await edge.workers()


@pytest.fixture
def dags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def told() -> dict[str, Any]:
        path = tmp_path / "registry.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    monkeypatch.setattr(airflow_local_settings, "registry", told)
    return tmp_path


def placed(dag_id: str, task_id: str, conf: Any, map_index: int = -1) -> tuple[Any, ...]:
    step = SimpleNamespace(
        dag_id=dag_id,
        task_id=task_id,
        map_index=map_index,
        queue="default",
        pool="p",
        executor=None,
    )
    airflow_local_settings.task_instance_mutation_hook(step, SimpleNamespace(conf=conf))
    return step.executor, step.queue, step.pool


LOCAL = (None, "default", "p")
EDGE = ("edge", "n_b", "n_b")


@pytest.mark.parametrize(
    ("dag_id", "task_id", "conf", "map_index", "where"),
    [
        ("rain__train", "train", {"node": "b"}, -1, EDGE),
        ("rain__train", "evaluate", {"node": "b"}, -1, EDGE),
        ("rain__train", "data", {"node": "b"}, -1, LOCAL),
        ("rain__train", "register", {"node": "b"}, -1, LOCAL),
        ("rain__train", "train", {"node": "a"}, -1, LOCAL),
        ("rain__train", "train", {"node": "unknown"}, -1, LOCAL),
        ("rain__train", "train", {"node": ""}, -1, LOCAL),
        ("rain__train", "train", None, -1, LOCAL),
        ("rain__train", "train", "nonsense", -1, LOCAL),
        ("others", "train", {"node": "b"}, -1, LOCAL),
        ("rain__federated", "train_2", {"nodes": ["a", "b"]}, 1, EDGE),
        ("rain__federated", "train_2", {"nodes": ["a", "b"]}, 0, LOCAL),
        ("rain__federated", "train_2", {"nodes": ["a", "b"]}, -1, LOCAL),
        ("rain__federated", "train_2", {"nodes": []}, 0, LOCAL),
        ("rain__federated", "aggregate_2", {"nodes": ["b"]}, -1, LOCAL),
    ],
)
def test_a_heavy_step_goes_where_its_workflow_was_placed(
    dags: Path, dag_id: str, task_id: str, conf: Any, map_index: int, where: tuple[Any, ...]
) -> None:
    installation = Installation(dags, dags, "python")
    installation.stand_in("n_a")
    installation.reach("a")
    installation.reach("b")

    assert placed(dag_id, task_id, conf, map_index) == where


def test_nothing_goes_anywhere_before_the_bridge_has_written_where(dags: Path) -> None:
    assert not list(dags.iterdir())
    assert placed("rain__train", "train", {"node": "b"}) == LOCAL


def test_a_machine_is_reached_until_it_is_forgotten_whatever_projects_come_and_go(
    dags: Path,
) -> None:
    installation = Installation(dags, dags, "python")
    installation.reach("b")
    installation.put("rain", {"pool": "p_rain"})
    installation.remove("rain")
    before = (dags / "registry.json").stat().st_mtime_ns

    installation.reach("b")

    assert json.loads((dags / "registry.json").read_text())["machines"] == ["b"]
    assert (dags / "registry.json").stat().st_mtime_ns == before
    assert sorted(installation.texts()) == ["mlops_projects.py", "registry.json"]
