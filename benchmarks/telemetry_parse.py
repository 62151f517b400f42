# SPDX-License-Identifier: Apache-2.0
"""Parsing powermetrics' property lists against the standard library's plistlib alone on the same bytes.

The document is made here: 16 cores in 3 clusters with all their frequency states, GPU and thermal pressure, as
`powermetrics -f plist -s cpu_power,gpu_power,ane_power,thermal` prints them. Ours also makes what the agent works with;
the second figure adds the message, the third reads a stream of 60 documents that arrives in pieces of 4 KiB.
"""

from __future__ import annotations

import plistlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from results_file import compare, write

from mlops.telemetry_agent.adapters.formats import powermetrics_plist
from mlops.telemetry_agent.adapters.formats.plists import Splitter
from mlops.telemetry_agent.adapters.parsing.samples import samples_of

ROUNDS = 40
STREAM = 60
CHUNK = 4096
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def states(count: int) -> list[dict[str, Any]]:
    return [
        {"freq": 600 + 150 * place, "used_ns": 1_000_000 * place, "used_ratio": 0.5 / count}
        for place in range(count)
    ]


def cluster(name: str, cores: range, count: int) -> dict[str, Any]:
    own = {
        "freq_hz": 2.1e9,
        "idle_ns": 400_000_000,
        "idle_ratio": 0.4,
        "down_ns": 100_000_000,
        "down_ratio": 0.1,
        "dvfm_states": states(count),
    }
    cpus = [{"cpu": core, **own} for core in cores]
    return {"name": name, "hw_resid_counters": True, **own, "online_ratio": 1.0, "cpus": cpus}


def document() -> bytes:
    clusters = [
        cluster("E-Cluster", range(4), 8),
        cluster("P0-Cluster", range(4, 10), 20),
        cluster("P1-Cluster", range(10, 16), 20),
    ]
    energies = {f"{part}_energy": 3049 for part in ("cpu", "gpu", "ane")}
    powers = {f"{part}_power": 2978.45 for part in ("cpu", "gpu", "ane", "combined")}
    wanted = [{"sw_req_state": f"P{place}", "used_ns": 0, "used_ratio": 0.0} for place in range(15)]
    found = {
        "is_delta": True,
        "elapsed_ns": 1_023_685_416,
        "hw_model": "Mac16,5",
        "kern_osversion": "25C56",
        "timestamp": datetime(2026, 1, 22, 21, 7, 7),  # noqa: DTZ001 - a plist's dates have no zone
        "processor": {"clusters": clusters, **energies, **powers},
        "thermal_pressure": "Nominal",
        "gpu": {
            "freq_hz": 338.0,
            "idle_ratio": 0.87,
            "dvfm_states": states(15),
            "sw_requested_state": wanted,
            "gpu_energy": 284,
        },
    }
    return plistlib.dumps(found, sort_keys=False)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def streamed(stream: bytes) -> None:
    splitter = Splitter()
    for begin in range(0, len(stream), CHUNK):
        for one in splitter.feed(stream[begin : begin + CHUNK]):
            powermetrics_plist.parse_document(one)


def main() -> None:
    raw = document()
    stream = b"\0".join([raw] * STREAM)
    ours: dict[str, list[float]] = {"parse": [], "sample": [], "stream": []}
    theirs: dict[str, list[float]] = {"one": [], "stream": []}
    for round_ in range(ROUNDS):
        theirs["one"].append(timed(lambda: plistlib.loads(raw)))
        ours["parse"].append(timed(lambda: powermetrics_plist.parse(raw)))
        ours["sample"].append(timed(lambda: samples_of(powermetrics_plist.parse(raw), NOW)))
        if round_ % 4 == 0:
            whole = timed(lambda: [plistlib.loads(raw) for _ in range(STREAM)])
            theirs["stream"].append(whole / STREAM)
            ours["stream"].append(timed(lambda: streamed(stream)) / STREAM)
    peer = f"plistlib.loads, {len(raw) // 1024} KiB"
    write(
        "telemetry_parse",
        [
            compare(
                "telemetry_parse", "powermetrics document", "ms", ours["parse"], peer, theirs["one"]
            ),
            compare(
                "telemetry_parse",
                "document to HardwareSample",
                "ms",
                ours["sample"],
                peer,
                theirs["one"],
            ),
            compare(
                "telemetry_parse",
                "stream in 4 KiB, a document",
                "ms",
                ours["stream"],
                peer,
                theirs["stream"],
            ),
        ],
    )


if __name__ == "__main__":
    main()
