# SPDX-License-Identifier: Apache-2.0
"""Locks: what a project's pipelines have made, as their `dvc.lock` files say; read again only when one has changed.

An output is called `<lock file>:<stage>:<path as the lock file writes it>`; its signature is its content's address.
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
_ADDRESS = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_MOST_BYTES = 16_000_000
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
        self._passed_by: set[tuple[str, str, str]] = set()

    def outs(self, root: str, file: str, signature: str) -> dict[str, str]:
        """Return the address of each output of a lock file, by its name."""
        held = self._read.get((root, file))
        if held is None or held.signature != signature:
            held = _Read(signature, self._outs(root, file))
            self._read[root, file] = held
        return {
            name: address
            for name, (_, address) in held.outs.items()
            if (root, name, address) not in self._passed_by
        }

    def named(self, root: str, name: str) -> tuple[str, str] | None:
        """Return the path and the address of an output; the path is another one where its stage has a `wdir`."""
        held = self._read.get((root, parted(name)[0]))
        return held.outs.get(name) if held else None

    def pass_by(self, root: str, name: str) -> None:
        """Tell nothing of an output any more until it has another content: DVC does not keep this one."""
        found = self.named(root, name)
        if found is not None:
            self._passed_by.add((root, name, found[1]))

    def _outs(self, root: str, file: str) -> dict[str, tuple[str, str]]:
        try:
            with Path(root, file).open("rb") as opened:
                read = yaml.load(opened.read(_MOST_BYTES), Loader=_LOADER)  # noqa: S506 - a safe one
            found = dict(_outputs(file, read))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            self._say(root, file, str(error))
            return {}
        self._unreadable.discard((root, file))
        return found

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


def _outputs(file: str, read: object) -> Iterator[tuple[str, tuple[str, str]]]:
    stages = read.get("stages") if isinstance(read, dict) else None
    if not isinstance(stages, dict):
        raise ValueError("it has no stages")  # noqa: TRY004 - bad content, whatever its type
    above = posixpath.dirname(file)
    for stage, held in stages.items():
        outs = held.get("outs") if isinstance(held, dict) else None
        for out in outs if isinstance(outs, list) and ":" not in str(stage) else ():
            if isinstance(out, dict) and _ADDRESS.fullmatch(str(out.get("md5"))):
                path = str(out.get("path"))
                place = posixpath.normpath(posixpath.join(above, path))
                yield f"{file}:{stage}:{path}", (place, str(out["md5"]))
