# SPDX-License-Identifier: Apache-2.0
"""Print a recording of a fanless laptop that gets hot and cools down, for the agent to replay.

    python examples/heat/episode.py > episode.jsonl
    mlops telemetry parse episode.jsonl

It is made, not measured: the temperatures are those of the agent's own thermal model, written as the raw answers of
`notifyutil` and macmon, so that they go through the same parsers as those of a real machine.
"""

import base64
import json
import sys

from mlops.telemetry_agent.model import thermal

# Seconds at rest and at full load. Heat that comes several times can be foretold.
STRETCHES = ((20, 0.0), (60, 1.0), (150, 0.0), (60, 1.0), (240, 0.0), (150, 1.0), (600, 0.0))
AMBIENT_C = 25.0
MEMORY_BYTES = 16 * 2**30


def line(at_s: int, probe: str, raw: str) -> str:
    encoded = base64.b64encode(raw.encode()).decode()
    return json.dumps({"t_mono": at_s, "probe": probe, "kind": "bytes", "bytes_b64": encoded})


def macmon(heat: thermal.Heat, load: float) -> str:
    watts = round(heat.power_w, 2)
    said = {
        "all_power": watts,
        "cpu_power": round(watts * 0.3, 2),
        "gpu_power": round(watts * 0.7, 2),
        "gpu_usage": [int(heat.clock_mhz) or 400, load],
        "pcpu_usage": [3000, load * 0.3],
        "memory": {"ram_total": MEMORY_BYTES, "ram_usage": MEMORY_BYTES // 4},
        "temp": {"cpu_temp_avg": round(heat.die_c, 1), "gpu_temp_avg": round(heat.die_c, 1)},
    }
    return json.dumps(said) + "\n"


def main() -> None:
    machine, heat, at_s = thermal.MACHINES["fanless_air"], thermal.Heat(), 0
    for seconds, load in STRETCHES:
        for _ in range(seconds):
            heat = thermal.advance(machine, heat, load, AMBIENT_C, 1.0)
            pressure = f"com.apple.system.thermalpressurelevel {heat.level}\n"
            sys.stdout.write(line(at_s, "darwin_notify", pressure) + "\n")
            sys.stdout.write(line(at_s, "macmon", macmon(heat, load)) + "\n")
            at_s += 1


if __name__ == "__main__":
    main()
