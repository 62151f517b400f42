# SPDX-License-Identifier: Apache-2.0
"""MLflow's REST API as the spool needs it: a few calls, no mlflow package, and errors that say whether to try again."""

from mlops.client.mlflow_rest.server import MlflowServer
from mlops.client.mlflow_rest.trouble import (
    AwayError,
    FaultError,
    LostAnswerError,
    PlaceMissingError,
    RefusedByServerError,
    RunGoneError,
)

__all__ = [
    "AwayError",
    "FaultError",
    "LostAnswerError",
    "MlflowServer",
    "PlaceMissingError",
    "RefusedByServerError",
    "RunGoneError",
]
