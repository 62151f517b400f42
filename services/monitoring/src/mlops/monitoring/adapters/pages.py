# SPDX-License-Identifier: Apache-2.0
"""SidecarPages: reports of a period as HTML, PNG and JSON, drawn in a child process."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from zoneinfo import ZoneInfo

from pydantic_core import to_jsonable_python

from mlops.chassis.errors import UnavailableError
from mlops.chassis.sidecar import Sidecar
from mlops.monitoring.adapters.places import Place
from mlops.monitoring.model.reports import Report
from mlops.monitoring.model.reports_words import headline
from mlops.monitoring.ports import Written

WORKER = "mlops.monitoring.adapters.page_worker"
_ALL = "_all"  # no project can have this name


class SidecarPages:
    """Pages under `<folder>/<project>/`; what is older than the newest *keep* of a project goes."""

    def __init__(
        self, folder: Place, sidecar: Sidecar, zone: ZoneInfo, *, timeout: timedelta, keep: int
    ) -> None:
        self._folder = folder
        self._sidecar = sidecar
        self._zone = zone
        self._timeout = timeout
        self._keep = keep

    async def write(self, report: Report) -> Written:
        """Draw the page and keep it."""
        home = self._folder.at(report.project or _ALL)
        name = report.period.file_name(self._zone)
        told = await self._sidecar.call(
            "write",
            self._timeout,
            report=await asyncio.to_thread(_as_json, report),
            folder=home.address,
            name=name,
            zone=self._zone.key,
            keep=self._keep,
        )
        try:
            size, pictures = int(told["bytes"]), [str(one) for one in told["pictures"]]
        except (TypeError, KeyError, ValueError) as error:
            raise UnavailableError(f"the writer of reports answered {told!r:.200}") from error
        return Written(
            uri=home.at(f"{name}.html").uri,
            figures_uri=home.at(f"{name}.json").uri,
            picture_uris=tuple(home.at(name, one).uri for one in pictures),
            size_bytes=size,
        )


def _as_json(report: Report) -> dict[str, object]:
    found: dict[str, object] = to_jsonable_python(report)
    steps = max(1, round(report.period.length / report.period.step))
    return {**found, "headline": headline(report), "empty": report.empty, "steps": steps}
