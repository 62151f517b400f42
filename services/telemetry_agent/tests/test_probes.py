# SPDX-License-Identifier: Apache-2.0
"""What the other probes say: psutil, NVML without a driver, a fake macOS, recordings."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops.telemetry_agent.adapters.host import HostProbe, parse_cpuinfo
from mlops.telemetry_agent.adapters.linux import heat_probe
from mlops.telemetry_agent.adapters.nvml import NvmlProbe
from mlops.telemetry_agent.adapters.recordings import Recording, RecordingProbe, ReplayProbe
from mlops.telemetry_agent.adapters.simulated import SimulatedProbe
from mlops.telemetry_agent.adapters.state import boot_id, node_id
from mlops.telemetry_agent.model.reading import LEVEL, Partial, compose
from mlops.telemetry_agent.model.scenario import parse
from mlops.telemetry_agent.ports import TelemetryProbe

CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Core(TM) i5-8365U CPU @ 1.60GHz
Serial\t\t: 00000000deadbeef
"""


def test_the_host_tells_memory_and_chip_at_once_and_busy_from_the_second_look() -> None:
    probe = HostProbe(cpuinfo=CPUINFO)
    first = probe.read(0.0)
    second = probe.read(1.0)

    assert first.missing["cpu_busy_ratio"] == "stale"
    assert 0 <= float(second.values["cpu_busy_ratio"]) <= 1.02
    assert (
        0
        < float(first.values["memory.available_bytes"])
        <= float(first.values["memory.total_bytes"])
    )
    assert first.values["chip.vendor"] == "GenuineIntel"


def test_a_chip_is_named_and_its_serial_number_is_not() -> None:
    assert parse_cpuinfo(CPUINFO) == {
        "chip.vendor": "GenuineIntel",
        "chip.name": "Intel(R) Core(TM) i5-8365U CPU @ 1.60GHz",
    }


def test_a_host_without_a_driver_has_no_gpu_rather_than_an_idle_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mlops.telemetry_agent.adapters.nvml._LIBRARY", "libno-such-driver.so.1")

    partial = NvmlProbe().read(0.0)

    assert partial.gpus == ()
    assert partial.missing == {"gpus": "unsupported", "power.gpu_w": "unsupported"}


