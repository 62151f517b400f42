# SPDX-License-Identifier: Apache-2.0
"""alerts: what wants a person's attention."""

from __future__ import annotations

from mlops.cli import output
from mlops.cli.gateway import Gateway
from mlops.cli.options import AnyProjectOption, HomeOption, JsonOption, home_of


def alerts(
    project: AnyProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show what wants a person's attention."""
    with Gateway(home_of(home)) as gateway:
        found = gateway.get("/api/v1/overview", project=project)["alerts"]
    if as_json:
        output.print_json(found)
        return
    print_alerts(found, "no alerts")


def print_alerts(found: list[dict[str, object]], none: str) -> None:
    """Print alerts as a table."""
    columns = ("project", "severity", "state", "model", "title", "alert_id")
    rows = [[one.get(column) for column in columns] for one in found]
    output.print_rows(columns, rows, none, ("alert_id",))
