# SPDX-License-Identifier: Apache-2.0
"""The spool: what is logged is written to a folder first and brought to MLflow from there, by whoever still lives."""

from mlops.client.spool.adoption import Adopted, Connect
from mlops.client.spool.connect import connector
from mlops.client.spool.desk import (
    JournalState,
    Listing,
    discard,
    discard_refused,
    flush_all,
    listing,
    retry_refused,
)
from mlops.client.spool.outlet import (
    Delivery,
    Outlet,
    close_all,
    close_outlet,
    open_outlet,
    release_outlet,
)
from mlops.client.spool.places import most_bytes, spool_folder
from mlops.client.spool.refused import Refusal
from mlops.client.spool.target import Target

__all__ = [
    "Adopted",
    "Connect",
    "Delivery",
    "JournalState",
    "Listing",
    "Outlet",
    "Refusal",
    "Target",
    "close_all",
    "close_outlet",
    "connector",
    "discard",
    "discard_refused",
    "flush_all",
    "listing",
    "most_bytes",
    "open_outlet",
    "release_outlet",
    "retry_refused",
    "spool_folder",
]
