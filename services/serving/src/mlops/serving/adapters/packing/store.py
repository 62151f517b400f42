# SPDX-License-Identifier: Apache-2.0
"""BentoML's store as folders: what is whole in it, how something enters in one step, how it leaves.

A Bento counts when its folder stands in `bentos`: it is made in `making` and moved there last, after its model.
Whoever moves anything holds the store's lock.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlops.serving.adapters.bento.packed_files import DamagedError
from mlops.serving.adapters.packing.contents import check

# In the folder of a Bento that came from elsewhere: no registry here can make it again.
IMPORTED = "imported"
_KINDS = ("bentos", "models")


@dataclass(frozen=True)
class Store:
    """The store of an installation."""

    root: Path

    @classmethod
    def here(cls) -> Store:
        """Return the store that BentoML uses in this process."""
        return cls(Path(os.environ["BENTOML_HOME"]))

    def bento(self, tag: str) -> Path:
        """Return where a Bento stands, or would."""
        return self.root / "bentos" / tag.replace(":", "/")

    def model(self, tag: str) -> Path:
        """Return where the copy of its model stands, or would."""
        return self.root / "models" / tag.replace(":", "/")

    def tags(self, name: str = "*") -> list[str]:
        """Return every Bento, or those of one name."""
        found = (self.root / "bentos").glob(f"{name}/*/bento.yaml")
        return sorted(f"{one.parent.parent.name}:{one.parent.name}" for one in found)

    def whole(self, tag: str) -> dict[str, str] | None:
        """Return the labels of a Bento that is there and undamaged, else None."""
        if not self.bento(tag).is_dir():
            return None
        try:
            return check(self.bento(tag), self.model(tag))
        except DamagedError:
            return None

    @contextmanager
    def making(self) -> Iterator[Path]:
        """Give a folder on the store's disk; it is gone afterwards, also when this process dies: the next one removes it."""
        folder = self.root / "making" / uuid.uuid4().hex
        with self._locked():
            _sweep(folder.parent)
            folder.mkdir(parents=True)
            held = (folder / "lock").open("w")
            fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            held.close()

    def enter(self, tag: str, bento: Path, model: Path) -> None:
        """Move a Bento and its model in, unless somebody else was quicker; what is damaged there makes room."""
        with self._locked():
            if self.whole(tag) is not None:
                return
            for kind, folder in zip(_KINDS, (bento, model), strict=True):
                self._discard(kind, tag)
                folder.parent.parent.mkdir(exist_ok=True)
            for kind, folder in (("models", model), ("bentos", bento)):
                place = self.root / kind / tag.replace(":", "/")
                place.parent.mkdir(parents=True, exist_ok=True)
                folder.rename(place)
                self._tell_latest(kind, tag.partition(":")[0])

    def remove(self, tag: str) -> None:
        """Take a Bento and its model out."""
        with self._locked():
            for kind in _KINDS:
                self._discard(kind, tag)
                self._tell_latest(kind, tag.partition(":")[0])

    def keep_only(self, name: str, tags: Sequence[str]) -> None:
        """Take every other Bento of a name out, but for imported ones; and models that belong to none."""
        imported = {one for one in self.tags(name) if (self.bento(one) / IMPORTED).exists()}
        kept = imported.union(tags)
        for kind in _KINDS:
            for folder in (self.root / kind / name).glob("*/"):
                if f"{name}:{folder.name}" not in kept:
                    self.remove(f"{name}:{folder.name}")

    def _discard(self, kind: str, tag: str) -> None:
        place = self.root / kind / tag.replace(":", "/")
        if place.exists():
            # First out of sight in one step: half a Bento must not be seen.
            aside = self.root / "making" / uuid.uuid4().hex
            aside.parent.mkdir(exist_ok=True)
            place.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def _tell_latest(self, kind: str, name: str) -> None:
        folder = self.root / kind / name
        versions = sorted(folder.glob("*/"), key=lambda one: one.stat().st_mtime)
        if not versions:
            shutil.rmtree(folder, ignore_errors=True)
            return
        beside = folder / f".latest.{os.getpid()}"
        beside.write_text(versions[-1].name)
        beside.replace(folder / "latest")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "moving.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _sweep(folder: Path) -> None:
    """Remove what processes that died have left."""
    for left in folder.glob("*/"):
        try:
            with (left / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            continue  # its process lives
