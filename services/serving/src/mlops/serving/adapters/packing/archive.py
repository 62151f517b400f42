# SPDX-License-Identifier: Apache-2.0
"""A package as one file: written from a store, read into another; what is no whole package of ours never enters.

The file is what `bentoml export` writes (an xz tar of the Bento, its models in `models`), so BentoML reads it too.
"""

from __future__ import annotations

import io
import lzma
import os
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from mlops.serving.adapters.bento.packed_files import DamagedError
from mlops.serving.adapters.packing.contents import SEAL, SOURCE, check, spec_of
from mlops.serving.adapters.packing.store import IMPORTED, Store

SUFFIX = ".bento"
_SPARE_BYTES = 64 * 2**20
_MOST_MEMBERS = 200_000
# Weights hardly shrink: more effort would only take longer.
_EFFORT: Literal[1] = 1
_TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}:[a-z0-9][a-z0-9._-]{0,62}")

Tell = Callable[[str], None]


class ArchiveError(ValueError):
    """The file cannot be written or read; says why."""


@dataclass(frozen=True)
class Entered:
    """A package that an archive held; *known* when it was in the store already."""

    tag: str
    labels: dict[str, str]
    known: bool


def export(store: Store, tag: str, target: Path, tell: Tell) -> Path:
    """Write a package to a new file (into a folder: under its own name); the file is whole or not there."""
    if target.is_dir():
        target = target / f"{tag.replace(':', '-')}{SUFFIX}"
    if target.exists():
        raise ArchiveError(f"{target} exists; give another name, or remove it")
    try:
        check(store.bento(tag), store.model(tag))
    except DamagedError as error:
        raise ArchiveError(f"{error}; `mlops package build` makes it again") from error
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with tarfile.open(beside, "w:xz", preset=_EFFORT) as archive:
            _add(archive, store, tag, tell)
        beside.rename(target)
    finally:
        beside.unlink(missing_ok=True)
    return target


def enter(store: Store, file: Path, tell: Tell, *, allow_pickle: bool) -> Entered:
    """Move the package of a file into a store; ArchiveError, and an unchanged store, when it is not whole."""
    with store.making() as scratch:
        tell(f"unpacking {file.name}")
        _unpack(file, scratch / "bento")
        tell("checking it")
        tag, labels, model = _checked(scratch / "bento", file.name)
        if labels.get("pickles") and not allow_pickle:
            raise ArchiveError(
                f"{file.name} holds {labels['pickles']}, which runs whatever code is in it when it is loaded; "
                "import it with --allow-pickle if you trust who made it"
            )
        there = store.whole(tag)
        if there is not None and there[SEAL] != labels[SEAL]:
            raise ArchiveError(
                f"another package is called {tag} here; `mlops package remove {tag}` first"
            )
        if there is None:
            shutil.move(model, scratch / "model")
            shutil.rmtree(scratch / "bento" / "models")
            (scratch / "bento" / IMPORTED).write_text(file.name)
            store.enter(tag, scratch / "bento", scratch / "model")
        return Entered(tag, labels, there is not None)


def _add(archive: tarfile.TarFile, store: Store, tag: str, tell: Tell) -> None:
    name, _, version = tag.partition(":")
    kept = {
        path: path.relative_to(store.bento(tag)).as_posix() for path in _files(store.bento(tag))
    }
    inside = f"models/{name}/{version}"
    model = store.model(tag)
    kept |= {path: f"{inside}/{path.relative_to(model).as_posix()}" for path in _files(model)}
    total = sum(path.stat().st_size for path in kept)
    done = 0
    for path, place in kept.items():
        if place != IMPORTED:
            archive.add(path, f"./{place}", recursive=False, filter=_nobody)
        done += path.stat().st_size
        tell(f"{tag}: {100 * done // max(total, 1) // 10 * 10} % of {total / 2**20:.1f} MiB")
    # BentoML reads the newest version of a model from this file.
    latest = tarfile.TarInfo(f"./models/{name}/latest")
    latest.size = len(version)
    archive.addfile(latest, io.BytesIO(version.encode()))


def _files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _unpack(file: Path, folder: Path) -> None:
    folder.mkdir()
    room = shutil.disk_usage(folder).free - _SPARE_BYTES
    try:
        with tarfile.open(file, "r:xz") as archive:
            for count, member in enumerate(archive):
                room -= member.size
                if room < 0 or count > _MOST_MEMBERS:
                    raise ArchiveError(f"{file.name} unpacks to more than the disk has room for")
                if not (member.isfile() or member.isdir()):
                    raise ArchiveError(f"{file.name} holds {member.name!r}, which is no plain file")
                archive.extract(member, folder, filter="data")
    except FileNotFoundError as error:
        raise ArchiveError(f"{file} does not exist") from error
    except tarfile.FilterError as error:
        raise ArchiveError(f"{file.name} wants to write outside of its folder: {error}") from error
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise ArchiveError(
            f"{file.name} is no whole package: {error}; copy or export it again"
        ) from error


def _checked(bento: Path, name: str) -> tuple[str, dict[str, str], Path]:
    """Return tag, labels and model of an unpacked package that is whole."""
    try:
        told = yaml.safe_load((bento / "bento.yaml").read_text())
        tag = f"{told['name']}:{told['version']}"
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ArchiveError(f"{name} holds no Bento: its bento.yaml cannot be read") from error
    if not _TAG.fullmatch(tag):
        raise ArchiveError(f"{name} is called {tag!r}, which is no name of a Bento")
    if not (bento / SOURCE).is_dir():
        raise ArchiveError(
            f"{name} is a Bento, but not one of this platform; `bentoml import` takes it"
        )
    model = bento / "models" / tag.replace(":", "/")
    try:
        labels = check(bento, model)
        named = spec_of(bento)["model_tag"]
    except (DamagedError, KeyError) as error:
        raise ArchiveError(f"{name} is damaged: {error}; copy or export it again") from error
    if named != tag:
        raise ArchiveError(f"{name} is called {tag}, but holds {named}; copy or export it again")
    return tag, labels, model
