# SPDX-License-Identifier: Apache-2.0
"""Probes over HTTP: a version is ready when it says so through the door that callers use."""

from __future__ import annotations

import asyncio
import http.client
from urllib.parse import urlsplit

from mlops.serving.model.apps import App

_TIMEOUT_S = 2.0


class HttpProbes:
    """Asks `/v2/models/<model>/ready`."""

    async def ready(self, url: str, app: App) -> bool:
        """Return whether the version says that it is ready."""
        if not url:
            return False
        return await asyncio.to_thread(_ask, url, f"/v2/models/{app.model}/ready")


def _ask(url: str, path: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", parts.path + path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
