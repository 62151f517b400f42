# SPDX-License-Identifier: Apache-2.0
"""The child process of OpenLineageSink: makes events with the library's own classes and emits them.

Only the standard facets are used, by their standard names. Which transport emits is the library's configuration.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import requests
from openlineage.client.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    JobFacet,
    RunFacet,
    dataset_type_dataset,
    dataset_version_dataset,
    datasource_dataset,
    documentation_job,
    error_message_run,
    execution_parameters_run,
    job_type_job,
    nominal_time_run,
    ownership_job,
    parent_run,
    processing_engine_run,
    source_code_location_job,
    tags_run,
)

from mlops.chassis import sidecar
from mlops.chassis.errors import RejectedError, UnavailableError

PRODUCER = "urn:mlops:tracking"

_UNFIT = frozenset({400, 413, 422})  # this event; any other status is about us, or about the sink
_PACKAGES = {"mlflow": "mlflow", "airflow": "apache-airflow-core"}
_SOURCE = "MLOPS"
_LOGIN = re.compile(r"//[^/@\s]*@")
_VALUE = re.compile(r"([?&][^=&\s]+=)[^&\s]+")

Values = Mapping[str, Any]
Pairs = Sequence[tuple[str, str]]


def tell(telling: Values) -> str:
    """Emit one event; what the sink says of it becomes an error of the bus."""
    try:
        _client().emit(event(telling))
    except requests.HTTPError as error:
        raise _refused(error) from error
    except (requests.RequestException, OSError) as error:
        raise UnavailableError(f"the sink of lineage is away: {_said(error)}") from error
    return "told"


def event(telling: Values) -> RunEvent:
    """Return the event of the library."""
    return RunEvent(
        eventType=RunState(telling["phase"]),
        eventTime=telling["at"],
        run=Run(runId=telling["run_id"], facets=_run_facets(telling)),
        job=Job(
            namespace=telling["job"]["namespace"],
            name=telling["job"]["name"],
            facets=_job_facets(telling["job"]),
        ),
        inputs=[InputDataset(**_dataset(one)) for one in telling["inputs"]],
        outputs=[OutputDataset(**_dataset(one)) for one in telling["outputs"]],
        producer=PRODUCER,
    )


def _run_facets(telling: Values) -> dict[str, RunFacet]:
    found: dict[str, RunFacet | None] = {
        "processing_engine": _engine(telling["engine"]),
        "parent": _parent(telling["parent"]),
        "nominalTime": _times(telling["began"] or telling["ended"], telling["ended"]),
        "errorMessage": _error(telling["error"], telling["details"]),
        "executionParameters": _params(telling["params"]),
        "tags": _tags(telling["tags"]),
    }
    return {name: facet for name, facet in found.items() if facet is not None}


def _times(began: str | None, ended: str | None) -> RunFacet | None:
    if began is None:
        return None
    return nominal_time_run.NominalTimeRunFacet(
        nominalStartTime=began, nominalEndTime=ended, producer=PRODUCER
    )


def _error(message: str, details: str) -> RunFacet | None:
    if not message:
        return None
    return error_message_run.ErrorMessageRunFacet(
        message=message,
        programmingLanguage="python",
        stackTrace=details or None,
        producer=PRODUCER,
    )


def _params(params: Pairs) -> RunFacet | None:
    if not params:
        return None
    found = [
        execution_parameters_run.ExecutionParameter(key=name, name=name, value=value)
        for name, value in params
    ]
    return execution_parameters_run.ExecutionParametersRunFacet(parameters=found, producer=PRODUCER)


def _tags(tags: Pairs) -> RunFacet:
    found = [
        tags_run.TagsRunFacetFields(key=name, value=value, source=_SOURCE) for name, value in tags
    ]
    return tags_run.TagsRunFacet(tags=found, producer=PRODUCER)


def _job_facets(job: Values) -> dict[str, JobFacet]:
    found: dict[str, JobFacet] = {
        "documentation": documentation_job.DocumentationJobFacet(
            description=job["about"], producer=PRODUCER
        ),
        "jobType": job_type_job.JobTypeJobFacet(
            processingType="BATCH", integration=_SOURCE, jobType=job["kind"], producer=PRODUCER
        ),
    }
    if job["owner"]:
        found["ownership"] = ownership_job.OwnershipJobFacet(
            owners=[ownership_job.Owner(name=f"user:{job['owner']}")], producer=PRODUCER
        )
    if job["code_url"]:
        found["sourceCodeLocation"] = source_code_location_job.SourceCodeLocationJobFacet(
            type="git", url=job["code_url"], version=job["commit"], producer=PRODUCER
        )
    return found


def _dataset(dataset: Values) -> dict[str, Any]:
    facets: dict[str, Any] = {
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(
            datasetType=dataset["kind"], producer=PRODUCER
        )
    }
    if dataset["version"]:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=dataset["version"], producer=PRODUCER
        )
    if dataset["uri"]:
        facets["dataSource"] = datasource_dataset.DatasourceDatasetFacet(
            name=dataset["name"], uri=dataset["uri"], producer=PRODUCER
        )
    return {"namespace": dataset["namespace"], "name": dataset["name"], "facets": facets}


def _parent(parent: Values | None) -> parent_run.ParentRunFacet | None:
    if parent is None:
        return None
    return parent_run.ParentRunFacet(
        run=parent_run.Run(runId=parent["run_id"]),
        job=parent_run.Job(namespace=parent["namespace"], name=parent["name"]),
        root=parent_run.Root(
            run=parent_run.RootRun(runId=parent["run_id"]),
            job=parent_run.RootJob(namespace=parent["namespace"], name=parent["name"]),
        ),
        producer=PRODUCER,
    )


def _engine(name: str) -> processing_engine_run.ProcessingEngineRunFacet | None:
    try:
        found = version(_PACKAGES[name])
    except PackageNotFoundError:
        return None  # it runs elsewhere, with a version that we do not know
    return processing_engine_run.ProcessingEngineRunFacet(
        name=name, version=found, producer=PRODUCER
    )


def _refused(error: requests.HTTPError) -> RejectedError | UnavailableError:
    status = error.response.status_code if error.response is not None else 0
    if status in _UNFIT:
        return RejectedError(f"the sink of lineage does not take this event: {_said(error)}")
    return UnavailableError(f"the sink of lineage refuses: {_said(error)}")


def _said(error: Exception) -> str:
    # The address may hold a password or a key, and dead letters and logs are read by many.
    return _VALUE.sub(r"\1***", _LOGIN.sub("//***@", str(error)))


@cache
def _client() -> OpenLineageClient:
    return OpenLineageClient()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("openlineage").setLevel(
        logging.INFO
    )  # the console transport speaks through it
    sidecar.serve({"tell": tell})
