# SPDX-License-Identifier: Apache-2.0
"""The DAGs of all projects: one `<project>__train` for each project in `registry.json` beside this file.

The bridge copies this file into Airflow's DAG folder; it must stand alone and import nothing of the platform.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

STEPS = ("data", "train", "evaluate", "register")
# These heat the machine: they stand in its pool, which shrinks while it is hot. The others are moments.
HEAVY = ("train", "evaluate")
REGISTRY = Path(__file__).with_name("registry.json")
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)

# A step that ends with one of these can never succeed; any other failure is worth another try.
PERMANENT = range(64, 75)
RETRIES = 2
RETRY_DELAY = timedelta(seconds=5)
# The step keeps the project's own limit, and waits an hour for data; this one is for a step that hangs itself.
SHORTEST = timedelta(hours=1)
GRACE = timedelta(minutes=10)


class ProjectStep(BaseOperator):  # type: ignore[misc]  # Airflow's types are not checked here
    """Run `python -m mlops.client.steps <step>`; a permanent failure is not tried again."""

    template_fields = ("env",)
    ui_color = "#d7ecf7"

    def __init__(self, *, command: list[str], env: dict[str, str], **options: Any) -> None:
        super().__init__(**options)
        self.command = command
        self.env = env
        self.hook: SubprocessHook | None = None

    def execute(self, context: Any) -> None:  # noqa: ARG002 - Airflow's signature
        """Run the step with the task's log as its output."""
        self.hook = SubprocessHook()
        result = self.hook.run_command(self.command, env={**os.environ, **self.env})
        if result.exit_code in PERMANENT:
            raise AirflowFailException(
                f"step {self.task_id} failed: exit status {result.exit_code}"
            )
        if result.exit_code != 0:
            raise AirflowException(f"step {self.task_id} failed: exit status {result.exit_code}")

    def on_kill(self) -> None:
        """Pass SIGTERM on; the step passes it on to the project's command."""
        if self.hook is not None:
            self.hook.send_sigterm()


def registry() -> dict[str, Any]:
    """Return what the bridge has written; nothing while it has written nothing."""
    try:
        found = json.loads(REGISTRY.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found if isinstance(found, dict) else {}


def train_dag(
    project: str, settings: dict[str, Any], home: str, python: str, node_pool: str = ""
) -> DAG:
    """Return the DAG of one project: data, train, evaluate, register, one after the other."""
    env = {
        "MLOPS_HOME": home,
        "MLOPS_PROJECT": project,
        "MLOPS_WORKFLOW_KEY": "{{ run_id }}",
        "MLOPS_WORKFLOW_KIND": "{{ (dag_run.conf or {}).get('kind', '') }}",
        "MLOPS_CORRELATION_ID": "{{ (dag_run.conf or {}).get('correlation_id', '') }}",
        "MLOPS_CAUSATION_ID": "{{ (dag_run.conf or {}).get('causation_id', '') }}",
        "MLOPS_TRACEPARENT": "{{ (dag_run.conf or {}).get('traceparent', '') }}",
    }
    limit = max(SHORTEST, timedelta(seconds=float(settings["timeout_s"]))) + GRACE
    with (
        DAG(
            f"{project}__train",
            schedule=None,
            start_date=BEGINNING,
            catchup=False,
            is_paused_upon_creation=False,  # whatever this Airflow does with others: a paused one starts nothing
            tags=[f"project:{project}"],
            max_active_runs=int(settings["max_parallel"]),
            description=f"data, train, evaluate, register of {project}",
        ) as dag
    ):
        before: ProjectStep | None = None
        for step in STEPS:
            task = ProjectStep(
                task_id=step,
                command=[python, "-m", "mlops.client.steps", step],
                env=env,
                pool=(node_pool if step in HEAVY else "") or str(settings["pool"]),
                retries=RETRIES,
                retry_delay=RETRY_DELAY,
                execution_timeout=limit,
            )
            if before is not None:
                before.set_downstream(task)
            before = task
    return dag


_found = registry()
for _project, _settings in sorted(_found.get("projects", {}).items()):
    _dag = train_dag(
        _project,
        _settings,
        str(_found["home"]),
        str(_found["python"]),
        str(_found.get("node_pool", "")),
    )
    globals()[_dag.dag_id] = _dag
