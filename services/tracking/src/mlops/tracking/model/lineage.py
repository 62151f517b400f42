# SPDX-License-Identifier: Apache-2.0
"""Lineage: one thing that happened to a run or a workflow, as OpenLineage tells it, with ids that never change."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Phase(StrEnum):
    """What happened, in the words of OpenLineage."""

    START = "START"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    ABORT = "ABORT"
    FAIL = "FAIL"
    OTHER = "OTHER"


class Kind(StrEnum):
    """What a job is."""

    RUN = "RUN"
    WORKFLOW = "WORKFLOW"


@dataclass(frozen=True)
class Job:
    """What runs again and again; `code_url` names the exact code of this run."""

    namespace: str
    name: str
    kind: Kind
    about: str
    owner: str = ""
    commit: str = ""
    code_url: str = ""


@dataclass(frozen=True)
class Parent:
    """The run that this one is a part of."""

    run_id: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Dataset:
    """What was read or made: a version of a dataset, or of a registered model."""

    namespace: str
    name: str
    kind: str
    version: str = ""
    uri: str = ""


@dataclass(frozen=True)
class Telling:
    """One event of a run. The same fact gives the same one: a repeat can be told from news."""

    phase: Phase
    at: datetime
    run_id: str
    job: Job
    engine: str
    parent: Parent | None = None
    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()
    began: datetime | None = None
    ended: datetime | None = None
    error: str = ""
    details: str = ""
    params: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()


def run_uuid(project: str, run_id: str) -> str:
    """Return the id of one of MLflow's runs: uuid5 in the namespace of URLs, of `mlops:lineage:run:<project>:<run>`."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mlops:lineage:run:{project}:{run_id}"))


def workflow_uuid(project: str, key: str) -> str:
    """Return the id of a workflow: uuid5 in the namespace of URLs, of `mlops:lineage:workflow:<project>:<key>`."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mlops:lineage:workflow:{project}:{key}"))


def run_job(project: str, experiment: str, *, owner: str = "", commit: str | None = None) -> Job:
    """Return the job of the runs of an experiment."""
    name = experiment or "runs"
    known = commit if commit and _COMMIT.fullmatch(commit) else ""
    # Where the repository is, nobody has said; this names the commit wherever it is (ISO/IEC 18670).
    url = f"swh:1:rev:{known}" if known else ""
    about = f"Runs of the experiment {name} of project {project}."
    return Job(project, name, Kind.RUN, about, owner, known, url)


def workflow_job(project: str, kind: str) -> Job:
    """Return the job of the workflows of a kind; its name cannot be an experiment's by accident."""
    about = f"Workflows of kind {kind or 'unknown'} of project {project}."
    name = f"workflow.{kind}" if kind else "workflow"
    return Job(project, name, Kind.WORKFLOW, about)


def parent_of(project: str, tags: Sequence[tuple[str, str]]) -> Parent | None:
    """Return the workflow that a run's tags name, or None."""
    found = dict(tags)
    key = found.get("mlops.workflow_key", "")
    if not key:
        return None
    job = workflow_job(project, found.get("mlops.workflow_kind", ""))
    return Parent(workflow_uuid(project, key), job.namespace, job.name)


def data(project: str, name: str, version: int | None, content: str | None) -> Dataset:
    """Return a version of a dataset, written as in the tags of runs: `<version>@<hash>`."""
    parts = (str(version) if version else "", content or "")
    return Dataset(project, f"data/{name}", "FILE", "@".join(part for part in parts if part))


def model(project: str, name: str, version: int, uri: str = "") -> Dataset:
    """Return a version of a registered model."""
    return Dataset(project, f"models/{name}", "MODEL", str(version), uri)
