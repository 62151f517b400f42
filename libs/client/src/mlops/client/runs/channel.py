# SPDX-License-Identifier: Apache-2.0
"""Channel: how the runs of one client reach their spool, in the process that made it and in its forked children."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlops.client.mlflow_rest.server import MlflowServer
from mlops.client.spool import (
    Delivery,
    Outlet,
    Target,
    close_outlet,
    open_outlet,
    release_outlet,
)


@dataclass(frozen=True)
class Channel:
    """Folder, target, and how the server is reached; `environment` lets a subprocess do the same."""

    folder: Path
    target: Target
    most_bytes: int
    connect: Callable[[Target], MlflowServer]
    environment: dict[str, str]
    make_place: Callable[[], None] | None = None

    def open(self) -> Outlet:
        """Return the process's outlet; give it back with `close`."""
        return open_outlet(self.folder, self.target, self.most_bytes, self.connect, self.make_place)

    def server(self) -> MlflowServer:
        """Return a connection of one's own; close it."""
        return self.connect(self.target)

    def close(self, outlet: Outlet, timeout_s: float) -> Delivery:
        """Give the outlet back, flushed within *timeout_s*."""
        return close_outlet(outlet, timeout_s)

    def release(self, outlet: Outlet) -> None:
        """Give the outlet back without waiting for anything."""
        release_outlet(outlet)
