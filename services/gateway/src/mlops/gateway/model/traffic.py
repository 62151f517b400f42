# SPDX-License-Identifier: Apache-2.0
"""Traffic: what each version was asked and how it answered, since the gateway started."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from statistics import median

_REMEMBERED = 200
_VERSIONS = 256

Version = tuple[str, str, int]


@dataclass
class Tally:
    """The counts of one version; `latencies_ms` holds the last answers only."""

    requests: int = 0
    errors: int = 0
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


@dataclass
class Traffic:
    """Counts of the versions last asked; a failed try counts against the version that failed."""

    _tallies: OrderedDict[Version, Tally] = field(default_factory=OrderedDict)

    def count(self, version: Version, *, failed: bool, latency_ms: float) -> None:
        """Count one try."""
        tally = self._tallies.setdefault(version, Tally())
        tally.requests += 1
        tally.errors += failed
        tally.latencies_ms.append(latency_ms)
        self._tallies.move_to_end(version)
        if len(self._tallies) > _VERSIONS:
            self._tallies.popitem(last=False)

    def as_json(self) -> list[dict[str, object]]:
        """Return the counts, by project, model and version."""
        return [
            {
                "project": project,
                "model": model,
                "version": version,
                "requests": tally.requests,
                "errors": tally.errors,
                "p50_ms": round(median(tally.latencies_ms), 3),
            }
            for (project, model, version), tally in sorted(self._tallies.items())
        ]
