# SPDX-License-Identifier: Apache-2.0
"""Symptoms: lines of a log that blame the hardware, what they mean, and the setting to change.

Each wording is as its tool prints it; `source` says where it can be read. A number differs from run to run, and so do
paths, so a pattern holds only the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

_LONGEST = 300


class Kind(StrEnum):
    """What the hardware did, in one word."""

    HEAT = "heat"
    THROTTLED = "throttled"
    MEMORY_PRESSURE = "memory_pressure"
    SWAP = "swap"
    OUT_OF_MEMORY = "out_of_memory"
    LOW_POWER_MODE = "low_power_mode"
    POWER_CAP = "power_cap"
    GPU_ERROR = "gpu_error"
    NODE_VANISHED = "node_vanished"


@dataclass(frozen=True)
class Symptom:
    """One wording: what it means in plain words, what to do, and where it is documented or discussed."""

    kind: Kind
    pattern: re.Pattern[str]
    means: str
    do: str
    source: str


@dataclass(frozen=True)
class Seen:
    """A symptom and the line that shows it."""

    symptom: Symptom
    line: str


def seen(lines: Iterable[str]) -> tuple[Seen, ...]:
    """Return each symptom once, with the last line that shows it; the first of the table first."""
    last: dict[int, str] = {}
    for line in lines:
        for place, symptom in enumerate(SYMPTOMS):
            if symptom.pattern.search(line):
                last[place] = line.strip()[:_LONGEST]
                break  # the more exact wording stands first
    return tuple(Seen(SYMPTOMS[place], line) for place, line in sorted(last.items()))


_MEMORY = "raise [train].resources.memory_gb so that it waits for a machine with room"

SYMPTOMS = (
    Symptom(
        Kind.OUT_OF_MEMORY,
        re.compile(r"MPS backend out of memory"),
        "PyTorch reached its limit of the Mac's memory",
        f"use smaller batches, or {_MEMORY}; PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 lifts the limit and lets the Mac swap",
        "https://github.com/pytorch/pytorch/issues/105839",
    ),
    Symptom(
        Kind.OUT_OF_MEMORY,
        re.compile(r"kIOGPUCommandBufferCallbackErrorOutOfMemory|Insufficient Memory \(IOAF code 8\)"),
        "the GPU found no memory for a command buffer",
        f"set mx.set_memory_limit below what the GPU may take, use smaller batches, or {_MEMORY}",
        "https://github.com/ml-explore/mlx/pull/479",
    ),
    Symptom(
        Kind.OUT_OF_MEMORY,
        re.compile(r"\[metal::malloc\] Attempting to allocate|\[(?:metal::)?malloc(?:_or_wait)?\] Unable to allocate"),
        "MLX asked for more memory than one buffer, or the Mac, can have",
        f"use smaller batches or shorter sequences, call mx.clear_cache(), set mx.set_memory_limit, or {_MEMORY}",
        "https://github.com/ml-explore/mlx-examples/issues/823",
    ),
    Symptom(
        Kind.OUT_OF_MEMORY,
        re.compile(r"\[metal::malloc\] Resource limit \(\d+\) exceeded"),
        "MLX holds more buffers than Metal allows; it is not bytes that are short",
        "call mx.eval after each step so that the graph does not grow, and mx.clear_cache() now and then",
        "https://github.com/ml-explore/mlx/pull/1718",
    ),
    Symptom(
        Kind.OUT_OF_MEMORY,
        re.compile(r"Invalid buffer size: [\d.]+ [GM]i?B"),
        "one tensor is larger than a Metal buffer can be",
        "use smaller batches, or split the operation that makes it",
        "https://github.com/pytorch/pytorch/issues/141909",
    ),
    Symptom(
        Kind.OUT_OF_MEMORY,
        re.compile(r"CUDA out of memory|CUDA error: out of memory|CUDNN_STATUS_ALLOC_FAILED"),
        "the GPU has no memory left",
        "use smaller batches or gradient accumulation; PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True helps where "
        "much is reserved but not allocated",
        "https://pytorch.org/docs/stable/notes/cuda.html",
    ),
    Symptom(
        Kind.OUT_OF_MEMORY,
        re.compile(r"HIP out of memory"),
        "the GPU has no memory left",
        "use smaller batches or gradient accumulation; PYTORCH_HIP_ALLOC_CONF=expandable_segments:True helps where "
        "much is reserved but not allocated",
        "https://pytorch.org/docs/stable/notes/hip.html",
    ),
    Symptom(
        Kind.OUT_OF_MEMORY,
        re.compile(r"DataLoader worker \(pid(?:\(s\))? [\d, ]+\) is killed by signal: Bus error|insufficient shared memory"),
        "the workers of the data loader ran out of shared memory",
        "give it fewer workers (num_workers), or the container a larger /dev/shm",
        "https://github.com/pytorch/pytorch/issues/5040",
    ),
    Symptom(
        Kind.OUT_OF_MEMORY,
        re.compile(r"DataLoader worker \(pid(?:\(s\))? [\d, ]+\) is killed by signal: Killed"),
        "the system killed a worker of the data loader, for want of memory",
        f"give it fewer workers (num_workers), or {_MEMORY}",
        "https://github.com/open-mmlab/mmrotate/issues/501",
    ),
    Symptom(
        Kind.OUT_OF_MEMORY,
        re.compile(r"Out of memory: Killed process|oom-kill:|oom_reaper:"),
        "the system killed a process to get memory back",
        f"use smaller batches, or {_MEMORY}",
        "https://docs.kernel.org/admin-guide/mm/concepts.html#oom-killer",
    ),
    Symptom(
        Kind.OUT_OF_MEMORY,
        re.compile(r"memorystatus: killing_(?:top|specific)_process|JETSAM_REASON_MEMORY_(?!IDLE)"),
        "macOS killed a process to get memory back",
        f"use smaller batches, or {_MEMORY}",
        "https://github.com/apple-oss-distributions/xnu/blob/main/bsd/kern/kern_memorystatus.c",
    ),
    Symptom(
        Kind.OUT_OF_MEMORY,
        re.compile(r"\bMemoryError\b|numpy\S*_ArrayMemoryError|Cannot allocate memory|std::bad_alloc"),
        "the system gave the process no more memory",
        f"use smaller batches, or {_MEMORY}",
        "https://docs.python.org/3/library/exceptions.html#MemoryError",
    ),
    Symptom(
        Kind.GPU_ERROR,
        re.compile(r"kIOGPUCommandBufferCallbackError(?:Timeout|ImpactingInteractivity|Hang)|Caused GPU (?:Timeout|Hang) Error"),
        "macOS stopped the GPU's work because one command took too long",
        "use smaller batches or shorter sequences, and call mx.eval more often, so that each command is short",
        "https://github.com/jundot/omlx/issues/1387",
    ),
    Symptom(
        Kind.GPU_ERROR,
        re.compile(r"\[METAL\] Command buffer execution failed|Execution of the command buffer was aborted|kIOGPUCommandBufferCallbackError"),
        "the GPU gave up a command buffer",
        'start it again; if it comes back, update macOS and the framework, or set [train].resources.accelerator = "none"',
        "https://github.com/ml-explore/mlx/pull/479",
    ),
    Symptom(
        Kind.GPU_ERROR,
        re.compile(r"product of dimension sizes > 2\*\*31|total bytes of NDArray > 2\*\*32|NDArray dimension length > INT_MAX"),
        "a tensor has more elements than Metal can index",
        "use smaller batches, or split the operation that makes it",
        "https://github.com/pytorch/pytorch/issues/84039",
    ),
    Symptom(
        Kind.GPU_ERROR,
        re.compile(r"not current(?:ly)? implemented for the MPS device"),
        "PyTorch has no Metal code for an operation",
        'set PYTORCH_ENABLE_MPS_FALLBACK=1, which runs it on the processor, or [train].resources.accelerator = "none"',
        "https://github.com/pytorch/pytorch/issues/77764",
    ),
    Symptom(
        Kind.GPU_ERROR,
        re.compile(r"MPS\w+\.mm:\d+: failed assertion|NSInvalidArgumentException"),
        "a Metal library refused what it was asked for",
        "update macOS and the framework; set [train].resources.accelerator = \"none\" to see whether it is the GPU's part",
        "https://github.com/pytorch/pytorch/issues/77851",
    ),
    Symptom(
        Kind.GPU_ERROR,
        re.compile(r"CUDA error: device-side assert triggered"),
        "a check inside a CUDA kernel failed, mostly an index or a label out of range",
        "set CUDA_LAUNCH_BLOCKING=1 to see where; look for labels outside of 0 to classes - 1",
        "https://pytorch.org/docs/stable/notes/cuda.html#asynchronous-execution",
    ),
    Symptom(
        Kind.GPU_ERROR,
        re.compile(r"NVRM: Xid|\bXid \(PCI|fallen off the bus|Unable to determine the device handle for GPU|NVML_ERROR_GPU_IS_LOST|GPU is lost"),
        "the driver lost the GPU, or reports a fault of it",
        "start it on another machine; look for the Xid number in the kernel's log, and at power, cooling and cables",
        "https://docs.nvidia.com/deploy/xid-errors/",
    ),
    Symptom(
        Kind.GPU_ERROR,
        re.compile(r"CUDA error: (?:uncorrectable ECC error|an illegal memory access|unspecified launch failure|misaligned address|unknown error)"),
        "a CUDA kernel failed",
        "set CUDA_LAUNCH_BLOCKING=1 to see where; on one machine only it is the GPU: start it on another",
        "https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html",
    ),
    Symptom(
        Kind.GPU_ERROR,
        re.compile(r"CUDA driver version is insufficient|no kernel image is available|no CUDA-capable device is detected|Found no NVIDIA driver"),
        "driver, GPU and framework do not fit together, or there is no GPU",
        "set [train].resources.accelerator to what the machine has, or install a framework that fits its driver",
        "https://docs.nvidia.com/deploy/cuda-compatibility/",
    ),
)  # fmt: skip
