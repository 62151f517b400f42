# SPDX-License-Identifier: Apache-2.0
"""The Open Inference Protocol's paths: health, metadata, the repository of one model, and infer."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mlops.serving.adapters.inference import (
    Asked,
    Contract,
    UnknownOutputError,
    answers_of,
    checked,
    column_of,
)
from mlops.serving.adapters.journal import (
    Answers,
    Asking,
    Features,
    Vectors,
    no_answers,
    no_vectors,
)
from mlops.serving.adapters.replies import (
    RefusedError,
    Reply,
    Request,
    Route,
    Routes,
    reply_of,
)
from mlops.serving.model.tensors import Array, MalformedError, Scalar

# The index of the repository is answered, too, but nothing is loaded or unloaded here: that extension would be a lie.
EXTENSIONS = ("binary_tensor_data",)
_HEADER = b"inference-header-content-length"
_OCTETS = b"application/octet-stream"
_LARGE = 256 * 1024  # bytes beyond which reading a request would hold up the others
_BAD, _FAILED = 400, 500


class OpenInference:
    """Answers for one model version; *about* is what `GET /v2` tells beside the protocol's own words."""

    def __init__(
        self,
        contract: Contract,
        answer: Callable[[Any], Any],
        asking: Asking,
        about: Callable[[], Mapping[str, Any]],
        *,
        is_text: bool = False,
    ) -> None:
        self._contract = contract
        self._model_answer = answer
        self._calls = asking.calls
        self._counters = asking.counters
        self._journal = asking.journal
        self._about = about
        self._is_text = is_text

    def routes(self) -> Routes:
        """Return every path of the protocol that leads somewhere here."""
        name, version = self._contract.model, self._contract.version
        found = {
            ("GET", "/v2/health/live"): Route(self._live, needs=""),
            ("GET", "/v2/health/ready"): Route(self._ready, needs=""),
            ("GET", "/v2"): Route(self._server, needs="read"),
            ("GET", "/v2/"): Route(self._server, needs="read"),
            ("POST", "/v2/repository/index"): Route(self._index, needs="read"),
        }
        for at in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{version}"):
            found[("GET", at)] = Route(self._metadata, needs="read")
            found[("GET", f"{at}/ready")] = Route(self._model_ready, needs="")
            found[("POST", f"{at}/infer")] = Route(self._infer, counted=True)
        return found

    def missing(self, path: str) -> str:
        """Return why a path leads nowhere."""
        name, version = self._contract.model, str(self._contract.version)
        parts = path.split("/")
        if path.startswith("/v2/models/") and parts[3] != name:
            return f"no model {parts[3]!r} here; it is {name!r}"
        if path.startswith(f"/v2/models/{name}/versions/") and parts[5] != version:
            return f"no version {parts[5]!r} of {name!r} here; it is {version}"
        return f"nothing answers at {path!r}; GET /openapi.json lists what does"

    async def _live(self, _: Request) -> Reply:
        return reply_of({"live": True})

    async def _ready(self, _: Request) -> Reply:
        self._calls.check_ready()
        return reply_of({"ready": True})

    async def _server(self, _: Request) -> Reply:
        return reply_of(
            {**self._about(), "name": "mlops", "version": "2", "extensions": EXTENSIONS}
        )

    async def _metadata(self, _: Request) -> Reply:
        return reply_of(self._contract.metadata())

    async def _model_ready(self, _: Request) -> Reply:
        self._calls.check_ready()
        return reply_of({"name": self._contract.model, "ready": True})

    async def _index(self, _: Request) -> Reply:
        stuck = self._calls.stuck()
        one = {
            "name": self._contract.model,
            "version": str(self._contract.version),
            "state": "UNAVAILABLE" if stuck else "READY",
            "reason": stuck,
        }
        return reply_of([one])

    async def _infer(self, request: Request) -> Reply:
        began = time.perf_counter()
        asked = await self._read(request)
        answer = await self._calls.run(
            partial(self._model_answer, asked.rows.values), asked.rows.count
        )
        request_id = asked.id or str(uuid.uuid4())
        outputs, (body, length) = self._write(asked, request_id, answer)
        self._counters.answered += asked.rows.count
        features: Callable[[], Features] = asked.rows.features
        predictions = partial(column_of, outputs, asked.rows.count)
        vectors: Callable[[], Vectors] = asked.rows.vectors
        answers: Callable[[], Answers] = partial(answers_of, outputs, asked.rows.count)
        if self._is_text:  # vectors of a text can be turned back into it
            features, predictions = partial(_lengths, features), partial(_length_of, predictions)
            vectors, answers = no_vectors, no_answers
        took_ms = (time.perf_counter() - began) * 1000
        told = (features, predictions, took_ms, vectors, answers)
        self._journal.note(request, request_id, asked.rows.count, *told)
        if length is None:
            return Reply(body)
        return Reply(body, media_type=_OCTETS, headers=((_HEADER, str(length).encode()),))

    async def _read(self, request: Request) -> Asked:
        header = request.header(_HEADER)
        try:
            if len(request.body) > _LARGE:
                return await asyncio.to_thread(self._contract.read, request.body, header)
            return self._contract.read(request.body, header)
        except MalformedError as error:
            raise RefusedError(_BAD, str(error)) from error

    def _write(
        self, asked: Asked, request_id: str, answer: Any
    ) -> tuple[Mapping[str, Array], tuple[bytes, int | None]]:
        try:
            outputs = checked(self._contract.named(answer), lambda: self._contract.model)
            return outputs, self._contract.write(asked, request_id, outputs)
        except UnknownOutputError as error:
            raise RefusedError(_BAD, str(error)) from error
        except (ValueError, TypeError) as error:
            reason = f"the model's answer is no tensor: {error}; let it return numbers or strings"
            raise RefusedError(_FAILED, reason) from error


def _lengths(features: Callable[[], Features]) -> Features:
    """Return how long what people wrote is, which is all that is logged of it."""
    return [
        {f"{name}_characters": len(value) for name, value in row.items() if isinstance(value, str)}
        for row in features()
    ]


def _length_of(predictions: Callable[[], list[Scalar]]) -> list[Scalar]:
    return [len(one) if isinstance(one, str) else one for one in predictions()]