class NvmlError(Exception):
    """What the driver's library raises."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


@dataclass
class FakeNvml:
    """Two GPUs that answer as the driver does; whatever is *lost* raises instead."""

    lost: tuple[str, ...] = ()
    reasons: int = 0x40
    millijoules: int = 5_000_000
    throttled_ns: int = 7_000_000_000
    error: int = 999
    NVMLError = NvmlError
    NVML_TEMPERATURE_GPU = 0
    NVML_TEMPERATURE_THRESHOLD_SLOWDOWN = 1
    NVML_CLOCK_SM = 1
    NVML_PERF_POLICY_THERMAL = 1

    def __getattr__(self, name: str) -> Any:
        answers: dict[str, Any] = {
            "DeviceGetCount": 2,
            "DeviceGetName": "H100",
            "DeviceGetMemoryInfo": SimpleNamespace(used=1, total=2),
            "DeviceGetUtilizationRates": SimpleNamespace(gpu=50),
            "DeviceGetTemperature": 40,
            "DeviceGetPowerUsage": 1500,
            "DeviceGetClockInfo": 1980,
            "DeviceGetMarginTemperature": 35,
            "DeviceGetTotalEnergyConsumption": self.millijoules,
            "DeviceGetViolationStatus": SimpleNamespace(violationTime=self.throttled_ns),
            "DeviceGetCurrentClocksEventReasons": self.reasons,
            "DeviceGetTemperatureThreshold": 90,
            "Shutdown": None,
        }
        what = name.removeprefix("nvml")

        def answer(*arguments: int) -> Any:
            if what in self.lost:
                raise NvmlError(self.error)
            if what == "DeviceGetHandleByIndex":
                return arguments[0]
            return answers[what]

        return answer


def test_gpus_are_told_by_their_place() -> None:
    partial = NvmlProbe(FakeNvml()).read(0.0)

    assert [gpu.id for gpu in partial.gpus] == ["gpu0", "gpu1"]
    assert (partial.values[LEVEL], partial.values["thermal.native"]) == (3, "hw_thermal_slowdown")
    assert partial.values["power.gpu_w"] == 3.0
    assert partial.values["chip.gpu_name"] == "H100"


@pytest.mark.parametrize(
    "lost",
    [
        "DeviceGetCount",
        "DeviceGetHandleByIndex",
        "DeviceGetName",
        "DeviceGetMemoryInfo",
        "DeviceGetTemperature",
        "DeviceGetCurrentClocksEventReasons",
        "Shutdown",
    ],
)
def test_a_gpu_that_does_not_answer_stops_nothing(lost: str) -> None:
    probe = NvmlProbe(FakeNvml(lost=(lost,)))

    partial = probe.read(0.0)
    probe.close()

    assert isinstance(partial, Partial)


def test_a_gpu_that_does_not_say_how_hot_it_is_is_unknown_not_cool() -> None:
    silent = (
        "DeviceGetTemperature",
        "DeviceGetMarginTemperature",
        "DeviceGetCurrentClocksEventReasons",
        "DeviceGetPowerUsage",
    )

    partial = NvmlProbe(FakeNvml(lost=silent)).read(0.0)

    assert LEVEL not in partial.values
    assert partial.missing == {
        LEVEL: "failed",
        "thermal.gpu_temp_c": "failed",
        "power.gpu_w": "failed",
    }


def test_a_gpu_that_fell_off_the_bus_is_an_emergency() -> None:
    partial = NvmlProbe(FakeNvml(lost=("DeviceGetTemperature",), error=15)).read(0.0)

    assert (partial.values[LEVEL], partial.values["thermal.native"]) == (4, "gpu0 is lost")


def test_a_gpus_counters_are_told_as_what_they_grew() -> None:
    nvml = FakeNvml(reasons=0)
    probe = NvmlProbe(nvml)
    first = probe.read(0.0)
    nvml.millijoules += 3_000
    nvml.throttled_ns += 500_000_000
    second = probe.read(2.0)
    nvml.millijoules = 0
    third = probe.read(4.0)

    assert "energy.gpu_j" not in first.values
    assert (second.values["energy.gpu_j"], second.values["thermal.throttled_s_delta"]) == (6.0, 0.5)
    assert third.values["energy.gpu_j"] == 0.0
    assert second.gpus[0].freq_hz == 1.98e9


def test_what_was_recorded_is_replayed_through_the_same_parser(tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    for name, text in {
        "type": "cpu",
        "trip_point_0_type": "passive",
        "trip_point_0_temp": "90000",
    }.items():
        (zone / name).write_text(text)
    (zone / "temp").write_text("40000")
    recording = tmp_path / "recording.jsonl"
    probes: list[TelemetryProbe] = [
        RecordingProbe(heat_probe(tmp_path), Recording(recording)),
        RecordingProbe(HostProbe(CPUINFO), Recording(recording)),
    ]
    seen = []
    for second, temp in enumerate((40_000, 85_000)):
        (zone / "temp").write_text(str(temp))
        seen.append(compose([probe.read(1000.0 + second) for probe in probes]))

    replay = ReplayProbe(recording.read_text().splitlines())
    replayed = [compose([replay.read(at)]) for at in (5.0, 6.0)]

    assert [dict(r.values) for r in replayed] == [
        {**r.values, "thermal.level_source": "replay"} for r in seen
    ]


def test_after_its_end_a_recording_is_stale() -> None:
    line = {"t_mono": 1.0, "probe": "host", "kind": "value", "value": {"values": {LEVEL: 0}}}
    replay = ReplayProbe([json.dumps(line)])

    assert replay.read(50.0).values[LEVEL] == 0
    assert replay.read(52.0) == Partial("replay", missing={LEVEL: "stale"})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 1 of the recording is not one"),
        ('{"probe": "host", "kind": "value"}', "line 1 of the recording is not one: KeyError"),
        ('{"t_mono": 1, "probe": "smc", "kind": "files"}', "no parser for probe 'smc'"),
    ],
)
def test_a_recording_that_is_none_is_refused(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ReplayProbe([line])


def test_a_simulated_machine_says_so() -> None:
    partial = SimulatedProbe(parse("fanless_air")).read(0.0)

    assert partial.values["chip.name"] == "simulated fanless_air"


def test_a_node_keeps_its_name_and_it_says_nothing_about_the_machine(tmp_path: Path) -> None:
    first = node_id(tmp_path)

    assert node_id(tmp_path) == first
    assert re.fullmatch(r"node-[0-9a-f]{8}", first)


@pytest.mark.parametrize("half", ["", "\n", "Node of Ada", "node-\0", "../x"])
def test_a_name_that_was_half_written_is_made_anew(tmp_path: Path, half: str) -> None:
    (tmp_path / "node_id").write_text(half)

    name = node_id(tmp_path)

    assert re.fullmatch(r"node-[0-9a-f]{8}", name)
    assert node_id(tmp_path) == name


def test_a_name_that_somebody_chose_is_kept(tmp_path: Path) -> None:
    (tmp_path / "node_id").write_text("adas-mac\n")

    assert node_id(tmp_path) == "adas-mac"


def test_a_boot_has_one_id_that_is_not_the_kernels() -> None:
    assert boot_id() == boot_id()
    assert re.fullmatch(r"[0-9a-f]{16}", boot_id())
