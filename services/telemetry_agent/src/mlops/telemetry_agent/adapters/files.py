# SPDX-License-Identifier: Apache-2.0
"""FileReader: many small kernel files as one piece of JSON, `{path: text, or null when reading it is denied}`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

_LIMIT_BYTES = 16_384
_LOOKS = 300
_TOO_BIG = 2**64


class FileReader:
    """Find the files, read *steady* ones once and *moving* ones every time; now and then look what is new."""

    def __init__(self, root: Path, moving: Sequence[str], steady: Sequence[str] = ()) -> None:
        self._root = root
        self._patterns = (moving, steady)
        self._left = 0
        self._moving: list[Path] = []
        self._steady: dict[str, str | None] = {}

    def __call__(self) -> bytes:
        """Return what the files hold now; a file that went away is left out."""
        if self._left == 0:  # a driver that was loaded since then has new files
            moving, steady = self._patterns
            self._moving = _found(self._root, moving)
            self._steady = _read(self._root, _found(self._root, steady))
            self._left = _LOOKS
        self._left -= 1
        return json.dumps({**self._steady, **_read(self._root, self._moving)}).encode()


def parse_files(raw: bytes) -> dict[str, str | None]:
    """Return the texts by path; raises ValueError for bytes that are not a reading of files."""
    found = json.loads(raw)
    if not isinstance(found, dict):
        raise ValueError("a reading of files must be a JSON object")  # noqa: TRY004 - one error for all bad bytes
    return {str(path): None if text is None else str(text) for path, text in found.items()}


def whole(text: str | None) -> int | None:
    """Return the integer in a kernel file, or None; the kernel's own have 64 bits."""
    try:
        value = None if text is None else int(text)
    except ValueError:
        return None
    return value if value is None or abs(value) < _TOO_BIG else None


def _found(root: Path, patterns: Sequence[str]) -> list[Path]:
    return sorted(path for pattern in patterns for path in root.glob(pattern))


def _read(root: Path, paths: Sequence[Path]) -> dict[str, str | None]:
    texts: dict[str, str | None] = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                text: str | None = file.read(_LIMIT_BYTES).decode(errors="replace").strip()
        except PermissionError:
            text = None
        except OSError:  # gone, or a sensor that cannot be read right now
            continue
        texts[path.relative_to(root).as_posix()] = text
    return texts
