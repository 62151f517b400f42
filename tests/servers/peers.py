# SPDX-License-Identifier: Apache-2.0
"""Programs of others in environments of their own, because what they need and what we need exclude each other.

An environment is made once for a hash-pinned list (`peer_lists/NAME.txt`) and this Python, and kept in a cache outside the
checkout: `MLOPS_TEST_PEERS`, else `mlops-test-peers` in the user's cache folder. Lists are made again with
`uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url
NAME.in -o NAME.txt`.

Where the packages cannot be had a test skips, saying why, also under CI=1: unlike the programs of `requirements.lock`,
nobody promised them to this machine, and a platform without another vendor's client is not broken. A package that
is not the pinned one fails the test.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

LISTS = Path(__file__).with_name("peer_lists")
SCRIPTS = LISTS.with_name("peer_scripts")
ROOT = Path(__file__).resolve().parents[2]
CACHE = "MLOPS_TEST_PEERS"
_MAKING_S = 600
_RUNNING_S = 120
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "NO_PROXY", "no_proxy")
# As the bootstrap does: many networks have a proxy that signs with its own certificate.
_PATIENCE = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1", "UV_HTTP_RETRIES": "1"}


class NoPackagesError(Exception):
    """Why an environment cannot be made here."""


@dataclass(frozen=True)
class Peer:
    """An environment that holds a program of others."""

    folder: Path

    @property
    def python(self) -> Path:
        """Return its interpreter."""
        return self.program("python")

    def program(self, name: str) -> Path:
        """Return one of its programs."""
        return self.folder / "bin" / name

    def environment(self) -> dict[str, str]:
        """Return what its programs are started with: nothing of ours but where things are."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return kept | {"PATH": f"{self.folder / 'bin'}:{kept.get('PATH', '')}"}

    def run(self, script: Path, wish: object, within_s: float = _RUNNING_S) -> Any:
        """Run a script with *wish* as JSON on its input; return the JSON of its last line."""
        done = subprocess.run(
            [str(self.python), str(script)],
            input=json.dumps(wish),
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        assert done.returncode == 0, f"{script.name}: {done.stderr[-3000:]}"
        return json.loads(done.stdout.splitlines()[-1])


def environment(name: str) -> Peer:
    """Return the environment of a list, made where it is missing; skip here where its packages cannot be had."""
    try:
        return made(name)
    except NoPackagesError as error:
        pytest.skip(f"the packages of {name} cannot be had here: {error}")


@functools.cache
def made(name: str) -> Peer:
    """Return the environment of a list, made where it is missing; NoPackagesError where it cannot be."""
    listed = LISTS / f"{name}.txt"
    folder = cache() / f"{name}-{_key(listed)}"
    with _locked(folder.with_suffix(".lock")):
        if not (folder / "ready").exists():
            _make(folder, listed)
            (folder / "ready").touch()
    return Peer(folder)


def cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder in which environments are kept."""
    user = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = Path(environ.get(CACHE) or user / "mlops-test-peers")
    found.mkdir(parents=True, exist_ok=True)
    return found.resolve()


def _key(listed: Path) -> str:
    machine = f"{sys.version_info[:2]} {sys.platform} {platform.machine()} {sys.base_prefix}"
    return hashlib.sha256(listed.read_bytes() + machine.encode()).hexdigest()[:12]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(folder: Path, listed: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "bin" / "python"
    uv = find_uv()
    # Nothing is compiled: a package without a wheel for this machine cannot be had.
    if uv:
        _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        sync = ("pip", "sync", "--quiet", "--only-binary=:all:", "--require-hashes")
        _run(uv, *sync, "--python", str(python), str(listed))
        return
    _run(sys.executable, "-m", "venv", str(folder))
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
    _run(str(python), *install, "--only-binary=:all:", "--require-hashes", "-r", str(listed))


def find_uv() -> str:
    """Return uv as the bootstrap `mlops` finds it; nothing where there is none."""
    if found := shutil.which("uv"):
        return found
    stamp = ROOT / ".venv" / ".mlops-stamp"
    noted = stamp.read_text().splitlines()[1:2] if stamp.exists() else []
    places = [*noted, str(ROOT / ".mlops" / "bootstrap" / "bin" / "uv")]
    return next((place for place in places if os.access(place, os.X_OK)), "")


def _run(*command: str) -> None:
    try:
        done = subprocess.run(
            command,
            env=os.environ | _PATIENCE,
            capture_output=True,
            text=True,
            timeout=_MAKING_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoPackagesError(str(error)) from error
    if done.returncode == 0:
        return
    said = " ".join(done.stderr.split())[-400:]
    if "hash" in said.lower() and "mismatch" in said.lower():
        pytest.fail(f"a package is not the pinned one: {said}")
    raise NoPackagesError(said)
