# SPDX-License-Identifier: Apache-2.0
"""MLflow's own client library, and what the checks ask it again and again."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable
from typing import Any

warnings.simplefilter("ignore")

import mlflow  # noqa: E402 - it warns while it is imported
import pytest  # noqa: E402 - after the line above, as all that follow
from click.testing import CliRunner, Result  # noqa: E402 - the same
from mlflow import MlflowClient  # noqa: E402 - the same
from mlflow.cli import cli  # noqa: E402 - the same
from mlflow.exceptions import MlflowException  # noqa: E402 - the same

client = MlflowClient()


def fresh(name: str = "x") -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def an_experiment() -> str:
    return str(client.create_experiment(fresh("experiment")))


def a_run(experiment: str | None = None, **about: Any) -> str:
    return str(client.create_run(experiment or an_experiment(), **about).info.run_id)


def refused(code: str, act: Callable[..., object], *arguments: Any, **named: Any) -> str:
    with pytest.raises(MlflowException) as found:
        act(*arguments, **named)
    assert found.value.error_code == code, found.value
    return str(found.value.message)


def command(*words: str) -> Result:
    result = CliRunner().invoke(cli, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def end_runs() -> None:
    """End the runs that a failed check has left open."""
    while mlflow.active_run():
        mlflow.end_run("FAILED")
