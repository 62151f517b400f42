# SPDX-License-Identifier: Apache-2.0
"""Recordings of other tools as probes, waking early, and what a scenario may say."""

from __future__ import annotations

import asyncio
import gzip
import os
import time
from pathlib import Path

import pytest

from mlops.contracts.telemetry_agent import SampleSource
from mlops.telemetry_agent.adapters.formats.document import FormatError
from mlops.telemetry_agent.adapters.recordings import ReplayProbe
from mlops.telemetry_agent.adapters.replayed import open_recording
from mlops.telemetry_agent.adapters.simulated import SimulatedProbe
from mlops.telemetry_agent.adapters.waking import Waking
from mlops.telemetry_agent.app import choose_probes
from mlops.telemetry_agent.model.reading import LEVEL, Partial
from mlops.telemetry_agent.model.scenario import parse
from mlops.telemetry_agent.settings import Settings
from mlops.telemetry_agent.sources.agent import Activity


def plist(pressure: str, millijoules: int) -> bytes:
    return (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0"><dict>'
        b"<key>is_delta</key><true/><key>elapsed_ns</key><integer>5000000000</integer>"
        b"<key>hw_model</key><string>Mac16,8</string>"
        b"<key>thermal_pressure</key><string>%s</string><key>processor</key><dict>"
        b"<key>cpu_power</key><real>1000</real><key>cpu_energy</key><integer>%d</integer>"
        b"</dict></dict></plist>\n\0" % (pressure.encode(), millijoules)
    )


STREAM = plist("Nominal", 5000) + plist("Heavy", 10_000) + plist("Moderate", 2000)


@pytest.mark.parametrize("packed", [False, True])
def test_a_stream_of_powermetrics_plays_at_its_own_pace(tmp_path: Path, *, packed: bool) -> None:
    file = tmp_path / "stream.plist"
    file.write_bytes(gzip.compress(STREAM) if packed else STREAM)
    probe = open_recording(file)

    seen = [probe.read(100.0 + at) for at in (0.0, 2.0, 4.0, 5.0, 10.0, 12.0)]

    assert [one.values.get(LEVEL) for one in seen] == [0, 0, 0, 2, 1, None]
    assert [one.values.get("energy.cpu_j") for one in seen[:5]] == [5.0, 0.0, 0.0, 10.0, 2.0]
    assert seen[-1] == Partial("replay", missing={LEVEL: "stale"})


def test_an_agent_that_looks_seldom_loses_no_joule_of_a_recording(tmp_path: Path) -> None:
    file = tmp_path / "stream.plist"
    file.write_bytes(STREAM)

    probe = open_recording(file)
    probe.read(0.0)

    assert probe.read(60.0).values["energy.cpu_j"] == 12.0


def test_a_recording_of_our_own_is_played_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "ours.jsonl"
    file.write_text(
        f'{{"t_mono": 5.0, "probe": "host", "kind": "value", "value": {{"values": {{"{LEVEL}": 1}}}}}}\n'
    )

    probe = open_recording(file)

    assert isinstance(probe, ReplayProbe)
    assert probe.read(0.0).values[LEVEL] == 1


def test_what_is_no_recording_is_refused_with_the_formats_that_were_tried(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear Ada,\n")

    with pytest.raises(FormatError, match="none of the formats fits"):
        open_recording(file)


def test_an_agent_that_is_told_to_replay_that_does_not_start(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear Ada,\n")
    settings = Settings(home=tmp_path, nats_url="nats://127.0.0.1:1", replay=file)

    with pytest.raises(SystemExit, match="cannot be replayed"):
        choose_probes(settings, Waking(), Activity())


def test_samples_of_a_replay_say_so(tmp_path: Path) -> None:
    file = tmp_path / "stream.plist"
    file.write_bytes(STREAM)
    settings = Settings(home=tmp_path, nats_url="nats://127.0.0.1:1", replay=file)

    assert choose_probes(settings, Waking(), Activity())[1] is SampleSource.REPLAY


def test_a_line_that_was_changed_is_missing_and_stops_nothing() -> None:
    lines = [
        '{"t_mono": 0, "probe": "linux_heat", "kind": "bytes", "bytes_b64": "%%%"}',
        '{"t_mono": 0, "probe": "darwin_ioreg", "kind": "bytes", "bytes_b64": "AAAA"}',
        '{"t_mono": 0, "probe": "host", "kind": "value", "value": {"gpus": [{"odd": 1}]}}',
        '{"t_mono": 9, "probe": "host", "kind": "value", "value": {}}',
    ]

    assert ReplayProbe(lines).read(0.0).missing[LEVEL] in ("failed", "unsupported")


async def test_the_agent_wakes_when_the_machine_says_that_something_changed() -> None:
    waking = Waking()
    ours, theirs = os.pipe()
    waking.on_bytes(ours)
    began = time.monotonic()
    asyncio.get_running_loop().call_later(0.05, os.write, theirs, b"\0\0\0\7")

    await waking.pause(30)
    took = time.monotonic() - began
    await waking.pause(0.05)

    assert took < 10
    assert time.monotonic() - began - took >= 0.04
    asyncio.get_running_loop().remove_reader(ours)
    os.close(ours)
    os.close(theirs)


async def test_a_descriptor_whose_other_end_is_gone_does_not_keep_the_agent_awake() -> None:
    waking = Waking()
    ours, theirs = os.pipe()
    waking.on_bytes(ours)
    os.close(theirs)
    await waking.pause(5)
    began = time.monotonic()

    await waking.pause(0.1)

    assert time.monotonic() - began >= 0.09
    os.close(ours)


def test_a_fault_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(
        ValueError, match=r"no fault 'fire' .* drop, stick, spike, lie_nominal, silence"
    ):
        parse("fanless_air:faults=spike+fire")


def test_a_machine_that_sticks_says_the_same_for_ever() -> None:
    probe = SimulatedProbe(parse("fanless_air:load=1.0,faults=stick"))
    probe.read(0.0)
    first, later = probe.read(62.0), probe.read(400.0)

    assert first == later
