# SPDX-License-Identifier: Apache-2.0
"""DvcFiles: which content the `.dvc` file of a dataset names, or its pipeline's `dvc.lock`: now, and in a git commit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path, PurePosixPath

_HEX = re.compile(r"[0-9a-f]{7,64}")
_ADDRESS = re.compile(r"^[- ] md5: ([0-9a-f]{32}(?:\.dir)?)\s*$", re.MULTILINE)
# As DVC writes it. It is not read as YAML: that can nest, and multiply, without end.
_OUTS = re.compile(r"^    outs:\n((?:    - .*\n|      .*\n)+)", re.MULTILINE)
_OUT = re.compile(r"^    - ", re.MULTILINE)
_OUT_PATH = re.compile(r"^\s*path: (.+?)\s*$", re.MULTILINE)
_OUT_ADDRESS = re.compile(r"^\s*md5: ([0-9a-f]{32}(?:\.dir)?)\s*$", re.MULTILINE)
_PATIENCE_S = 5.0
_MOST_BYTES = 65_536
_MOST_LOCK_BYTES = 4 * 1024 * 1024
_DEEPEST = 16

# Reads a file of the project's folder, at most so much of it; nothing where there is none.
_Reads = Callable[[str, int], Awaitable[bytes]]


class DvcFiles:
    """Reads small files or objects; the data themselves are not looked at."""

    async def now(self, folder: str, path: str) -> str | None:
        """Return the address in the folder as it is."""

        async def read(name: str, most: int) -> bytes:
            return await asyncio.to_thread(_read, Path(folder, name), most)

        return await _named(read, path)

    async def committed(self, folder: str, commit: str, path: str) -> str | None:
        """Return the address in a commit; None also where there is no git, or no such commit."""
        if not _HEX.fullmatch(commit):
            return None

        async def read(name: str, most: int) -> bytes:
            # `./` is seen from the folder, which need not be the repository's own.
            return await _said(most, "-C", folder, "cat-file", "blob", f"{commit}:./{name}")

        return await _named(read, path)


async def _named(read: _Reads, path: str) -> str | None:
    if of_file := await read(f"{path}.dvc", _MOST_BYTES):
        return _address(_text(of_file))
    for lock, out in _locks(path):
        text = _text(await read(lock, _MOST_LOCK_BYTES))
        if found := await asyncio.to_thread(_locked, text, out):
            return found
    return None


def _locks(path: str) -> Iterator[tuple[str, str]]:
    """Yield where a `dvc.lock` may name a path, nearest first, and how it is called there."""
    whole = PurePosixPath(path)
    for folder in list(whole.parents)[:_DEEPEST]:
        yield str(folder / "dvc.lock"), str(whole.relative_to(folder))


def _locked(text: str, out: str) -> str | None:
    found = set()
    for block in _OUTS.findall(text):
        for one in _OUT.split(block):
            path, address = _OUT_PATH.search(one), _OUT_ADDRESS.search(one)
            if path and address and path[1].strip("'\"") == out:
                found.add(address[1])
    return found.pop() if len(found) == 1 else None


def _address(text: str) -> str | None:
    found = _ADDRESS.findall(text)
    return found[0] if len(found) == 1 else None


def _text(found: bytes) -> str:
    return found.decode(errors="replace")


def _read(file: Path, most: int) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(most)
    except OSError:
        return b""


async def _said(most: int, *words: str) -> bytes:
    try:
        git = await asyncio.create_subprocess_exec(
            "git", *words, env=_environment(), stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
        )
    except OSError:
        return b""
    said = b""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while git.stdout and len(said) < most and (more := await git.stdout.read(most)):
                said += more
    except TimeoutError:
        said = b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            git.kill()
        await git.wait()
    return said


def _environment() -> dict[str, str]:
    # Not the repository of whoever started the platform; and what a partial clone lacks is fetched by nobody.
    own = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return {**own, "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
