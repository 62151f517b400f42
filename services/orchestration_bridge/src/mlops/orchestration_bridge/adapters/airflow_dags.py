# SPDX-License-Identifier: Apache-2.0
"""The DAGs of all projects: `<project>__train` for each project in `registry.json` beside this file.

One that trains on several machines together has `<project>__federated`, too. The bridge copies this file into Airflow's
DAG folder, workers have it as well; it must stand alone and import nothing of the platform.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator, chain
from airflow.sdk.exceptions import AirflowException, AirflowFailException

STEPS = ("data", "train", "evaluate", "register")
# These heat the machine: they stand in its pool, which shrinks while it is hot. The others are moments.
HEAVY = ("train", "evaluate", "federated-train")
REGISTRY = Path(__file__).with_name("registry.json")
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)

# A step that ends with one of these can never succeed; any other failure is worth another try, as is 69: the platform
# was away for a moment.
PERMANENT = frozenset(range(64, 75)) - {69}
# A step that ended itself because its machine is hot, with or without a checkpoint: the bridge starts the run anew.
LEFT = {75: "saved", 76: "bare"}
RETRIES = 2
RETRY_DELAY = timedelta(seconds=5)
# The step keeps the project's own limit, and waits an hour for data; this one is for a step that hangs itself.
SHORTEST = timedelta(hours=1)
GRACE = timedelta(minutes=10)


class ProjectStep(BaseOperator):  # type: ignore[misc]  # Airflow's types are not checked here
    """Run `python -m mlops.client.steps <step>`; a permanent failure is not tried again, nor is one that left."""

    template_fields = ("env",)
    ui_color = "#d7ecf7"

    def __init__(self, *, command: list[str], env: dict[str, str], **options: Any) -> None:
        super().__init__(**options)
        self.command = command
        self.env = env
        self.hook: SubprocessHook | None = None

    def execute(self, context: Any) -> None:
        """Run the step with the task's log as its output; push `left` when it left its machine."""
        self.hook = SubprocessHook()
        result = self.hook.run_command(self.command, env={**os.environ, **self.env})
        if result.exit_code in LEFT:
            context["ti"].xcom_push(key="left", value=LEFT[result.exit_code])
            raise AirflowFailException(f"step {self.task_id} left: exit status {result.exit_code}")
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


