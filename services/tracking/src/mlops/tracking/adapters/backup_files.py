# SPDX-License-Identifier: Apache-2.0
"""The files of a backup: copied with their hashes, named in `manifest.json`, and checked before anything is restored."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mlops.tracking.errors import StoreError

FORMAT = 1
MANIFEST = "manifest.json"
ARTIFACTS = "artifacts"

_CHUNK = 1024 * 1024
_SAY_EVERY = 500

Say = Callable[[str], None]


@dataclass(frozen=True)
class Copied:
    """A file of a backup."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a backup holds, and what may read it."""

    made_at: str
    platform: str
    mlflow: str
    schema_revision: str
    store: str
    database: str
    counts: dict[str, int]
    artifacts: str
    artifacts_included: bool
    files: list[Copied] = field(default_factory=list)
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write it into the folder of the backup."""
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Return what the backup in *folder* says of itself; StoreError where there is none that we can read."""
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        files = [Copied(**each) for each in found.pop("files")]
        manifest = Manifest(**found, files=files)
        _check_kinds(manifest)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            f"{folder} holds no readable backup ({MANIFEST}: {error}); name the folder that `backup` wrote"
        ) from error
    if manifest.format != FORMAT:
        raise StoreError(
            f"backup {folder} has format {manifest.format}, this version reads {FORMAT}; "
            "restore it with the version that made it, or a newer one"
        )
    return manifest


def check(folder: Path, manifest: Manifest, say: Say) -> None:
    """Return when every file is as it was written; StoreError names the first that is not."""
    for number, file in enumerate(manifest.files):
        if number and number % _SAY_EVERY == 0:
            say(f"checked {number} of {len(manifest.files)} files")
        path = folder / file.path
        if "\0" in file.path or ".." in Path(file.path).parts or Path(file.path).is_absolute():
            raise StoreError(f"backup {folder} names the file {file.path!r} outside of itself")
        if not path.is_file():
            raise StoreError(f"backup {folder} lacks {file.path}; take another copy of the backup")
        if sha256(path) != file.sha256:
            raise StoreError(
                f"backup {folder} is damaged: {file.path} is not what was written; take another copy"
            )


def copy(source: Path, target: Path) -> tuple[str, int]:
    """Copy a file and return hash and size of what was copied."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reading, target.open("wb") as writing:
        while chunk := reading.read(_CHUNK):
            digest.update(chunk)
            writing.write(chunk)
            size += len(chunk)
    os.utime(target, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
    return digest.hexdigest(), size


def copy_tree(source: Path, target: Path, inside: str, say: Say) -> list[Copied]:
    """Copy the files below *source* and return them under the name *inside*; what vanishes meanwhile is no loss."""
    copied = []
    target.mkdir(parents=True, exist_ok=True)
    for path in files_of(source, say):
        relative = path.relative_to(source)
        try:
            digest, size = copy(path, target / relative)
        except FileNotFoundError:
            (target / relative).unlink(missing_ok=True)
            continue
        copied.append(Copied(f"{inside}/{relative.as_posix()}", digest, size))
        if len(copied) % _SAY_EVERY == 0:
            say(f"{inside}: {len(copied)} files")
    return copied


def copy_listed(folder: Path, manifest: Manifest, target: Path, say: Say) -> None:
    """Copy the artifacts that a manifest names, and nothing else; StoreError when one is not what was written."""
    target.mkdir(parents=True, exist_ok=True)
    listed = [file for file in manifest.files if file.path.startswith(f"{ARTIFACTS}/")]
    for number, file in enumerate(listed, start=1):
        digest, _ = copy(folder / file.path, target / file.path.removeprefix(f"{ARTIFACTS}/"))
        if digest != file.sha256:
            raise StoreError(f"backup {folder} changed while it was read: {file.path}; try again")
        if number % _SAY_EVERY == 0:
            say(f"{ARTIFACTS}: {number} of {len(listed)} files")


def files_of(folder: Path, say: Say) -> Iterator[Path]:
    """Yield the regular files below a folder, in order; links are not followed, but said.

    Raises OSError for a folder that is there and cannot be read.
    """
    for root, folders, names in os.walk(folder, onerror=_unless_gone):
        folders.sort()
        for name in sorted([*names, *folders]):
            path = Path(root) / name
            if path.is_symlink():
                say(f"left out: {path} is a link")
            elif path.is_file():
                yield path


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _check_kinds(manifest: Manifest) -> None:
    texts = [manifest.database, manifest.store, manifest.schema_revision, manifest.mlflow]
    texts += [text for file in manifest.files for text in (file.path, file.sha256)]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a text is none")
    if not isinstance(manifest.counts, dict) or not isinstance(manifest.artifacts_included, bool):
        raise TypeError("counts or artifacts_included are not what they were")


def sha256(path: Path) -> str:
    """Return the hash of a file."""
    with path.open("rb") as reading:
        return hashlib.file_digest(reading, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Return when a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
