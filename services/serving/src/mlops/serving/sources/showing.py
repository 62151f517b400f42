# SPDX-License-Identifier: Apache-2.0
"""What is shown of serving at this moment, put together from what is known without asking anybody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlops.serving.model.apps import app_name
from mlops.serving.model.state import weights
from mlops.serving.ports import Figures, RoomFigures, Shown
from mlops.serving.sources.fleet import Fleet
from mlops.serving.sources.meter import Meter
from mlops.serving.sources.naps import Naps


class Showing:
    """Reads *fleet*, *meter* and *naps* as they are."""

    def __init__(self, fleet: Fleet, meter: Meter, naps: Naps) -> None:
        self._fleet = fleet
        self._meter = meter
        self._naps = naps

    def room(self) -> RoomFigures:
        """Return how full the memory of serving is."""
        return self._fleet.room()

    def woken(self) -> Mapping[str, float]:
        """Return how many seconds each model took to wake the last time."""
        return self._naps.woken

    def versions(self) -> Iterator[Shown]:
        """Yield each version that runs."""
        world, last, shares = self._fleet.world, self._meter.pages(), self._shares()
        for name, app in world.apps.items():
            state, page = world.states.get(name), last.get(name)
            figures = self._meter.figures(name) or Figures()
            yield Shown(
                project=app.project,
                model=app.model,
                version=app.version,
                replicas=figures.replicas or (state.replicas if state else 0),
                traffic_ratio=shares.get(name, 0.0),
                figures=figures,
                joules_per_1000=page.joules_per_1000 if page else None,
            )

    def _shares(self) -> dict[str, float]:
        return {
            app_name(one.project, one.model, version): share
            for one in self._fleet.known.values()
            for version, share in weights(one.state).items()
        }
