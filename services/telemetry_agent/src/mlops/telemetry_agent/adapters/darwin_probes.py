# SPDX-License-Identifier: Apache-2.0
"""Which probes a Mac gets: what needs no child first; macmon, where it is installed, in place of ioreg and zeus.

NOT VERIFIED ON REAL HARDWARE: every probe here ran against fakes and recordings only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlops.telemetry_agent.adapters import darwin, foundation, zeus
from mlops.telemetry_agent.adapters.children import Command, Lines
from mlops.telemetry_agent.adapters.darwin import LibSystem
from mlops.telemetry_agent.adapters.formats import (
    ioreg,
    macmon,
    notifyutil,
    pmset,
    powermetrics_plist,
    sysctl,
)
from mlops.telemetry_agent.adapters.helper_socket import HelperSocket
from mlops.telemetry_agent.adapters.parsed import ParsedProbe, newest_of
from mlops.telemetry_agent.adapters.watched import Chosen
from mlops.telemetry_agent.model.reading import LEVEL

IOREG, MACMON, PMSET, POWERMETRICS = "darwin_ioreg", "macmon", "darwin_pmset", "powermetrics"
_PMSET_EVERY_S = 30.0
_HELPER_EVERY_S = 5.0
_BUSY_EVERY_S, _IDLE_EVERY_S = 2.0, 5.0


PARSES = {
    IOREG: ioreg.parse,
    MACMON: macmon.parse,
    PMSET: pmset.parse,
    POWERMETRICS: powermetrics_plist.parse,
    darwin.NOTIFY: notifyutil.parse,
    darwin.SYSCTL: sysctl.parse,
}


def probes(
    busy: Callable[[], bool],
    socket: Path | None,
    which: Callable[[str], str | None],
    on_bytes: Callable[[int], None],
    system: LibSystem | None = None,
) -> list[Chosen]:
    """Return the probes in the order of their priority."""
    own = system or LibSystem()
    chosen = [] if socket is None else [Chosen(helper_probe(socket), lambda: _HELPER_EVERY_S)]
    level = Chosen(darwin.notify_probe(own), gives=(LEVEL,))
    fallback = foundation.load() if own.thermal_pressure() is None else None
    chosen += [level if fallback is None else Chosen(fallback), Chosen(darwin.sysctl_probe(own))]
    if (descriptor := own.descriptor()) is not None:
        on_bytes(descriptor)
    program = which("macmon")
    if program:
        chosen.append(Chosen(macmon_probe(program)))
    else:
        every = Chosen(ioreg_probe(), lambda: _BUSY_EVERY_S if busy() else _IDLE_EVERY_S)
        energy = zeus.load()
        chosen += [every] if energy is None else [Chosen(energy), every]
    return [*chosen, Chosen(pmset_probe(), lambda: _PMSET_EVERY_S)]


def ioreg_probe(program: str = "/usr/sbin/ioreg") -> ParsedProbe:
    """Return the probe of the GPU's busy share and memory: a child of about 45 KB of text each time."""
    command = Command([program, "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator"])
    return ParsedProbe(IOREG, command, newest_of(IOREG, ioreg.parse), ("gpus",))


def macmon_probe(program: str) -> ParsedProbe:
    """Return the probe that reads macmon's lines, one a second."""
    lines = Lines([program, "pipe", "-i", "1000"])
    gives = ("power.cpu_w", "power.gpu_w", "power.system_w", "thermal.cpu_temp_c", "clusters")
    return ParsedProbe(MACMON, lines, newest_of(MACMON, macmon.parse), gives)


def pmset_probe(program: str = "/usr/bin/pmset") -> ParsedProbe:
    """Return the probe of the power mode and the power source."""
    source, settings = Command([program, "-g", "batt"]), Command([program, "-g"])
    parser = newest_of(PMSET, pmset.parse)
    return ParsedProbe(PMSET, lambda: source() + settings(), parser, ("power.mode", "power.source"))


def helper_probe(socket: Path) -> ParsedProbe:
    """Return the probe of powermetrics, which a root helper runs."""
    parser = newest_of(POWERMETRICS, powermetrics_plist.parse)
    gives = ("power.cpu_w", "power.gpu_w", "power.ane_w", "clusters")
    return ParsedProbe(POWERMETRICS, HelperSocket(socket), parser, gives)
