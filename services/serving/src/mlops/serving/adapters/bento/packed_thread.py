# SPDX-License-Identifier: Apache-2.0
"""OneThread: a model that is made and called in one thread only, whoever calls it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any


class OneThread:
    """The model that *make* returns; calls wait for each other, and a text goes on piece by piece between others."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        # A daemon: MLX's streams end with their thread, and a process that joins it before its end aborts or hangs.
        threading.Thread(target=self._run, name="model", daemon=True).start()
        self._model = self._call(make)

    def answer(self, values: Any) -> Any:
        """Return what the model answers."""
        return self._call(lambda: self._model.answer(values))

    def generate(self, messages: Any, **wishes: Any) -> Iterator[dict[str, Any]]:
        """Yield the pieces of the model's text."""
        pieces = self._call(lambda: self._model.generate(messages, **wishes))
        try:
            while (piece := self._call(lambda: next(pieces, None))) is not None:
                yield piece
        finally:
            self._call(pieces.close)

    def _call(self, work: Callable[[], Any]) -> Any:
        done: Future[Any] = Future()
        self._work.put((done, work))
        return done.result()

    def _run(self) -> None:
        while True:
            done, work = self._work.get()
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it is raised where the call came from
                done.set_exception(error)
