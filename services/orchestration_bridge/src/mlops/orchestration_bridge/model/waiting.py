# SPDX-License-Identifier: Apache-2.0
"""Waiting: what waits of one project, by kind; the oldest of each kind is known at once."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from mlops.orchestration_bridge.model.placement import Needs

# What the machines see of a workflow: its needs, and the longest it can last.
Kind = tuple[Needs, float | None]


@dataclass(frozen=True)
class Job:
    """One workflow that waits. `lasts_s` is how long such a one usually takes, `limit_s` the longest it can.

    `near` are the machines that have its data already; from `bears_from_s` on it starts on a throttled one, too. One that ran and was moved keeps its age, `queued_s`, within its
    project, but waits since `back_s`: what its project could not be served before counts for nothing.
    """

    key: str
    project: str
    needs: Needs
    queued_s: float
    lasts_s: float | None = None
    limit_s: float | None = None
    near: tuple[str, ...] = ()
    back_s: float | None = None
    bears_from_s: float | None = None

    @property
    def since_s(self) -> float:
        """Return since when it waits."""
        return self.queued_s if self.back_s is None else self.back_s


class Waiting:
    """What waits of one project: a heap for each kind, its oldest on top."""

    def __init__(self) -> None:
        self.heaps: dict[Kind, list[tuple[float, str]]] = {}
        self.jobs: dict[str, Job] = {}
        self._heads: list[Job] | None = None

    def join(self, job: Job) -> None:
        """Let a workflow wait; the same key again changes nothing."""
        if job.key not in self.jobs:
            self.jobs[job.key] = job
            heap = self.heaps.setdefault((job.needs, job.limit_s), [])
            heapq.heappush(heap, (job.queued_s, job.key))
            self._heads = None

    def leave(self, key: str) -> None:
        """Take a workflow out; its place in the heap goes when it comes to the top."""
        if self.jobs.pop(key, None) is not None:
            self._heads = None

    def heads(self) -> list[Job]:
        """Return the oldest of each kind, the oldest of all first."""
        if self._heads is None:
            self._heads = self._oldest()
        return self._heads

    def _oldest(self) -> list[Job]:
        # What has left is dropped here, once it comes to the top.
        found = []
        for kind, heap in tuple(self.heaps.items()):
            while heap and not self._stands(kind, *heap[0]):
                heapq.heappop(heap)
            if heap:
                found.append(heap[0])
            else:
                del self.heaps[kind]
        found.sort()
        return [self.jobs[key] for _, key in found]

    def _stands(self, kind: Kind, queued_s: float, key: str) -> bool:
        # One that has left may have come again, with other needs or at another time.
        job = self.jobs.get(key)
        return job is not None and (job.needs, job.limit_s) == kind and job.queued_s == queued_s

    def since_s(self) -> float | None:
        """Return since when any of it waits, None when nothing does."""
        heads = self.heads()
        if all(head.back_s is None for head in heads):
            return heads[0].queued_s if heads else None
        return min(job.since_s for job in self.jobs.values())

    def copy(self) -> Waiting:
        """Return another that changes by itself."""
        other = Waiting()
        other.heaps = {kind: list(heap) for kind, heap in self.heaps.items()}
        other.jobs = dict(self.jobs)
        return other
