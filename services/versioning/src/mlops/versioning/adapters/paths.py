# SPDX-License-Identifier: Apache-2.0
"""locate: the place of a dataset inside its project's folder, or why there is none."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from mlops.chassis.errors import RejectedError

_OURS = (".dvc", ".git")


def locate(folder: str, path: str) -> Path:
    """Return the absolute place of *path*, which may not exist yet.

    Raises RejectedError when it lies outside the folder, also when a link leads there.
    """
    root = Path(os.path.normpath(folder))
    if not root.is_dir():
        raise RejectedError(
            f"the project's folder {folder!r} does not exist; register the project again"
        )
    place = Path(os.path.normpath(root / path))
    if place == root or not place.is_relative_to(root):
        raise RejectedError(
            f"path {path!r} does not lie inside the project's folder {folder!r}; "
            "name a file or folder below it, relative to it"
        )
    if place.relative_to(root).parts[0] in _OURS or place.suffix == ".dvc":
        raise RejectedError(f"path {path!r} belongs to DVC or git; name the data themselves")
    _refuse_impossible(place, path)
    _refuse_escape(root, place, path)
    return place


def existing(folder: str, path: str) -> Path:
    """Return the place of *path*, which must hold something; also no link inside it may lead outside."""
    place = locate(folder, path)
    if not place.exists():
        raise RejectedError(
            f"nothing stands at path {path!r} in {folder!r}; write the data first or correct the path"
        )
    root = Path(os.path.normpath(folder))
    _refuse_odd(root, place)
    for above, folders, files in os.walk(place):
        for name in (*folders, *files):
            _refuse_odd(root, Path(above, name))
    return place


def _refuse_odd(root: Path, entry: Path) -> None:
    path = entry.relative_to(root).as_posix()
    if entry.is_symlink():
        _refuse_escape(root, entry, path)
    if not (entry.is_file() or entry.is_dir()):
        # Whoever opens a pipe or a device may wait for ever.
        raise RejectedError(
            f"path {path!r} is neither a file nor a folder (a pipe, a device, or a link that leads "
            "nowhere); remove it"
        )


def _refuse_impossible(place: Path, path: str) -> None:
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            place.lstat()
    except (OSError, ValueError) as error:
        raise RejectedError(f"{path[:100]!r} cannot be a path: {error}; correct it") from error


def _refuse_escape(root: Path, place: Path, path: str) -> None:
    try:
        inside = place.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:
        raise RejectedError(
            f"path {path!r} cannot be followed: {error}; remove the link"
        ) from error
    if not inside:
        raise RejectedError(
            f"path {path!r} is, or goes through, a link that leaves the project's folder {str(root)!r}; "
            "copy the data into the folder"
        )
