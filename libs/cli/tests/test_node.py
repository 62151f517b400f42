# SPDX-License-Identifier: Apache-2.0
"""node: what is shown of machines, what a person may wish of them, and what a machine gets to work with."""

from __future__ import annotations

import configparser
import json
import shutil
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from libs.cli.tests.conftest import Door

from mlops.cli.errors import InputError, NotRunningError
from mlops.cli.gateway import Gateway
from mlops.cli.home import Home, read_json
from mlops.cli.supervisor import node_files, node_names, node_plan, wanted
from mlops.cli.supervisor.node_plan import Node, Way
from mlops.cli.supervisor.parts import airflow as parts
from mlops.cli.supervisor.plan import settle

HEAT = {"level": 0, "unknown": None, "slots_at_most": 2, "seen_at": "2026-01-01T12:00:00+00:00"}
WORKER = {"work": "ready", "jobs": 1, "why": "", "seen_at": None, "ours": False}
NODES = {
    "local": "a",
    "nodes": {
        "a": {
            "heat": HEAT,
            "worker": None,
            "local": True,
            "running": 1,
            "slots": 2,
            "closed": None,
        },
        "b": {
            "heat": {**HEAT, "level": 3},
            "worker": {**WORKER, "work": "drained"},
            "local": False,
            "running": 0,
            "slots": 1,
            "closed": "b is at heat level 3: fan stopped",
        },
    },
}


@dataclass
class Airflow:
    """The paths of workers, and what was asked of them."""

    url: str
    workers: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    refuses: str = ""


@pytest.fixture
def airflow(door: Door) -> Iterator[Airflow]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if self.path == "/auth/token":
                right = body == {"username": "bridge", "password": "pw"}
                self.send(201 if right else 401, {"access_token": "t"})
            elif self.command == "GET":
                self.send(200, {"workers": found.workers})
            else:
                found.asked.append((self.command, self.path, body))
                self.send(400 if found.refuses else 200, {"detail": found.refuses})

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names http.server calls

        def send(self, status: int, told: Any) -> None:
            payload = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Airflow(f"http://127.0.0.1:{http.server_port}", [{"worker_name": "b"}])
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    known = read_json(door.home / "endpoints.json")
    (door.home / "endpoints.json").write_text(json.dumps({**known, "airflow": found.url}))
    secrets = {**read_json(door.home / "credentials.json"), "airflow_password": "pw"}
    (door.home / "credentials.json").write_text(json.dumps(secrets))
    yield found
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def installation(tmp_path: Path) -> Home:
    home = Home(tmp_path / "installation")
    home.root.mkdir()
    addresses = {n: f"http://127.0.0.1:{80 + at}" for at, n in enumerate(("airflow", "gateway"))}
    addresses |= {"mlflow": "http://127.0.0.1:82", "nats": "nats://127.0.0.1:83", "ray": "x:1"}
    home.endpoints.write_text(json.dumps(addresses))
    secrets = {"airflow_jwt_secret": "s%cret" * 12, "nats_token": "nats", "gateway_token": "door"}
    home.credentials.write_text(json.dumps({**secrets, "airflow_secret_key": "not for others"}))
    return home


def test_machines_are_listed_with_heat_work_and_why_not(door: Door) -> None:
    door.answer("orchestration_bridge", "nodes", NODES)

    lines = door.run("node", "list").stdout.splitlines()

    assert lines[0].split()[:3] == ["machine", "heat", "work"]
    assert lines[1].split()[:6] == ["a", "0", "nominal", "local", "2/2", "1"]
    assert lines[2].split()[:7] == ["b", "3", "critical", "drained", "1/2", "0", "1"]
    assert lines[2].endswith("b is at heat level 3: fan stopped")
    assert door.json("node", "list") == NODES


def test_a_silent_machine_is_unknown_not_cool(door: Door) -> None:
    silent = {**NODES["nodes"]["a"], "heat": {**HEAT, "unknown": "a has said nothing"}}  # type: ignore[index]  # a literal
    door.answer("orchestration_bridge", "nodes", {"local": "a", "nodes": {"a": silent}})

    assert door.run("node", "list").stdout.splitlines()[1].split()[1] == "unknown"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (
            ("drain", "b", "--why", "new disk"),
            ("POST", "/b/maintenance", {"maintenance_comment": "new disk"}),
        ),
        (("undrain", "b"), ("DELETE", "/b/maintenance", None)),
        (("remove", "b"), ("DELETE", "/b", None)),
    ],
)
def test_a_wish_about_a_machine_reaches_airflow(
    door: Door, airflow: Airflow, words: tuple[str, ...], asked: tuple[str, str, Any]
) -> None:
    assert door.json("node", *words)["node"] == "b"

    method, path, body = asked
    assert airflow.asked == [(method, f"/edge_worker/ui/worker{path}", body)]


