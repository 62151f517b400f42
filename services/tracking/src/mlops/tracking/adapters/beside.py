# SPDX-License-Identifier: Apache-2.0
"""The relay's own connection to MLflow's database, so that telling never makes a client wait for a sync."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import event


def beside(engine: sa.Engine) -> sa.Engine:
    """Return an engine on the same database for reading facts and marking rows.

    On SQLite a mark does not wait for the disk: one that a power cut takes back is told again under the same id.
    """
    if engine.dialect.name != "sqlite":
        return engine
    own = sa.create_engine(engine.url, pool_size=2)

    @event.listens_for(own, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.execute("PRAGMA busy_timeout = 20000")
        connection.execute("PRAGMA synchronous = NORMAL")

    return own
