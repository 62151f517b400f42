# SPDX-License-Identifier: Apache-2.0
"""DvcFiles: which content the `.dvc` file of a dataset names: in the project's folder just now, and in a git commit."""

from __future__ import annotations

import asyncio
import contextlib
import re
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

_HEX = re.compile(r"[0-9a-f]{7,64}")
_ADDRESS = re.compile(r"^- md5: ([0-9a-f]{32}(?:\.dir)?)\s*$", re.MULTILINE)
_PATIENCE_S = 5.0
_MOST_BYTES = 65_536


class DvcFiles:
    """Reads one small file or object; the data themselves are not looked at."""

    async def now(self, folder: str, path: str) -> str | None:
        """Return the address in the folder as it is."""
        return _address(await asyncio.to_thread(_read, Path(folder, f"{path}.dvc")))

    async def committed(self, folder: str, commit: str, path: str) -> str | None:
        """Return the address in a commit; None also where there is no git, or no such commit."""
        if not _HEX.fullmatch(commit):
            return None
        # `./` is seen from the folder, which need not be the repository's own.
        return _address(await _said("-C", folder, "cat-file", "blob", f"{commit}:./{path}.dvc"))


def _address(text: bytes) -> str | None:
    found = _ADDRESS.findall(text.decode(errors="replace"))
    return found[0] if len(found) == 1 else None


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_MOST_BYTES)
    except OSError:
        return b""


async def _said(*words: str) -> bytes:
    try:
        git = await asyncio.create_subprocess_exec(
            "git", *words, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
        )
    except OSError:
        return b""
    said = b""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            said = await git.stdout.read(_MOST_BYTES) if git.stdout else b""
    except TimeoutError:
        said = b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            git.kill()
        await git.wait()
    return said
