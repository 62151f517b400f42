# SPDX-License-Identifier: Apache-2.0
"""Airflow, lean: one API worker, one parsing process, SQLite, no triggerer, no log server."""

from __future__ import annotations

import sys
from functools import partial
from importlib.resources import files
from pathlib import Path

from mlops.cli.home import write_json
from mlops.cli.supervisor.component import Component, Gate
from mlops.cli.supervisor.parts.site import HOST, Site, program

EDGE = "edge:airflow.providers.edge3.executors.EdgeExecutor"
LONGEST_DRAIN_S = 24 * 3600
HOOKS = "airflow_local_settings.py"
_FIX = "look at the log; if the database is damaged, move `airflow/airflow.db` in MLOPS_HOME away"


def airflow(site: Site) -> list[Component]:
    """Return Airflow's components: the database first, then its three processes."""
    env = settings(site)
    health = f"{site.http('airflow')}/api/v2/monitor/health"
    migrate = Component(
        name="airflow-migrate",
        command=(program("airflow"), "db", "migrate"),
        gate=Gate(within_s=300),
        env=env,
        prepare=partial(_prepare, site),
        once=True,
        fix=_FIX,
    )
    api = Component(
        name="airflow-api",
        command=(program("airflow"), "api-server"),
        gate=Gate(url=health, within_s=180),
        env=env,
        needs=("airflow-migrate",),
        address=site.http("airflow"),
        fix=_FIX,
    )
    rest = [
        Component(
            name=f"airflow-{name}",
            command=(program("airflow"), *command),
            gate=Gate(url=health, field=f"{heart}.status", within_s=180),
            env=env,
            needs=("airflow-migrate", "airflow-api"),
            fix=_FIX,
        )
        for name, heart, command in (
            ("scheduler", "scheduler", ("scheduler", "--skip-serve-logs")),
            ("dag-processor", "dag_processor", ("dag-processor",)),
        )
    ]
    return [migrate, api, *rest]


def settings(site: Site) -> dict[str, str]:
    """Return Airflow's settings; each one that is not a path or a secret was measured to save memory or time."""
    folder = site.home.root / "airflow"
    url = site.http("airflow")
    found = {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,bridge:op",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(site.ports["airflow"]),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": site.secrets["airflow_secret_key"],
        "AIRFLOW__API_AUTH__JWT_SECRET": site.secrets["airflow_jwt_secret"],
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "5",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
        # A step whose process died with the scheduler runs again after half a minute, not after five.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
    }
    if site.nodes:
        found |= edge(url)
    if sys.platform == "darwin":
        found["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"  # else forked task processes die
    return found


def edge(url: str) -> dict[str, str]:
    """Return what Airflow and its workers must agree on so that other machines run steps; *url* is Airflow's.

    The executor's name must be the same text everywhere, or a worker finds no DAG. A worker that is silent for five
    heartbeats counts as gone. What waits for a machine that cools waits longer than Airflow usually lets it.
    """
    return {
        "AIRFLOW__CORE__EXECUTOR": f"LocalExecutor,{EDGE}",
        "AIRFLOW__EDGE__API_ENABLED": "True",
        "AIRFLOW__EDGE__API_URL": f"{url}/edge_worker/v1/rpcapi",
        "AIRFLOW__EDGE__JOB_POLL_INTERVAL": "1",
        "AIRFLOW__EDGE__HEARTBEAT_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": str(LONGEST_DRAIN_S),
    }


def place_hooks(config: Path, *, wanted: bool) -> None:
    """Put the hook that sends steps to other machines where Airflow reads it at its start, or take it away."""
    if not wanted:
        (config / HOOKS).unlink(missing_ok=True)
        return
    config.mkdir(parents=True, exist_ok=True)
    shipped = files("mlops.orchestration_bridge.adapters").joinpath(HOOKS)
    (config / HOOKS).write_text(shipped.read_text())


def _prepare(site: Site) -> None:
    folder = site.home.root / "airflow"
    (folder / "dags").mkdir(parents=True, exist_ok=True)
    place_hooks(folder / "config", wanted=site.nodes)
    passwords = {
        "admin": site.secrets["airflow_admin_password"],
        "bridge": site.secrets["airflow_password"],
    }
    write_json(folder / "passwords.json", passwords, 0o600)
    folder.chmod(0o700)
