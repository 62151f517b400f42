# SPDX-License-Identifier: Apache-2.0
"""What a run stands on: parsers on recorded texts, and this machine and a repository for real."""

from __future__ import annotations

import hashlib
import subprocess
import time
from pathlib import Path

import pytest

from mlops.client.system import describe, programs, source, texts
from mlops.client.system.datasets import dataset_tags
from mlops.client.system.machine import node

M1_PRO = """hw.memsize: 17179869184
hw.physicalcpu: 10
hw.ncpu: 10
hw.perflevel0.physicalcpu: 8
hw.perflevel1.physicalcpu: 2
machdep.cpu.brand_string: Apple M1 Pro
"""
EPYC = """processor	: 0
vendor_id	: AuthenticAMD
model name	: AMD EPYC 7B13
cpu MHz		: 2449.998
Serial		: 00000000deadbeef
"""
GRAVITON = """Architecture:           aarch64
CPU(s):                 4
Vendor ID:              ARM
Model name:             Neoverse-N1
"""
H200 = """Model: 		 NVIDIA H200
IRQ:   		 44
GPU UUID: 	 GPU-????????-????-????-????-????????????
Bus Location: 	 0000:19:00.0
"""


def test_a_mac_tells_its_cores_by_kind() -> None:
    found = texts.fields(M1_PRO)

    assert found["machdep.cpu.brand_string"] == "Apple M1 Pro"
    assert texts.mac_cores(found) == "10 (8 performance, 2 efficiency)"


def test_a_mac_that_does_not_tell_its_total_is_added_up() -> None:
    levels = {"hw.perflevel0.physicalcpu": "16", "hw.perflevel1.physicalcpu": "8"}

    assert texts.mac_cores(levels) == "24 (16 performance, 8 efficiency)"


def test_an_intel_mac_has_cores_of_one_kind() -> None:
    assert texts.mac_cores({"hw.physicalcpu": "6", "hw.ncpu": "12"}) == "6"


def test_a_pc_names_its_chip_and_no_serial() -> None:
    assert texts.linux_chip(EPYC) == "AMD EPYC 7B13"
    assert texts.linux_chip("processor : 0\nCPU part : 0xd0c\n") is None


def test_an_arm_server_is_known_by_lscpu() -> None:
    assert texts.lscpu_chip(GRAVITON) == "ARM Neoverse-N1"
    assert texts.lscpu_chip("Model name: -\n") is None


def test_a_gpu_is_named_by_the_driver_or_by_nvidia_smi() -> None:
    listed = "GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-5c0f1a02-7d2c-11ee)\nGPU 1: Tesla T4\n"

    assert texts.nvidia_name(H200) == "NVIDIA H200"
    assert texts.nvidia_name(listed) == "NVIDIA A100-SXM4-80GB"
    assert texts.nvidia_name("No devices were found") is None


@pytest.mark.parametrize(
    ("size", "text"), [(17179869184, "16"), (25 * 2**29, "12.5"), (25130209280, "23.4")]
)
def test_memory_is_in_gibibytes(size: int, text: str) -> None:
    assert texts.gib(size) == text


def test_the_node_is_named_as_the_agent_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "telemetry_agent"
    folder.mkdir(parents=True)
    (folder / "node_id").write_text("node-0a1b2c3d\n")

    assert node(tmp_path, {}) == "node-0a1b2c3d"
    assert node(tmp_path, {"TELEMETRY_AGENT_NODE": "studio"}) == "studio"
    assert node(None, {}) is None


def test_a_name_that_is_none_is_not_told(tmp_path: Path) -> None:
    assert node(tmp_path, {"TELEMETRY_AGENT_NODE": "../etc passwd"}) is None


def test_this_machine_is_described_within_a_second(tmp_path: Path) -> None:
    began = time.monotonic()
    found = describe(tmp_path)

    assert time.monotonic() - began < 2.0  # one second is the budget, the rest is a busy machine
    assert {"mlops.system.chip", "mlops.system.cores", "mlops.system.memory_gb"} <= found.keys()
    assert {"mlops.system.os", "mlops.system.python", "mlops.system.accelerator"} <= found.keys()
    assert all(isinstance(value, str) and value for value in found.values())
    assert "mlops.git.commit" not in found


def _git(folder: Path, *words: str) -> str:
    own = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    _git(tmp_path, "init", "-q")
    (tmp_path / "train.py").write_text("1\n")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def _commit(folder: Path) -> dict[str, str]:
    return source.commit(folder, time.monotonic() + 10)


def test_a_clean_commit_is_told_as_mlflow_tells_it_too(repository: Path) -> None:
    head = _git(repository, "rev-parse", "HEAD")

    assert _commit(repository) == {
        "mlops.git.commit": head,
        "mlflow.source.git.commit": head,
        "mlops.git.dirty": "false",
    }


def test_a_changed_file_makes_it_dirty_and_a_new_one_does_not(repository: Path) -> None:
    (repository / "notes.txt").write_text("mine")
    untracked = _commit(repository)["mlops.git.dirty"]
    (repository / "train.py").write_text("2\n")

    assert untracked == "false"
    assert _commit(repository)["mlops.git.dirty"] == "true"


def test_describing_writes_nothing_into_the_repository(repository: Path) -> None:
    index = (repository / ".git" / "index").stat()
    (repository / "train.py").touch()

    _commit(repository)

    assert (repository / ".git" / "index").stat().st_mtime_ns == index.st_mtime_ns


def test_a_monitor_that_the_repository_names_is_not_started(repository: Path) -> None:
    trap = repository / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {repository}/sprung\n")
    trap.chmod(0o755)
    _git(repository, "config", "core.fsmonitor", str(trap))

    found = _commit(repository)

    assert found["mlops.git.dirty"] == "false"
    assert not (repository / "sprung").exists()


def test_the_real_lock_of_the_repository_wins_over_wishes_nearby(repository: Path) -> None:
    member = repository / "members" / "one"
    member.mkdir(parents=True)
    (member / "pyproject.toml").write_text("[project]\n")
    (repository / "uv.lock").write_text("version = 1\n")

    assert source.lock(member) == {
        "mlops.lock.file": "uv.lock",
        "mlops.lock.sha256": hashlib.sha256(b"version = 1\n").hexdigest(),
    }


def test_files_above_a_folder_without_a_repository_are_not_its_own(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "uv.lock").write_text("not mine")

    assert source.lock(inner) == {}


def test_a_program_that_hangs_is_given_up() -> None:
    began = time.monotonic()

    assert programs.answer(("sleep", "30"), began + 0.2) is None
    assert time.monotonic() - began < 5


def test_a_program_that_is_not_there_says_nothing() -> None:
    assert programs.answer(("no-such-program-here",), time.monotonic() + 5) is None


def test_a_run_is_tied_to_the_newest_version_of_each_dataset() -> None:
    told = {
        "versions": [
            {"name": "rain", "version": 2, "hash": "b2"},
            {"name": "rain", "version": 10, "hash": "a1"},
            {"name": "wind", "version": 1, "hash": "c3"},
            {"name": "torn"},
        ]
    }

    assert dataset_tags(told) == {"mlops.dataset.rain": "10@a1", "mlops.dataset.wind": "1@c3"}
    assert dataset_tags({"error": "away"}) == {}
    assert dataset_tags(None) == {}
