# SPDX-License-Identifier: Apache-2.0
"""`parse FILE…`: samples for programs and for people, an exit code that tells a failure, and bounds on what is read."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops.contracts.telemetry_agent import HardwareSample
from mlops.telemetry_agent.adapters.formats.document import LIMIT_BYTES
from mlops.telemetry_agent.adapters.parsing.command import Refused, read, run
from mlops.telemetry_agent.adapters.parsing.samples import Parsed

SAMPLES = Path(__file__).parent / "samples"
NOW = datetime(2026, 9, 2, tzinfo=UTC)


def said(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = run(words, out, err, lambda: NOW)
    return code, out.getvalue(), err.getvalue()


def test_json_holds_samples_that_read_back_strictly() -> None:
    code, out, _ = said(str(SAMPLES / "powermetrics.m5-and-ultra.plist"), "--json")

    [file] = json.loads(out)
    samples = [HardwareSample.model_validate(one, extra="forbid") for one in file["samples"]]
    assert (code, file["format"], [sample.seq for sample in samples]) == (0, "powermetrics", [0, 1])
    assert samples[0].provenance["power.cpu_w"] == "powermetrics"


def test_people_read_what_it_is_how_hot_and_what_is_missing() -> None:
    code, out, err = said(str(SAMPLES / "powermetrics.m5-and-ultra.plist"))

    assert (code, err) == (0, "")
    assert "powermetrics (powermetrics -f plist), 2 samples" in out
    assert "elevated in 1, throttled in 1" in out
    assert "2026-09-01 12:00:02 to 2026-09-01 12:00:03 UTC, 1 s" in out
    assert "cpu 2.75 W (most 4.5)" in out
    assert "unsupported: memory.available_bytes" in out


def test_one_file_that_cannot_be_read_fails_and_the_others_are_told(tmp_path: Path) -> None:
    torn = tmp_path / "torn.xml"
    torn.write_bytes((SAMPLES / "nvidia_smi_xml.v13-two-gpus.xml").read_bytes()[:900])

    code, out, err = said(
        str(torn), str(SAMPLES / "notifyutil.txt"), str(tmp_path / "absent"), "--json"
    )

    first, second, third = json.loads(out)
    assert code == 1
    assert first["error"]["format"] == "nvidia_smi_xml"
    assert len(second["samples"]) == 2
    assert third["error"] == {"format": "a file", "reason": "No such file or directory"}
    assert f"{torn}: cannot be read as nvidia_smi_xml: no XML" in err


def tree(root: Path) -> Path:
    zone = root / "sys/class/thermal/thermal_zone0"
    chip = root / "sys/devices/platform/coretemp.0/hwmon/hwmon3"
    for folder, files in (
        (zone, {"type": "acpitz", "temp": "40000"}),
        (chip, {"name": "coretemp", "temp1_input": "91000", "temp1_max": "90000"}),
        (root / "proc", {"meminfo": "MemTotal:  2048 kB\nMemAvailable:  1024 kB\n"}),
    ):
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(f"{text}\n")
    return root


@pytest.mark.parametrize("linked", [False, True])
def test_a_folder_is_a_kernel_tree_with_its_links_or_without(tmp_path: Path, linked: bool) -> None:  # noqa: FBT001 - a case
    root = tree(tmp_path)
    if linked:
        (root / "sys/class/hwmon").mkdir()
        (root / "sys/class/hwmon/hwmon3").symlink_to(
            "../../devices/platform/coretemp.0/hwmon/hwmon3"
        )

    found = read(str(root), NOW)

    assert isinstance(found, Parsed)
    [sample] = found.samples
    assert (sample.thermal.cpu_temp_c, sample.memory.total_bytes) == (91.0, 2 * 2**20)


def test_no_link_leads_out_of_a_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("99000")
    root = tree(tmp_path / "tree")
    (root / "sys/devices/platform/coretemp.0/hwmon/hwmon3/temp2_input").symlink_to(secret)

    found = read(str(root), NOW)

    assert isinstance(found, Parsed)
    assert found.samples[0].thermal.cpu_temp_c == 91.0


def test_a_tar_of_a_tree_is_the_same_as_the_tree(tmp_path: Path) -> None:
    root = tree(tmp_path / "tree")
    with tarfile.open(tmp_path / "sys.tar", "w") as archive:
        archive.add(root, "somewhere")

    packed, plain = read(str(tmp_path / "sys.tar"), NOW), read(str(root), NOW)

    assert isinstance(packed, Parsed)
    assert isinstance(plain, Parsed)
    assert packed.samples[0].thermal == plain.samples[0].thermal
    assert packed.samples[0].memory == plain.samples[0].memory


def test_an_empty_folder_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(LIMIT_BYTES + 1)

    assert read(str(tmp_path), NOW) == Refused(
        "sys_tree", f"the folder {tmp_path} is no /sys tree: no class/ and no devices/"
    )
    found = read(str(huge), NOW)
    assert isinstance(found, Refused)
    assert "larger than" in found.reason


def test_the_module_reads_standard_input_and_knows_its_words() -> None:
    module: Any = [sys.executable, "-m", "mlops.telemetry_agent"]
    raw = (SAMPLES / "notifyutil.txt").read_bytes()

    parsed = subprocess.run(
        [*module, "parse", "-", "--json"], input=raw, capture_output=True, check=False
    )
    unknown = subprocess.run([*module, "prase"], capture_output=True, check=False)

    assert (parsed.returncode, json.loads(parsed.stdout)[0]["format"]) == (0, "notifyutil")
    assert unknown.returncode == 1
    assert b"parse" in unknown.stderr
