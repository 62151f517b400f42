# SPDX-License-Identifier: Apache-2.0
"""RememberedPackages: what models' files say, read once; whoever asks waits a moment for what is new and no longer."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

from mlops.tracking.model.facts import Package

_READERS = 4
_MOST = 2000
_EMPTY_FOR_S = 60.0
_PATIENCE = timedelta(seconds=2)

Source = tuple[str, str]


class RememberedPackages:
    """Files of a registered version do not change, so what was read is kept, up to 2000 of them."""

    def __init__(
        self, read: Callable[[str, str], Package], patience: timedelta = _PATIENCE
    ) -> None:
        self._read = read
        self._patience_s = patience.total_seconds()
        # Threads of their own: the relay's must not wait for somebody's question.
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="model-packages")
        self._known: OrderedDict[Source, tuple[Package, float]] = OrderedDict()
        self._reading: dict[Source, Future[Package]] = {}

    async def of(self, sources: Sequence[Source]) -> dict[Source, Package]:
        """Return what is known of (project, source URI) after at most two seconds; the rest is read meanwhile."""
        self._collect()
        missing = [source for source in dict.fromkeys(sources) if not self._is_known(source)]
        for source in missing:
            if source not in self._reading:
                self._reading[source] = self._readers.submit(self._read, *source)
        waiting = [asyncio.wrap_future(self._reading[source]) for source in missing]
        if waiting:
            await asyncio.wait(waiting, timeout=self._patience_s)
        self._collect()
        return {source: self._known[source][0] for source in sources if source in self._known}

    async def close(self) -> None:
        """Read nothing more."""
        self._readers.shutdown(wait=False, cancel_futures=True)

    def _collect(self) -> None:
        done = [source for source, future in self._reading.items() if future.done()]
        for source in done:
            self._known[source] = (self._reading.pop(source).result(), time.monotonic())
            while len(self._known) > _MOST:
                self._known.popitem(last=False)

    def _is_known(self, source: Source) -> bool:
        if source not in self._known:
            return False
        package, at = self._known[source]
        # Nothing to read, or a store that was away: perhaps there is something next time.
        return package != Package() or time.monotonic() - at < _EMPTY_FOR_S
