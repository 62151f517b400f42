# SPDX-License-Identifier: Apache-2.0
"""Which probes a machine gets, in the order of their priority; each knows how often it is worth asking."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from mlops.telemetry_agent.adapters import linux
from mlops.telemetry_agent.adapters.amdgpu import amdgpu_probe
from mlops.telemetry_agent.adapters.children import Command
from mlops.telemetry_agent.adapters.formats import rocm_smi
from mlops.telemetry_agent.adapters.host import HostProbe
from mlops.telemetry_agent.adapters.linux_clocks import clocks_probe
from mlops.telemetry_agent.adapters.linux_hwmon import hwmon_probe
from mlops.telemetry_agent.adapters.linux_limits import limits_probe
from mlops.telemetry_agent.adapters.nvml import NvmlProbe
from mlops.telemetry_agent.adapters.parsed import ParsedProbe, newest_of
from mlops.telemetry_agent.adapters.watched import Chosen
from mlops.telemetry_agent.ports import TelemetryProbe

ROCM = "rocm_smi"
_ROOT = Path("/")
_ROCM_EVERY_S = 10.0


def probes_here(
    busy: Callable[[], bool], socket: Path | None, on_bytes: Callable[[int], None]
) -> list[Chosen]:
    """Return what can look at this machine.

    *busy* tells whether it works, for probes that are read more often then; *socket* is that of a root helper;
    *on_bytes* is told of a file descriptor through which the machine says that its heat changed.
    """
    gpus = Chosen(NvmlProbe(), gives=("gpus", "power.gpu_w", "thermal.gpu_temp_c"))
    host = Chosen(HostProbe(), gives=("cpu_busy_ratio", "memory.available_bytes"))
    if sys.platform == "darwin":
        from mlops.telemetry_agent.adapters import darwin_probes  # noqa: PLC0415 - loads macOS' own

        return [*darwin_probes.probes(busy, socket, shutil.which, on_bytes), host]
    if sys.platform == "linux":
        return [*map(Chosen, _linux(_ROOT)), *_rocm(shutil.which("rocm-smi")), gpus, host]
    return [gpus, host]


def _rocm(program: str | None) -> list[Chosen]:
    """Return the probe of AMD's own tool, where it is installed and the kernel's files tell of no GPU."""
    if program is None or any(_ROOT.glob("sys/class/drm/card*/device/gpu_busy_percent")):
        return []
    shown = ("--showproductname", "--showuse", "--showmeminfo", "vram", "--showpower", "--showtemp")
    command = Command([program, *shown, "--showclocks", "--json"], timeout_s=10.0)
    probe = ParsedProbe(ROCM, command, newest_of(ROCM, rocm_smi.parse), ("gpus", "power.gpu_w"))
    return [Chosen(probe, lambda: _ROCM_EVERY_S)]


def _linux(root: Path) -> list[TelemetryProbe]:
    return [
        linux.heat_probe(root),
        linux.power_probe(root),
        linux.pressure_probe(root),
        limits_probe(root),
        clocks_probe(root),
        hwmon_probe(root),
        amdgpu_probe(root),
    ]
