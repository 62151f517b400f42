# SPDX-License-Identifier: Apache-2.0
"""Traffic: what each version was asked and how it answered, since the gateway started."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from mlops.contracts.latency import Latencies

_VERSIONS = 256

Version = tuple[str, str, int]


@dataclass
class Tally:
    """The counts of one version; `shed` are the requests it turned away because it had too many."""

    requests: int = 0
    errors: int = 0
    shed: int = 0
    latencies: Latencies = field(default_factory=Latencies)

    def as_json(self) -> dict[str, object]:
        """Return the counts, and the times below which half, 95 % and 99 % of the answers came."""
        return {
            "requests": self.requests,
            "errors": self.errors,
            "shed": self.shed,
            "p50_ms": self.latencies.quantile(0.5),
            "p95_ms": self.latencies.quantile(0.95),
            "p99_ms": self.latencies.quantile(0.99),
            "latencies": self.latencies.as_json(),
        }


@dataclass
class Traffic:
    """Counts of the versions last asked; a failed try counts against the version that failed."""

    _tallies: OrderedDict[Version, Tally] = field(default_factory=OrderedDict)

    def count(
        self, version: Version, *, failed: bool, latency_ms: float, shed: bool = False
    ) -> None:
        """Count one try; how long it took to turn one away says nothing of the answers."""
        tally = self._tallies.setdefault(version, Tally())
        tally.requests += 1
        tally.errors += failed
        tally.shed += shed
        if not shed:
            tally.latencies.add(latency_ms)
        self._tallies.move_to_end(version)
        if len(self._tallies) > _VERSIONS:
            self._tallies.popitem(last=False)

    def as_json(self) -> list[dict[str, object]]:
        """Return the counts, by project, model and version."""
        return [
            {"project": project, "model": model, "version": version, **tally.as_json()}
            for (project, model, version), tally in sorted(
                self._tallies.items(), key=lambda one: one[0]
            )
        ]
