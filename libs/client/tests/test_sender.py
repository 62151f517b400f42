# SPDX-License-Identifier: Apache-2.0
"""Sender: what comes while it delivers waits for its next turn, so that it rarely takes the interpreter from a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.client.spool.journal import Journal
from mlops.client.spool.known import Known
from mlops.client.spool.quota import Quota
from mlops.client.spool.sender import Sender
from servers.memory_tracking import MemoryTracking
from servers.spools import PLENTY, began, journal_in, point, steps


class Busy(MemoryTracking):
    """While a request is answered, the training goes on: it logs some more points."""

    def __init__(self, meanwhile: int, until: int) -> None:
        super().__init__()
        self.journal: Journal
        self.requests = 0
        self._step = 1
        self._meanwhile, self._until = meanwhile, until

    def log_batch(self, body: bytes) -> None:
        super().log_batch(body)
        self.requests += 1
        for _ in range(self._meanwhile):
            if self._step < self._until:
                self.journal.append(point("a", self._step), 1)
                self._step += 1


@pytest.mark.parametrize(("meanwhile", "sent"), [(1, 1), (999, 1), (1000, 5001)])
def test_a_turn_sends_what_was_there_and_goes_on_only_with_full_requests(
    tmp_path: Path, meanwhile: int, sent: int
) -> None:
    server = Busy(meanwhile, until=5001)
    journal = server.journal = journal_in(tmp_path)
    journal.append(began("a", journal.id), 1)
    journal.append(point("a", 0), 1)
    sender = Sender(journal, Quota(tmp_path, PLENTY), Known(), lambda _: server)

    sender.turn()

    assert len(steps(server, "a")) == sent
    sender.turn()
    assert steps(server, "a")[:sent] == list(range(sent))
