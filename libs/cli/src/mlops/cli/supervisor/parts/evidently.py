# SPDX-License-Identifier: Apache-2.0
"""Evidently's own interface: the last to start and the first to leave out, for it is heavy and only shows."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from mlops.cli.supervisor.component import Component, Gate
from mlops.cli.supervisor.parts.site import HOST, Site, program


def evidently(site: Site, after: tuple[str, ...]) -> Component:
    """Return the component of Evidently's interface, started after all others."""
    stored = os.environ.get("MONITORING_REPORTS_URL")  # where monitoring keeps it instead
    folder = site.home.root / "evidently"
    workspace = f"{stored.rstrip('/')}/evidently" if stored else str(folder)
    options = {
        "host": HOST,
        "port": str(site.ports["evidently"]),
        "workspace": workspace,
        "secret": site.secrets["evidently_secret"],
    }
    return Component(
        name="evidently",
        command=(
            program("evidently"),
            "ui",
            *(text for name, value in options.items() for text in (f"--{name}", value)),
        ),
        gate=Gate(url=f"{site.http('evidently')}/api/version", within_s=240),
        needs=after,
        address=site.http("evidently"),
        prepare=partial(_make, folder),
        optional=True,
        fix="look at the log, or leave it out: `mlops up --without evidently`",
    )


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
