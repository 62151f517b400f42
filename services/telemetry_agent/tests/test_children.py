# SPDX-License-Identifier: Apache-2.0
"""Programs and sockets that readings come from: slow, broken, talkative or hostile, they cost one look and no more."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops.telemetry_agent.adapters import darwin_probes
from mlops.telemetry_agent.adapters.children import Command, Lines
from mlops.telemetry_agent.adapters.helper_socket import HelperSocket
from mlops.telemetry_agent.model.reading import LEVEL, Partial


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def test_a_program_is_asked_without_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_TOKEN", "secret")

    said = Command(python("import os; print(os.environ.get('NATS_TOKEN'))"), timeout_s=20)()

    assert said == b"None\n"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import time; time.sleep(60)", "took longer"),
        ("raise SystemExit(3)", "ended with 3"),
        ("import sys; sys.stdout.write('x' * 5000)", "says more than"),
        ("import os, time; os.close(1); time.sleep(60)", "ended with -9"),
    ],
)
def test_a_program_that_misbehaves_is_a_failure_and_ends(code: str, said: str) -> None:
    timeout_s = 1.0 if "sleep" in code else 20.0
    began = time.monotonic()

    with pytest.raises(OSError, match=said):
        Command(python(code), timeout_s=timeout_s, most_bytes=1000)()

    assert time.monotonic() - began < 20


def test_a_program_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(OSError, match="nowhere"):
        Command(["/nowhere/ioreg"])()


def test_a_child_that_goes_on_printing_is_read_in_whole_lines() -> None:
    lines = Lines(
        python(
            "import time\nfor n in range(3): print(n, flush=True)\nprint('hal', end='', flush=True); time.sleep(60)"
        ),
        patience_s=20,
    )
    said = b""
    while said.count(b"\n") < 3:
        said += lines()

    assert said == b"0\n1\n2\n"
    assert lines.cpu_s() >= 0
    lines.close()


def test_a_child_that_ended_is_started_again_after_a_pause() -> None:
    at = [0.0]
    lines = Lines(python("raise SystemExit(1)"), monotonic=lambda: at[0], patience_s=20)
    with pytest.raises(OSError, match="ended with 1"):
        lines()
    with pytest.raises(OSError, match="started again later"):
        lines()
    at[0] = 2.0
    with pytest.raises(OSError, match="ended with 1"):
        lines()
    lines.close()


PLIST = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0"><dict>'
    b"<key>is_delta</key><true/><key>elapsed_ns</key><integer>2000000000</integer>"
    b"<key>hw_model</key><string>Mac16,8</string><key>thermal_pressure</key><string>Heavy</string>"
    b"<key>processor</key><dict><key>cpu_power</key><real>3000</real>"
    b"<key>cpu_energy</key><integer>6000</integer></dict></dict></plist>\n"
)


class Helper:
    """A helper on a Unix socket that says what it is told to."""

    def __init__(self, path: Path) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(1)
        self.pieces: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def say(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self._thread.start()

    def _serve(self) -> None:
        line, _ = self._listening.accept()
        with line, contextlib.suppress(OSError):
            for piece in self.pieces:
                line.sendall(piece)
                time.sleep(0.02)
            line.recv(1)  # until the other end hangs up

    def close(self) -> None:
        self._listening.close()
        if self._thread.is_alive():
            self._thread.join(10)


@pytest.fixture
def helper(tmp_path: Path) -> Iterator[Helper]:
    made = Helper(tmp_path / "pm.sock")
    yield made
    made.close()


def asked(folder: Path) -> Partial:
    probe = darwin_probes.helper_probe(folder / "pm.sock")
    partial = probe.read(0.0)
    probe.close()
    return partial


def test_powermetrics_comes_through_the_helpers_socket(tmp_path: Path, helper: Helper) -> None:
    helper.say(PLIST[:100], PLIST[100:250], PLIST[250:], b"\0")

    partial = asked(tmp_path)

    assert (partial.values[LEVEL], partial.values["thermal.native"]) == (2, "Heavy")
    assert partial.values["power.cpu_w"] == 3.0
    assert partial.values["energy.cpu_j"] == 6.0


def test_an_entity_from_the_socket_is_refused(tmp_path: Path, helper: Helper) -> None:
    bomb = PLIST.replace(b"<plist", b'<!DOCTYPE x [<!ENTITY a "aaaa">]><plist').replace(
        b"Heavy", b"&a;"
    )
    helper.say(bomb + b"\0")

    partial = asked(tmp_path)

    assert partial.values == {}
    assert set(partial.missing.values()) == {"failed"}


def test_a_document_without_end_is_dropped_and_the_next_one_read(
    tmp_path: Path, helper: Helper
) -> None:
    helper.say(b"<plist>" + b"x" * (3 * 2**20), b"\0" + PLIST + b"\0")

    line = HelperSocket(tmp_path / "pm.sock", patience_s=20)
    said = line()
    line.close()

    assert said.strip(b"\0\n") == PLIST.strip()


def test_a_helper_that_is_away_or_may_not_be_asked_is_missing_with_the_reason(
    tmp_path: Path,
) -> None:
    away = darwin_probes.helper_probe(tmp_path / "none.sock").read(0.0)

    assert set(away.missing.values()) == {"failed"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_socket_of_another_group_is_denied(tmp_path: Path, helper: Helper) -> None:
    helper.say(PLIST)
    (tmp_path / "pm.sock").chmod(0)

    assert set(darwin_probes.helper_probe(tmp_path / "pm.sock").read(0.0).missing.values()) == {
        "denied"
    }