def test_a_machine_that_does_not_work_is_named_with_those_that_do(
    door: Door, airflow: Airflow
) -> None:
    found = door.run("node", "drain", "c")

    assert found.exit_code == 2
    assert "no machine 'c' works here" in found.stderr
    assert "there are: b" in found.stderr
    assert airflow.asked == []


def test_what_airflow_refuses_is_said_in_its_words(door: Door, airflow: Airflow) -> None:
    airflow.refuses = "Cannot remove edge worker b as it is in idle state!"

    found = door.run("node", "remove", "b")

    assert found.exit_code == 2
    assert airflow.refuses in found.stderr


def test_a_wrong_password_is_no_mystery(door: Door, airflow: Airflow) -> None:
    (door.home / "credentials.json").write_text(json.dumps({"airflow_password": "old"}))

    found = door.run("node", "drain", "b")

    assert found.exit_code == 1
    assert f"{airflow.url} refuses the password" in found.stderr


def test_a_ticket_holds_what_a_worker_needs_and_nothing_else(
    door: Door, installation: Home, tmp_path: Path
) -> None:
    door.home = installation.root
    told = door.json("node", "ticket", str(tmp_path / "t.json"), "--host", "studio.local")

    ticket = read_json(tmp_path / "t.json")
    assert stat.S_IMODE((tmp_path / "t.json").stat().st_mode) == 0o600
    assert ticket["endpoints"]["nats"] == "nats://studio.local:83"
    assert told["endpoints"] == ticket["endpoints"]
    assert sorted(ticket["credentials"]) == ["airflow_jwt_secret", "gateway_token", "nats_token"]
    assert "ray" not in ticket["endpoints"]


def test_a_tunnel_is_spelled_out_where_no_address_is_given(
    door: Door, installation: Home, tmp_path: Path
) -> None:
    door.home = installation.root

    said = door.run("node", "ticket", str(tmp_path / "t.json")).stdout

    assert "ssh -N -L 80:127.0.0.1:80 -L 81:127.0.0.1:81" in said
    assert "s%cret" not in said


def test_who_joins_has_the_way_and_keeps_the_secrets_private(
    door: Door, installation: Home, tmp_path: Path
) -> None:
    door.home = installation.root
    door.run("node", "ticket", str(tmp_path / "t.json"))
    door.home = tmp_path / "elsewhere"

    door.json("node", "join", str(tmp_path / "t.json"))

    joined = Home(door.home)
    assert stat.S_IMODE(joined.credentials.stat().st_mode) == 0o600
    assert Way.of(joined).addresses["mlflow"] == "http://127.0.0.1:82"


def test_an_installation_of_its_own_is_not_overwritten(
    door: Door, installation: Home, tmp_path: Path
) -> None:
    before = installation.endpoints.read_text()
    installation.ports.write_text("{}")
    ticket = tmp_path / "t.json"
    ticket.write_text(json.dumps({"endpoints": {}, "credentials": {}}))
    door.home = installation.root

    found = door.run("node", "join", str(ticket))

    assert found.exit_code == 2
    assert "an installation of its own" in found.stderr
    assert installation.endpoints.read_text() == before


