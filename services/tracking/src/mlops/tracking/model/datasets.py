# SPDX-License-Identifier: Apache-2.0
"""Which version of a dataset a run has read, from what an unmodified client logs: a digest, a source, a name. Pure.

A content's address (as digest, or in the source) is exact. A path or a name only says which dataset; its version is
then the one that stood there, told apart as likely, and none where that is not clear.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import SplitResult, unquote, urlsplit

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
    """A version of a dataset, as versioning has told it; *stage* where a DVC pipeline made it."""

    name: str
    number: int
    address: str
    path: str
    stage: str = ""


@dataclass(frozen=True)
class Standing:
    """From then on this version stood at the dataset's path; the name is empty where it was not kept yet."""

    number: int
    at: datetime
    name: str = ""

    def is_of(self, version: Version) -> bool:
        """Say whether this is the version that stood there."""
        return self.number == version.number and self.name in ("", version.name)


@dataclass(frozen=True)
class History:
    """What is known of one dataset, path or content: its newest versions, and when each was put in its place."""

    versions: tuple[Version, ...] = ()
    standing: tuple[Standing, ...] = ()


def remembered(history: History, version: Version, at: datetime) -> History:
    """Return the history in which *version* stands at its path from *at* on."""
    others = [one for one in history.versions if _key(one) != _key(version)]
    if not version.stage:  # that it stands there again says nothing of who made it
        before = (one.stage for one in history.versions if _key(one) == _key(version))
        version = replace(version, stage=next(before, ""))
    standing = {*history.standing, Standing(version.number, at, version.name)}
    in_order = sorted(standing, key=lambda one: (one.at, one.number, one.name))
    return History((*others, version)[-MOST:], tuple(in_order[-MOST:]))


def addresses(logged: Dataset) -> tuple[str, ...]:
    """Return the contents' addresses that an input names: its digest, or where DVC keeps what was read."""
    found = [logged.hash] if logged.hash and _ADDRESS.fullmatch(logged.hash) else []
    if in_source := _IN_SOURCE.search(_path_of(logged.source)):
        found.append("".join(in_source.groups()))
    return tuple(dict.fromkeys(found))


def place_of(source: str, folder: str | None) -> str | None:
    """Return the path of a local source in the project's folder; None for what is elsewhere, or no path."""
    parts = _split(source)
    if not source or parts is None or parts.scheme not in ("", "file"):
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
    stood = [one for one in found.standing if began and one.at <= began]
    chosen = max(versions, key=lambda one: (any(at.is_of(one) for at in stood), one.number))
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


def stood(found: History, began: datetime | None) -> Version | None:
    """Return the version that stood at its path when the run began."""
    before = [one for one in found.standing if began and one.at <= began]
    if not before:
        return None
    # Where no name was kept: of all names the newest.
    return next((one for one in reversed(found.versions) if before[-1].is_of(one)), None)


def likely(
    logged: Dataset,
    found: History,
    began: datetime | None,
    ended: datetime | None,
    named: Iterable[str] = (),
) -> Dataset:
    """Return the dataset with the version that stood at its path all the time; with none where that is not clear.

    *named* are the contents that `.dvc` and `dvc.lock` files name there: where one is another content, nobody knows
    which was read. A pipeline writes first and is versioned later: its output must be named there.
    """
    version, contents = stood(found, began), set(named)
    if version is None:
        [*_, newest] = found.versions
        return replace(logged, name=newest.name)
    during = [one for one in found.standing if began and ended and began < one.at <= ended]
    is_clear = (
        all(one.is_of(version) for one in during)
        and not contents - {version.address}
        and (bool(contents) or not version.stage)
    )
    return replace(logged, name=version.name, likely=version.number if is_clear else None)


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


def _path_of(source: str) -> str:
    parts = _split(source)
    if parts is None:
        return ""
    return unquote(parts.path) if parts.scheme else source


def _split(source: str) -> SplitResult | None:
    """Return the parts of a source; None for what no URI looks like: clients may log any text."""
    try:
        return urlsplit(source)
    except ValueError:
        return None


def _key(version: Version) -> tuple[str, int]:
    return version.name, version.number
