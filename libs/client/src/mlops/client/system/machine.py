# SPDX-License-Identifier: Apache-2.0
"""told(): the machine that this program runs on, by the cheapest way that each system has."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from mlops.client.system import programs, texts

_PACKAGES = {"mlx": "mlx", "mlx_lm": "mlx-lm", "torch": "torch"}
_NODE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SYSCTL = ("machdep.cpu.brand_string", "hw.memsize", "hw.physicalcpu", "hw.ncpu")
_LEVELS = ("hw.perflevel0.physicalcpu", "hw.perflevel1.physicalcpu")


def told(until: float) -> dict[str, str]:
    """Return chip, cores, memory_gb, os, python, accelerator and the versions of the frameworks."""
    hardware = _mac(until) if sys.platform == "darwin" else _linux(until)
    versions = {name: _version(package) for name, package in _PACKAGES.items()}
    found = {
        **hardware,
        **versions,
        "os": _system(),
        "python": platform.python_version(),
        "accelerator": _accelerator(versions, until),
    }
    return {name: value for name, value in found.items() if value}


def node(home: Path | None, environ: Mapping[str, str]) -> str | None:
    """Return the name that the telemetry agent of this machine goes by, when one is installed here."""
    told_name = environ.get("TELEMETRY_AGENT_NODE", "")
    if not told_name and home is not None:
        told_name = programs.text(home / "state" / "telemetry_agent" / "node_id", 100).strip()
    return told_name if _NODE.fullmatch(told_name) else None


def _mac(until: float) -> dict[str, str | None]:
    found = texts.fields(programs.answer(("sysctl", *_SYSCTL, *_LEVELS), until) or "")
    memory = found.get("hw.memsize", "")
    return {
        "chip": found.get("machdep.cpu.brand_string"),
        "cores": texts.mac_cores(found),
        "memory_gb": texts.gib(int(memory)) if memory.isdigit() else None,
    }


def _linux(until: float) -> dict[str, str | None]:
    chip = texts.linux_chip(programs.text(Path("/proc/cpuinfo"), 2**14))
    if chip is None:
        board = programs.text(Path("/proc/device-tree/model"), 100).strip("\0\n ")
        chip = texts.lscpu_chip(programs.answer(("lscpu",), until) or "") or board
    count = os.cpu_count()
    return {
        "chip": chip or platform.machine(),
        "cores": str(count) if count else None,
        "memory_gb": _memory(),
    }


def _memory() -> str | None:
    try:
        return texts.gib(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return None


def _system() -> str:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    kernel = f"{platform.system()} {platform.release()}"
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return kernel
    return f"{name}, {kernel}" if name else kernel


def _accelerator(versions: Mapping[str, str | None], until: float) -> str:
    if sys.platform == "darwin":
        usable = platform.machine() == "arm64"
        framework = "mlx" if versions["mlx"] else "mps" if versions["torch"] else "none"
        return framework if usable else "none"
    name = _nvidia(until)
    if name:
        return f"cuda:{name}"
    gpus = Path("/sys/class/kfd/kfd/topology/nodes").glob("*/gpu_id")
    return (
        "rocm" if any(programs.text(one, 32).strip() not in ("", "0") for one in gpus) else "none"
    )


def _nvidia(until: float) -> str | None:
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        if found := texts.nvidia_name(programs.text(file, 2**14)):
            return found
    # In containers and under WSL the device is there, and the kernel's page about it is not.
    if Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists():
        return texts.nvidia_name(programs.answer(("nvidia-smi", "-L"), until) or "")
    return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
