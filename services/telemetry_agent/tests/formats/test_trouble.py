# SPDX-License-Identifier: Apache-2.0
"""Each trap of a format, alone: what must be refused, what must be missing, and what must not be taken for something else."""

from __future__ import annotations

import gzip
import json
import plistlib
from datetime import UTC, datetime
from typing import Any

import pytest

from mlops.contracts.telemetry_agent import HardwareSample
from mlops.telemetry_agent.adapters.formats import (
    gzipped,
    macmon,
    notifyutil,
    plists,
    pmset,
    powermetrics_plist,
    powermetrics_text,
    sysctl,
    system_profiler,
)
from mlops.telemetry_agent.adapters.formats.apple import cluster_kind
from mlops.telemetry_agent.adapters.formats.document import Document, FormatError
from mlops.telemetry_agent.adapters.parsing.recognise import recognise
from mlops.telemetry_agent.adapters.parsing.samples import samples_of
from mlops.telemetry_agent.model.reading import LEVEL

NOW = datetime(2026, 9, 2, tzinfo=UTC)


def plist(**keys: Any) -> bytes:
    return plistlib.dumps({"elapsed_ns": 10**9, **keys})


def one(documents: list[Document]) -> HardwareSample:
    [sample] = samples_of(documents, NOW)
    return sample


def core(idle: float, **keys: Any) -> dict[str, Any]:
    return {"idle_ratio": idle, "freq_hz": 2e9, **keys}


# powermetrics


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("E-Cluster", "efficiency"),
        ("E1-Cluster", "efficiency"),
        ("P3-Cluster", "performance"),
        ("S-Cluster", "super"),
        ("M0-Cluster", "medium"),
        ("X9-Cluster", "unknown"),
        ("Quantum Cluster", "unknown"),
        ("", "unknown"),
    ],
)
def test_clusters_are_told_by_their_letter(name: str, kind: str) -> None:
    assert cluster_kind(name) == kind


def test_an_unknown_cluster_is_kept_as_unknown() -> None:
    raw = plist(
        processor={"clusters": [{"name": "Z7-Blob", "idle_ratio": 0.5, "cpus": [core(0.5)]}]}
    )

    sample = one(powermetrics_plist.parse(raw))

    assert (sample.clusters[0].kind, sample.chip.core_kinds) == ("unknown", {"unknown": 1})


def test_a_core_that_is_down_is_not_busy() -> None:
    down = core(0.1, down_ratio=0.9, freq_hz=0)
    cluster = {"name": "P1-Cluster", "idle_ratio": 0.1, "down_ratio": 0.9, "cpus": [down]}

    sample = one(powermetrics_plist.parse(plist(processor={"clusters": [cluster]})))

    assert sample.clusters[0].busy_ratio == pytest.approx(0.0, abs=1e-9)
    assert sample.cpu_busy_ratio == pytest.approx(0.0, abs=1e-9)


def test_a_cluster_of_zeros_is_told_from_its_cores() -> None:
    states = [{"freq": 1000, "used_ratio": 0.0}]
    silent = {"name": "P-Cluster", "idle_ratio": 0.0, "freq_hz": 0.0, "dvfm_states": states}

    sample = one(
        powermetrics_plist.parse(
            plist(processor={"clusters": [{**silent, "cpus": [core(0.2), core(0.6)]}]})
        )
    )

    assert sample.clusters[0].busy_ratio == pytest.approx(0.6)
    assert sample.clusters[0].freq_hz == pytest.approx(2e9)


def test_a_busy_processor_at_0_w_has_no_power() -> None:
    clusters = [{"name": "P-Cluster", "idle_ratio": 0.1, "cpus": [core(0.1)]}]
    raw = plist(
        processor={"clusters": clusters, "cpu_energy": 0, "cpu_power": 0.0, "combined_power": 900.0}
    )

    sample = one(powermetrics_plist.parse(raw))

    assert (sample.power.cpu_w, sample.energy.cpu_j, sample.power.package_w) == (None, None, None)
    assert sample.missing["power.cpu_w"] == "failed"


def test_an_idle_processor_at_0_w_is_believed() -> None:
    clusters = [{"name": "P-Cluster", "idle_ratio": 0.99, "cpus": [core(0.99)]}]

    sample = one(
        powermetrics_plist.parse(plist(processor={"clusters": clusters, "cpu_power": 0.0}))
    )

    assert sample.power.cpu_w == 0.0


