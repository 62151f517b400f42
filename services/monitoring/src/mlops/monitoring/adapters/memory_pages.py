# SPDX-License-Identifier: Apache-2.0
"""MemoryPages: reports over a time as they were given, for tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlops.chassis.errors import UnavailableError
from mlops.monitoring.model.reports import Report
from mlops.monitoring.ports import Written


@dataclass
class MemoryPages:
    """The reports by the address of their page; it fails *failures* times first, and for a project of *broken* always."""

    failures: int = 0
    broken: frozenset[str] = frozenset()
    kept: dict[str, Report] = field(default_factory=dict)
    writes: int = 0
    refused: int = 0

    async def write(self, report: Report) -> Written:
        """Keep the report."""
        if self.failures:
            self.failures -= 1
            raise UnavailableError("the pages fail on purpose")
        if report.project in self.broken:
            self.refused += 1
            raise UnavailableError("this page always fails")
        self.writes += 1
        period = report.period
        span = f"{period.since:%Y-%m-%dT%H%M%S}--{period.until:%Y-%m-%dT%H%M%S}-{period.name}"
        name = f"memory:///reports/_periods/{report.project or '_all'}/{span}"
        self.kept[f"{name}.html"] = report
        return Written(f"{name}.html", f"{name}.json", (f"{name}/story.png",), 1)
