# SPDX-License-Identifier: Apache-2.0
"""look: what stands where a content is to go, and does a version hold all of it that would go or change?

Every file counts, also those that `.dvcignore` hides from DVC: a restore would overwrite them like any other.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dvc.repo import Repo

from mlops.chassis.errors import RejectedError
from mlops.versioning.adapters.dvc_add import walk_of
from mlops.versioning.adapters.dvc_bytes import digest
from mlops.versioning.adapters.dvc_known import Known, Signature, signature
from mlops.versioning.adapters.paths import files_in

# Of some addresses, return those that a version names and that cache or remote still holds.
Safe = Callable[[set[str]], set[str]]

_WRITABLE = 0o200
_ADDRESS = re.compile(r"^\s*(?:- )?md5: ([0-9a-f]{32}(?:\.dir)?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Wish:
    """What is to stand at a path: the addresses of its files, and how they are put there."""

    place: Path
    path: str
    dvc_text: str
    files: dict[str, str]
    read_only: bool


@dataclass(frozen=True)
class Present:
    """What stands at one place now."""

    oid: str
    signature: Signature
    writable: bool


@dataclass(frozen=True)
class Look:
    """What was seen: the files by their path in the dataset, and which of them stay as they are."""

    wish: Wish
    present: dict[str, Present]
    keeps: set[str]
    puts_text_aside: bool

    def refuse_changed(self, rel: str) -> None:
        """Raise RejectedError when a file is no longer the one that was looked at."""
        file, seen = at(self.wish.place, rel), self.present.get(rel)
        try:
            now = signature(os.stat(file))
        except (FileNotFoundError, NotADirectoryError):
            if seen is not None or not os.path.lexists(file):
                return
            now = None
        # Not the time of change (the third): it moves when another name of the same file comes or goes.
        if seen is None or now is None or (*now[:2], *now[3:]) != _but_change(seen.signature):
            raise RejectedError(
                f"{self.wish.path!r} was written to while a version was put there ({rel or 'the file'!r}), so that "
                "file was left alone and the dataset is in part of the one and in part of the other version; "
                "stop the writing, then do it again"
            )

    def gone(self) -> tuple[list[str], list[str]]:
        """Return the files that go: first those in the way of what comes, then the others."""
        if self.present.keys() <= self.wish.files.keys():
            return [], []
        wanted = {_folded(rel) for rel in self.wish.files}
        folders = {_folded(above) for rel in self.wish.files for above in _above(rel)}
        first: list[str] = []
        later: list[str] = []
        for rel in self.present:
            if rel in self.wish.files:
                continue
            one = _folded(rel)
            hinders = one in folders | wanted or not wanted.isdisjoint(_above(one))
            (first if hinders else later).append(rel)
        return first, later


def look_at(repo: Repo, wish: Wish, known: Known, safe: Safe) -> Look:
    """Look at everything that a restore would touch; refuse what would be lost, and what cannot be done."""
    _refuse_ways_out(wish)
    present: dict[str, Present] = {}
    if os.path.lexists(wish.place):
        present = _seen(repo, wish.place, known)
        _see_hidden(wish, present)
        _refuse_blocked(wish, present)
    keeps = {rel for rel, one in present.items() if _stays(rel, one, wish)}
    changes = {one.oid for rel, one in present.items() if rel not in keeps}
    held = safe(changes) if changes else set()
    for rel, one in present.items():
        if rel not in keeps and one.oid not in held:
            raise _unheld(wish, f" (in {rel!r})" if rel else "")
    return Look(wish, present, keeps, _text_is_unheld(wish, safe))


def text_of(wish: Wish) -> Path:
    """Return the `.dvc` file of a wish."""
    return wish.place.with_name(wish.place.name + ".dvc")


def text_aside(wish: Wish) -> Path:
    """Return where a `.dvc` file goes whose content no version holds."""
    return wish.place.with_name(wish.place.name + ".dvc.local")


def at(place: Path, rel: str) -> str:
    """Return a file of a dataset."""
    return f"{place}{os.sep}{rel}" if rel else str(place)


def _but_change(found: Signature) -> tuple[int, ...]:
    return (*found[:2], *found[3:])


def _folded(rel: str) -> str:
    # Some file systems take names for the same that differ in case or in how a letter is composed.
    return unicodedata.normalize("NFC", rel).casefold()


def _above(rel: str) -> Iterator[str]:
    """Yield the folders of a file by their path in the dataset, the dataset itself as `""`."""
    while rel:
        rel = rel.rpartition("/")[0]
        yield rel


def _seen(repo: Repo, place: Path, known: Known) -> dict[str, Present]:
    if not place.exists():
        return {}
    found: dict[str, Present] = {}
    for rel, stats in files_in(repo.root_dir, place, walk_of(repo)).items():
        was = signature(stats)
        oid = known.oid(rel, was) or digest(at(place, rel), _silent)[0]
        found[rel] = Present(oid, was, bool(stats.st_mode & _WRITABLE))
    return found


def _see_hidden(wish: Wish, present: dict[str, Present]) -> None:
    for rel in wish.files.keys() - present.keys():
        file = at(wish.place, rel)
        if not os.path.lexists(file):
            continue
        try:
            stats = os.stat(file)
        except OSError:
            raise _blocked(wish, rel) from None
        if stat.S_ISREG(stats.st_mode):
            oid = digest(file, _silent)[0]
            present[rel] = Present(oid, signature(stats), bool(stats.st_mode & _WRITABLE))
        elif not stat.S_ISDIR(stats.st_mode):
            raise _blocked(wish, rel)


def _refuse_blocked(wish: Wish, present: dict[str, Present]) -> None:
    for above in {above for rel in wish.files for above in _above(rel)} - present.keys():
        folder = at(wish.place, above)
        if os.path.lexists(folder) and not os.path.isdir(folder):
            raise _blocked(wish, above)
    for rel in wish.files.keys() - present.keys():
        folder = at(wish.place, rel)
        if os.path.isdir(folder) and (
            os.path.islink(folder) or not _files(wish.place, folder) <= present.keys()
        ):
            raise _blocked(wish, rel)


def _files(place: Path, folder: str) -> set[str]:
    return {
        Path(above, name).relative_to(place).as_posix()
        for above, folders, names in os.walk(folder)
        for name in (*names, *(one for one in folders if os.path.islink(os.path.join(above, one))))
    }


def _refuse_ways_out(wish: Wish) -> None:
    if "" in wish.files:
        return
    inside = wish.place.resolve()
    for above in {rel.rpartition("/")[0] for rel in wish.files}:
        if not (wish.place / above).resolve().is_relative_to(inside):
            raise RejectedError(f"a link in {wish.path!r} leads out of it at {above!r}; remove it")


def _stays(rel: str, one: Present, wish: Wish) -> bool:
    # A writable copy serves who wishes for links too; a read-only link serves only them.
    return wish.files.get(rel) == one.oid and (one.writable or wish.read_only)


def _text_is_unheld(wish: Wish, safe: Safe) -> bool:
    """Tell whether the present `.dvc` file is to be put aside; refuse when its data are still there."""
    if not wish.dvc_text:
        return False  # what a pipeline makes: `dvc.lock` is its record, and stays as it is
    file = text_of(wish)
    text = file.read_text() if file.exists() else wish.dvc_text
    found = _ADDRESS.findall(text)
    if text == wish.dvc_text or (found and set(found) <= safe(set(found))):
        return False
    if wish.place.exists() or text_aside(wish).exists():
        raise _unheld(wish, f" (its file {file.name!r} names something else)")
    return True


def _unheld(wish: Wish, where: str) -> RejectedError:
    return RejectedError(
        f"{wish.path!r} has changes that no version holds{where}; add it first (`mlops data add`), or remove it"
    )


def _blocked(wish: Wish, rel: str) -> RejectedError:
    return RejectedError(
        f"something stands in the way at {at(wish.place, rel)!r}: a folder with files in it that DVC ignores, or "
        "what is neither a file nor a folder; move it away"
    )


def _silent(_: int) -> None:
    return
