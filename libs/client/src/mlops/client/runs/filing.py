# SPDX-License-Identifier: Apache-2.0
"""Filing: files are copied into the spool at the call, so that what is logged is what was there then."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path

from mlops.client.errors import BadInputError
from mlops.client.runs import checks
from mlops.client.spool import Outlet, files
from mlops.client.spool.record import ARTIFACT

log = logging.getLogger("mlops.client")


def log_path(outlet: Outlet, ref: str, path: Path, below: str | None, *, inside: bool) -> int:
    """Log a file, or a folder (its content only when *inside*); return how many files that were."""
    operation = f"log artifact {path}"
    prefix = checks.artifact_path(below, operation) if below else ""
    if path.is_dir():
        root = prefix if inside else _join(prefix, path.resolve().name)
        found = [(file, _join(root, file.relative_to(path).as_posix())) for file in _files(path)]
    elif path.is_file():
        found = [(path, _join(prefix, path.name))]
    else:
        hint = "log it after it was written; a relative path starts in the working folder"
        raise BadInputError("run", operation, "there is no such file or folder", hint)
    for file, name in found:
        _log_file(outlet, ref, file, checks.artifact_path(name, operation))
    return len(found)


def log_text(outlet: Outlet, ref: str, name: str, text: str) -> bool:
    """Log a text as a file; False when there is no disk to keep it on."""
    path = checks.artifact_path(name, f"log artifact {name}")
    place = f"{uuid.uuid4().hex}/{Path(path).name}"
    file = outlet.journal.folder / "files" / place
    content = text.encode("utf-8", "surrogatepass")
    if not outlet.takes(len(content)):
        return False
    try:
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    except OSError:
        return False
    outlet.add_object(ARTIFACT, ref, {"path": path, "file": place})
    return True


def _log_file(outlet: Outlet, ref: str, file: Path, path: str) -> None:
    place = f"{uuid.uuid4().hex}/{Path(path).name}"
    if outlet.takes(file.stat().st_size) and _copied(file, outlet.journal.folder / "files" / place):
        outlet.add_object(ARTIFACT, ref, {"path": path, "file": place})
        return
    log.warning(
        "mlops: %s does not fit into the spool; it is sent from where it is: keep it until flush()",
        file,
    )
    outlet.add_object(ARTIFACT, ref, {"path": path, "file": str(file.resolve()), "in_place": True})


def _copied(file: Path, target: Path) -> bool:
    try:
        files.copy(file, target)
    except OSError as error:
        target.unlink(missing_ok=True)
        if not file.is_file():
            raise BadInputError("run", f"log artifact {file}", str(error)) from error
        with file.open("rb"):  # what cannot be read is the caller's matter
            pass
        return False
    return True


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.is_file())


def _join(prefix: str, name: str) -> str:
    return f"{prefix}/{name}" if prefix else name
