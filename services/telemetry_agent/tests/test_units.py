# SPDX-License-Identifier: Apache-2.0
"""The units that are shipped: they are well formed, run the agent without rights, and the root helper does one thing."""

from __future__ import annotations

import configparser
import importlib.util
import os
import plistlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest

UNITS = Path(__file__).parents[3] / "deploy" / "telemetry"
AGENT = UNITS / "launchd" / "io.mlops.telemetry-agent.plist"
HELPER = UNITS / "launchd" / "io.mlops.powermetrics.plist"
SERVICE = UNITS / "systemd" / "mlops-telemetry-agent.service"


def test_launchds_files_are_property_lists_that_say_how_to_run() -> None:
    agent, helper = (plistlib.loads(path.read_bytes()) for path in (AGENT, HELPER))

    assert agent["Label"] == AGENT.stem
    assert agent["ProgramArguments"][1:] == ["-m", "mlops.telemetry_agent"]
    assert agent["KeepAlive"] is True
    assert agent["UserName"] == "_mlops"
    assert helper["Label"] == HELPER.stem
    assert helper["UserName"] == "root"
    # Isolated: neither the environment nor the folder of a user adds code to what runs as root.
    assert helper["ProgramArguments"][:2] == ["/usr/bin/python3", "-I"]
    assert "EnvironmentVariables" not in helper


def test_systemds_unit_runs_the_agent_without_rights() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names have capitals
    unit.read_string(SERVICE.read_text())

    service = unit["Service"]
    assert service["ExecStart"].endswith("python -m mlops.telemetry_agent")
    assert service["User"] == "mlops"
    assert service["NoNewPrivileges"] == service["ProtectHome"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert service["Restart"] == "always"


def test_systemd_itself_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not on PATH")
    unit = tmp_path / SERVICE.name
    unit.write_text(SERVICE.read_text().replace("/opt/mlops/.venv/bin/python", sys.executable))

    said = subprocess.run(
        [program, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )

    mentioned = [line for line in (said.stdout + said.stderr).splitlines() if SERVICE.name in line]
    assert mentioned == []
    assert said.returncode == 0, said.stderr


@pytest.fixture(scope="module")
def helper() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "powermetrics_helper", UNITS / "powermetrics_helper.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_helper_runs_one_fixed_command(helper: ModuleType) -> None:
    assert helper.COMMAND[0] == "/usr/bin/powermetrics"
    assert "tasks" not in helper.COMMAND[6]
    assert not any(mark in part for part in helper.COMMAND for mark in "$`;|&*")


SAYS = "import os, sys, time\nfor n in range(1000): print(f'<plist>{n} {sorted(os.environ)}</plist>\\0', flush=True); time.sleep(0.02)"
FLOODS = "import sys\nwhile True: sys.stdout.write('x' * 65536)"


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Path]:
    """Run the helper as a process, with another program in powermetrics' place."""
    path = tmp_path / "pm.sock"
    code = (
        f"import sys; sys.path.insert(0, {str(UNITS)!r}); import powermetrics_helper as h; "
        f"h.main({str(path)!r}, '', (sys.executable, '-S', '-c', sys.argv[1]))"
    )
    environment = {**os.environ, "SECRET": "yes"}
    child = subprocess.Popen([sys.executable, "-c", code, SAYS], env=environment)
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    yield path
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == 0


def hear(path: Path, most: int = 200) -> bytes:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(20)
        line.connect(str(path))
        said = b""
        while len(said) < most:
            said += line.recv(4096)
    return said


def test_a_reader_gets_what_the_program_says_and_the_next_one_a_fresh_start(serving: Path) -> None:
    first, second = hear(serving), hear(serving)

    assert first.startswith(b"<plist>0 ")
    assert second.startswith(b"<plist>0 ")
    assert b"SECRET" not in first
    assert stat.S_IMODE(serving.stat().st_mode) == 0o660


def test_the_program_runs_only_while_somebody_listens(serving: Path) -> None:
    hear(serving)
    deadline = time.monotonic() + 10
    while _children_of(serving) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert _children_of(serving) == []


def test_a_reader_that_does_not_listen_is_hung_up_on_before_memory_is_gone(
    helper: ModuleType,
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker = threading.Thread(
            target=helper.serve, args=(theirs, (sys.executable, "-S", "-c", FLOODS))
        )
        worker.start()
        worker.join(30)

        assert not worker.is_alive()


def _children_of(path: Path) -> list[str]:
    """Return the stand-ins for powermetrics that run for this socket."""
    servers = [child for child in psutil.Process().children() if str(path) in _said(child)]
    return [said for server in servers for child in server.children() if (said := _said(child))]


def _said(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""