def test_something_else_is_no_ticket(door: Door, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("[]")

    assert "is no ticket" in door.run("node", "join", str(tmp_path / "t.json")).stderr


def test_the_secret_stands_in_a_private_file_and_nowhere_else(installation: Home) -> None:
    home = node_plan.keep(installation, Node("studio", slots=3))
    way = Way.of(installation)

    files, worker, agent = node_plan.components(installation, home, way)
    worker.prepare()

    config = home.root / "airflow" / "airflow.cfg"
    read = configparser.ConfigParser()
    read.read(config)
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert read["api_auth"]["jwt_secret"] == "s%cret" * 12
    told = str([(one.command, dict(one.env)) for one in (files, worker, agent)])
    assert "s%cret" not in told + str(node_plan.environment({}, way))
    assert "not for others" not in config.read_text()


def test_a_worker_serves_its_own_queue_and_agrees_with_airflow(installation: Home) -> None:
    home = node_plan.keep(installation, Node("studio", slots=3, agent=False))

    _, worker = node_plan.components(installation, home, Way.of(installation))
    worker.prepare()

    words = " ".join(worker.command)
    assert "edge worker --edge-hostname studio --queues n_studio --concurrency 3" in words
    read = configparser.ConfigParser()
    read.read(home.root / "airflow" / "airflow.cfg")
    for name, value in parts.edge("http://127.0.0.1:80").items():
        _, section, option = name.split("__")
        assert read[section.lower()][option.lower()] == value
    assert "sql_alchemy_conn" not in (home.root / "airflow" / "airflow.cfg").read_text()


def test_its_agent_speaks_by_the_workers_name_and_keeps_its_state_apart(
    installation: Home,
) -> None:
    home = node_plan.keep(installation, Node("studio"))

    agent = node_plan.components(installation, home, Way.of(installation))[-1]

    assert agent.env["TELEMETRY_AGENT_NODE"] == "studio"
    assert agent.env["MLOPS_HOME"] == str(home.root)
    assert agent.env["NATS_URL"] == "nats://127.0.0.1:83"


def test_what_is_missing_is_said_before_anything_starts(installation: Home) -> None:
    installation.credentials.write_text("{}")
    with pytest.raises(InputError, match="no airflow_jwt_secret"):
        Way.of(installation)

    installation.endpoints.unlink()
    with pytest.raises(NotRunningError, match="names no airflow, gateway"):
        Way.of(installation)


@pytest.mark.parametrize("name", ["Studio", "-a", "a b", "a" * 62, "../x", "a_b"])
def test_a_name_that_queues_cannot_carry_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is no name for a machine"):
        node_names.checked(name)


def test_the_agent_and_the_scheduler_mean_the_same_machine(installation: Home) -> None:
    made = node_names.own_name(installation, {})

    assert node_names.own_name(installation, {}) == made
    assert (installation.root / "state/telemetry_agent/node_id").read_text().strip() == made
    assert node_names.own_name(installation, {"TELEMETRY_AGENT_NODE": "studio"}) == "studio"


def test_files_are_fetched_when_they_change_and_fit_this_machine(
    door: Door, installation: Home
) -> None:
    node = Node("studio", folders={"rain": "/here/rain"})
    registry = {"home": "/there", "python": "/there/python", "node_pool": "n_a", "projects": {}}
    files = {"registry.json": json.dumps(registry), "mlops_projects.py": "DAGS"}
    door.answer("orchestration_bridge", "files", {"sha256": "s1", "files": files})
    dags = installation.root / "dags"

    with Gateway(Home(door.home)) as gateway:
        have = node_files.refreshed(gateway, dags, node, installation, "")
        door.answer("orchestration_bridge", "files", {"sha256": "s1", "files": None})
        (dags / "mlops_projects.py").unlink()
        assert node_files.refreshed(gateway, dags, node, installation, have) == "s1"

    assert not (dags / "mlops_projects.py").exists()
    written = read_json(dags / "registry.json")
    assert (written["home"], written["node_pool"]) == (str(installation.root), "")
    assert written["folders"] == {"rain": "/here/rain"}
    assert written["python"] != "/there/python"
    assert [q.get("known") for q in door.queries("/api/v1/query/orchestration_bridge/files")] == [
        None,
        "s1",
    ]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "here")
    home.root.mkdir()
    yield home
    shutil.rmtree(home.short, ignore_errors=True)


def test_nobody_gets_workers_without_asking(home: Home) -> None:
    site = settle(home, {}, ["nats"], []).site

    parts.airflow(site)[0].prepare()

    assert parts.settings(site)["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert not (home.root / "airflow" / "config" / parts.HOOKS).exists()


def test_where_other_machines_work_airflow_and_the_bridge_know_it(home: Home) -> None:
    wanted.keep(home, nodes=True)
    plan = settle(home, {}, ["orchestration_bridge", "telemetry_agent", "airflow"], [])

    plan.components[0].prepare()

    env = {one.name: one.env for one in plan.components}
    bridge, agent = env["orchestration_bridge"], env["telemetry_agent"]
    assert bridge["ORCHESTRATION_BRIDGE_EDGE"] == "true"
    assert bridge["ORCHESTRATION_BRIDGE_NODE"] == agent["TELEMETRY_AGENT_NODE"] == plan.site.node
    settings = env["airflow-scheduler"]
    assert settings["AIRFLOW__CORE__EXECUTOR"].startswith("LocalExecutor,edge:")
    assert int(settings["AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"]) > 3600
    hook = home.root / "airflow" / "config" / parts.HOOKS
    assert "def task_instance_mutation_hook" in hook.read_text()

    wanted.keep(home, nodes=False)
    settle(home, {}, ["airflow"], []).components[0].prepare()
    assert not hook.exists()


def test_one_wish_leaves_the_others_as_they_were(home: Home) -> None:
    wanted.keep(home, mqtt=True)
    wanted.keep(home, mqtt=None, nodes=True)

    assert wanted.read(home) == wanted.Wanted(mqtt=True, nodes=True)


def test_the_installations_own_machine_needs_no_worker(door: Door, installation: Home) -> None:
    installation.ports.write_text("{}")
    door.home = installation.root

    found = door.run("node", "start")

    assert found.exit_code == 2
    assert "runs steps without a worker" in found.stderr
