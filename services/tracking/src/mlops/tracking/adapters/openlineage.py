# SPDX-License-Identifier: Apache-2.0
"""OpenLineageSink: lineage through the client library of OpenLineage, which lives in a child process of its own.

The sink is configured as the library does it: OPENLINEAGE_URL, OPENLINEAGE_CONFIG, OPENLINEAGE__TRANSPORT__… or an
`openlineage.yml`, with one more place for that file: the home folder. Without any of them there is no lineage and the
library is never loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import structlog

from mlops.chassis.errors import RejectedError
from mlops.chassis.sidecar import Sidecar
from mlops.tracking.model.lineage import Telling

WORKER = "mlops.tracking.adapters.openlineage_worker"
FILE = "openlineage.yml"

_TIMEOUT = timedelta(seconds=60)  # the library tries an HTTP sink six times, each for five seconds
_TRANSPORT = "OPENLINEAGE__TRANSPORT"


class OpenLineageSink:
    """One event after the other; a sink that hangs is given up with the child that waits for it."""

    def __init__(self, sidecar: Sidecar, timeout: timedelta = _TIMEOUT) -> None:
        self._sidecar = sidecar
        self._timeout = timeout

    async def tell(self, telling: Telling) -> None:
        """Emit the event."""
        spoken = {
            **asdict(telling),
            "at": telling.at.isoformat(),
            "began": telling.began.isoformat() if telling.began else None,
            "ended": telling.ended.isoformat() if telling.ended else None,
        }
        told = await self._sidecar.call("tell", self._timeout, telling=spoken)
        if told != "told":
            raise RejectedError(f"the worker of lineage answered {told!r}")

    async def close(self) -> None:
        """End the child."""
        await self._sidecar.close()


def open_sink(home: Path, environ: Mapping[str, str]) -> OpenLineageSink | None:
    """Return the sink that is configured, or None."""
    places = (home, Path.cwd(), Path(environ.get("HOME", "/")) / ".openlineage")
    files = [folder / FILE for folder in places if (folder / FILE).is_file()]
    if not _wanted(environ, files):
        return None
    log = structlog.get_logger("lineage")
    if find_spec("openlineage") is None:
        log.error(
            "lineage.off",
            reason="a sink is configured, but openlineage-python is not installed",
            fix="install the extra: uv pip install 'mlops-tracking[lineage]'",
        )
        return None
    own = {"OPENLINEAGE_CONFIG": str(files[0])} if files else {}
    env = {**own, **environ}
    log.info("lineage.on", config=env.get("OPENLINEAGE_CONFIG", "environment"))
    return OpenLineageSink(Sidecar(WORKER, env=env))


def _wanted(environ: Mapping[str, str], files: list[Path]) -> bool:
    if environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    named = any(environ.get(name) for name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG"))
    return named or bool(files) or any(name.startswith(_TRANSPORT) for name in environ)
