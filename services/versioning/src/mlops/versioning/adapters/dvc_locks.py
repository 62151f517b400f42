# SPDX-License-Identifier: Apache-2.0
"""Locks: what a project's pipelines have made, as their `dvc.lock` files say; read again only when one has changed.

An output is called `<lock file>:<stage>:<path as the lock file writes it>`; its signature is its content's address.
What is read is whatever lies in people's folders, so no object is made of an alias and none of YAML's own types: what
stands there can cost no more than its length.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
import yaml

LOCK = "dvc.lock"
PIPELINE = "dvc.yaml"
_ADDRESS = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_MOST_BYTES = 8_000_000
# An output stands at the fifth level; below are only parameters, as people have nested them.
_MOST_LEVELS = 100
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class _Read:
    """The outputs of a lock file, by their names: where they likely stand, and their addresses."""

    signature: str
    outs: dict[str, tuple[str, str]]


class Locks:
    """Remembers what was read. A file that is half written or has conflicts is passed by, and said once."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, str], _Read] = {}
        self._unreadable: set[tuple[str, str]] = set()
        self._passed_by: dict[tuple[str, str], str] = {}

    def outs(self, root: str, file: str, signature: str) -> dict[str, str]:
        """Return the address of each output of a lock file, by its name."""
        held = self._read.get((root, file))
        if held is None or held.signature != signature:
            held = self._outs(root, file, signature)
        passed_by = [name for name in held.outs if (root, name) in self._passed_by]
        if passed_by:
            standing = _standing(Path(root, file))
            for name in passed_by:
                if self._passed_by[root, name] != standing:
                    del self._passed_by[root, name]
        return {
            name: address
            for name, (_, address) in held.outs.items()
            if (root, name) not in self._passed_by
        }

    def named(self, root: str, name: str) -> tuple[str, str] | None:
        """Return the path and the address of an output; the path is another one where its stage has a `wdir`."""
        held = self._read.get((root, parted(name)[0]))
        return held.outs.get(name) if held else None

    def standing(self, root: str, name: str) -> str:
        """Return what changes when an output's lock file does, or the pipeline beside it."""
        return _standing(Path(root, parted(name)[0]))

    def pass_by(self, root: str, name: str, standing: str) -> None:
        """Tell nothing of an output until its lock file or its pipeline changes: DVC does not keep this one."""
        self._passed_by[root, name] = standing

    def _outs(self, root: str, file: str, signature: str) -> _Read:
        """Read a lock file; what could not be opened is tried again, what it holds is not read twice."""
        key = root, file
        try:
            with Path(root, file).open("rb") as opened:
                content = opened.read(_MOST_BYTES + 1)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                self._say(root, file, str(error))
            self._read.pop(key, None)
            return _Read(signature, {})
        try:
            held = _Read(signature, dict(_outputs(file, _plain(content))))
            self._unreadable.discard(key)
        except (ValueError, yaml.YAMLError) as error:
            self._say(root, file, str(error))
            held = _Read(signature, {})
        self._read[key] = held
        return held

    def _say(self, root: str, file: str, reason: str) -> None:
        if (root, file) not in self._unreadable:
            self._unreadable.add((root, file))
            structlog.get_logger("people").warning(
                "lock.unreadable", folder=root, file=file, reason=" ".join(reason.split())
            )


def is_output(name: str) -> bool:
    """Say whether this is an output's name, and no file's."""
    return f"{LOCK}:" in name


def parted(name: str) -> tuple[str, str, str]:
    """Return the lock file, the stage and the path that an output's name is made of."""
    above, _, rest = name.partition(f"{LOCK}:")
    stage, _, path = rest.partition(":")
    return f"{above}{LOCK}", stage, path


def _standing(lock: Path) -> str:
    return f"{_signature(lock)} {_signature(lock.with_name(PIPELINE))}"


def _signature(file: Path) -> str:
    try:
        found = file.stat()
    except OSError:
        return "none"
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ino}"


def _outputs(file: str, read: object) -> Iterator[tuple[str, tuple[str, str]]]:
    stages = read.get("stages") if isinstance(read, dict) else None
    if not isinstance(stages, dict):
        raise ValueError("it has no stages")  # noqa: TRY004 - bad content, whatever its type
    above = posixpath.dirname(file)
    for stage, held in stages.items():
        outs = held.get("outs") if isinstance(held, dict) else None
        for out in outs if isinstance(outs, list) and ":" not in stage else ():
            address, path = (out.get("md5"), out.get("path")) if isinstance(out, dict) else (0, 0)
            if isinstance(path, str) and isinstance(address, str) and _ADDRESS.fullmatch(address):
                place = posixpath.normpath(posixpath.join(above, path))
                yield f"{file}:{stage}:{path}", (place, address)


def _plain(content: bytes) -> object:
    """Return the mappings, lists and words of a YAML document; an alias is nothing, however much it stands for.

    The parser goes from event to event: the usual loader calls itself at each level, in C, until the process dies.
    """
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES // 1_000_000} MB")
    open_: list[list[object]] = [[]]
    for event in yaml.parse(content, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append([])
            if len(open_) > _MOST_LEVELS:
                raise ValueError(f"it has more than {_MOST_LEVELS} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            items = open_.pop()
            is_list = isinstance(event, yaml.SequenceEndEvent)
            open_[-1].append(items if is_list else _mapping(items))
        elif isinstance(event, yaml.NodeEvent):
            open_[-1].append(event.value if isinstance(event, yaml.ScalarEvent) else None)
    if len(open_[0]) > 1:
        raise ValueError("it has more than one document")
    return open_[0][0] if open_[0] else None


def _mapping(items: list[object]) -> dict[str, object]:
    named = zip(items[::2], items[1::2], strict=True)
    return {name: held for name, held in named if isinstance(name, str)}
