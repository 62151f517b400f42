# SPDX-License-Identifier: Apache-2.0
"""What a Mac says, through fakes of its calls and programs; nothing here ran on a real Mac."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops.telemetry_agent.adapters import darwin_probes
from mlops.telemetry_agent.adapters.darwin import notify_probe, sysctl_probe
from mlops.telemetry_agent.adapters.foundation import FoundationProbe
from mlops.telemetry_agent.adapters.zeus import EnergyProbe
from mlops.telemetry_agent.model.reading import LEVEL


def number(value: int) -> bytes:
    return value.to_bytes(4, "little")


@dataclass
class FakeMac:
    """Answers as macOS does: raw bytes by name."""

    pressure: int | None = 0
    said: dict[str, bytes] = field(
        default_factory=lambda: {
            "machdep.cpu.brand_string": b"Apple M4 Pro\0",
            "hw.model": b"Mac16,8\0",
            "hw.memsize": (24 * 2**30).to_bytes(8, "little"),
            "hw.logicalcpu": number(12),
            "hw.nperflevels": number(2),
            "hw.perflevel0.name": b"Performance\0",
            "hw.perflevel0.physicalcpu": number(8),
            "hw.perflevel1.name": b"Efficiency\0",
            "hw.perflevel1.physicalcpu": number(4),
            "kern.memorystatus_vm_pressure_level": number(2),
            "kern.memorystatus_level": number(25),
            "vm.swapusage": struct.pack("=QQQI?", 2**30, 2**29, 2**29, 16384, 1) + b"\0\0\0",
            "iogpu.wired_limit_mb": number(16384),
        }
    )

    def thermal_pressure(self) -> int | None:
        return self.pressure

    def sysctl(self, name: str) -> bytes | None:
        return self.said.get(name)

    def descriptor(self) -> int | None:
        return 7


@pytest.mark.parametrize(
    ("pressure", "native"),
    list(enumerate(("Nominal", "Moderate", "Heavy", "Trapping", "Sleeping"))),
)
def test_a_mac_tells_its_thermal_pressure(pressure: int, native: str) -> None:
    partial = notify_probe(FakeMac(pressure)).read(0.0)

    assert (partial.values[LEVEL], partial.values["thermal.native"]) == (pressure, native)
    assert partial.probe == "darwin_notify"


@pytest.mark.parametrize("pressure", [None, 5, 2**40])
def test_a_mac_that_does_not_answer_is_unknown_not_cool(pressure: int | None) -> None:
    partial = notify_probe(FakeMac(pressure)).read(0.0)

    assert LEVEL not in partial.values
    assert partial.missing == {LEVEL: "failed"}


def test_a_mac_tells_its_chip_and_memory() -> None:
    values = sysctl_probe(FakeMac()).read(0.0).values

    assert values["chip.name"] == "Apple M4 Pro"
    assert (values["chip.family"], values["chip.variant"]) == ("m4", "pro")
    assert values["chip.model_id"] == "Mac16,8"
    assert values["chip.core_kinds"] == "performance:8,efficiency:4"
    assert values["memory.pressure"] == "warn"
    assert values["memory.available_bytes"] == 6 * 2**30
    assert (values["memory.swap_total_bytes"], values["memory.swap_used_bytes"]) == (2**30, 2**29)
    assert values["memory.gpu_limit_bytes"] == 16 * 2**30


def test_a_gpu_limit_of_zero_is_the_default_and_not_none_at_all() -> None:
    mac = FakeMac()
    mac.said["iogpu.wired_limit_mb"] = number(0)

    partial = sysctl_probe(mac).read(0.0)

    assert "memory.gpu_limit_bytes" not in partial.values
    assert partial.missing["memory.gpu_limit_bytes"] == "unsupported"


def test_a_mac_without_any_of_it_says_so_and_does_not_fall_over() -> None:
    partial = sysctl_probe(FakeMac(said={})).read(0.0)

    assert dict(partial.values) == {}
    assert set(partial.missing.values()) == {"failed"}


def chosen(mac: FakeMac, program: str | None = None, helper: Path | None = None) -> list[str]:
    found = darwin_probes.probes(lambda: True, helper, lambda _: program, lambda _: None, mac)  # type: ignore[arg-type]  # a fake of it
    return [one.probe.name for one in found]


def test_which_probes_a_mac_gets(tmp_path: Path) -> None:
    assert chosen(FakeMac()) == ["darwin_notify", "darwin_sysctl", "darwin_ioreg", "darwin_pmset"]
    assert chosen(FakeMac(), "/opt/homebrew/bin/macmon") == [
        "darwin_notify",
        "darwin_sysctl",
        "macmon",
        "darwin_pmset",
    ]
    assert chosen(FakeMac(), None, tmp_path / "socket")[0] == "powermetrics"


def test_the_gpu_is_asked_less_often_while_the_machine_rests() -> None:
    busy = [True]
    found = darwin_probes.probes(lambda: busy[0], None, lambda _: None, lambda _: None, FakeMac())  # type: ignore[arg-type]  # a fake of it
    [ioreg] = [one for one in found if one.probe.name == "darwin_ioreg"]

    working = ioreg.every_s()
    busy[0] = False
    assert (working, ioreg.every_s()) == (2.0, 5.0)


def test_heat_that_changes_wakes_the_agent() -> None:
    told: list[int] = []
    darwin_probes.probes(lambda: True, None, lambda _: None, told.append, FakeMac())  # type: ignore[arg-type]  # a fake of it

    assert told == [7]


@dataclass
class FakeMonitor:
    """Counts as zeus-apple-silicon does; a chip without DRAM counters says None."""

    used: dict[str, int | None]
    windows: set[str] = field(default_factory=set)
    broken: bool = False

    def begin_window(self, key: str) -> None:
        if key in self.windows:
            raise RuntimeError(f"window {key} is in use")
        self.windows.add(key)

    def end_window(self, key: str) -> Any:
        if self.broken:
            raise RuntimeError("IOReport went away")
        self.windows.remove(key)
        return SimpleNamespace(**self.used)


def test_energy_of_a_window_is_joules_and_watts() -> None:
    monitor = FakeMonitor(
        {"cpu_total_mj": 6000, "gpu_mj": 9000, "gpu_sram_mj": 1000, "ane_mj": 0, "dram_mj": None}
    )
    probe = EnergyProbe(monitor)
    first, second = probe.read(100.0), probe.read(102.0)

    assert set(first.missing.values()) == {"stale"}
    assert second.values == {
        "energy.cpu_j": 6.0,
        "power.cpu_w": 3.0,
        "energy.gpu_j": 10.0,
        "power.gpu_w": 5.0,
        "energy.ane_j": 0.0,
        "power.ane_w": 0.0,
    }
    assert second.missing == {"power.dram_w": "unsupported"}


def test_energy_that_cannot_be_read_once_is_read_again_later() -> None:
    monitor = FakeMonitor({"cpu_total_mj": 2000})
    probe = EnergyProbe(monitor)
    probe.read(0.0)
    monitor.broken = True
    failed = probe.read(2.0)
    monitor.broken = False
    probe.read(4.0)

    assert set(failed.missing.values()) == {"failed"}
    assert probe.read(6.0).values["energy.cpu_j"] == 2.0


@pytest.mark.parametrize(("state", "level"), [(0, 0), (1, 1), (2, 2), (3, 3), (9, None)])
def test_foundations_states_are_on_the_ladder(state: int, level: int | None) -> None:
    info = SimpleNamespace(thermalState=lambda: state, isLowPowerModeEnabled=lambda: True)

    partial = FoundationProbe(info).read(0.0)

    assert partial.values.get(LEVEL) == level
    assert partial.values["power.mode"] == "low"
