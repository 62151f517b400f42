# SPDX-License-Identifier: Apache-2.0
"""Requests: what the machine's heat asks of this attempt, as the gateway tells it; asked for beside the command.

A gateway that is away, slow, or answers nonsense changes nothing: the command is never waited for, nor made to wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from mlops.client.steps.door import Asked, Workflow

# What was asked while nobody listened is over: the heat has gone on since, and asks again if it must.
OLD_S = 120.0

Ask = Callable[[], Workflow | None]


@dataclass(frozen=True)
class Newest:
    """The last that is known: a request to this attempt, or that a newer attempt has taken its place."""

    asked: Asked | None = None
    fenced: bool = False


class Requests:
    """Asks in a thread of its own, from `with` to the end of the block; `newest` never waits."""

    def __init__(self, ask: Ask, attempt: int, every_s: float) -> None:
        self._ask = ask
        self._attempt = attempt
        self._every_s = every_s
        self._over = threading.Event()
        self._newest = Newest()
        self._thread = threading.Thread(target=self._watch, name="mlops-requests", daemon=True)

    @property
    def newest(self) -> Newest:
        """Return the last that is known."""
        return self._newest

    def __enter__(self) -> Self:
        """Begin to ask."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ask no more; a call under way is left to itself."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.is_set():
            found = self._ask()
            if found is not None:
                self._newest = self._judged(found)
            self._over.wait(self._every_s)

    def _judged(self, found: Workflow) -> Newest:
        if found.attempt > self._attempt:
            return Newest(fenced=True)
        asked = found.asked
        if asked is None or asked.attempt != self._attempt:
            return Newest()
        known = self._newest.asked is not None and self._newest.asked.request == asked.request
        if asked.age_s > OLD_S and not known:
            return Newest()
        return Newest(asked)
