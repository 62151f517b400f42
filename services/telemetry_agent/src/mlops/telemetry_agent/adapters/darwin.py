# SPDX-License-Identifier: Apache-2.0
"""macOS without root and without a child: thermal pressure by Darwin notify, chip and memory by sysctl, through ctypes.

What is read is written down as `notifyutil` and `sysctl` print it, so that recordings and files of others go through the
same parsers. NOT VERIFIED ON REAL HARDWARE: written from documentation (notify(3), sysctl(3)), run so far only against a
fake of the calls. Whoever has a Mac: `mlops telemetry record` makes a recording to test with.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Protocol

from mlops.telemetry_agent.adapters.formats import notifyutil, sysctl
from mlops.telemetry_agent.adapters.parsed import ParsedProbe, newest_of
from mlops.telemetry_agent.model.reading import LEVEL

NOTIFY, SYSCTL = "darwin_notify", "darwin_sysctl"
LEVEL_KEY = "com.apple.system.thermalpressurelevel"
_STEADY = (
    "machdep.cpu.brand_string",
    "hw.model",
    "hw.memsize",
    "hw.logicalcpu",
    "hw.nperflevels",
    *(f"hw.perflevel{n}.{name}" for n in range(4) for name in ("name", "physicalcpu")),
)
_MOVING = (
    "kern.memorystatus_vm_pressure_level",
    "kern.memorystatus_level",
    "vm.swapusage",
    "iogpu.wired_limit_mb",
)
_TEXTS = ("machdep.cpu.brand_string", "hw.model")
_SWAP = struct.Struct(
    "=QQQ"
)  # struct xsw_usage: total, available, used; what follows is not needed
_MIB = 2**20


class System(Protocol):
    """The calls of macOS that the probes need."""

    def thermal_pressure(self) -> int | None:
        """Return the thermal pressure level, or None when it cannot be read."""

    def sysctl(self, name: str) -> bytes | None:
        """Return the raw value of a sysctl, or None when there is none."""


def notify_probe(system: System) -> ParsedProbe:
    """Return the probe of the thermal pressure level."""

    def read() -> bytes:
        level = system.thermal_pressure()
        said = "Failed with code 1" if level is None else str(level)
        return f"{LEVEL_KEY}{':' if level is None else ''} {said}\n".encode()

    return ParsedProbe(NOTIFY, read, newest_of(NOTIFY, notifyutil.parse), (LEVEL,))


def sysctl_probe(system: System) -> ParsedProbe:
    """Return the probe of chip and memory; what does not change is read once."""
    steady = _said(system, _STEADY)

    def read() -> bytes:
        return "\n".join([*steady, *_said(system, _MOVING), ""]).encode()

    gives = ("memory.pressure", "memory.gpu_limit_bytes", "memory.swap_used_bytes")
    return ParsedProbe(SYSCTL, read, newest_of(SYSCTL, sysctl.parse), gives)


def _said(system: System, names: Sequence[str]) -> list[str]:
    values = {name: system.sysctl(name) for name in names}
    return [f"{name}: {_printed(name, raw)}" for name, raw in values.items() if raw]


def _printed(name: str, raw: bytes) -> str:
    """Return a value as sysctl(8) prints it."""
    if name == "vm.swapusage" and len(raw) >= _SWAP.size:
        total, free, used = (part / _MIB for part in _SWAP.unpack_from(raw))
        return f"total = {total:.2f}M  used = {used:.2f}M  free = {free:.2f}M"
    if name in _TEXTS or name.endswith(".name"):
        return raw.rstrip(b"\0").decode(errors="replace").replace("\n", " ")
    return str(int.from_bytes(raw[:8], "little", signed=True))


class LibSystem:
    """The calls themselves, through ctypes; raises OSError where there is no libSystem."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL("/usr/lib/libSystem.B.dylib")
        self._token: int | None = None
        self._descriptor = -1

    def thermal_pressure(self) -> int | None:
        """Return the level; a status other than 0 is a failure, not a cool machine."""
        if self._token is None:
            token = ctypes.c_int()
            if self._lib.notify_register_check(LEVEL_KEY.encode(), ctypes.byref(token)) != 0:
                return None
            self._token = token.value
        state = ctypes.c_uint64()
        status = self._lib.notify_get_state(ctypes.c_int(self._token), ctypes.byref(state))
        return int(state.value) if status == 0 else None

    def descriptor(self) -> int | None:
        """Return a file descriptor that has bytes to read whenever the level was posted; None when there is none."""
        if self._descriptor < 0:
            descriptor, token = ctypes.c_int(-1), ctypes.c_int()
            status = self._lib.notify_register_file_descriptor(
                LEVEL_KEY.encode(), ctypes.byref(descriptor), ctypes.c_int(0), ctypes.byref(token)
            )
            if status != 0:
                return None
            self._descriptor = descriptor.value
        return self._descriptor

    def sysctl(self, name: str) -> bytes | None:
        """Return the value as the kernel writes it."""
        size = ctypes.c_size_t(0)
        key = name.encode()
        if self._lib.sysctlbyname(key, None, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
            return None
        value = ctypes.create_string_buffer(size.value)
        if self._lib.sysctlbyname(key, value, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
            return None
        return value.raw[: size.value]
