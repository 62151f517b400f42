# SPDX-License-Identifier: Apache-2.0
"""What the hardware had to do with a failure: each wording of a log, each figure of a machine, the worst first."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops.orchestration_bridge.model import symptoms
from mlops.orchestration_bridge.model.diagnosis import Wreck, diagnose
from mlops.orchestration_bridge.model.findings import Finding, Stay, findings, suggestion
from mlops.orchestration_bridge.model.placement import GIB
from mlops.orchestration_bridge.model.strain import Clock, Look, Strain, heated, strained
from mlops.orchestration_bridge.model.symptoms import Kind

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def lived(*looks: Look) -> Strain:
    strain = Strain()
    for look in looks:
        strain = strained(strain, look, look.window_s)
    return strain


def of(strain: Strain, diagnosis: str = "") -> tuple[Finding, ...]:
    return findings((Stay("n1", strain),), diagnosis)


WORDINGS = [
    ("RuntimeError: MPS backend out of memory (MPS allocated: 5.56 GB, other allocations: 1.10 GB, max allowed: 6.80 GB). Tried to allocate 768.00 MB on private pool.", Kind.OUT_OF_MEMORY, "PYTORCH_MPS_HIGH_WATERMARK_RATIO"),
    ("libc++abi: terminating due to uncaught exception of type std::runtime_error: [METAL] Command buffer execution failed: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)", Kind.OUT_OF_MEMORY, "mx.set_memory_limit"),
    ("RuntimeError: [metal::malloc] Attempting to allocate 48736917632 bytes which is greater than the maximum allowed buffer size of 30150672384 bytes.", Kind.OUT_OF_MEMORY, "mx.clear_cache"),
    ("std::runtime_error: [malloc_or_wait] Unable to allocate 124367104 bytes.", Kind.OUT_OF_MEMORY, "mx.set_memory_limit"),
    ("RuntimeError: [metal::malloc] Resource limit (499000) exceeded.", Kind.OUT_OF_MEMORY, "mx.eval"),
    ("RuntimeError: Invalid buffer size: 19.45 GB", Kind.OUT_OF_MEMORY, "smaller batches"),
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 546.00 MiB. GPU 0 has a total capacity of 15.77 GiB", Kind.OUT_OF_MEMORY, "PYTORCH_CUDA_ALLOC_CONF"),
    ("RuntimeError: CUDA error: out of memory", Kind.OUT_OF_MEMORY, "PYTORCH_CUDA_ALLOC_CONF"),
    ("torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB.", Kind.OUT_OF_MEMORY, "PYTORCH_HIP_ALLOC_CONF"),
    ("RuntimeError: DataLoader worker (pid 3855) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory.", Kind.OUT_OF_MEMORY, "num_workers"),
    ("RuntimeError: DataLoader worker (pid(s) 164244, 9) is killed by signal: Killed.", Kind.OUT_OF_MEMORY, "num_workers"),
    ("Out of memory: Killed process 4711 (python) total-vm:19283712kB", Kind.OUT_OF_MEMORY, "[train].resources.memory_gb"),
    ("memorystatus: killing_top_process pid 98112 [python] (vm-compressor-space-shortage 14)", Kind.OUT_OF_MEMORY, "[train].resources.memory_gb"),
    ("MemoryError: Unable to allocate 12.0 GiB for an array", Kind.OUT_OF_MEMORY, "[train].resources.memory_gb"),
    ("[METAL] Command buffer execution failed: Impacting Interactivity (0000000e:kIOGPUCommandBufferCallbackErrorImpactingInteractivity)", Kind.GPU_ERROR, "mx.eval"),
    ("[METAL] Command buffer execution failed: Caused GPU Timeout Error (00000002:kIOGPUCommandBufferCallbackErrorTimeout)", Kind.GPU_ERROR, "mx.eval"),
    ("[METAL] Command buffer execution failed: Discarded", Kind.GPU_ERROR, "accelerator"),
    ("MPSNDArray.mm:705: failed assertion '[MPSNDArray initWithDevice:descriptor:] Error: product of dimension sizes > 2**31 '", Kind.GPU_ERROR, "smaller batches"),
    ("NotImplementedError: The operator 'aten::_index_put_impl_' is not current implemented for the MPS device.", Kind.GPU_ERROR, "PYTORCH_ENABLE_MPS_FALLBACK=1"),
    ("NotImplementedError: The operator 'torchvision::nms' is not currently implemented for the MPS device.", Kind.GPU_ERROR, "PYTORCH_ENABLE_MPS_FALLBACK=1"),
    ("*** Terminating app due to uncaught exception 'NSInvalidArgumentException'", Kind.GPU_ERROR, "accelerator"),
    ("RuntimeError: CUDA error: device-side assert triggered", Kind.GPU_ERROR, "CUDA_LAUNCH_BLOCKING=1"),
    ("NVRM: Xid (PCI:0000:02:00): 79, GPU has fallen off the bus.", Kind.GPU_ERROR, "another machine"),
    ("Unable to determine the device handle for GPU0000:03:00.0: Unknown Error", Kind.GPU_ERROR, "another machine"),
    ("RuntimeError: CUDA error: an illegal memory access was encountered", Kind.GPU_ERROR, "CUDA_LAUNCH_BLOCKING=1"),
    ("RuntimeError: CUDA error: no kernel image is available for execution on the device", Kind.GPU_ERROR, "accelerator"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "kind", "do"), WORDINGS, ids=[one[0][:40] for one in WORDINGS])
def test_each_wording_of_a_log_is_known(line: str, kind: Kind, do: str) -> None:
    found = of(Strain(), f"step 'train' failed\nTraceback (most recent call last):\n{line}\n")

    assert [one.kind for one in found] == [kind]
    assert line[:60] in found[0].text
    assert do in suggestion(found)
    assert len(suggestion(found)) <= 500


def test_each_symptom_has_a_wording_in_these_tests_and_a_source() -> None:
    shown = {symptoms.seen([line])[0].symptom for line, _, _ in WORDINGS}

    assert shown == set(symptoms.SYMPTOMS)
    assert all(one.source.startswith("https://") for one in symptoms.SYMPTOMS)
    # The advice stands in the diagnosis, and must not be taken for a symptom there.
    assert symptoms.seen(word for one in symptoms.SYMPTOMS for word in (one.do, one.means)) == ()


@pytest.mark.parametrize(
    "line",
    [
        "loss=0.25 memory=3 GB",
        "ModuleNotFoundError: No module named 'torch'",
        "UserWarning: 'aten::roll' is not currently supported on the MPS backend (MPSGraph cache)",
        "Killed",
        "",
    ],
)
def test_an_ordinary_line_blames_nothing(line: str) -> None:
    assert symptoms.seen([line]) == ()


@pytest.mark.parametrize(
    "killed",
    [
        "step 'train' failed with exit status 137",
        "the train step failed: was killed by SIGKILL, often for want of memory: `python train.py`",
        "Process exited with code -9",
        "line before\nKilled",
        "zsh: killed\nKilled: 9",
        "terminated by signal 9",
    ],
)
def test_a_kill_under_pressure_is_a_lack_of_memory_and_a_kill_alone_is_not(killed: str) -> None:
    short = lived(
        Look(at(10), 10, total=16 * GIB, available=4 * GIB),
        Look(at(20), 10, pressure="critical", total=16 * GIB, available=GIB // 2),
    )

    (found,) = of(short, killed)

    assert found.kind is Kind.OUT_OF_MEMORY
    assert found.text == (
        "the process was killed (signal 9) while memory was short: critical for 10 s of 20 s; "
        "0.5 of 16.0 GiB left at the least"
    )
    assert (found.node, found.at) == ("n1", at(20))
    assert "[train].resources.memory_gb" in suggestion((found,))
    assert of(lived(Look(at(10), 10, pressure="normal")), killed) == ()
    assert of(short)[0].kind is Kind.MEMORY_PRESSURE


def test_a_kill_that_the_kernel_counted_needs_no_pressure_to_be_believed() -> None:
    roomy = Look(at(10), 10, pressure="normal", total=16 * GIB, available=8 * GIB)
    strain = lived(roomy, replace(roomy, at=at(20), oom_kills=1), replace(roomy, at=at(30)))

    (found,) = of(strain, "step 'train' failed with exit status 137")
    (other,) = of(strain, "step 'train' failed with exit status 1")

    assert (found.kind, found.at) == (Kind.OUT_OF_MEMORY, at(20))
    assert found.text == (
        "the kernel killed 1 process for want of memory; this one was killed (signal 9); "
        "8.0 of 16.0 GiB left at the least"
    )
    assert "[train].resources.memory_gb" in suggestion((found,))
    assert other.kind is Kind.MEMORY_PRESSURE
    assert "this one" not in other.text


def test_the_worst_comes_first_and_gives_the_suggestion() -> None:
    strain = lived(
        Look(at(10), 10, level=1, swap=0, clocks_hz={"GPU": 1.4e9}),
        Look(at(20), 10, level=2, swap=3 * GIB, clocks_hz={"GPU": 0.7e9}, low_power=True),
        Look(at(30), 10, level=2, swap=2 * GIB, power_cap=True),
    )

    found = of(strain, "[METAL] Command buffer execution failed: Impacting Interactivity")

    assert [one.kind for one in found] == [
        Kind.GPU_ERROR,
        Kind.SWAP,
        Kind.HEAT,
        Kind.THROTTLED,
        Kind.LOW_POWER_MODE,
        Kind.POWER_CAP,
    ]
    assert found[1].text == "swap grew by 3.0 GiB to 3.0 GiB, which slows down everything"
    assert found[2].text == "heat rose to level 2 (throttled)"
    assert found[2].at == at(20)
    assert (
        found[3].text
        == "it was slowed down for 20 of 30 s; GPU clock 700 of 1400 MHz at the slowest"
    )
    assert found[4].text == "low power mode was on for 10 of 30 s"
    assert "accelerator" in suggestion(found)


def test_a_power_cap_and_a_warm_machine_are_facts_but_no_reason_to_change_anything() -> None:
    found = of(lived(Look(at(10), 10, level=1, power_cap=True)))

    assert [one.kind for one in found] == [Kind.POWER_CAP, Kind.HEAT]
    assert suggestion(found) == ""


def test_a_machine_that_vanished_is_the_first_thing_to_know() -> None:
    hot = heated(Strain(known_s=60), 3, at(5), "fan stopped")

    found = findings((Stay("n1", hot, "n1 had said nothing for 90 s when the workflow ended"),), "")

    assert [one.kind for one in found] == [Kind.NODE_VANISHED, Kind.HEAT]
    assert found[1].text == "heat rose to level 3 (critical): fan stopped"
    assert "[train.checkpoint]" in suggestion(found)


def test_a_machine_that_was_well_gives_nothing() -> None:
    well = lived(Look(at(10), 10, level=0, pressure="normal", total=GIB, available=GIB, swap=5))

    assert of(well) == ()
    assert suggestion(()) == ""


def test_strain_keeps_sums_and_extremes() -> None:
    strain = lived(
        Look(at(10), 10, level=2, throttled_s=4, swap=10, clocks_hz={"GPU": 9e8}),
        Look(at(20), 10, level=0, derived_throttle=True, swap=7, clocks_hz={"GPU": 1e9}),
        Look(at(30), 10, level=None, pressure="warn", swap=30, available=5),
    )

    assert (strain.known_s, strain.throttled_s, strain.warn_s) == (30, 14, 10)
    assert strain.clocks == {"GPU": Clock(9e8, 1e9)}
    assert (strain.swap_first, strain.swap_most, strain.swap_grown) == (10, 30, 20)
    assert (strain.least_available, strain.least_at) == (5, at(30))


def test_only_the_time_that_it_was_there_counts() -> None:
    strain = strained(Strain(), Look(at(10), 10, level=3), 2)

    assert (strain.known_s, strain.throttled_s) == (2, 2)


def test_a_line_that_blames_the_hardware_is_kept_though_a_long_trace_follows() -> None:
    lines = [
        "RuntimeError: MPS backend out of memory",
        *[f"  frame {n}" for n in range(60)],
        "mlops: train: the command ended with exit status 1",
    ]

    told = diagnose(Wreck("train", lines))

    assert told.startswith(
        "step 'train' failed: the command ended with exit status 1\nHint: use smaller"
    )
    assert "MPS backend out of memory" in told
    assert len(told.splitlines()) == 22
    assert of(Strain(), told)[0].kind is Kind.OUT_OF_MEMORY


def test_an_old_hint_stands_where_the_hardware_is_not_to_blame() -> None:
    told = diagnose(Wreck("train", ["ModuleNotFoundError: No module named 'torch'"]))

    assert "the project's own environment lacks torch" in told
    assert "killed, often for want of memory" in diagnose(Wreck("train", ["exit status 137"]))


def test_a_recorded_slow_down_of_a_fanless_mac_is_told_with_its_clocks() -> None:
    """Levels and clocks of one benchmark on an M4 Air: nominal, then heavy, then heavy all the time."""
    root = Path(__file__).parents[3]
    captures = Path(os.environ.get("MLOPS_CAPTURES") or root / ".." / "shared" / "captures")
    file = captures / "transcribed" / "m4air-thermal-vs-throughput-2026-09-16.csv"
    if not file.exists():
        pytest.skip(f"no captures at {captures}; set MLOPS_CAPTURES to have them told")
    rows = [line.split(",") for line in file.read_text().splitlines()]
    blocks = [row for row in rows if row[0] == "powermetrics_0908"]

    found = of(
        lived(
            *(
                Look(at(60 * n), 60, level=int(row[1]), clocks_hz={"GPU": float(row[3]) * 1e6})
                for n, row in enumerate(blocks)
            )
        )
    )

    assert [one.kind for one in found] == [Kind.HEAT, Kind.THROTTLED]
    assert found[0].text == "heat rose to level 2 (throttled)"
    assert found[1].text.endswith("for 120 of 180 s; GPU clock 700 of 1400 MHz at the slowest")
    assert "[train.checkpoint]" in suggestion(found)


def test_a_strain_without_samples_says_nothing() -> None:
    assert of(replace(Strain(), known_s=0.0), "exit status 137") == ()
