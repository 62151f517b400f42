# SPDX-License-Identifier: Apache-2.0
"""EnergyProbe: joules of an Apple chip's parts through `zeus-apple-silicon`, without root.

The library reads IOReport's energy counters, in mJ; a part that a chip does not count is None there and missing here.
Watts are one difference over the whole time between two looks. NOT VERIFIED ON REAL HARDWARE: run against a fake.
"""

from __future__ import annotations

from typing import Any, Protocol

from mlops.telemetry_agent.model.reading import FAILED, STALE, UNSUPPORTED, Partial, Value

NAME = "zeus"
_FIELDS = {
    "cpu": ("cpu_total_mj",),
    "gpu": ("gpu_mj", "gpu_sram_mj"),
    "ane": ("ane_mj",),
    "dram": ("dram_mj",),
}


class Monitor(Protocol):
    """What the probe needs of `AppleEnergyMonitor`."""

    def begin_window(self, key: str) -> None:
        """Begin to count."""

    def end_window(self, key: str) -> Any:
        """Return what was used since then, field by field."""


class EnergyProbe:
    """One window after the other."""

    name = NAME
    gives = tuple(f"power.{part}_w" for part in _FIELDS)

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._began_s: float | None = None
        self._windows = 0

    def read(self, at_s: float) -> Partial:
        """Look once."""
        began_s, self._began_s = self._began_s, at_s
        used: Any = None
        try:
            if began_s is not None:
                used = self._monitor.end_window(f"mlops-{self._windows}")
            self._windows += 1  # a name that is still in use would be refused
            self._monitor.begin_window(f"mlops-{self._windows}")
        except (RuntimeError, ValueError, OSError):
            self._began_s = None
            return Partial(NAME, missing=dict.fromkeys(self.gives, FAILED))
        if began_s is None or at_s <= began_s:
            return Partial(NAME, missing=dict.fromkeys(self.gives, STALE))
        return _partial(used, at_s - began_s)

    def close(self) -> None:
        """The library lets go with the process."""


def load() -> EnergyProbe | None:
    """Return the probe, or None where the library is not installed or finds no counters."""
    try:
        from zeus_apple_silicon import (  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - exists on Macs only
            AppleEnergyMonitor,
        )

        return EnergyProbe(AppleEnergyMonitor())
    except (ImportError, RuntimeError, OSError):
        return None


def _partial(used: Any, seconds: float) -> Partial:
    values: dict[str, Value] = {}
    missing: dict[str, str] = {}
    for part, names in _FIELDS.items():
        counted = [found for name in names if (found := getattr(used, name, None)) is not None]
        if counted:
            joules = sum(float(one) for one in counted) / 1000
            values |= {f"energy.{part}_j": joules, f"power.{part}_w": joules / seconds}
        else:
            missing[f"power.{part}_w"] = UNSUPPORTED
    return Partial(NAME, values, missing)
