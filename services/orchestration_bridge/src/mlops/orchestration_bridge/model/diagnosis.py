# SPDX-License-Identifier: Apache-2.0
"""Diagnosis: which step failed, the end of its log, and the fix where it is known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mlops.orchestration_bridge.model import symptoms

MOST_LINES = 20
LONGEST_LINE = 240
LONGEST_REASON = 1200
LONGEST = 3900

_EXIT = re.compile(r"exit(?:ed)?(?: with)?(?: return)?(?: code| status) (-?\d+)")
_HINTS = (
    (
        re.compile(r"No module named '?([\w.]+)"),
        "the project's own environment lacks {0}; add it there, not to the platform",
    ),
    (
        re.compile(r"(?:bash|sh): (?:line \d+: )?([^:\s]+): (?:command )?not found"),
        "{0} is not on the PATH of the command; write its full path or start it through the project's environment",
    ),
    (
        re.compile(r"CUDA out of memory|MemoryError|Cannot allocate memory"),
        "it ran out of memory; use smaller batches or raise [train].resources.memory_gb",
    ),
    (re.compile(r"No space left on device"), "the disk is full; free some space"),
    (
        re.compile(r"No such file or directory: '?([^'\n]+)"),
        "{0} is missing; paths are relative to the project's folder",
    ),
)
_EXIT_HINTS = {
    126: "the command is not executable; check its permissions",
    127: "the command was not found; check [train].command",
    137: "the process was killed, often for want of memory",
    -9: "the process was killed, often for want of memory",
    143: "the process was stopped",
    -15: "the process was stopped",
    69: "a part of the platform was away; `mlops status` says which",
}


@dataclass(frozen=True)
class Wreck:
    """What the orchestrator kept of a failed step."""

    step: str
    lines: Sequence[str]


def diagnose(wreck: Wreck) -> str:
    """Return what a person needs to know of a failure, bounded in lines and length."""
    lines = [line.rstrip() for line in wreck.lines if line.strip()]
    own = _own_words(wreck.step, lines)
    kept = [_cut(line) for line in lines if own is None or own not in line]
    head = f"step {wreck.step!r} failed" if wreck.step else "the run failed"
    status = exit_status([own] if own else kept)
    if own:
        head += f": {own[:LONGEST_REASON]}"
    elif status is not None:
        head += f" with exit status {status}"
    hint = _hint(kept, status)
    told = f"{head}\nHint: {hint}" if hint else head
    tail = "\n".join(_end(kept))
    room = LONGEST - len(told) - 1
    return f"{told}\n{tail[-room:]}" if tail else told


def is_mute(wreck: Wreck) -> bool:
    """Return whether nothing in the log says how the step ended, as when its machine vanished under it."""
    return _own_words(wreck.step, wreck.lines) is None and exit_status(wreck.lines) is None


def exit_status(lines: Sequence[str]) -> int | None:
    """Return the last exit status that the log mentions."""
    for line in reversed(lines):
        if found := _EXIT.search(line):
            return int(found[1])
    return None


def _hint(lines: Sequence[str], status: int | None) -> str:
    for line in reversed(lines):
        for pattern, text in _HINTS:
            if found := pattern.search(line):
                return text.format(*found.groups())
    blamed = symptoms.seen(lines)
    return blamed[0].symptom.do if blamed else _EXIT_HINTS.get(status or 0, "")


def _end(lines: Sequence[str]) -> list[str]:
    """Return the last lines; before them those that blame the hardware, which long traces push away."""
    last = list(lines[-MOST_LINES:])
    blamed = [_cut(one.line) for one in symptoms.seen(lines[:-MOST_LINES])]
    return [*blamed, *last[len(blamed) :]] if len(lines) > MOST_LINES else last


def _own_words(step: str, lines: Sequence[str]) -> str | None:
    """Return what the step itself said of its failure, None when it could not."""
    prefix = f"mlops: {step}: "
    said = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    return said[-1] if said else None


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"
