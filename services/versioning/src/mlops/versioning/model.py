# SPDX-License-Identifier: Apache-2.0
"""Which version a content is, which one is meant, and how a dataset may be called. Pure."""

from __future__ import annotations

import json
import posixpath
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

LATEST = "latest"
MODEL_PREFIX = "model/"
# As long as those that MLflow makes itself.
_SHORTEST_DIGEST = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Content:
    """What stood at a path once: its address, its size and DVC's own text about it."""

    oid: str
    size_bytes: int
    files: int
    dvc_text: str


@dataclass(frozen=True)
class Version:
    """A numbered content of a dataset; its content never changes, what people say about it may."""

    project: str
    name: str
    version: int
    path: str
    content: Content
    remote: str
    parent: int | None
    run_id: str | None
    created_at: datetime
    tags: tuple[str, ...] = ()
    description: str = ""
    removed_at: datetime | None = None
    # Of a pipeline, as DVC calls it; empty for what no pipeline has made.
    stage: str = ""


@dataclass(frozen=True)
class Alias:
    """A name of a dataset that people move from version to version."""

    name: str
    alias: str
    version: int


@dataclass(frozen=True)
class Use:
    """A run has read a version; None when it named a content that was never versioned."""

    run_id: str
    name: str
    version: int | None
    oid: str | None


def overlap(one: str, other: str) -> bool:
    """Tell whether two remotes are one place, or one lies inside the other."""
    first, second = (PurePosixPath(posixpath.normpath(place)) for place in (one, other))
    return first.is_relative_to(second) or second.is_relative_to(first)


def same(known: Sequence[Version], content: Content, path: str) -> Version | None:
    """Return the version that already holds *content* at *path*, the newest one if there are several."""
    return next(
        (
            version
            for version in sorted(known, key=_number, reverse=True)
            if version.content.oid == content.oid and version.path == path
        ),
        None,
    )


def newest(known: Sequence[Version]) -> Version | None:
    """Return the version with the highest number, or None."""
    return max(known, key=_number, default=None)


def meant(known: Sequence[Version], number: int | None, oid: str | None) -> Version | None:
    """Return the version that a run means: by its number, else by its content."""
    for version in sorted(known, key=_number, reverse=True):
        if version.version == number or (number is None and oid and version.content.oid == oid):
            return version
    return None


def chosen(known: Sequence[Version], aliases: Sequence[Alias], wanted: str) -> Version | None:
    """Return the version of one dataset that *wanted* says: its number, an alias, or `latest`."""
    if wanted == LATEST:
        return newest(known)
    number = int(wanted) if wanted.isascii() and wanted.isdigit() else None
    numbers = {number} | {alias.version for alias in aliases if alias.alias == wanted}
    return next((version for version in known if version.version in numbers), None)


def labels_of(version: Version, known: Sequence[Version], aliases: Sequence[Alias]) -> list[str]:
    """Return the aliases that point at *version*, `latest` first when it is the newest of its dataset."""
    of_dataset = [one for one in known if one.name == version.name]
    implied = [LATEST] if newest(of_dataset) == version else []
    pointing = [
        alias.alias
        for alias in aliases
        if (alias.name, alias.version) == (version.name, version.version)
    ]
    return [*implied, *sorted(pointing)]


def tagged(version: Version, add: Sequence[str], remove: Sequence[str]) -> tuple[str, ...]:
    """Return the tags of *version* after the change, in the order in which they came."""
    gone = set(remove)
    return tuple(tag for tag in dict.fromkeys((*version.tags, *add)) if tag not in gone)


def names_in_use(version: Version, aliases: Sequence[Alias], uses: Sequence[Use]) -> list[str]:
    """Return who would miss *version*: aliases, the model whose artifact it is, runs that have read it."""
    found = [
        f"alias {alias.alias}"
        for alias in aliases
        if (alias.name, alias.version) == (version.name, version.version)
    ]
    if version.name.startswith(MODEL_PREFIX):
        found.append(f"registered model {version.name.removeprefix(MODEL_PREFIX)}")
    read = [u for u in uses if (u.name, u.version) == (version.name, version.version)]
    return found + [f"run {run_id}" for run_id in dict.fromkeys(use.run_id for use in read)]


