# SPDX-License-Identifier: Apache-2.0
"""Import: runs and models of another MLflow become a project's, with their ids, times and files; again, only what is new.

Nothing of it is told: history starts no rollouts. With *promote* the versions with the alias champion are told as
`model.promoted`, as if somebody had set the alias now.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from mlops.chassis.errors import RejectedError
from mlops.tracking.adapters.backup_files import Say
from mlops.tracking.adapters.import_source import Source, opened
from mlops.tracking.adapters.mlflow_server import Server, open_server
from mlops.tracking.errors import StoreError


def move_in(
    uri: str,
    project: str,
    store_uri: str,
    artifacts: str,
    say: Say,
    *,
    files: Path | None = None,
    promote: bool = False,
) -> dict[str, object]:
    """Copy what *uri* holds into *project*; return what came, what was there, and what was left out.

    Raises StoreError. The service may run meanwhile.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mlops-import-") as scratch:
        say("reading the source")
        with opened(uri, Path(scratch)) as source, _failures_named(source):
            say("opening the store")
            server = open_server(store_uri, artifacts)
            _provision(server, project)
            result = _copy(source, server, project, say, files, promote=promote)
    return {
        "source": source.name,
        "project": project,
        **result,
        "took_s": round(time.monotonic() - began, 2),
    }


def _copy(
    source: Source, server: Server, project: str, say: Say, files: Path | None, *, promote: bool
) -> dict[str, object]:
    # Imported when MLflow is open: it reads its environment while it is imported.
    from mlops.tracking.adapters.import_files import Files  # noqa: PLC0415
    from mlops.tracking.adapters.import_models import ImportedModels  # noqa: PLC0415
    from mlops.tracking.adapters.import_rows import Copier  # noqa: PLC0415
    from mlops.tracking.adapters.import_runs import ImportedRuns  # noqa: PLC0415

    copier = Copier(source.engine, server.engine)
    moving = Files(server.artifacts, source.folder, files, say)
    mark = f"{datetime.now(UTC).isoformat(timespec='seconds')} {source.name}"
    runs = ImportedRuns(copier, server.tracking, moving, project, mark)
    runs.copy(say)
    models = ImportedModels(copier, project, runs.places)
    models.copy(say)
    promoted = models.promote(source.name) if promote else []
    return {
        **runs.counts,
        **models.counts,
        "promoted": promoted,
        "artifacts_copied": moving.copied,
        "artifacts_left_where_they_are": moving.stay,
        "artifacts_missing": moving.missing[:20],
    }


def _provision(server: Server, project: str) -> None:
    from mlops.tracking.adapters.import_runs import closed_because  # noqa: PLC0415 - see _copy
    from mlops.tracking.adapters.mlflow_files import ModelFiles  # noqa: PLC0415 - the same
    from mlops.tracking.adapters.mlflow_registry import MlflowRegistry  # noqa: PLC0415 - the same
    from mlops.tracking.adapters.mlflow_runs import MlflowRuns  # noqa: PLC0415 - the same

    if reason := closed_because(server.engine, project):
        raise StoreError(f"project {project!r} is {reason}; register it again first")
    runs = MlflowRuns(server.engine, ModelFiles(server.tracking, server.artifacts))
    try:
        asyncio.run(MlflowRegistry(server, runs).provision(project))
    except RejectedError as error:
        raise StoreError(f"project {project!r}: {error}") from error


@contextmanager
def _failures_named(source: Source) -> Iterator[None]:
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        cause = getattr(error, "orig", error)
        raise StoreError(
            f"cannot copy {source.name}: {cause}; what came so far stays; try again"
        ) from error
    except OSError as error:
        raise StoreError(f"cannot copy {source.name}: {error}") from error
    except Exception as error:
        # Its class is not imported here, see _copy.
        if type(error).__name__ not in ("MlflowException", "RestException"):
            raise
        raise StoreError(f"cannot copy {source.name}: {error}") from error