def test_keys_of_old_systems_are_read() -> None:
    old = {"package_energy": 1500, "dram_energy": 200, "cpu_energy": 900}

    sample = one(powermetrics_plist.parse(plist(processor=old)))

    assert (sample.power.package_w, sample.power.dram_w, sample.energy.cpu_j) == (1.5, 0.2, 0.9)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "many", True, -5.0])
def test_a_power_that_is_none_is_missing(value: object) -> None:
    sample = one(powermetrics_plist.parse(plist(processor={"cpu_power": value})))

    assert sample.power.cpu_w is None
    assert "power.cpu_w" in sample.missing


def test_a_pressure_that_nobody_knows_is_no_level() -> None:
    sample = one(powermetrics_plist.parse(plist(thermal_pressure="Melting")))

    assert (sample.thermal.level, sample.missing[LEVEL]) == (None, "failed")


def test_an_entity_is_refused() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE plist [<!ENTITY a "aaaa">]><plist><dict><key>elapsed_ns</key><string>&a;</string></dict></plist>'

    with pytest.raises(FormatError, match="entity"):
        powermetrics_plist.parse(bomb)


def test_a_document_without_end_is_told_with_its_place() -> None:
    with pytest.raises(FormatError, match="cut short") as refused:
        powermetrics_plist.parse(b"\0" + plist()[:100])

    assert refused.value.offset == 1


def test_a_stream_that_was_stopped_keeps_its_whole_documents() -> None:
    whole = plist()

    assert len(powermetrics_plist.parse(whole + b"\0" + whole + b"\0" + whole[:100])) == 2


def test_a_document_over_the_cap_is_dropped_and_the_next_one_is_not() -> None:
    splitter = plists.Splitter(most_bytes=1000)
    large = b"<plist>" + b"x" * 5000 + b"</plist>"

    found = [
        splitter.feed(piece)
        for piece in (large[:900], large[900:3000], large[3000:], b"\0<plist/></plist>")
    ]

    assert [document for documents in found for document in documents] == [b"<plist/></plist>"]
    assert splitter.dropped == 1


def test_the_last_sample_of_a_text_may_be_torn() -> None:
    head = "*** Sampled system activity (Tue Sep  1 14:00:02 2026 +0200) (1000.00ms elapsed) ***\n"

    documents = powermetrics_text.parse(f"{head}CPU Power: 5 mW\n{head}CPU Power: 7".encode())

    assert [document.partial.values.get("power.cpu_w") for document in documents] == [0.005, None]


def test_the_summary_at_the_end_is_no_sample() -> None:
    mark = "*** {} system activity (Tue Sep  1 14:00:02 2026 +0200) ({}ms elapsed) ***\n{}\n"
    text = mark.format("Sampled", "1000.00", "GPU idle residency:  90.00%")
    text += mark.format("Summary", "99000.00", "GPU idle residency:  10.00%")

    [document] = powermetrics_text.parse(text.encode())

    assert document.partial.gpus[0].busy_ratio == pytest.approx(0.1)


# macmon and the small tools


def test_the_last_line_of_macmon_may_be_torn_but_no_other() -> None:
    line = b'{"cpu_power": 1.0, "gpu_power": 2.0}\n'

    assert len(macmon.parse(line + line[:10])) == 1
    with pytest.raises(FormatError) as refused:
        macmon.parse(line + line[:10] + b"\n" + line)
    assert refused.value.line == 2


@pytest.mark.parametrize(
    ("said", "chip", "kinds"),
    [
        ("proc 8:4:4", "Apple M2", {"performance": 4, "efficiency": 4}),
        ("proc 24:16:8:0", "Apple M2 Ultra", {"performance": 16, "efficiency": 8}),
        ("proc 12:0:8:4", "Apple M2 Pro", {"performance": 8, "efficiency": 4}),
        ("proc 18:6:12:0", "Apple M5 Max", {"super": 6, "performance": 12}),
        ("proc 10:4:0:6", "Apple M5", {"super": 4, "efficiency": 6}),
        ("proc 9:4:4", "Apple M9", {}),  # they do not add up
    ],
)
def test_processors_in_three_and_four_fields(said: str, chip: str, kinds: dict[str, int]) -> None:
    raw = json.dumps({"SPHardwareDataType": [{"chip_type": chip, "number_processors": said}]})

    sample = one(system_profiler.parse(raw.encode()))

    assert sample.chip.core_kinds == kinds
    assert sample.chip.cores == int(said.split()[1].split(":", maxsplit=1)[0])


