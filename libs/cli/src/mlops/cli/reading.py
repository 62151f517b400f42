# SPDX-License-Identifier: Apache-2.0
"""Reading: the last lines of log files, and their next ones as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlops.cli.supervisor.logs import first_to_last, size

_LOOK_S = 0.3


def last_of(paths: Mapping[str, Path], lines: int) -> Iterator[tuple[str, str]]:
    """Yield the last *lines* of each file, each with the file's name."""
    for name, path in paths.items():
        found: list[str] = []
        for part in first_to_last(path):
            found += part.read_text(errors="replace").splitlines()
        for line in found[len(found) - lines :] if lines else ():
            yield name, line


def follow(paths: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Yield lines as they are written, for ever; a file that was turned over is read from its beginning."""
    read = {name: size(path) for name, path in paths.items()}
    rest = dict.fromkeys(paths, "")
    while True:
        for name, path in paths.items():
            if size(path) < read[name]:
                read[name] = 0
            text, read[name] = _from(path, read[name])
            *whole, rest[name] = (rest[name] + text).split("\n")
            for line in whole:
                yield name, line
        time.sleep(_LOOK_S)


def _from(path: Path, place: int) -> tuple[str, int]:
    try:
        with path.open("rb") as file:
            file.seek(place)
            found = file.read()
    except OSError:
        return "", place
    return found.decode(errors="replace"), place + len(found)
