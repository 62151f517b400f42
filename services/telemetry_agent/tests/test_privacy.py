# SPDX-License-Identifier: Apache-2.0
"""No serial number, id, user, host or process name leaves the machine, in a sample or in a recording."""

from __future__ import annotations

import getpass
import json
import re
import socket
from pathlib import Path

import pytest

from mlops.telemetry_agent.adapters.formats import ioreg, powermetrics_plist, sysctl
from mlops.telemetry_agent.adapters.machine import probes_here
from mlops.telemetry_agent.adapters.recorder import record
from mlops.telemetry_agent.adapters.recordings import Recording, ReplayProbe
from mlops.telemetry_agent.adapters.scrubbing import scrubber_of_this_machine
from mlops.telemetry_agent.model.reading import compose
from mlops.telemetry_agent.model.sample import sample_fields
from mlops.telemetry_agent.model.scrub import scrubber

UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
SECRETS = (
    "C02XK0AAJGH5",
    "4A3F51B2-0C53-4F1A-9E7B-2D1F0B3C4D5E",
    "ada.lovelace",
    "adas-macbook",
    "3c:22:fb:01:02:03",
)

PLIST = b"""<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict>
<key>is_delta</key><true/><key>elapsed_ns</key><integer>1000000000</integer>
<key>hw_model</key><string>Mac16,8</string>
<key>serial_number</key><string>C02XK0AAJGH5</string>
<key>platform_UUID</key><string>4A3F51B2-0C53-4F1A-9E7B-2D1F0B3C4D5E</string>
<key>processor</key><dict><key>cpu_power</key><real>1234.5</real></dict>
<key>home</key><string>/Users/ada.lovelace/work</string>
<key>device</key><string>adas-macbook.local</string>
</dict></plist>
"""
IOREG = b"""+-o AGXAcceleratorG16X  <class AGXAcceleratorG16X, id 0x100000abc, registered>
    {
      "IOPlatformSerialNumber" = "C02XK0AAJGH5"
      "IOPlatformUUID" = "4A3F51B2-0C53-4F1A-9E7B-2D1F0B3C4D5E"
      "PerformanceStatistics" = {"Device Utilization %"=42,"In use system memory"=1048576}
      "gpu-core-count" = 20
      "model" = "Apple M4 Pro"
    }
"""
SYSCTL = (
    b"hw.model: Mac16,8\nhw.memsize: 25769803776\nmachdep.cpu.brand_string: Apple M4 Pro\n"
    b"kern.hostname: adas-macbook.local\nkern.uuid: 4A3F51B2-0C53-4F1A-9E7B-2D1F0B3C4D5E\n"
    b"en0: 3c:22:fb:01:02:03\nkern.memorystatus_vm_pressure_level: 1\n"
)
CPUINFO = b"model name\t: Some chip\nSerial\t\t: C02XK0AAJGH5\n"
NVIDIA = b"    Serial Number                         : C02XK0AAJGH5\n    GPU UUID : GPU-4A3F51B2-0C53-4F1A-9E7B-2D1F0B3C4D5E\n    GPU Current Temp : 52 C\n"
NVIDIA_XML = b"<gpu><serial>C02XK0AAJGH5</serial><uuid>GPU-4A3F51B2-0C53-4F1A-9E7B-2D1F0B3C4D5E</uuid><temp>52 C</temp></gpu>"
JSON = b'{"SPHardwareDataType": [{"serial_number": "C02XK0AAJGH5", "chip_type": "Apple M4 Pro", "platform_UUID": "4A3F51B2-0C53-4F1A-9E7B-2D1F0B3C4D5E"}]}'


@pytest.mark.parametrize("raw", [PLIST, IOREG, SYSCTL, CPUINFO, NVIDIA, NVIDIA_XML, JSON])
def test_what_names_a_machine_or_a_person_is_taken_out(raw: bytes) -> None:
    clean = scrubber(["ada.lovelace", "adas-macbook"])(raw).decode()

    assert [secret for secret in SECRETS if secret.lower() in clean.lower()] == []


def test_what_is_read_is_the_same_afterwards() -> None:
    scrub = scrubber(["ada.lovelace", "adas-macbook"])

    assert powermetrics_plist.parse(scrub(PLIST)) == powermetrics_plist.parse(PLIST)
    assert ioreg.parse(scrub(IOREG)) == ioreg.parse(IOREG)
    assert sysctl.parse(scrub(SYSCTL)) == sysctl.parse(SYSCTL)


@pytest.mark.parametrize("name", ["root", "gpu", "m4", "apple", ""])
def test_a_name_that_machines_print_themselves_changes_nothing(name: str) -> None:
    raw = b"Apple M4 gpu root"

    assert scrubber([name])(raw) == raw


def test_no_probe_of_this_machine_tells_who_or_which_it_is() -> None:
    partials = [
        one.probe.read(float(at))
        for one in probes_here(lambda: True, None, lambda _: None)
        for at in (0, 1)
    ]
    said = json.dumps(
        [
            {**p.values, "gpus": [vars(g) for g in p.gpus], "fans": [vars(f) for f in p.fans]}
            for p in partials
        ]
    )

    names = [
        name
        for name in (getpass.getuser(), socket.gethostname())
        if len(name) > 3 and name != "root"
    ]
    assert [name for name in names if name.lower() in said.lower()] == []
    assert UUID.findall(said) == []
    assert "serial" not in said.lower()
    assert set(partials[0].values) <= set(partials[0].values)


def test_a_recording_of_this_machine_replays_to_the_same_readings(tmp_path: Path) -> None:
    file, at, told = tmp_path / "machine.jsonl", [1000.0], list[dict[str, object]]()

    def sleep(seconds: float) -> None:
        at[0] += max(seconds, 1.0)

    recording = Recording(file, scrubber_of_this_machine())
    record(
        probes_here(lambda: True, None, lambda _: None),
        recording,
        4.0,
        told.append,
        monotonic=lambda: at[0],
        sleep=sleep,
    )
    replay = ReplayProbe(file.read_text().splitlines())
    seen = [compose([replay.read(float(second))]) for second in range(3)]

    done = told[-1]
    lines = done["lines"]
    assert isinstance(lines, dict)
    assert {"linux_heat", "nvml", "host"} <= set(lines) or {"darwin_notify", "host"} <= set(lines)
    for reading, progress in zip(seen, told, strict=False):
        values = progress["values"]
        assert isinstance(values, dict)
        assert {name: reading.values[name] for name in values} == values
    assert sample_fields(seen[0], 0, 1, "boot", __import__("datetime").datetime.now().astimezone())
    assert not UUID.search(file.read_text())
