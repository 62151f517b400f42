# SPDX-License-Identifier: Apache-2.0
"""Which version a content is, which one is meant, and how a dataset may be called. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

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
    """A numbered content of a dataset; it never changes."""

    project: str
    name: str
    version: int
    path: str
    content: Content
    remote: str
    parent: int | None
    run_id: str | None
    created_at: datetime


@dataclass(frozen=True)
class Use:
    """A run has read a version; None when it named a content that was never versioned."""

    run_id: str
    name: str
    version: int | None
    oid: str | None


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


def _number(version: Version) -> int:
    return version.version
