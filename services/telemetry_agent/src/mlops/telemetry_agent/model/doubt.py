# SPDX-License-Identifier: Apache-2.0
"""Values that cannot be true together: a unit that works and draws nothing. They are missing, never believed."""

from __future__ import annotations

from dataclasses import replace

from mlops.telemetry_agent.model.reading import FAILED, GpuReading, Reading

BUSY = 0.5
_OF_CPU = ("power.cpu_w", "power.package_w", "energy.cpu_j", "energy.package_j")
_OF_GPU = ("power.gpu_w", "energy.gpu_j")


def doubted(reading: Reading) -> Reading:
    """Return the reading without power that is exactly 0 while its unit is busy.

    Some systems report energy 0 for a processor at work; 0 W would be believed and is wrong, so the field is missing
    with the reason `failed` and counted.
    """
    cpu = reading.number("cpu_busy_ratio") or 0.0
    gpu = max((one.busy_ratio or 0.0 for one in reading.gpus), default=0.0)
    wrong = [
        name
        for names, busy in ((_OF_CPU, cpu), (_OF_GPU, gpu))
        for name in names
        if busy > BUSY and name.startswith("power.") and reading.values.get(name) == 0
    ]
    # Energy of 0 is also what a counter says that was not read again; it is wrong where its power is.
    wrong += [
        name
        for name in (*_OF_CPU, *_OF_GPU)
        if name.startswith("energy.") and f"power.{name[7:-2]}_w" in wrong
    ]
    gpus = tuple(map(_working, reading.gpus))
    silent = sum(a is not b for a, b in zip(gpus, reading.gpus, strict=True))
    if not wrong and not silent:
        return reading
    kept = {name: value for name, value in reading.values.items() if name not in wrong}
    provenance = {name: probe for name, probe in reading.provenance.items() if name not in wrong}
    missing = {**reading.missing, **dict.fromkeys(wrong, FAILED)}
    return replace(
        reading,
        values=kept,
        provenance=provenance,
        missing=missing,
        gpus=gpus,
        dropped=reading.dropped + len(wrong) + silent,
    )


def _working(gpu: GpuReading) -> GpuReading:
    idle = (gpu.busy_ratio or 0.0) <= BUSY
    return gpu if idle or gpu.power_w != 0 else replace(gpu, power_w=None)
