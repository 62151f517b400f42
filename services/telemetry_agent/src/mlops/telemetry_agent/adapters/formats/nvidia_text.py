# SPDX-License-Identifier: Apache-2.0
"""`nvidia-smi -q` as text, one log or those of `--loop`: indented sections of `key : value`, each GPU under its bus address."""

from __future__ import annotations

import re

from mlops.telemetry_agent.adapters.formats import nvidia, nvidia_paths
from mlops.telemetry_agent.adapters.formats.document import Document, FormatError, text_of

NAME = "nvidia_smi_text"

_LOG = re.compile(r"^=+NVSMI LOG=+$", re.MULTILINE)
_GPU = re.compile(r"^GPU (?:[0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]\b")
_LINE = re.compile(r"^( *)(\S.{0,120}?)(?: *: (.{0,200}))?$")
_LOST = re.compile(
    r"^Unable to determine the device handle for GPU.{0,60}: (GPU is lost)\.", re.MULTILINE
)
_STEP = 4


def parse(raw: bytes) -> list[Document]:
    """Return a document for each log; raises FormatError where there is none."""
    text = text_of(raw)
    marks = list(_LOG.finditer(text))
    if not marks:
        raise FormatError(NAME, "no line '==============NVSMI LOG=============='")
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    logs = [_log(text[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]
    return nvidia.documents(logs, NAME)


def _log(body: str) -> nvidia.Log:
    head: dict[str, str] = {}
    gpus: list[dict[str, str]] = []
    path: list[str] = []
    for line in body.split("\n"):
        if _GPU.match(line):
            gpus.append({})
            path = []
            continue
        found = _LINE.match(line)
        if not found:
            continue
        depth = len(found[1]) // _STEP
        # Below a GPU everything is indented by one step more.
        path = [*path[: max(0, depth - bool(gpus))], found[2].strip()]
        if found[3] is not None:
            (gpus[-1] if gpus else head).setdefault("/".join(path), found[3].strip())
    found_gpus = [nvidia_paths.gpu_of(gpu, nvidia_paths.TEXT) for gpu in gpus]
    lost = [nvidia.Gpu({"name": "", "temp": one[1]}) for one in _LOST.finditer(body)]
    return nvidia.Log((*found_gpus, *lost), head.get("Timestamp", ""))
