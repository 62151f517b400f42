# SPDX-License-Identifier: Apache-2.0
"""The journal: turns answers into predictions for the log, as far as the project wants them logged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from mlops.contracts.serving import Prediction, Vector
from mlops.serving.adapters.calls import Calls
from mlops.serving.adapters.counters import Counters
from mlops.serving.adapters.prediction_log import PredictionLog, sampled
from mlops.serving.adapters.replies import Request
from mlops.serving.model.tensors import Scalar
from mlops.serving.model.vectors import Shortened

_COPY = b"mlops-shadow"
_LARGE = 64 * 1024  # bytes of a request whose rows would hold up the others
_NO_VECTOR: dict[str, Shortened] = {}

Features = Sequence[dict[str, Scalar]]
Vectors = Sequence[dict[str, Shortened]]
Answers = Sequence[Shortened | None]


def no_vectors() -> list[dict[str, Shortened]]:
    """Return that no row has a vector."""
    return []


def no_answers() -> list[Shortened | None]:
    """Return that no answer is several numbers."""
    return []


@dataclass(frozen=True)
class Asking:
    """What every protocol needs to ask the model: its calls, what counts them, and what notes them."""

    calls: Calls
    counters: Counters
    journal: Journal


class Journal:
    """Notes what was answered in *log*; nothing where *is_on* is false."""

    def __init__(
        self,
        log: PredictionLog,
        *,
        is_on: bool,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._log = log
        self._is_on = is_on
        self._now = now

    def note(
        self,
        request: Request,
        request_id: str,
        count: int,
        features: Callable[[], Features],
        predictions: Callable[[], Sequence[Scalar]],
        latency_ms: float,
        vectors: Callable[[], Vectors] = no_vectors,
        answers: Callable[[], Answers] = no_answers,
    ) -> None:
        """Note *count* rows of one request; of a large one they are worked out in a thread.

        *vectors* and *answers* are of every row, or none where no row has any.

        A shadow's copy of a request is left out: its caller had another version's answer under the same id.
        """
        share = self._log.share
        if not self._is_on or share == 0 or count == 0 or _COPY in request.headers:
            return
        if count == 1 and share is not None and not sampled(request_id, share):
            return
        ids = [request_id] if count == 1 else [f"{request_id}:{row}" for row in range(count)]
        # What the model said may lie in memory that it uses again, so only the rest can wait.
        said, told = predictions(), answers() or [None] * count
        rows = partial(_rows, ids, self._now(), latency_ms, features, vectors, said, told)
        if len(request.body) > _LARGE:
            self._log.later(len(request.body), count, rows)
        else:
            self._log.put(rows())


def _rows(
    ids: Sequence[str],
    at: datetime,
    latency_ms: float,
    features: Callable[[], Features],
    vectors: Callable[[], Vectors],
    predictions: Sequence[Scalar],
    answers: Answers,
) -> list[Prediction]:
    wide = vectors() or [_NO_VECTOR] * len(ids)
    return [
        # Its parts are right by construction, and all are named: validating them, or asking pydantic for what a
        # part is by default, would cost more than the rest.
        Prediction.model_construct(
            request_id=one,
            at=at,
            features=row,
            prediction=value,
            vectors={name: _told(vector) for name, vector in found.items()} if found else {},
            answer=None if answer is None else _told(answer),
            latency_ms=latency_ms,
        )
        for one, row, value, found, answer in zip(
            ids, features(), predictions, wide, answers, strict=True
        )
    ]


def _told(vector: Shortened) -> Vector:
    return Vector.model_construct(
        values=vector.values, length=vector.length, largest=vector.largest
    )
