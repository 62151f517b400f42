# SPDX-License-Identifier: Apache-2.0
"""The packages of an installation, for its command line: `python -m mlops.serving.adapters.packing.desk`.

Reads one JSON object from standard input: `{"call": NAME, "home": FOLDER, "with": {…}}`. Writes JSON lines: any number
of `{"step": TEXT}`, then `{"ok": …}` or `{"error": TEXT, "kind": "rejected" | "unavailable"}`. It works on the
installation's own store of packages, beside a serving that runs: both take the store's lock.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.serving.adapters.bento.packed_files import DamagedError
from mlops.serving.adapters.packing import archive
from mlops.serving.adapters.packing.archive import ArchiveError
from mlops.serving.adapters.packing.contents import labels_of, spec_of
from mlops.serving.adapters.packing.store import IMPORTED, Store
from mlops.serving.model.backends import Wish

Tell = Callable[[str], None]

_ENVIRONMENT = {
    "BENTOML_DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


class Desk:
    """What the command line may ask for."""

    def __init__(self, tell: Tell) -> None:
        self._store = Store.here()
        self._tell = tell

    def list(self) -> list[dict[str, Any]]:
        """Return every package of the store."""
        return [self._summary(tag) for tag in self._store.tags()]

    def build(
        self,
        project: str,
        model: str,
        version: int,
        backend: str,
        mlflow_url: str,
        *,
        allow_pickle: bool,
    ) -> dict[str, Any]:
        """Pack a version of the registry."""
        # MLflow and BentoML take a second: the other calls do without.
        from mlops.serving.adapters.packing.making import Order, pack  # noqa: PLC0415

        wish = Wish(backend, os.environ.get("SERVING_BACKEND") or "auto")
        return pack(Order(project, model, version, wish, allow_pickle), mlflow_url, self._tell)

    def export(self, tag: str, target: str) -> dict[str, Any]:
        """Write a package to a file."""
        found = archive.export(self._store, self._known(tag), Path(target), self._tell)
        return {"bento_tag": tag, "file": str(found), "size_bytes": found.stat().st_size}

    def enter(self, file: str, *, allow_pickle: bool) -> dict[str, Any]:
        """Read a package from a file."""
        found = archive.enter(self._store, Path(file), self._tell, allow_pickle=allow_pickle)
        return {**asdict(found), **self._summary(found.tag)}

    def remove(self, tag: str) -> dict[str, Any]:
        """Take a package out of the store."""
        self._store.remove(self._known(tag))
        return {"bento_tag": tag}

    def containerfile(self, tag: str) -> str:
        """Return a package's Containerfile."""
        from mlops.serving.adapters.packing.containers import containerfile  # noqa: PLC0415 - as above

        return containerfile(self._known(tag))

    def openapi(self, tag: str) -> str:
        """Return a package's OpenAPI document."""
        return (self._store.bento(self._known(tag)) / "apis" / "openapi.yaml").read_text()

    def _known(self, tag: str) -> str:
        if tag not in self._store.tags():
            raise RejectedError(
                f"there is no package {tag!r}; `mlops package list` shows those there are"
            )
        return tag

    def _summary(self, tag: str) -> dict[str, Any]:
        folder = self._store.bento(tag)
        try:
            labels, spec = labels_of(folder), spec_of(folder)
        except DamagedError as error:
            return {"bento_tag": tag, "damaged": str(error)}
        return {
            "bento_tag": tag,
            "task": spec["task"],
            "size_bytes": spec["size_bytes"],
            "imported": (folder / IMPORTED).exists(),
            "labels": labels,
        }


def main() -> None:
    """Answer the one question of standard input."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not look like a reply
    question = json.load(sys.stdin)
    os.environ |= _ENVIRONMENT | {"BENTOML_HOME": str(Path(question["home"]) / "bentoml")}

    def reply(said: dict[str, Any]) -> None:
        replies.write(json.dumps(said) + "\n")

    try:
        desk = Desk(lambda step: reply({"step": step}))
        reply({"ok": getattr(desk, question["call"])(**question["with"])})
    except (RejectedError, ArchiveError) as error:
        reply({"error": str(error), "kind": "rejected"})
    except (UnavailableError, OSError) as error:
        reply({"error": str(error), "kind": "unavailable"})


if __name__ == "__main__":
    main()