def test_an_intel_mac_counts_its_processors_plainly() -> None:
    raw = b'{"SPHardwareDataType": [{"cpu_type": "6-Core Intel Core i7", "number_processors": 1}]}'

    sample = one(system_profiler.parse(raw))

    assert (sample.chip.vendor, sample.chip.cores, sample.chip.ane_available) == ("intel", 1, None)


def test_a_wired_limit_of_0_is_the_default_and_no_limit() -> None:
    sample = one(sysctl.parse(b"hw.memsize: 8589934592\niogpu.wired_limit_mb: 0\n"))

    assert (sample.memory.gpu_limit_bytes, sample.missing["memory.gpu_limit_bytes"]) == (
        None,
        "unsupported",
    )


def test_an_oid_that_sysctl_does_not_know_is_missing() -> None:
    raw = b"hw.memsize: 8589934592\nsysctl: unknown oid 'kern.memorystatus_vm_pressure_level'\n"

    assert one(sysctl.parse(raw)).missing["memory.pressure"] == "unsupported"


@pytest.mark.parametrize("said", ["7", "10", "99999999999999999999"])
def test_a_notify_level_that_macos_has_not_is_missing(said: str) -> None:
    sample = one(notifyutil.parse(f"com.apple.system.thermalpressurelevel {said}\n".encode()))

    assert (sample.thermal.level, sample.missing[LEVEL]) == (None, "failed")


@pytest.mark.parametrize(
    ("said", "level", "mode"),
    [
        (
            "CPU_Scheduler_Limit \t= 100\nCPU_Available_CPUs = 8\nCPU_Speed_Limit \t= 62\n",
            2,
            "unknown",
        ),
        ("CPU_Speed_Limit = 100\n", 0, "unknown"),
        ("Note: No thermal warning level has been recorded\n", None, "unknown"),
        ("Currently in use:\n lowpowermode         1\n sleep  1\n", None, "low"),
        ("Currently in use:\n powermode            2\n", None, "high"),
        ("Battery Power:\n powermode 1\nAC Power:\n powermode 0\n", None, "unknown"),
        ("Battery Power:\n powermode 0\nAC Power:\n powermode 0\n", None, "automatic"),
    ],
)
def test_what_pmset_says_and_what_it_does_not(said: str, level: int | None, mode: str) -> None:
    sample = one(pmset.parse(said.encode()))

    assert (sample.thermal.level, sample.power.mode) == (level, mode)


# Files


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(FormatError, match="more than 1000 bytes"):
        gzipped.unpacked(gzip.compress(b"0" * 100_000), most_bytes=1000)


@pytest.mark.parametrize(
    "damaged",
    # A file of gzip holds the time it was made; a test's name may not.
    [gzip.compress(b"x" * 999)[:-9], gzip.compress(gzip.compress(b"x"))],
    ids=["cut off", "twice"],
)
def test_damaged_and_double_gzip_are_refused(damaged: bytes) -> None:
    with pytest.raises(FormatError, match="gzip"):
        gzipped.unpacked(damaged)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "empty"),
        (b"\nUsage: powermetrics [-d] [-i sample_interval]\n", "help text"),
        (b"time,level,tokens\n1,2,3\n2,2,4\n", "somebody's measurements"),
        (b"bplist00\xd1\x01\x02", "binary property list"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"GPU 0: Tesla V100 (UUID: GPU-1)\n", "nvidia-smi"),
        (
            b"Dear diary,\nit was hot today.\n",
            "none of the formats fits; tried .*powermetrics.*sysctl",
        ),
    ],
)
def test_what_is_no_recording_is_said(raw: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        recognise(raw, "any")


def test_a_recording_is_recognised_by_what_is_in_it() -> None:
    raw = b"com.apple.system.thermalpressurelevel 1\n"

    assert {
        recognise(packed, name).name
        for packed in (raw, gzip.compress(raw))
        for name in ("x.plist", "y.xml.gz", "-")
    } == {"notifyutil"}
