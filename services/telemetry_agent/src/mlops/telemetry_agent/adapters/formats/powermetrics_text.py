# SPDX-License-Identifier: Apache-2.0
"""powermetrics as text, one sample or hundreds in a file; labels of macOS 11 to 27, Intel's sampler `smc` as well.

Source: powermetrics(1). Percent come as `97.43%`, as `.54%` and as `  0%`; power in mW (W from Intel's energy model),
clocks in MHz. Old systems print `Package Power` and `DRAM Power`, newer ones `Combined Power (CPU + GPU + ANE)`.
A file may begin or end within a sample; of the last one whole lines are read. The summary at the end is no sample.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from mlops.telemetry_agent.adapters.formats import powermetrics
from mlops.telemetry_agent.adapters.formats.document import (
    Document,
    FormatError,
    number,
    text_of,
    word,
)
from mlops.telemetry_agent.adapters.formats.powermetrics import Core, Group, Said
from mlops.telemetry_agent.adapters.formats.powermetrics_intel import Cores
from mlops.telemetry_agent.model.reading import FanReading

NAME = "powermetrics_text"

_SAMPLE = re.compile(
    r"^\*\*\* Sampled system activity \((.{1,60}?)\) \(([\d.]{1,20})ms elapsed\) \*\*\*$",
    re.MULTILINE,
)
# Each of these begins something; the summary at the end (`--show-usage-summary`) is no sample.
_MARK = re.compile(r"^\*\*\* .{1,100} elapsed\) \*\*\*$", re.MULTILINE)
_DATE = re.compile(r"\w{3} (\w{3}) +(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4}) ([+-])(\d\d)(\d\d)")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_MODEL = re.compile(r"^Machine model: (.{1,100})$", re.MULTILINE)
_NUMBER = r"\s*(\d{0,12}\.?\d{1,12})"
_OWNER = r"^(?P<owner>\S{1,40}-Cluster|(?:CPU|cpu) \d{1,4}|GPU(?: \d{1,3})?)"
_CLOCK = re.compile(_OWNER + rf" (?:(?:HW )?active )?frequency:{_NUMBER} ([MG])Hz")
_SHARE = re.compile(_OWNER + rf" (?:HW )?(?P<state>active|idle|down) residency:{_NUMBER}%")
_POWER = re.compile(
    r"^(CPU|GPU|ANE|DRAM|Package|Clusters Total|Combined)(?: Power)"
    rf"(?: \(CPU \+ GPU \+ ANE\))?:{_NUMBER} (mW|W)$"
)
_INTEL = re.compile(rf"^Intel energy model derived (\w+) power[^:]{{0,40}}:{_NUMBER}\s?W$")
_INTEL_PARTS = {"package": "package", "CPU": "cpu", "GT": "gpu", "DRAM": "dram"}
_PRESSURE = re.compile(r"^Current pressure level: (\w{1,40})$")
_DIE = re.compile(rf"^(CPU|GPU) die temperature:{_NUMBER} C")
_ACTIVE = re.compile(rf"^Avg Num of Cores Active:{_NUMBER}$")
_INTEL_CORE = re.compile(r"^Core \d{1,3} C-state residency:")
_THREAD = re.compile(r"^CPU (\d{1,4}) duty cycles/s:")
_INTEL_GPU = re.compile(rf"^GPU \d{{1,2}} GPU Busy\s*:{_NUMBER}%$")
_PROCHOTS = re.compile(r"^Number of prochots: (\d{1,9})$")
_FAN = re.compile(rf"^Fan(?: (\d{{1,2}}))?:{_NUMBER} rpm")
_PARTS = {"Clusters Total": "cpu", "Combined": "package"}
_MHZ = {"M": 1e6, "G": 1e9}


def parse(raw: bytes) -> list[Document]:
    """Return a document for each sample that a file names; raises FormatError where it names none."""
    text = text_of(raw)
    marks = list(_SAMPLE.finditer(text))
    if not marks:
        raise FormatError(NAME, "no line '*** Sampled system activity (…) (…ms elapsed) ***'")
    found = _MODEL.search(text)
    model = word(found[1]) if found else None
    begins = [mark.start() for mark in _MARK.finditer(text)]
    bodies = dict(itertools.pairwise(begins))
    return [
        _document(mark, text[mark.end() : bodies.get(mark.start(), len(text))], model)
        for mark in marks
    ]


def _document(mark: re.Match[str], body: str, model: str | None) -> Document:
    elapsed_ms = number(mark[2])
    return Document(
        powermetrics.partial(_Lines(body.split("\n")).said(model)),
        at=_time(mark[1]),
        window_s=elapsed_ms / 1000 if elapsed_ms is not None and elapsed_ms > 0 else None,
    )


def _time(text: str) -> datetime | None:
    found = _DATE.fullmatch(text)
    if not found or found[1] not in _MONTHS:
        return None
    ahead = timedelta(hours=int(found[8]), minutes=int(found[9]))
    try:
        zone = timezone(ahead if found[7] == "+" else -ahead)
        month = _MONTHS.index(found[1]) + 1
        day, hour, minute, second, year = (int(found[place]) for place in range(2, 7))
        local = datetime(year, month, day, hour, minute, second, tzinfo=zone)
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class _Lines:
    """The lines of one sample, read one after the other."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.shares: dict[tuple[str, str], float] = {}
        self.clocks: dict[str, float] = {}
        # Which cluster a core stands below; the cores of a file's torn first sample have none.
        self.owners: dict[str, str | None] = {}
        self.watts: dict[str, float] = {}
        self.temps: dict[str, float] = {}
        self.fans: list[FanReading] = []
        self.pressure: str | None = None
        self.prochots: int | None = None
        self.intel = Cores()
        self.gpu_busy: float | None = None
        self._cluster: str | None = None
        for line in lines:
            self._read(line)

    def said(self, model: str | None) -> Said:
        """Return what the lines say together."""
        groups = tuple(
            Group(name, self._busy(name), self.clocks.get(name), self._cores(name))
            for name in self.owners
            if name.endswith("-Cluster")
        )
        gpu = next((name for name in self.owners if name.startswith("GPU")), "")
        return Said(
            probe=NAME,
            model_id=model,
            pressure=self.pressure,
            groups=groups,
            loose_cores=self._cores(None),
            has_gpu=bool(gpu) or "gpu" in self.watts or self.gpu_busy is not None,
            gpu_busy=self._busy(gpu) if self.gpu_busy is None else self.gpu_busy,
            gpu_freq_hz=self.clocks.get(gpu),
            watts=self.watts,
            temps=self.temps,
            fans=tuple(self.fans),
            intel=self.intel if self.intel != Cores() else None,
            slowed_times=self.prochots,
        )

    def _read(self, line: str) -> None:
        if found := _SHARE.match(line):
            self._own(found["owner"])
            self.shares[found["owner"].lower(), found["state"]] = (number(found[3]) or 0.0) / 100
        elif found := _CLOCK.match(line):
            self._own(found["owner"])
            self.clocks[found["owner"]] = (number(found[2]) or 0.0) * _MHZ[found[3]]
        elif found := _POWER.match(line):
            watts = (number(found[2]) or 0.0) / (1000 if found[3] == "mW" else 1)
            self.watts.setdefault(_PARTS.get(found[1], found[1].lower()), watts)
        else:
            self._read_rare(line)

    def _read_rare(self, line: str) -> None:
        if found := _PRESSURE.match(line):
            self.pressure = found[1]
        elif (found := _INTEL.match(line)) and found[1] in _INTEL_PARTS:
            self.watts[_INTEL_PARTS[found[1]]] = number(found[2]) or 0.0
        elif found := _DIE.match(line):
            self.temps[found[1].lower()] = number(found[2]) or 0.0
        elif found := _FAN.match(line):
            self.fans.append(
                FanReading(f"fan{found[1] or len(self.fans)}", number(found[2]) or 0.0)
            )
        else:
            self._read_intel(line)

    def _read_intel(self, line: str) -> None:
        intel = self.intel
        if found := _ACTIVE.match(line):
            # One line a package.
            active = (intel.active or 0.0) + (number(found[1]) or 0.0)
            self.intel = replace(intel, active=active)
        elif _INTEL_CORE.match(line):
            self.intel = replace(intel, cores=intel.cores + 1)
        elif _THREAD.match(line):
            self.intel = replace(intel, threads=intel.threads + 1)
        elif found := _INTEL_GPU.match(line):
            self.gpu_busy = (number(found[1]) or 0.0) / 100
        elif found := _PROCHOTS.match(line):
            self.prochots = int(found[1])

    def _own(self, owner: str) -> None:
        if owner.endswith("-Cluster"):
            self._cluster = owner
            self.owners.setdefault(owner, None)
        else:
            core = owner.lower().startswith("cpu")
            self.owners.setdefault(owner, self._cluster if core else None)

    def _cores(self, cluster: str | None) -> tuple[Core, ...]:
        return tuple(
            Core(self._busy(name), self.clocks.get(name))
            for name, owner in self.owners.items()
            if name[:3].lower() == "cpu" and owner == cluster
        )

    def _busy(self, owner: str) -> float | None:
        active, idle, down = (
            self.shares.get((owner.lower(), state)) for state in ("active", "idle", "down")
        )
        if idle is None and down is None:
            return active
        return powermetrics.residency(idle, down, [active or 0.0], of_window=True)
