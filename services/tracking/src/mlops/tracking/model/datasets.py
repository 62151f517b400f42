# SPDX-License-Identifier: Apache-2.0
"""Which version of a dataset a run has read, from what an unmodified client logs: a digest, a source, a name. Pure.

A content's address (as digest, or in the source) is exact. A path or a name only says which dataset; its version is
then the one that stood there, told apart as likely, and none where that is not clear.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from mlops.tracking.model.facts import Dataset

_ADDRESS = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_IN_SOURCE = re.compile(r"(?:^|/)files/md5/([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)$")
# As long as those that MLflow makes itself.
_SHORTEST_DIGEST = 8
_DEEPEST = 16
# What MLflow calls an input that was given no name.
_NO_NAME = "dataset"
MOST = 300


@dataclass(frozen=True)
class Version:
    """A version of a dataset, as versioning has told it."""

    name: str
    number: int
    address: str
    path: str


@dataclass(frozen=True)
class Standing:
    """From then on this version stood at the dataset's path."""

    number: int
    at: datetime


@dataclass(frozen=True)
class History:
    """What is known of one dataset, path or content: its newest versions, and when each was put in its place."""

    versions: tuple[Version, ...] = ()
    standing: tuple[Standing, ...] = ()


def remembered(history: History, version: Version, at: datetime) -> History:
    """Return the history in which *version* stands at its path from *at* on."""
    others = [one for one in history.versions if _key(one) != _key(version)]
    standing = {*history.standing, Standing(version.number, at)}
    in_order = sorted(standing, key=lambda one: (one.at, one.number))
    return History((*others, version)[-MOST:], tuple(in_order[-MOST:]))


def addresses(logged: Dataset) -> tuple[str, ...]:
    """Return the contents' addresses that an input names: its digest, or where DVC keeps what was read."""
    found = [logged.hash] if logged.hash and _ADDRESS.fullmatch(logged.hash) else []
    if in_source := _IN_SOURCE.search(_path_of(logged.source)):
        found.append("".join(in_source.groups()))
    return tuple(dict.fromkeys(found))


def place_of(source: str, folder: str | None) -> str | None:
    """Return the path of a local source in the project's folder; None for what is elsewhere, or no path."""
    if not source or urlsplit(source).scheme not in ("", "file"):
        return None
    path = _path_of(source)
    if posixpath.isabs(path):
        if not folder:
            return None
        path = posixpath.relpath(posixpath.normpath(path), posixpath.normpath(folder))
    path = posixpath.normpath(path)
    return None if path in ("", ".") or path.split("/", 1)[0] == ".." else path


def is_in_place(source: str) -> bool:
    """Say whether a source is a whole path: what was read is the folder's own, and no clone's."""
    return posixpath.isabs(_path_of(source))


def places(path: str) -> Iterator[str]:
    """Yield the path and the folders above it: a dataset may be any of them."""
    for _ in range(_DEEPEST):
        if not path:
            return
        yield path
        path = posixpath.dirname(path)


def means_a_name(logged: Dataset) -> bool:
    """Say whether only the input's name can tell the dataset: it was given one, and no other place was read."""
    return not logged.source and logged.name != _NO_NAME


def exact(logged: Dataset, found: History, began: datetime | None) -> Dataset | None:
    """Return the version of *found*, which all have the content that was read; None where several datasets do."""
    versions = found.versions
    named = [one for one in versions if one.name == logged.name]
    if len({one.name for one in versions}) > 1:
        versions = tuple(named)
    if not versions:
        return None
    stood = {one.number for one in found.standing if began and one.at <= began}
    chosen = max(versions, key=lambda one: (one.number in stood, one.number))
    return Dataset(chosen.name, chosen.number, chosen.address)


def by_digest(logged: Dataset, found: History) -> Dataset | None:
    """Return the version of a dataset whose address begins with the digest that was logged."""
    digest = logged.hash or ""
    if len(digest) < _SHORTEST_DIGEST:
        return None
    starting = [one for one in found.versions if one.address.startswith(digest)]
    if len({one.address for one in starting}) != 1:
        return None
    chosen = max(starting, key=lambda one: one.number)
    return Dataset(chosen.name, chosen.number, chosen.address)


def likely(
    logged: Dataset,
    found: History,
    began: datetime | None,
    ended: datetime | None,
    named: Iterable[str] = (),
) -> Dataset:
    """Return the dataset with the version that stood at its path all the time; with none where that is not clear.

    *named* are the contents that `.dvc` files name there: where one is another content, nobody knows which was read.
    """
    [*_, newest] = found.versions
    number = _stood(found.standing, began, ended)
    version = next((one for one in found.versions if one.number == number), None)
    if version is not None and any(one != version.address for one in named):
        version = None
    return replace(logged, name=newest.name, likely=version.number if version else None)


def unlike(inputs: Iterable[Dataset]) -> tuple[Dataset, ...]:
    """Return the inputs without repetitions: one dataset may have been logged as training and as test data."""
    once = tuple(dict.fromkeys(replace(one, source="") for one in inputs))
    certain = {(one.name, one.version) for one in once if one.version}
    return tuple(one for one in once if (one.name, one.likely) not in certain)


def moment(milliseconds: int | None) -> datetime | None:
    """Return MLflow's time, None for none and for what no calendar has."""
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _stood(
    standing: Sequence[Standing], began: datetime | None, ended: datetime | None
) -> int | None:
    if began is None:
        return None
    before = [one.number for one in standing if one.at <= began]
    during = {one.number for one in standing if ended and began < one.at <= ended}
    if not before or during - {before[-1]}:
        return None
    return before[-1]


def _path_of(source: str) -> str:
    parts = urlsplit(source)
    return unquote(parts.path) if parts.scheme else source


def _key(version: Version) -> tuple[str, int]:
    return version.name, version.number