class ShardStep(ProjectStep):
    """One shard's part of a round: the same step, told which shard of how many it is, and where."""

    def __init__(self, *, shard: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.shard = shard

    def execute(self, context: Any) -> None:
        """Run the step with the shard in its environment."""
        told = {f"MLOPS_{name.upper()}": str(value) for name, value in self.shard.items()}
        self.env = {**self.env, **told}
        super().execute(context)


class Plan(BaseOperator):  # type: ignore[misc]  # the same
    """Say who trains which shard: one on each machine that the run was placed on, or all on the only one."""

    def __init__(self, *, shards: int, **options: Any) -> None:
        super().__init__(**options)
        self.shards = shards

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Return one entry for each shard; the order is that of the machines in the run's conf."""
        nodes = (context["dag_run"].conf or {}).get("nodes") or [""] * self.shards
        return [
            {"shard": at, "shards": len(nodes), "node": node, "label": node or f"shard-{at}"}
            for at, node in enumerate(nodes)
        ]


@dataclass(frozen=True)
class Site:
    """Where steps run here: the platform's folder and python, and the pool of this machine's heavy steps."""

    home: str
    python: str
    node_pool: str = ""
    folders: dict[str, str] = field(default_factory=dict)

    def options(self, project: str, settings: dict[str, Any], step: str) -> dict[str, Any]:
        """Return what every step of a project is made with."""
        limit = max(SHORTEST, timedelta(seconds=float(settings["timeout_s"]))) + GRACE
        return {
            "command": [self.python, "-m", "mlops.client.steps", step],
            "env": self.environment(project),
            "pool": (self.node_pool if step in HEAVY else "") or str(settings["pool"]),
            "retries": RETRIES,
            "retry_delay": RETRY_DELAY,
            "execution_timeout": limit,
        }

    def environment(self, project: str) -> dict[str, str]:
        """Return what a step is told of its workflow."""
        folder = {"MLOPS_PROJECT_FOLDER": self.folders[project]} if project in self.folders else {}
        return {
            "MLOPS_HOME": self.home,
            "MLOPS_PROJECT": project,
            "MLOPS_WORKFLOW_KEY": "{{ (dag_run.conf or {}).get('key') or run_id }}",
            "MLOPS_WORKFLOW_ATTEMPT": "{{ (dag_run.conf or {}).get('attempt', '1') }}",
            "MLOPS_WORKFLOW_KIND": "{{ (dag_run.conf or {}).get('kind', '') }}",
            "MLOPS_CORRELATION_ID": "{{ (dag_run.conf or {}).get('correlation_id', '') }}",
            "MLOPS_CAUSATION_ID": "{{ (dag_run.conf or {}).get('causation_id', '') }}",
            "MLOPS_TRACEPARENT": "{{ (dag_run.conf or {}).get('traceparent', '') }}",
            **folder,
        }


def dag_of(project: str, kind: str, settings: dict[str, Any], description: str) -> DAG:
    """Return an empty DAG of a project; whatever this Airflow does with new ones, it is not paused."""
    return DAG(
        f"{project}__{kind}",
        schedule=None,
        start_date=BEGINNING,
        catchup=False,
        is_paused_upon_creation=False,
        tags=[f"project:{project}"],
        max_active_runs=int(settings["max_parallel"]),
        description=f"{description} of {project}",
    )


def train_dag(project: str, settings: dict[str, Any], site: Site) -> DAG:
    """Return the DAG of one project: data, train, evaluate, register, one after the other."""
    with dag_of(project, "train", settings, ", ".join(STEPS)) as dag:
        chain(
            *(ProjectStep(task_id=step, **site.options(project, settings, step)) for step in STEPS)
        )
    return dag


def federated_dag(project: str, settings: dict[str, Any], site: Site) -> DAG:
    """Return the DAG of one project that trains on several machines: rounds of local training and aggregation.

    An aggregation begins when every shard has ended, well or not; it decides whether there are enough of them.
    """
    with dag_of(project, "federated", settings, "federated training") as dag:
        plan = Plan(task_id="plan", shards=int(settings["shards"]), pool=str(settings["pool"]))
        line = [ProjectStep(task_id="data", **site.options(project, settings, "data")), plan]
        rounds = int(settings["rounds"])
        for number in range(1, rounds + 1):
            told = {"MLOPS_ROUND": str(number), "MLOPS_ROUNDS": str(rounds)}
            line += _round(number, plan, told, functools.partial(site.options, project, settings))
        for step in STEPS[-2:]:
            line.append(ProjectStep(task_id=step, **site.options(project, settings, step)))
        chain(*line)
    return dag


def _round(
    number: int, plan: Plan, told: dict[str, str], options_of: Callable[[str], dict[str, Any]]
) -> list[Any]:
    shard, joint = options_of("federated-train"), options_of("federated-aggregate")
    shard["env"], joint["env"] = {**shard["env"], **told}, {**joint["env"], **told}
    train = ShardStep.partial(task_id=f"train_{number}", **shard).expand(shard=plan.output)
    joined = ProjectStep(task_id=f"aggregate_{number}", trigger_rule="all_done", **joint)
    return [train, joined]


_found = registry()
_site = Site(
    str(_found.get("home", "")),
    str(_found.get("python", "")),
    str(_found.get("node_pool", "")),
    dict(_found.get("folders", {})),
)
for _project, _settings in sorted(_found.get("projects", {}).items()):
    globals()[f"{_project}__train"] = train_dag(_project, _settings, _site)
    if _settings.get("rounds"):
        globals()[f"{_project}__federated"] = federated_dag(_project, _settings, _site)
