# SPDX-License-Identifier: Apache-2.0
"""MLOpsClient: what training code and notebooks need of the platform, in a few calls."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from mlops.client.api.data import DataCalls
from mlops.client.api.models import Deployment, ModelCalls
from mlops.client.api.monitoring import MonitoringCalls
from mlops.client.api.workflows import Workflow, WorkflowCalls
from mlops.client.errors import MLOpsClientError, NotFoundError, NotRunningError, ProjectFileError

log = logging.getLogger("mlops.client")


class MLOpsClient(ModelCalls, DataCalls, MonitoringCalls, WorkflowCalls):
    """A project's client; use it in a `with`, or `close` it.

    Making one needs no platform: calls that do raise NotRunningError, and what is logged is spooled and delivered
    when MLflow is there. Safe to use from several threads.

    Example:
        with MLOpsClient.from_project() as client, client.start_run("baseline") as run:
            run.log_params({"depth": 3})
            for step in range(100):
                run.log_metrics({"loss": 1 / (step + 1)}, step=step)
    """

    @classmethod
    def from_project(
        cls, name: str | None = None, folder: Path | None = None, *, register: bool = True
    ) -> Self:
        """Return the client of the project in *folder* (or here, or above), or of the project *name*.

        With *register* a project that the platform does not know is made known, if its file is here and the platform
        answers; an absent platform stops nobody. ProjectFileError when there is neither a name nor a file.
        """
        from mlops.client import project_file  # noqa: PLC0415 - pydantic takes its time

        told = name or os.environ.get("MLOPS_PROJECT")
        try:
            found = project_file.load_project_file(folder)
        except ProjectFileError as error:
            if told is None or (name is None and "not here or above" not in str(error)):
                raise
            return cls(told, folder=folder)
        client = cls(told or found.name, folder=found.folder)
        if register and client.project == found.name:
            client._make_place = client._make_known
            client._introduce()
        return client

    @classmethod
    def create_client(cls, name: str) -> Self:
        """Return the client of the project *name*; the same as `from_project(name)`."""
        return cls.from_project(name)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Deliver what is logged, and close."""
        self.close()

    def close(self) -> None:
        """Deliver what is logged within MLOPS_FLUSH_TIMEOUT_S (30 s), say what is still spooled, and close."""
        if "mlops.client.runs.ending" in sys.modules:
            from mlops.client.runs import ending  # noqa: PLC0415 - only who has logged has it

            told = self._stop_logging(ending.flush_timeout_s())
            if told is not None and (told.waiting or told.refused or told.dropped):
                log.warning("mlops: %s", told)
        self._hang_up()

    def _introduce(self) -> None:
        """Make the project known if the platform is there and does not know it; log_* works either way."""
        if self._endpoints_or_none() is None:
            return
        try:
            self._transport.quick("/api/v1/projects/" + self.project, "look at the project")
        except NotFoundError:
            self._make_known()
        except MLOpsClientError as error:
            log.info("mlops: %s", error)

    def _make_known(self) -> None:
        try:
            self.register()
        except (NotRunningError, MLOpsClientError) as error:
            log.warning("mlops: project %s could not be registered: %s", self.project, error)


def create_client(name: str) -> MLOpsClient:
    """Return the client of the project *name*; its settings are in `mlops.toml` here or above, if there is one."""
    return MLOpsClient.create_client(name)


__all__ = ["Deployment", "MLOpsClient", "MLOpsClientError", "Workflow", "create_client"]
