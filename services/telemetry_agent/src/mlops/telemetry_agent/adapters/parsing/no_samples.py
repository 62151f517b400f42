# SPDX-License-Identifier: Apache-2.0
"""What people have beside their recordings, so that they are told what a file is and not only what it is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlops.telemetry_agent.adapters.formats.document import number
from mlops.telemetry_agent.adapters.parsing.seen import Seen, has

# A heading and two lines of figures make a table.
_FEWEST_LINES = 3


def _is_table(seen: Seen) -> bool:
    lines = [line for line in seen.head.split("\n")[:6] if line and not line.startswith("#")]
    rows = [line.split(",") for line in lines[1:]]
    alike = len({line.count(",") for line in lines}) == 1 and "," in lines[0] if lines else False
    figures = all(any(number(cell) is not None for cell in row) for row in rows)
    return len(lines) >= _FEWEST_LINES and alike and figures


NO_SAMPLES: Mapping[str, Callable[[Seen], bool]] = {
    "empty": lambda seen: not seen.raw.strip(b"\0 \t\r\n"),
    "the help text of a tool": has(
        r"^\s*[Uu]sage: |^The following command-line options are supported"
    ),
    "a binary property list (plutil -convert xml1 makes it one that is read)": lambda seen: (
        seen.raw.startswith(b"bplist")
    ),
    "a pointer of Git LFS to a file that is elsewhere": has(r"^version https://git-lfs"),
    "nvidia-smi's table for people (take nvidia-smi -q -x)": has(r"^\| NVIDIA-SMI \d"),
    "an answer of nvidia-smi about other things than what a GPU does": has(
        r"^GPU \d+: .*\(UUID|^# gpu +pid |NVIDIA-SMI version"
    ),
    "a table of somebody's measurements (comma-separated)": _is_table,
    "a page of HTML": has(r"^<!DOCTYPE html|^<html"),
}
