# SPDX-License-Identifier: Apache-2.0
"""The sidecar of serving: MLflow, BentoML and Ray live in this process and nowhere else of ours.

There are two: one packs, which takes its time, and one speaks to Ray. Each loads only what it is asked for.

`SERVING_WORKER` holds its settings as JSON: ray_address, serve_url, mlflow_url, home, ingress, backend.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops.chassis import sidecar
from mlops.serving.model.backends import Wish

if TYPE_CHECKING:
    from mlops.serving.adapters.ray_serve import RayServe


class Worker:
    """What the service may ask for."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings

    def prepare_packing(self) -> None:
        """Load what the first package would wait for."""
        from mlops.serving.adapters.packing import making  # noqa: F401, PLC0415 - loaded now, used soon; as below

    def connect(self) -> None:
        """Connect to Ray, and start Serve if it does not run."""
        self._ray.connect()

    def pack(
        self, project: str, model: str, version: int, backend: str, *, allow_pickle: bool
    ) -> dict[str, Any]:
        """Make the Bento of a version."""
        # MLflow and BentoML take a second and 150 MB: a worker that only watches Ray does without.
        from mlops.serving.adapters.packing.making import Order, pack  # noqa: PLC0415

        wish = Wish(backend, self._settings["backend"])
        order = Order(project, model, version, wish, allow_pickle)
        return pack(order, self._settings["mlflow_url"])

    def keep_only(self, project: str, model: str, bento_tags: Sequence[str]) -> None:
        """Forget the other Bentos of a model."""
        from mlops.serving.adapters.packing.making import keep_only  # noqa: PLC0415 - as above

        keep_only(project, model, bento_tags)

    def apply(self, apps: Sequence[dict[str, Any]]) -> None:
        """Want exactly these applications."""
        self._ray.apply(apps)

    def states(self) -> dict[str, dict[str, Any]]:
        """Return how each application does."""
        return self._ray.states()

    @cached_property
    def _ray(self) -> RayServe:
        # Ray likewise: packing for a test, or while Ray is away, does without.
        from mlops.serving.adapters.ray_serve import RayServe  # noqa: PLC0415

        wanted = ("ray_address", "serve_url", "home", "ingress")
        address, serve_url, home, ingress = (self._settings[name] for name in wanted)
        return RayServe(address, serve_url, home, ingress)


if __name__ == "__main__":
    work = Worker(json.loads(os.environ["SERVING_WORKER"]))
    sidecar.serve(
        {
            "prepare_packing": work.prepare_packing,
            "connect": work.connect,
            "pack": work.pack,
            "keep_only": work.keep_only,
            "apply": work.apply,
            "states": work.states,
        }
    )
