# SPDX-License-Identifier: Apache-2.0
"""locate: the place of a dataset inside its project's folder, or why there is none."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from mlops.chassis.errors import RejectedError

# As os.walk: the folder, the folders in it, the files in it.
Walk = Callable[[str], Iterable[tuple[str, list[str], list[str]]]]

_OURS = (".dvc", ".git")
_LONGEST = 255 - len(".dvc")


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
    if len(os.fsencode(place.name)) > _LONGEST:
        raise RejectedError(
            f"the name of path {path[:100]!r}… is longer than {_LONGEST} bytes, so the `.dvc` file beside it "
            "can have no name; shorten it"
        )
    _refuse_impossible(place, path)
    _refuse_escape(root, place, path)
    return place


def existing(folder: str, path: str) -> Path:
    """Return the place of *path*, which must hold a file or a folder."""
    place = locate(folder, path)
    if not place.exists():
        raise RejectedError(
            f"nothing stands at path {path!r} in {folder!r}; write the data first or correct the path"
        )
    root = Path(os.path.normpath(folder))
    stats = place.stat()
    if place.is_symlink():
        _refuse_escape(root, place, path)
    _refuse_odd(stats, place.relative_to(root).as_posix())
    return place


def files_in(folder: str, place: Path, walk: Walk) -> dict[str, os.stat_result]:
    """Return the files of a dataset by their path inside it (`""` for a single file), links followed.

    Raises RejectedError for what is no file, for a link that leaves the project's folder, and for a link to a
    folder: DVC's listings hold what stands in a folder itself, so its files would be left out without a word.
    """
    root = Path(os.path.normpath(folder))
    if not place.is_dir():
        return {"": place.stat()}
    found: dict[str, os.stat_result] = {}
    top = len(str(place)) + 1
    for above, folders, names in walk(str(place)):
        for name in folders:
            _refuse_linked_folder(root, f"{above}{os.sep}{name}")
        for name in names:
            file = f"{above}{os.sep}{name}"
            found[file[top:].replace(os.sep, "/")] = _stat(root, file)
    return found


def _stat(root: Path, file: str) -> os.stat_result:
    stats = os.lstat(file)
    if stat.S_ISREG(stats.st_mode):
        return stats
    path = Path(file).relative_to(root).as_posix()
    if stat.S_ISLNK(stats.st_mode):
        _refuse_escape(root, Path(file), path)
        # A link to nowhere is told like a pipe; a file that went since it was listed is not.
        with contextlib.suppress(FileNotFoundError):
            stats = os.stat(file)  # noqa: PTH116 - a string, of thousands
    _refuse_odd(stats, path)
    return stats


def _refuse_odd(stats: os.stat_result, path: str) -> None:
    if not (stat.S_ISREG(stats.st_mode) or stat.S_ISDIR(stats.st_mode)):
        # Whoever opens a pipe or a device may wait for ever.
        raise RejectedError(
            f"path {path!r} is neither a file nor a folder (a pipe, a device, or a link that leads "
            "nowhere); remove it"
        )


def _refuse_linked_folder(root: Path, folder: str) -> None:
    if not os.path.islink(folder):  # noqa: PTH114 - a string, of thousands
        return
    path = Path(folder).relative_to(root).as_posix()
    _refuse_escape(root, Path(folder), path)
    raise RejectedError(
        f"path {path!r} is a link to a folder, and DVC keeps no files behind such a link; "
        "put the folder itself there, or remove the link"
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
