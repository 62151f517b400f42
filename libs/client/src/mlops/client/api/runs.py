# SPDX-License-Identifier: Apache-2.0
"""Calls about runs: what is logged is never lost, and no call waits for the server but start, flush and end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.client.api.link import Link, Params
from mlops.client.errors import BadInputError, NotRunningError

if TYPE_CHECKING:
    from mlops.client.runs import Channel, ModelHandle, Run
    from mlops.client.spool import Delivery, Outlet

_HINT = "start it with `mlops up`, or set MLOPS_HOME, MLFLOW_TRACKING_URI, or MLOPS_GATEWAY_URL and MLOPS_TOKEN"


class RunCalls(Link):
    """Runs of the project."""

    _channel_made: Channel | None = None
    _outlet_used: Outlet | None = None
    _outlet_born = 0
    _make_place: Callable[[], None] | None = None

    def start_run(
        self,
        run_name: str | None = None,
        tags: Mapping[str, Any] | None = None,
        *,
        nested: bool = False,
        run_id: str | None = None,
        hardware: bool = True,
    ) -> Run:
        """Return a run that goes on until its block, `end()` or the process ends.

        MLFLOW_RUN_ID in the environment (or *run_id*) names a run to go on with. *nested* puts it under the active
        run. With *hardware* the machine is described in tags and sampled as `system/…` metrics. The server is waited
        for at most 7 s; a server that is away learns of the run later. A block that ends with an exception makes the
        run FAILED; Ctrl-C, SIGTERM and the end of the interpreter make it KILLED.

        Example:
            with client.start_run("baseline", tags={"mlops.technique": "lora"}) as run:
                run.log_metrics({"loss": 0.25}, step=1)
        """
        from mlops.client import runs  # noqa: PLC0415 - only who logs needs it

        run = runs.start(self._channel(), run_name, tags, nested=nested, run_id=run_id)
        if hardware and run.ends:
            self._watch(run)
        return run

    def attach_run(self, run_id: str) -> Run:
        """Return somebody else's run to write to; it is never ended here. NotFoundError when there is none."""
        from mlops.client import runs  # noqa: PLC0415 - as above

        return runs.attach(self._channel(), run_id)

    def active_run(self) -> Run | None:
        """Return the innermost open run of this project in this context, else the newest of the process."""
        from mlops.client import runs  # noqa: PLC0415 - as above

        return runs.current(self.project)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log params to the active run; see `Run.log_params`."""
        self._active("log params").log_params(params)

    def log_param(self, key: str, value: Any) -> None:
        """Log one param to the active run."""
        self._active("log params").log_params({key: value})

    def log_metrics(
        self, metrics: Mapping[str, Any], step: int | None = None, *, at_ms: int | None = None
    ) -> None:
        """Log numbers to the active run; see `Run.log_metrics`."""
        self._active("log metrics").log_metrics(metrics, step, at_ms=at_ms)

    def log_metric(self, key: str, value: Any, step: int | None = None) -> None:
        """Log one number to the active run."""
        self._active("log metrics").log_metrics({key: value}, step)

    def log_apple_silicon_metrics(
        self, metrics: Mapping[str, Any], step: int | None = None
    ) -> None:
        """Log readings of Apple silicon to the active run; see `Run.log_apple_silicon_metrics`."""
        self._active("log metrics").log_apple_silicon_metrics(metrics, step)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags of the active run."""
        self._active("set tags").set_tags(tags)

    def log_artifact(self, path: str | PathLike[str], artifact_path: str | None = None) -> None:
        """Log a file to the active run; see `Run.log_artifact`."""
        self._active("log artifact").log_artifact(path, artifact_path)

    def log_artifacts(self, folder: str | PathLike[str], artifact_path: str | None = None) -> None:
        """Log the content of a folder to the active run."""
        self._active("log artifacts").log_artifacts(folder, artifact_path)

    def log_model(self, model: object, name: str = "model", **options: Any) -> ModelHandle:
        """Log a model to the active run; see `Run.log_model`."""
        return self._active("log model").log_model(model, name, **options)

    def flush(self, timeout_s: float = 60.0) -> Delivery:
        """Wait until everything that this process has logged is delivered, at most *timeout_s*; say what is not."""
        return self._outlet().flush(timeout_s)

    def _active(self, operation: str) -> Run:
        run = self.active_run()
        if run is None:
            hint = "call it within `with client.start_run():`"
            raise BadInputError("run", operation, f"project {self.project} has no open run", hint)
        return run

    def _outlet(self) -> Outlet:
        from mlops.client.spool.outlet import generation  # noqa: PLC0415 - only who logs needs it

        if self._outlet_used is None or self._outlet_born != generation():
            # A forked child has a journal, and things to flush, of its own.
            self._outlet_used, self._outlet_born = self._channel().open(), generation()
        return self._outlet_used

    def _channel(self) -> Channel:
        if self._channel_made is None or self._channel_made.target.project != self.project:
            self._channel_made = self._new_channel()
        return self._channel_made

    def _new_channel(self) -> Channel:
        from mlops.client import spool  # noqa: PLC0415 - only who logs needs it
        from mlops.client.endpoints import find_home  # noqa: PLC0415
        from mlops.client.mlflow_rest import access  # noqa: PLC0415
        from mlops.client.runs import Channel  # noqa: PLC0415

        where = self._endpoints_or_none()
        found = access.find(where)
        if found is None:
            raise NotRunningError("tracking", "find MLflow", "no installation here or above", _HINT)
        home = where.home if where else find_home(self._folder)
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or self.project
        target = spool.Target(found.uri, self.project, experiment)
        told = os.environ.get("MLFLOW_TRACKING_URI", "")
        return Channel(
            folder=spool.spool_folder(home),
            target=target,
            most_bytes=spool.most_bytes(),
            connect=spool.connector(where),
            environment={
                # With the name and password that may stand in it: a subprocess needs them too.
                "MLFLOW_TRACKING_URI": told
                if access.to(told, where).uri == found.uri
                else found.uri,
                "MLFLOW_WORKSPACE": self.project,
                "MLFLOW_EXPERIMENT_NAME": experiment,
                "MLOPS_PROJECT": self.project,
            },
            make_place=self._make_place,
        )

    def _watch(self, run: Run) -> None:
        from mlops.client.runs.hardware import Watch  # noqa: PLC0415 - as above

        home = self._where.home if self._where else None
        ask = self._ask_gently if self._where else None
        folder = self._folder or Path.cwd()
        run.watch = Watch(
            run.log_metrics,
            run.set_tags,
            folder,
            home,
            self.project,
            ask,
            name=run.ref,
            outer=run.outer,
        )
        run.watch.start()

    def _ask_gently(self, path: str, params: Params) -> Any:
        return self._transport.get(path, "look at the platform", params)

    def _stop_logging(self, timeout_s: float) -> Delivery | None:
        """Give the outlet back, flushed."""
        used, self._outlet_used = self._outlet_used, None
        if used is None or self._channel_made is None:
            return None
        return self._channel_made.close(used, timeout_s)
