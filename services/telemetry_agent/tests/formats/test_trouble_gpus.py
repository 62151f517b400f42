# SPDX-License-Identifier: Apache-2.0
"""Each trap of a format of GPUs, alone: what must be refused, what must be missing, and what must not be taken for something else."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from mlops.contracts.telemetry_agent import HardwareSample
from mlops.telemetry_agent.adapters.formats import (
    nvidia_csv,
    nvidia_dmon,
    nvidia_text,
    nvidia_xml,
    rocm_smi,
)
from mlops.telemetry_agent.adapters.formats.document import Document, FormatError
from mlops.telemetry_agent.adapters.parsing.samples import samples_of

NOW = datetime(2026, 9, 2, tzinfo=UTC)


def plist(**keys: Any) -> bytes:
    return plistlib.dumps({"elapsed_ns": 10**9, **keys})


def one(documents: list[Document]) -> HardwareSample:
    [sample] = samples_of(documents, NOW)
    return sample


def core(idle: float, **keys: Any) -> dict[str, Any]:
    return {"idle_ratio": idle, "freq_hz": 2e9, **keys}


# GPUs


def nvidia(gpu: str, head: str = "") -> bytes:
    return f'<?xml version="1.0"?>{head}<nvidia_smi_log><gpu id="0">{gpu}</gpu></nvidia_smi_log>'.encode()


@pytest.mark.parametrize("old", ["throttle", "event"])
def test_a_power_cap_is_a_reason_and_no_heat(old: str) -> None:
    reasons = f"<clocks_{old}_reasons><clocks_{old}_reason_sw_power_cap>Active</clocks_{old}_reason_sw_power_cap></clocks_{old}_reasons>"

    sample = one(nvidia_xml.parse(nvidia(reasons)))

    assert (sample.thermal.level, sample.thermal.reasons) == (0, ("power_cap",))


@pytest.mark.parametrize(
    ("temperature", "level", "margin"),
    [
        (
            "<gpu_temp>70 C</gpu_temp><gpu_temp_slow_threshold>90 C</gpu_temp_slow_threshold>",
            0,
            20.0,
        ),
        (
            "<gpu_temp>85 C</gpu_temp><gpu_temp_slow_threshold>90 C</gpu_temp_slow_threshold>",
            1,
            5.0,
        ),
        ("<gpu_temp>99 C</gpu_temp><gpu_temp_max_threshold>98 C</gpu_temp_max_threshold>", 4, None),
        ("<gpu_temp>GPU is lost</gpu_temp>", 4, None),
        ("<gpu_temp>N/A</gpu_temp>", None, None),
    ],
)
def test_how_near_a_gpu_is_to_its_limits(
    temperature: str, level: int | None, margin: float | None
) -> None:
    sample = one(nvidia_xml.parse(nvidia(f"<temperature>{temperature}</temperature>")))

    assert (sample.thermal.level, sample.thermal.margin_c) == (level, margin)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("N/A", "unsupported"),
        ("[Not Supported]", "unsupported"),
        ("[Insufficient Permissions]", "denied"),
        ("[Unknown Error]", "failed"),
    ],
)
def test_why_a_gpu_tells_no_power(said: str, reason: str) -> None:
    raw = nvidia(f"<power_readings><power_draw>{said}</power_draw></power_readings>")

    assert one(nvidia_xml.parse(raw)).missing["power.gpu_w"] == reason


def test_a_document_type_is_allowed_and_an_entity_in_it_is_not() -> None:
    name = "<product_name>A100</product_name>"
    allowed = nvidia(name, "<!DOCTYPE nvidia_smi_log [<!ELEMENT gpu ANY>]>")
    refused = nvidia(name, '<!DOCTYPE nvidia_smi_log [<!ENTITY a "b">]>')

    assert one(nvidia_xml.parse(allowed)).gpus[0].name == "A100"
    with pytest.raises(FormatError, match="entity"):
        nvidia_xml.parse(refused)


def test_time_spent_throttled_is_counted_between_the_logs_of_a_loop() -> None:
    counters = "<clocks_event_reasons_counters><clocks_event_reasons_counters_sw_therm_slowdown>{} us</clocks_event_reasons_counters_sw_therm_slowdown></clocks_event_reasons_counters>"

    documents = nvidia_xml.parse(
        nvidia(counters.format(1_000_000)) + nvidia(counters.format(3_500_000))
    )

    first, second = samples_of(documents, NOW)
    assert first.missing["thermal.throttled_s_delta"] == "stale"
    assert second.thermal.throttled_s_delta == pytest.approx(2.5)


def test_a_gpu_that_fell_off_the_bus_is_an_emergency() -> None:
    raw = b"==============NVSMI LOG==============\nUnable to determine the device handle for GPU 0000:3B:00.0: GPU is lost.  Reboot the system\n"

    assert one(nvidia_text.parse(raw)).thermal.level == 4


def test_a_card_of_which_nothing_is_known_is_missing_and_not_zero() -> None:
    sample = one(
        rocm_smi.parse(
            b'{"card0": {"GPU use (%)": "N/A", "indep_throttle_status": "18446744073709551615"}}'
        )
    )

    assert (sample.gpus[0].busy_ratio, sample.power.gpu_w, sample.thermal.level) == (
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("parse", "whole", "torn"),
    [
        (
            nvidia_xml.parse,
            nvidia("<product_name>A</product_name>") + b"\n",
            b"<?xml version='1.0'?><nvidia_smi_log><gp",
        ),
        (nvidia_csv.parse, b"index, power.draw [W], pstate\n0, 5.0 W, P0\n", b"0, 5.0"),
        (nvidia_dmon.parse, b"# gpu pwr gtemp\n# Idx W C\n 0 30 40\n", b" 0 3"),
    ],
)
def test_a_loop_that_was_stopped_keeps_its_whole_rounds(
    parse: Callable[[bytes], list[Document]], whole: bytes, torn: bytes
) -> None:
    assert parse(whole + torn) == parse(whole)