def dvc_text(content: Content, name: str) -> str:
    """Return a `.dvc` file for a content, beside which it stands as *name*; as `dvc add` writes it."""
    # A name may hold what YAML would read as something else.
    files = f"  nfiles: {content.files}\n" if content.oid.endswith(".dir") else ""
    return (
        f"outs:\n- md5: {content.oid}\n  size: {content.size_bytes}\n{files}  hash: md5\n"
        f"  path: {json.dumps(name)}\n"
    )


def name_of(name: str, path: str) -> str:
    """Return the dataset's name: the given one, else the last part of its path."""
    return name or PurePosixPath(path).name


def tidy(path: str, folder: str) -> str:
    """Return *path* relative to the project's folder, in one spelling."""
    whole = posixpath.normpath(posixpath.join(folder, path))
    return posixpath.relpath(whole, posixpath.normpath(folder))


def problem_with_name(name: str) -> str | None:
    """Return why a dataset cannot be called *name*, or None."""
    if _NAME.fullmatch(name):
        return None
    return (
        f"dataset name {name!r} must be 1 to 128 letters, digits, dots, dashes or underscores, "
        "the first a letter or digit; name it so with `name`"
    )


def problem_with_alias(alias: str) -> str | None:
    """Return why an alias cannot be moved, or None."""
    if alias != LATEST:
        return None
    return f"alias {LATEST!r} always means the newest version; choose another name"


def problem_with_tags(tags: Sequence[str]) -> str | None:
    """Return why they cannot be given to a version, or None: people read them in terminals and pages."""
    hidden = next((tag for tag in tags if not tag.isprintable()), None)
    if hidden is None:
        return None
    return f"tag {hidden!a} holds characters that cannot be shown; leave them out"


def _number(version: Version) -> int:
    return version.version


@dataclass(frozen=True)
class Kept:
    """A file of a content: its address and size."""

    oid: str
    size_bytes: int


@dataclass(frozen=True)
class Differences:
    """Which files came, went, changed, or only have another name."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]


def differences(old: Mapping[str, Kept], new: Mapping[str, Kept]) -> Differences:
    """Compare two listings by name and address; what went and came with the same bytes was renamed."""
    gone = defaultdict[str, list[str]](list)
    for name in sorted(old.keys() - new.keys()):
        gone[old[name].oid].append(name)
    added: list[str] = []
    renamed: list[tuple[str, str]] = []
    for name in sorted(new.keys() - old.keys()):
        earlier = gone[new[name].oid]
        if earlier:
            renamed.append((earlier.pop(0), name))
        else:
            added.append(name)
    removed = sorted(name for names in gone.values() for name in names)
    both = sorted(old.keys() & new.keys())
    changed = (name for name in both if old[name].oid != new[name].oid)
    return Differences(tuple(added), tuple(removed), tuple(changed), tuple(renamed))


def name_at(path: str, known: Sequence[Version], datasets: Mapping[str, str]) -> str:
    """Return what the dataset at *path* is called: as before, as the project says, else as the path reads."""
    for version in known:
        if version.path == path:
            return version.name
    for name, at in datasets.items():
        if posixpath.normpath(at) == path:
            return name
    taken = {version.name for version in known}
    short, long = _readable(PurePosixPath(path).name), _readable(path)
    return long if short in taken else short


def _readable(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text).lstrip("._-")[:128] or "dataset"


def read_by(known: Sequence[Version], number: int | None, digest: str | None) -> Version | None:
    """Return the version of a dataset that a run has read, from what its message says of it.

    A number is the platform's own word. A digest may be the content's address or its beginning; one of MLflow's own
    making says nothing.
    """
    if number is not None:
        return meant(known, number, None)
    if digest and len(digest) >= _SHORTEST_DIGEST:
        for version in sorted(known, key=_number, reverse=True):
            if version.content.oid.startswith(digest):
                return version
    return None
