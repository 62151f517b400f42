# SPDX-License-Identifier: Apache-2.0
"""FoundationProbe: macOS' thermalState and low power mode through pyobjc, where Darwin notify cannot be read.

`thermalState` is coarse: both Moderate and Heavy show as `fair`, so its levels are at most what the machine has.
NOT VERIFIED ON REAL HARDWARE: run against a fake.
"""

from __future__ import annotations

from typing import Any

from mlops.telemetry_agent.model import ladder
from mlops.telemetry_agent.model.reading import FAILED, LEVEL, Partial, Value

NAME = "foundation"
_STATES = (
    ("nominal", ladder.NOMINAL),
    ("fair", ladder.ELEVATED),
    ("serious", ladder.THROTTLED),
    ("critical", ladder.CRITICAL),
)


class FoundationProbe:
    """What `NSProcessInfo` says."""

    name = NAME
    gives = (LEVEL,)

    def __init__(self, process_info: Any) -> None:
        self._process_info = process_info

    def read(self, at_s: float) -> Partial:  # noqa: ARG002 - it is momentary
        """Look once."""
        values: dict[str, Value] = {}
        missing: dict[str, str] = {}
        state = int(self._process_info.thermalState())
        if 0 <= state < len(_STATES):
            values |= {LEVEL: _STATES[state][1], "thermal.native": _STATES[state][0]}
        else:
            missing[LEVEL] = FAILED
        if self._process_info.isLowPowerModeEnabled():
            values["power.mode"] = "low"
        return Partial(NAME, values, missing)

    def close(self) -> None:
        """Nothing is held open."""


def load() -> FoundationProbe | None:
    """Return the probe, or None where pyobjc is not installed."""
    try:
        from Foundation import (  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - exists on Macs only
            NSProcessInfo,
        )

        return FoundationProbe(NSProcessInfo.processInfo())
    except (ImportError, AttributeError):
        return None
