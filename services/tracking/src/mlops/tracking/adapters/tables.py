# SPDX-License-Identifier: Apache-2.0
"""Our own tables beside MLflow's: how long runs have been silent, which projects are closed; and one index on its runs."""

from __future__ import annotations

import sqlalchemy as sa
from mlflow.store.tracking.dbmodels.models import SqlRun

from mlops.tracking.adapters.outbox import metadata

silence = sa.Table(
    "mlops_silence",
    metadata,
    sa.Column("run_id", sa.String(32), primary_key=True),
    sa.Column("mark", sa.String(200), nullable=False),
    sa.Column("silent_s", sa.Float, nullable=False),
)
closed = sa.Table(
    "mlops_closed",
    metadata,
    sa.Column("project", sa.String(63), primary_key=True),
    sa.Column("reason", sa.String(500), nullable=False),
)

# The few runs that run, among all that ever did. Other databases than these two scan.
_RUNNING = (
    "CREATE INDEX IF NOT EXISTS mlops_runs_running ON {table} (run_uuid) WHERE status = 'RUNNING'"
)


def create(engine: sa.Engine) -> None:
    """Make what is not there yet."""
    metadata.create_all(engine)
    if engine.dialect.name not in ("sqlite", "postgresql"):
        return
    table = SqlRun.__table__
    if sa.inspect(engine).has_table(table.name):
        with engine.begin() as connection:
            connection.execute(sa.text(_RUNNING.format(table=table.name)))
