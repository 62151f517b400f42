# SPDX-License-Identifier: Apache-2.0
"""CPU seconds of pushing to and fetching from a real S3 server, against the DVC command line in the same run.

    python benchmarks/versioning_s3.py [--rounds 3] [--gib 1] [--files 10000] [--at FOLDER]

Both have added the same data before; only what moves bytes is measured. Each round has fresh data, folders and buckets,
and lets ours and DVC take turns. Ours is the worker process of versioning, warm as between two commands; a command of
DVC starts anew each time, so what a push of nothing costs is shown beside the others. The server's own CPU is in no figure.
Writes benchmarks/results/versioning_s3.json.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import botocore.session
from results_file import Figure, compare
from versioning import Plain, Series, counted, make_data, measure

from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.ports import Place

NAMES = ("big.bin", "many")
RCLONE = Path(sys.executable).with_name("rclone")
_READY_S = 15.0


@contextmanager
def server(root: Path) -> Iterator[None]:
    """Run `rclone serve s3`; what speaks to Amazon in this process and its children speaks to it."""
    key, secret = secrets.token_hex(10).upper(), secrets.token_hex(20)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = int(taken.getsockname()[1])
    (root / "buckets").mkdir(parents=True)
    words = ["serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{key},{secret}"]
    with (root / "s3.log").open("wb") as log:
        process = subprocess.Popen(
            [RCLONE, *words, "--config", "", str(root / "buckets")], stdout=log, stderr=log
        )
    os.environ.update(
        AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{port}",
        AWS_ACCESS_KEY_ID=key,
        AWS_SECRET_ACCESS_KEY=secret,
        AWS_DEFAULT_REGION="us-east-1",
    )
    try:
        _wait_for(port)
        client = botocore.session.get_session().create_client("s3")
        for bucket in ("ours", "theirs"):
            client.create_bucket(Bucket=bucket)
        yield
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        with socket.socket() as line:
            if line.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the S3 server does not answer")


async def ours(root: Path, place: Place, seen: Series) -> None:
    """Push, push again, and fetch into an empty cache."""
    datasets = DvcDatasets(root / "state")
    away = replace(place, remote="s3://ours/bench")
    empty = replace(away, cache=str(root / "ours-empty-cache"))
    for name in NAMES:
        held = await datasets.snapshot(place, name)
        for what in ("push", "again"):
            used, _ = await counted(partial(datasets.push, away, [held.oid]))
            seen[f"ours: {what} {name}"].append(used)
        used, _ = await counted(partial(datasets.files, empty, held))
        seen[f"ours: fetch {name}"].append(used)
    await datasets.close()


def theirs(root: Path, plain: Plain, seen: Series) -> None:
    """Do the same with commands."""
    plain.run("init", "--no-scm", "-q")
    plain.run("remote", "add", "-d", "-q", "there", "s3://theirs/bench")
    for name in NAMES:
        plain.run("add", "-q", name)
        for what in ("push", "again"):
            seen[f"dvc: {what} {name}"].append(plain.run("push", "-q", name))
        plain.run("cache", "dir", "--local", str(root / f"dvc-empty-cache-{name}"))
        seen[f"dvc: fetch {name}"].append(plain.run("fetch", "-q", name))
        plain.run("cache", "dir", "--local", "--unset")


def one_round(root: Path, seen: Series, gib: float, files: int, number: int) -> None:
    """Measure everything once, on data of its own."""
    make_data(root / "data", gib, files)
    for folder in ("ours", "dvc"):
        shutil.copytree(root / "data", root / folder)
    place = Place("bench", str(root / "ours"), str(root / "ours-remote"), str(root / "ours-cache"))
    with server(root / "server"):
        if number % 2:
            theirs(root, Plain(root), seen)
        asyncio.run(ours(root, place, seen))
        if not number % 2:
            theirs(root, Plain(root), seen)


def figures(seen: Series, gib: float, files: int) -> list[Figure]:
    """Return the table."""
    sizes = {"big.bin": f"{gib:g} GiB", "many": f"{files} x 2 KiB"}
    whats = {"push": "push {} to S3", "again": "push again, {}, nothing new", "fetch": "fetch {}"}
    return [
        compare(
            "versioning_s3",
            title.format(sizes[name]),
            "CPU s",
            seen[f"ours: {what} {name}"],
            f"dvc {'push' if what == 'again' else what}",
            seen[f"dvc: {what} {name}"],
        )
        for name in NAMES
        for what, title in whats.items()
    ]


if __name__ == "__main__":
    measure("versioning_s3", __doc__, one_round, figures)
