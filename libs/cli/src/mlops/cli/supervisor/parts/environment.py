# SPDX-License-Identifier: Apache-2.0
"""Environment: what every child inherits: the caller's, less what harms, plus addresses and no usage reports."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from mlops.cli.supervisor.parts.site import Site

# Writing no bytecode makes every start slow; a foreign PYTHONPATH or Airflow setting makes it wrong.
_DROPPED = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "RAY_ADDRESS")
_DROPPED_PREFIXES = (
    "AIRFLOW__",
    "AIRFLOW_",
    "MLFLOW_",
    "MLOPS_HTTP_",
    "MLOPS_SUPERVISED_",
    "PYTEST_",
    "COV_",
)
_NO_REPORTS = {
    "DO_NOT_TRACK": "1",
    "BENTOML_DO_NOT_TRACK": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}


def inherited(caller: Mapping[str, str], site: Site) -> dict[str, str]:
    """Return the environment that all components share."""
    return {
        **harmless(caller),
        "MLOPS_HOME": str(site.home.root),
        "NATS_URL": site.nats,
        "NATS_TOKEN": site.secrets["nats_token"],
        "MLFLOW_TRACKING_URI": site.http("mlflow"),
        "BENTOML_HOME": str(site.home.root / "bento"),
        **_ray(caller, site),
    }


def _ray(caller: Mapping[str, str], site: Site) -> dict[str, str]:
    # A token that some other Ray left in the user's home would otherwise shut our own head to our own serving.
    return {} if site.cluster else {"RAY_AUTH_MODE": caller.get("RAY_AUTH_MODE", "disabled")}


def harmless(caller: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's environment without what harms, with the platform's own programs first on the path."""
    kept = {
        name: value
        for name, value in caller.items()
        if name not in _DROPPED and not name.startswith(_DROPPED_PREFIXES)
    }
    programs = str(Path(sys.executable).parent)
    others = [path for path in kept.get("PATH", "").split(":") if path and path != programs]
    return {
        **kept,
        **_NO_REPORTS,
        "PATH": ":".join([programs, *others]),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
