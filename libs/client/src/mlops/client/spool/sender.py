# SPDX-License-Identifier: Apache-2.0
"""Sender: a daemon thread that delivers its journal, and those of dead writers, for as long as the process lives."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from mlops.client.mlflow_rest.trouble import AwayError, NotLetInError, PlaceMissingError
from mlops.client.spool.adoption import Connect, adopt
from mlops.client.spool.breaker import Breaker
from mlops.client.spool.courier import Courier, Server
from mlops.client.spool.journal import Journal
from mlops.client.spool.known import Known
from mlops.client.spool.quota import Quota
from mlops.client.spool.refused import Refusals

log = logging.getLogger("mlops.client")

BEAT_S = 30.0
# Each turn takes the interpreter from the training loop for some tenths of a millisecond; fewer turns, larger batches.
_TURN_S = 1.0
# What came since a turn began waits for the next one, unless it fills a request: MLflow takes a thousand metrics in one.
_FULL = 1000
_PAUSE_S = 0.25
_MEASURE_S = 5.0
_MEASURE_SHARE = 100
_SYNC_S = 1.0
_ADOPT_S = 30.0
_ADOPT_FOR_S = 20.0
_ASK_FOR_PLACE_S = 60.0


class Sender(threading.Thread):
    """The only one that talks to the server for this journal."""

    def __init__(
        self,
        journal: Journal,
        quota: Quota,
        known: Known,
        connect: Connect,
        make_place: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(name="mlops-sender", daemon=True)
        self._journal = journal
        self._quota = quota
        self._known = known
        self._connect = connect
        self._make_place = make_place
        self._wake = threading.Event()
        self._stopped = False
        self._left_alone = False
        self._breaker = Breaker()
        self._server: Server | None = None
        self._courier: Courier | None = None
        self._told_away = False
        self._due = {"beat": time.monotonic() + BEAT_S}
        self.processed = 0

    @property
    def breaker(self) -> Breaker:
        """Return how the server did lately."""
        return self._breaker

    def run(self) -> None:
        """Deliver until told to stop."""
        while not self._stopped:
            self._wake.wait(_TURN_S)
            self._wake.clear()
            try:
                self.turn()
            except Exception:
                # This thread must not die: what it does not deliver nobody does.
                log.exception("mlops: delivering goes on after an error")
                time.sleep(_PAUSE_S)
        if self._server is not None:
            self._server.close()
        if self._left_alone:
            self._journal.save()
            self._journal.close(remove=True)

    def hurry(self) -> None:
        """Deliver now: somebody waits."""
        self._breaker = self._breaker.hurried(time.monotonic())
        self._wake.set()

    def stop(self, timeout_s: float) -> bool:
        """End the thread; False when it is still busy: it then closes the journal itself, and nobody else meanwhile."""
        self._stopped = True
        self._wake.set()
        self.join(timeout_s)
        if not self.is_alive():
            return True
        self._left_alone = True
        self.join(_PAUSE_S)  # it may have ended just before it could see that
        return not self.is_alive()

    def adopt_now(self) -> None:
        """Look for dead writers' journals at once."""
        self._due.pop("adopt", None)
        self.hurry()

    def turn(self) -> None:
        """Do what is due."""
        self._keep_house()
        if not self._breaker.may_try(time.monotonic()):
            return
        try:
            self._deliver()
            if self._is_due("beat", BEAT_S):
                self._connected().beat(self._journal.id)
        except AwayError as error:
            self._failed(error)
        except OSError as error:
            self._failed(AwayError(f"{self._journal.folder} cannot be read: {error}"))
        else:
            if self._is_due("adopt", _ADOPT_S):
                self._adopt()

    def _keep_house(self) -> None:
        if self._is_due("sync", _SYNC_S):
            self._journal.sync()
        if self._is_due("measure", _MEASURE_S):
            began = time.monotonic()
            self._quota.measure()
            # Thousands of journals are looked at less often.
            self._due["measure"] += _MEASURE_SHARE * (time.monotonic() - began)
            if self._journal.waits_in_memory():
                self._journal.recover()

    def _deliver(self) -> None:
        wanted = self._journal.written
        while not self._stopped:
            written = self._journal.written
            chunk = self._journal.read()
            if chunk is None:
                # Whatever was counted before the look is delivered, or was damaged on the disk.
                self.processed = max(self.processed, written)
                self._known.told()
                return
            courier = self._connected()
            before = self._journal.sent.delivered + self._journal.sent.refused
            key = (chunk.segment, chunk.offset, chunk.generation, chunk.remembered)
            courier.deliver(key, chunk.lines)
            if not self._journal.done(chunk):
                continue
            courier.finished()
            sent = self._journal.sent
            self.processed += sent.delivered + sent.refused - before
            self._succeeded()
            if self._is_due("beat", BEAT_S):
                courier.beat(self._journal.id)
            if self.processed >= wanted and self._journal.written - self.processed < _FULL:
                return

    def _connected(self) -> Courier:
        if self._courier is None:
            journal = self._journal
            self._server = self._connect(journal.target)
            refusals = Refusals(journal.folder.parent)
            self._courier = Courier(
                self._server, journal.sent, journal.target, journal.folder, refusals, self._known
            )
        return self._courier

    def _adopt(self) -> None:
        uri = self._journal.target.uri
        deadline = time.monotonic() + _ADOPT_FOR_S
        for found in adopt(
            self._journal.folder.parent, self._connect, lambda one: one.uri == uri, deadline
        ):
            if found.problem:
                log.info("mlops: journal %s still waits: %s", found.journal, found.problem)
            else:
                log.info("mlops: delivered %d entries a dead process left", found.sent)

    def _succeeded(self) -> None:
        if self._told_away:
            log.warning("mlops: %s answers again; delivering", self._journal.target.uri)
        self._told_away = False
        self._breaker = self._breaker.succeeded()
        self._journal.sent.problem = ""
        self._known.told()

    def _failed(self, error: AwayError) -> None:
        slow = isinstance(error, PlaceMissingError | NotLetInError)
        chance = random.random()  # noqa: S311 - spreads clients, guards nothing
        self._breaker = self._breaker.failed(time.monotonic(), chance, slow=slow)
        self._journal.sent.problem = str(error)
        self._journal.save()
        self._known.told(str(error))
        if not self._told_away and (self._breaker.is_open or slow):
            self._told_away = True
            log.warning("mlops: %s", self._outage(error))
        make_place = self._make_place if isinstance(error, PlaceMissingError) else None
        if make_place is not None and self._is_due("place", _ASK_FOR_PLACE_S):
            make_place()

    def _outage(self, error: AwayError) -> str:
        journal = self._journal
        waiting = journal.written - self.processed
        where = f"in {journal.folder.parent}" if journal.on_disk else "in memory only"
        hint = ""
        if isinstance(error, PlaceMissingError):
            hint = f"; make project {journal.target.project!r} known with `mlops register`"
        return f"{error}; {waiting} entries wait {where} and are delivered later{hint}"

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every_s
        return True
