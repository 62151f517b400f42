# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.client.steps <step>` performs one step and ends with a status that says what to do next."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from mlops.client import endpoints
from mlops.client.errors import MLOpsClientError
from mlops.client.steps import (
    assignment,
    data,
    evaluate,
    federated_aggregate,
    federated_train,
    register,
    train,
)
from mlops.client.steps.door import Door
from mlops.client.steps.errors import PassingError, StepError, StoppedError
from mlops.client.steps.patience import PatientHttp
from mlops.client.steps.tracking import Tracking
from mlops.client.steps.work import Work, say

STEPS: Mapping[str, Callable[[Work], None]] = {
    "data": data.perform,
    "train": train.perform,
    "evaluate": evaluate.perform,
    "register": register.perform,
    "federated-train": federated_train.perform,
    "federated-aggregate": federated_aggregate.perform,
}
_USAGE = 64
_PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Perform the step that *arguments* names; return the exit status."""
    step = STEPS.get(arguments[0]) if len(arguments) == 1 else None
    if step is None:
        say(f"one step is needed: {', '.join(STEPS)}; got {' '.join(arguments) or 'none'}")
        return _USAGE
    signal.signal(signal.SIGTERM, _stop)
    _end_with_parent()
    try:
        step(_work(environ))
    except StepError as error:
        say(f"{arguments[0]}: {error}")
        return error.exit_status
    return 0


def _work(environ: Mapping[str, str]) -> Work:
    given = assignment.read(environ)
    try:
        found = endpoints.load(environ=environ)
        mlflow = found.address("mlflow")
    except MLOpsClientError as error:
        raise PassingError(str(error)) from error
    headers = {"Authorization": f"Bearer {found.token}"}
    folder = environ.get("MLOPS_PROJECT_FOLDER", "")
    door = Door(PatientHttp("the gateway", found.gateway, headers), given, folder)
    tracking = Tracking(
        PatientHttp("MLflow", mlflow, {"X-MLFLOW-WORKSPACE": given.project}), given.project
    )
    return Work(given, door.project(), door, tracking)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - Python's signature
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough; the rest is orderly
    raise StoppedError("told to stop")


def _end_with_parent() -> None:
    # When Airflow's process dies the step must not go on: a second try would train beside it.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
