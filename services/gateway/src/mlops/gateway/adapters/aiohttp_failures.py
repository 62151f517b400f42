# SPDX-License-Identifier: Apache-2.0
"""What both aiohttp clients share: the headers that aiohttp may not add, and its failures in our words."""

from __future__ import annotations

import aiohttp

from mlops.gateway.ports import LostReplicaError, SlowReplicaError

ADDED_BY_AIOHTTP = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
FAILURES = (TimeoutError, aiohttp.ClientError, OSError)


def translated(error: Exception, connect_s: float, quiet_s: float) -> Exception:
    """Return one of FAILURES in our words; a client waits so long for a connection, and for each piece."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return LostReplicaError(f"no connection within {connect_s:g} s")
    if isinstance(error, TimeoutError):
        return SlowReplicaError(f"nothing came for {quiet_s:g} s")
    return LostReplicaError(f"{type(error).__name__}: {error}")
