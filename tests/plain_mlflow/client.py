# SPDX-License-Identifier: Apache-2.0
"""Tries what MLflow promises its clients, with its own client library, in a process of its own.

`python -m plain_mlflow.client` prints for each check `{"name": null}`, or its traceback. It knows nothing of the
platform: the same checks hold for MLflow's own server.
"""

from __future__ import annotations

import json
import sys
import traceback

from plain_mlflow import models, runs
from plain_mlflow.asking import end_runs


def main() -> None:
    """Try everything with the server at MLFLOW_TRACKING_URI."""
    for check in [*runs.CHECKS, *models.CHECKS]:
        try:
            check()
        except BaseException:  # noqa: BLE001 - the next checks are to run all the same
            found: str | None = traceback.format_exc()
            end_runs()
        else:
            found = None
        sys.stdout.write("\n" + json.dumps({check.__name__: found}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
