# SPDX-License-Identifier: Apache-2.0
"""One message at work on the ledger: the page it may write, the model it is about, and what it has told so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message, follow_up_id
from mlops.monitoring.model.windows import ModelKey, Watched, Window
from mlops.monitoring.ports import Page, ReportJob, WatchedProject

_LATEST_VERSION = 2**31 - 1


@dataclass
class Turn:
    """What one write is about; `told` collects its follow-ups in order, `listened_s` is as in `Watched`.

    `joined` counts the predictions that have got their truth.
    """

    page: Page
    cause: Message
    key: ModelKey
    project: WatchedProject
    told: list[Message] = field(default_factory=list)
    listened_s: float = 0.0
    joined: int = 0

    @property
    def model(self) -> Watched:
        """Return the model as it is now."""
        return self.page.models.get(self.key) or Watched(self.key)

    @property
    def horizon_s(self) -> float | None:
        """Return for how many seconds the project waits for the labels of a full window, if it says so."""
        horizon = self.project.monitor.accuracy.label_horizon
        return None if horizon is None else horizon.total_seconds()

    @property
    def max_age_s(self) -> float | None:
        """Return for how many seconds a window may be open, if the project bounds that."""
        age = self.project.monitor.window_max_age
        return None if age is None else age.total_seconds()

    def is_due(self, window: Window) -> bool:
        """Return whether it is time to measure a window."""
        return window.due(self.model.windows_full, self.listened_s, self.horizon_s)

    def tell(self, message: Message) -> str:
        """Add a follow-up and return the id that it will have on the bus."""
        index = sum(known.type == message.type for known in self.told)
        self.told.append(message)
        return follow_up_id(self.cause.id, message.type, index)

    def promise_report(self, window: Window, kind: str, name: str, promised_by: str) -> None:
        """Note that the report *name* is to be written, because the message *promised_by* named it."""
        job = ReportJob(
            id=promised_by,
            story_id=self.cause.story_id,
            key=self.key,
            version=window.version,
            window=window.number,
            kind=kind,
            name=name,
        )
        self.page.jobs.put(job)


def checked_version(version: int) -> int:
    """Return the version as it is; RejectedError when no registry could have given it."""
    if version > _LATEST_VERSION:
        raise RejectedError(
            f"{str(version)[:20]}… is no version of a registry; send the number that MLflow gave it"
        )
    return version
