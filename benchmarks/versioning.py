# SPDX-License-Identifier: Apache-2.0
"""CPU seconds of adding, adding again and restoring data, against the DVC command line and raw MD5 in the same run.

    python benchmarks/versioning.py [--rounds 3] [--gib 1] [--files 10000] [--at FOLDER]

Each round makes fresh data in fresh folders and lets ours and DVC take turns, the first turn alternating. Ours is the
worker process of versioning, children included, warm as it is between two commands; an addition of ours has also
brought everything to a remote in another folder when it ends, so it is compared with `dvc add` and with `dvc add` and
`dvc push`. Nothing is deleted before the end: ext4 makes files slowly where many were just removed.
Writes benchmarks/results/versioning.json.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil
from results_file import Figure, compare, write

from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.model import Content
from mlops.versioning.ports import Place

DVC = Path(sys.executable).with_name("dvc")
GIB = 1 << 30
FILE_BYTES = 2048
PIECE = 1 << 22
_WORKER = "mlops.versioning.adapters.dvc_worker"

T = TypeVar("T")
Series = defaultdict[str, list[float]]


def make_data(folder: Path, gib: float, files: int) -> None:
    """Write one large file and a folder of small ones, all of random bytes, and a very small file."""
    folder.mkdir(parents=True)
    (folder / "first.csv").write_text("1,2\n")
    with (folder / "big.bin").open("wb") as file:
        for _ in range(max(1, int(gib * GIB / PIECE))):
            file.write(os.urandom(PIECE))
    for number in range(files):
        place = folder / "many" / f"{number % 20}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.bin").write_bytes(os.urandom(FILE_BYTES))


def raw_md5(folder: Path) -> tuple[float, float]:
    """Return the CPU seconds that hashing alone takes: the large file, and all small ones."""
    began = time.process_time()
    with (folder / "big.bin").open("rb") as file:
        hashlib.file_digest(file, "md5")
    between = time.process_time()
    for above, _, names in os.walk(folder / "many"):
        for name in names:
            with open(f"{above}/{name}", "rb") as file:  # noqa: PTH123 - the plainest there is
                hashlib.md5(file.read(), usedforsecurity=False)
    return between - began, time.process_time() - between


def raw_links(cache: Path, to: Path) -> float:
    """Return the CPU seconds of a hard link for each small file: no restore by links can go below it."""
    small = [
        str(one) for one in cache.rglob("*") if one.is_file() and one.stat().st_size == FILE_BYTES
    ]
    for number in range(20):
        (to / f"{number}").mkdir(parents=True)
    began = time.process_time()
    for number, one in enumerate(small):
        os.link(one, f"{to}/{number % 20}/{number}")
    return time.process_time() - began


class Plain:
    """The DVC command line in a project of its own."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "dvc"
        self._env = os.environ | {
            "DVC_NO_ANALYTICS": "1",
            "DVC_GLOBAL_CONFIG_DIR": str(root / "global"),
            "DVC_SYSTEM_CONFIG_DIR": str(root / "system"),
            "DVC_SITE_CACHE_DIR": str(root / "site"),
        }

    def prepare(self, root: Path) -> None:
        """Make the project, with a remote that is a folder."""
        self.run("init", "--no-scm", "-q")
        self.run("remote", "add", "-d", "-q", "there", str(root / "dvc-remote"))

    def run(self, *arguments: str) -> float:
        """Return the CPU seconds of one command."""
        before = _children_s()
        subprocess.run([DVC, *arguments], cwd=self.folder, env=self._env, check=True, stdout=2)
        return _children_s() - before


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def worker_s() -> float:
    """Return the CPU seconds that our worker has used since it began."""
    used = 0.0
    for child in psutil.Process().children(recursive=True):
        if _WORKER in child.cmdline():
            times = child.cpu_times()
            used += times.user + times.system + times.children_user + times.children_system
    return used


async def counted(work: Callable[[], Awaitable[T]]) -> tuple[float, T]:
    """Return the CPU seconds of one call, and its result."""
    before = worker_s()
    result = await work()
    return worker_s() - before, result


async def ours(root: Path, place: Place, seen: Series) -> None:
    """Add, add again, and restore in two ways."""
    datasets = DvcDatasets(root / "state")
    seen["ours: start"].append((await counted(lambda: datasets.snapshot(place, "first.csv")))[0])
    for name in ("big.bin", "many"):
        used, held = await counted(partial(datasets.snapshot, place, name))
        seen[f"ours: add {name}"].append(used)
        used, _ = await counted(partial(datasets.snapshot, place, name))
        seen[f"ours: again {name}"].append(used)
        for way, read_only in (("link", True), ("copy", False)):
            (root / "ours" / name).rename(root / f"ours, before {way} {name}")
            seen[f"ours: {way} {name}"].append(
                await restored(datasets, place, name, held, read_only=read_only)
            )
    await datasets.close()


