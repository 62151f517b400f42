# SPDX-License-Identifier: Apache-2.0
"""A collection of several commands' output in one file: sections under a frame of `####` lines that hold `# $ command`."""

from __future__ import annotations

import re

from mlops.telemetry_agent.adapters.formats.document import text_of

NAME = "transcript"

_FRAME = re.compile(
    r"^#{20,}\n(?:#(?!#)[^\n]*\n){0,6}?# \$ (?P<command>[^\n]*)\n(?:#(?!#)[^\n]*\n){0,6}?#{20,}\n",
    re.MULTILINE,
)


def looks(text: str) -> bool:
    """Say whether a text has such sections."""
    return _FRAME.search(text) is not None


def sections(raw: bytes) -> list[tuple[str, bytes]]:
    """Return each command and what it printed, in their order."""
    text = text_of(raw)
    frames = list(_FRAME.finditer(text))
    ends = [frame.start() for frame in frames[1:]] + [len(text)]
    return [
        (frame["command"], text[frame.end() : end].strip("\n").encode())
        for frame, end in zip(frames, ends, strict=False)
    ]
