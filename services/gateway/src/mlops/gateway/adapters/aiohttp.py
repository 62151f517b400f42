# SPDX-License-Identifier: Apache-2.0
"""AiohttpReplicas: one pooled HTTP client for all replicas; bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import aiohttp

from mlops.gateway.ports import LostReplicaError, Reply, SlowReplicaError

_CONNECT_S = 2.0
_CONNECTIONS = 256


class AiohttpReplicas:
    """Replicas over HTTP. Make it inside the running loop, close it at stop."""

    def __init__(self) -> None:
        # Replicas close idle connections after 75 s and more; ours are let go before, so that none is half-dead.
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)

    async def send(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str], timeout: timedelta
    ) -> Reply:
        """Ask a replica once."""
        limits = aiohttp.ClientTimeout(total=timeout.total_seconds(), sock_connect=_CONNECT_S)
        try:
            async with self._session.request(
                method,
                url,
                data=body or None,
                headers=headers,
                timeout=limits,
                allow_redirects=False,
            ) as response:
                return Reply(response.status, await response.read(), response.headers)
        except aiohttp.ConnectionTimeoutError as error:
            raise LostReplicaError(f"no connection within {_CONNECT_S:g} s") from error
        except TimeoutError as error:
            raise SlowReplicaError(f"no answer within {timeout.total_seconds():g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise LostReplicaError(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
