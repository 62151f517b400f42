# SPDX-License-Identifier: Apache-2.0
"""`nvidia-smi -q -x`, one document or those of `--loop`: schemas v4 to v13, several GPUs, MIG, with or without `--dtd`.

The declaration of a document type is allowed, for nvidia-smi can print it; an entity in it is not. Process tables, serial
numbers and UUIDs are not read.
"""

from __future__ import annotations

import re
from xml.parsers import expat

from mlops.telemetry_agent.adapters.formats import nvidia, nvidia_paths
from mlops.telemetry_agent.adapters.formats.document import Document, FormatError

NAME = "nvidia_smi_xml"

_ROOT = "nvidia_smi_log"
_START = re.compile(rb"<\?xml\b")
_END = b"</nvidia_smi_log>"
_DEEPEST = 24
_MOST_GPUS = 1024
_SKIPPED = ("processes", "accounted_processes", "supported_clocks", "mig_devices")


def parse(raw: bytes) -> list[Document]:
    """Return a document for each log; raises FormatError for what is no XML, for another root and for entities."""
    starts = [found.start() for found in _START.finditer(raw)] or [0]
    if len(starts) > 1 and _END not in raw[starts[-1] :]:
        raw, starts = raw[: starts[-1]], starts[:-1]  # a loop that was stopped while it wrote
    ends = [*starts[1:], len(raw)]
    logs = [_Log(raw[start:end], start).log for start, end in zip(starts, ends, strict=True)]
    return nvidia.documents(logs, NAME)


class _Log:
    """One log: the texts of each GPU by path."""

    def __init__(self, raw: bytes, offset: int) -> None:
        self._offset = offset
        self._path: list[str] = []
        self._text: list[str] = []
        self._gpus: list[dict[str, str]] = []
        self._at = ""
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text.append
        self._parser.EntityDeclHandler = self._refuse
        try:
            self._parser.Parse(raw.strip(b"\0 \t\r\n"), True)
        except expat.ExpatError as error:
            raise self._error(f"no XML: {error}") from error
        except (LookupError, ValueError) as error:  # an encoding that there is none of
            raise self._error(f"no XML: {error}"[:200]) from error
        gpus = tuple(nvidia_paths.gpu_of(found, nvidia_paths.XML) for found in self._gpus)
        self.log = nvidia.Log(gpus, self._at)

    def _begin(self, name: str, _: object) -> None:
        if not self._path and name != _ROOT:
            raise self._error(f"its root is {name[:40]!r}, not {_ROOT!r}")
        self._path.append(name)
        self._text.clear()
        if len(self._path) > _DEEPEST or len(self._gpus) > _MOST_GPUS:
            raise self._error("nested too deeply, or more GPUs than a machine has")
        if self._path == [_ROOT, "gpu"]:
            self._gpus.append({})

    def _end(self, _: str) -> None:
        text, path = "".join(self._text).strip(), self._path[1:]
        self._text.clear()
        self._path.pop()
        if not text or not path:
            return
        if path == ["timestamp"]:
            self._at = text
        elif path[0] == "gpu" and len(path) > 1 and path[1] not in _SKIPPED:
            self._gpus[-1].setdefault("/".join(path[1:]), text)

    def _refuse(self, *_: object) -> None:
        raise self._error("it declares an entity")

    def _error(self, reason: str) -> FormatError:
        return FormatError(
            NAME, reason, offset=self._offset + max(0, self._parser.CurrentByteIndex)
        )
