# SPDX-License-Identifier: Apache-2.0
"""DarwinProbe: thermal pressure by Darwin notify, chip and memory pressure by sysctl; no root, no child process.

NOT VERIFIED ON REAL HARDWARE: written from documentation and published captures, run so far only against a fake of
the two system calls. Whoever has a Mac: `TELEMETRY_AGENT_RECORD=mac.jsonl` makes a recording to test with.
"""

from __future__ import annotations

import ctypes
from typing import Protocol

from mlops.telemetry_agent.model import ladder
from mlops.telemetry_agent.model.reading import FAILED, LEVEL, Partial, Value

NAME = "darwin"
_LEVEL_KEY = b"com.apple.system.thermalpressurelevel"
_PRESSURES = {1: "normal", 2: "warn", 4: "critical"}


class System(Protocol):
    """The two calls of macOS that the probe needs."""

    def thermal_pressure(self) -> int | None:
        """Return the thermal pressure level, or None when it cannot be read."""

    def sysctl(self, name: str) -> bytes | None:
        """Return the raw value of a sysctl, or None when there is none."""


class DarwinProbe:
    """Thermal level, memory pressure and chip of a Mac."""

    name = NAME

    def __init__(self, system: System) -> None:
        self._system = system
        brand = system.sysctl("machdep.cpu.brand_string")
        self._chip: dict[str, Value] = {}
        if brand:
            text = brand.rstrip(b"\0").decode(errors="replace")[:64]
            self._chip = {"chip.name": text, "chip.vendor": text.partition(" ")[0]}

    def read(self, at_s: float) -> Partial:  # noqa: ARG002 - both are momentary
        """Look once."""
        values, missing = dict(self._chip), {}
        pressure = self._system.thermal_pressure()
        rung = None if pressure is None else ladder.darwin(pressure)
        if rung is None:
            missing[LEVEL] = FAILED
        else:
            values |= {LEVEL: rung.level, "thermal.native": rung.native}
        raw = self._system.sysctl("kern.memorystatus_vm_pressure_level")
        state = _PRESSURES.get(int.from_bytes(raw[:4], "little")) if raw else None
        if state is None:
            missing["memory.pressure"] = FAILED
        else:
            values["memory.pressure"] = state
        return Partial(NAME, values, missing)

    def close(self) -> None:
        """The notification token ends with the process."""


class LibSystem:
    """The calls themselves, through ctypes; raises OSError where there is no libSystem."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL("/usr/lib/libSystem.B.dylib")
        self._token: int | None = None

    def thermal_pressure(self) -> int | None:
        """Return the level; a status other than 0 is a failure, not a cool machine."""
        if self._token is None:
            token = ctypes.c_int()
            if self._lib.notify_register_check(_LEVEL_KEY, ctypes.byref(token)) != 0:
                return None
            self._token = token.value
        state = ctypes.c_uint64()
        status = self._lib.notify_get_state(ctypes.c_int(self._token), ctypes.byref(state))
        return int(state.value) if status == 0 else None

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