async def restored(
    datasets: DvcDatasets, place: Place, name: str, held: Content, *, read_only: bool
) -> float:
    """Return the CPU seconds of one restoring."""
    used, _ = await counted(lambda: datasets.restore(place, name, held, read_only=read_only))
    return used


def theirs(root: Path, plain: Plain, seen: Series) -> None:
    """Do the same with commands."""
    plain.prepare(root)
    seen["dvc: start"].append(plain.run("add", "-q", "first.csv"))
    for name in ("big.bin", "many"):
        added = plain.run("add", "-q", name)
        pushed = plain.run("push", "-q", name)
        seen[f"dvc: add {name}"].append(added)
        seen[f"dvc: add and push {name}"].append(added + pushed)
        seen[f"dvc: again {name}"].append(plain.run("add", "-q", name))
        for way, kind in (("link", "hardlink"), ("copy", "copy")):
            plain.run("config", "cache.type", kind)
            (plain.folder / name).rename(root / f"dvc, before {way} {name}")
            seen[f"dvc: {way} {name}"].append(plain.run("checkout", "-q", name))


async def one_round(root: Path, seen: Series, gib: float, files: int, number: int) -> None:
    """Measure everything once, on data of its own."""
    make_data(root / "data", gib, files)
    place = Place("bench", str(root / "ours"), str(root / "ours-remote"), str(root / "ours-cache"))
    for folder in ("ours", "dvc"):
        shutil.copytree(root / "data", root / folder)
    big, many = raw_md5(root / "data")
    seen["md5: big.bin"].append(big)
    seen["md5: many"].append(many)
    if number % 2:
        theirs(root, Plain(root), seen)
    await ours(root, place, seen)
    seen["os.link: many"].append(raw_links(Path(place.cache), root / "linked"))
    if not number % 2:
        theirs(root, Plain(root), seen)


def figures(seen: Series, gib: float, files: int) -> list[Figure]:
    """Return the table."""
    big, many = f"{gib:g} GiB", f"{files} x {FILE_BYTES // 1024} KiB"
    rows = [
        (f"add {big}, pushed", "ours: add big.bin", "raw MD5", "md5: big.bin"),
        (f"add {big}, pushed", "ours: add big.bin", "dvc add", "dvc: add big.bin"),
        (f"add {big}, pushed", "ours: add big.bin", "dvc add, push", "dvc: add and push big.bin"),
        (f"add {many}, pushed", "ours: add many", "raw MD5", "md5: many"),
        (f"add {many}, pushed", "ours: add many", "dvc add", "dvc: add many"),
        (f"add {many}, pushed", "ours: add many", "dvc add, push", "dvc: add and push many"),
        (f"again, unchanged, {big}", "ours: again big.bin", "dvc add", "dvc: again big.bin"),
        (f"again, unchanged, {many}", "ours: again many", "dvc add", "dvc: again many"),
        (f"restore {big}, links", "ours: link big.bin", "dvc checkout", "dvc: link big.bin"),
        (f"restore {many}, links", "ours: link many", "dvc checkout", "dvc: link many"),
        (f"restore {many}, links", "ours: link many", "raw os.link", "os.link: many"),
        (f"restore {big}, copies", "ours: copy big.bin", "dvc checkout", "dvc: copy big.bin"),
        (f"restore {many}, copies", "ours: copy many", "dvc checkout", "dvc: copy many"),
        ("first small file, start included", "ours: start", "dvc add", "dvc: start"),
    ]
    return [
        compare("versioning", metric, "CPU s", seen[mine], peer, seen[other])
        for metric, mine, peer, other in rows
    ]


def measure(
    benchmark: str,
    about: str,
    one_round: Callable[[Path, Series, float, int, int], None],
    figures: Callable[[Series, float, int], list[Figure]],
) -> None:
    """Run all rounds of a benchmark of versioning and write what they say."""
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gib", type=float, default=1.0)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--at", type=Path, help="a folder on the disk that is to be measured")
    asked = parser.parse_args()
    seen: Series = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="mlops-bench-", dir=asked.at) as root:
        for number in range(asked.rounds):
            one_round(Path(root) / str(number), seen, asked.gib, asked.files, number)
            print(f"round {number + 1} of {asked.rounds}", file=sys.stderr)
        # Before the folders are deleted, which takes minutes.
        write(benchmark, figures(seen, asked.gib, asked.files))


if __name__ == "__main__":
    measure("versioning", __doc__, lambda *asked: asyncio.run(one_round(*asked)), figures)
