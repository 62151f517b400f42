# SPDX-License-Identifier: Apache-2.0
"""./mlops in a tiny checkout of its own: real sh, real uv, one small package of the real lock, one member."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MEMBER = """
[project]
name = "mlops-tiny"
version = "0.1.0"
requires-python = ">=3.11"
[project.scripts]
mlops = "mlops.tiny:main"
[build-system]
requires = ["uv_build>=0.13,<0.14"]
build-backend = "uv_build"
[tool.uv.build-backend]
module-name = "mlops.tiny"
"""
CODE = """
import os, shutil, sys
def main():
    import sortedcontainers
    print("folder", os.getcwd())
    print("words", *sys.argv[1:])
    print("uv", bool(shutil.which("uv")))
    sys.exit(7 if "fail" in sys.argv else 0)
"""

pytestmark = [pytest.mark.server, pytest.mark.timeout(240)]


@dataclass(frozen=True)
class Checkout:
    """A checkout as small as can be."""

    root: Path
    environment: Mapping[str, str]

    def command(self, *words: str, script: Path | None = None) -> list[str]:
        return ["sh", str(script or self.root / "mlops"), *words]

    def run(
        self, *words: str, folder: Path | None = None, script: Path | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words, script=script),
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
            cwd=folder or self.root,
            env={**self.environment, **more},
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not on PATH; start the tests with ./mlops test")
    root = tmp_path / "check out"
    package = root / "libs" / "tiny" / "src" / "mlops" / "tiny"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(CODE)
    (root / "libs" / "tiny" / "pyproject.toml").write_text(MEMBER)
    (root / "services" / "none").mkdir(parents=True)
    (root / "services" / "none" / "pyproject.toml").write_text(
        MEMBER.replace("tiny", "none").replace("mlops =", "none =")
    )
    (root / "services" / "none" / "src" / "mlops" / "none").mkdir(parents=True)
    (root / "services" / "none" / "src" / "mlops" / "none" / "__init__.py").write_text(
        "def main(): ...\n"
    )
    (root / "pyproject.toml").write_text('[project]\nname = "tiny-platform"\nversion = "0"\n')
    (root / "requirements.lock").write_text(one_package("sortedcontainers"))
    shutil.copy(ROOT / "mlops", root / "mlops")
    return Checkout(root, {**os.environ, "MLOPS_PYTHON": sys.executable, "CDPATH": "/"})


def one_package(name: str) -> str:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(f"{name}=="))
    last = next(number for number in range(first, len(lines)) if not lines[number].endswith("\\"))
    return "\n".join(lines[first : last + 1]) + "\n"


def test_the_first_call_prepares_and_later_ones_start_at_once(checkout: Checkout) -> None:
    first = checkout.run("hello", "two words")
    second = checkout.run("again")

    assert first.returncode == 0, first.stderr
    assert "preparing" in first.stderr
    assert first.stdout.splitlines() == [
        f"folder {checkout.root}",
        "words hello two words",
        "uv True",
    ]
    assert second.stderr == ""


def test_it_keeps_the_callers_folder_and_works_through_a_link(
    checkout: Checkout, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    link = elsewhere / "platform"
    link.symlink_to(os.path.relpath(checkout.root / "mlops", elsewhere))

    found = checkout.run("x", folder=elsewhere, script=link)

    assert found.returncode == 0, found.stderr
    assert f"folder {elsewhere}" in found.stdout


def test_the_commands_exit_code_is_passed_on(checkout: Checkout) -> None:
    assert checkout.run("fail").returncode == 7


def test_setup_only_prepares(checkout: Checkout) -> None:
    found = checkout.run("setup")

    assert found.returncode == 0, found.stderr
    assert found.stdout == ""


def test_a_changed_lock_is_installed(checkout: Checkout) -> None:
    checkout.run("setup")
    lock = checkout.root / "requirements.lock"
    lock.write_text(lock.read_text() + one_package("six"))

    found = checkout.run("setup")

    assert "preparing" in found.stderr
    packages = checkout.root / ".venv" / "lib"
    assert list(packages.glob("python3*/site-packages/six.py"))
    assert list(packages.glob("python3*/site-packages/__pycache__/six.*.pyc"))


def test_two_at_once_prepare_once(checkout: Checkout) -> None:
    commands = [
        subprocess.Popen(
            checkout.command("x"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(checkout.environment),
            cwd=checkout.root,
        )
        for _ in range(2)
    ]
    said = [command.communicate(timeout=200) for command in commands]

    assert [command.returncode for command in commands] == [0, 0]
    assert sum("packages, about" in errors for _, errors in said) == 1
    assert not (checkout.root / ".mlops" / "setup.lock").exists()


def test_the_lock_of_a_set_up_that_died_is_removed(checkout: Checkout) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    lock = checkout.root / ".mlops" / "setup.lock"
    lock.mkdir(parents=True)
    (lock / "pid").write_text(str(dead.pid))

    found = checkout.run("setup")

    assert found.returncode == 0
    assert f"a set-up that died (process {dead.pid})" in found.stderr


def test_a_package_that_was_tampered_with_is_refused(checkout: Checkout) -> None:
    lock = checkout.root / "requirements.lock"
    lock.write_text(f"sortedcontainers==2.4.0 --hash=sha256:{'0' * 64}\n")

    found = checkout.run("x")

    assert found.returncode == 1
    assert "the packages could not be installed" in found.stderr
    assert "fix:" in found.stderr


def test_without_a_fitting_python_it_says_what_to_install(
    checkout: Checkout, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in (
        "sh",
        "sed",
        "cat",
        "cksum",
        "dirname",
        "readlink",
        "mkdir",
        "rm",
        "df",
        "awk",
        "id",
    ):
        (programs / name).symlink_to(str(shutil.which(name)))

    found = checkout.run("x", PATH=str(programs), MLOPS_PYTHON="")

    assert found.returncode == 1
    assert "no Python 3.11 or newer was found" in found.stderr
    assert "apt-get install python3 python3-venv" in found.stderr


def test_without_uv_and_venv_it_names_the_debian_package(
    checkout: Checkout, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in (
        "sh",
        "sed",
        "cat",
        "cksum",
        "dirname",
        "readlink",
        "mkdir",
        "rm",
        "df",
        "awk",
        "id",
    ):
        (programs / name).symlink_to(str(shutil.which(name)))
    python = programs / "python3.11"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *venv*|*uv*) exit 1;; esac\nexec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)

    found = checkout.run("x", PATH=str(programs), MLOPS_PYTHON="")

    assert found.returncode == 1
    assert "apt-get install python3-venv" in found.stderr
