# SPDX-License-Identifier: Apache-2.0
"""OpenAI's paths for models that write text: chat and plain completions, whole or piece by piece, and the list of models."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from mlops.serving.adapters.inference import Contract
from mlops.serving.adapters.journal import Asking
from mlops.serving.adapters.replies import RefusedError, Reply, Request, Route, Routes, reply_of
from mlops.serving.model.chat import UnanswerableError, Wish, read_wish
from mlops.serving.model.tensors import Scalar

Generate = Callable[..., Iterator[dict[str, Any]]]

_BAD, _NOT_FOUND = 400, 404
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
_STREAM = b"text/event-stream; charset=utf-8"
_DONE = b"data: [DONE]\n\n"


def openai_error(status: int, reason: str, param: str | None = None, code: str = "") -> bytes:
    """Return an error as OpenAI's clients read it."""
    said = {
        "message": reason,
        "type": _TYPES.get(status, "server_error"),
        "param": param,
        "code": code or None,
    }
    return orjson.dumps({"error": said})


@dataclass
class Text:
    """One text as it is written."""

    request_id: str
    model: str
    wish: Wish
    is_chat: bool
    created: int
    parts: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, piece: dict[str, Any]) -> None:
        """Take the next piece."""
        self.parts.append(piece["text"])
        self.finish_reason = piece["finish_reason"] or self.finish_reason
        self.prompt_tokens = int(piece["prompt_tokens"])
        self.completion_tokens = int(piece["completion_tokens"])

    def whole(self) -> dict[str, Any]:
        """Return the answer to a caller that waits for all of it."""
        text = "".join(self.parts)
        said = (
            {"message": {"role": "assistant", "content": text}} if self.is_chat else {"text": text}
        )
        choice = {
            "index": 0,
            **said,
            "logprobs": None,
            "finish_reason": self.finish_reason or "stop",
        }
        kind = "chat.completion" if self.is_chat else "text_completion"
        return {**self._head(kind), "choices": [choice], "usage": self.usage()}

    def chunk(self, text: str | None, finish_reason: str | None = None) -> bytes:
        """Return one event; *text* is None in the last."""
        said: dict[str, Any] = {"text": text or ""}
        if self.is_chat:
            said = {"delta": {} if text is None else {"content": text}}
            if len(self.parts) == 1 and text is not None:
                said["delta"]["role"] = "assistant"
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish_reason}
        return _event({**self._head(self._chunk_kind()), "choices": [choice]})

    def usage_chunk(self) -> bytes:
        """Return the event that tells how many tokens it took."""
        return _event({**self._head(self._chunk_kind()), "choices": [], "usage": self.usage()})

    def usage(self) -> dict[str, int]:
        """Return how many tokens it took."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }

    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self.is_chat else "text_completion"

    def _head(self, kind: str) -> dict[str, Any]:
        prefix = "chatcmpl" if self.is_chat else "cmpl"
        return {
            "id": f"{prefix}-{self.request_id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
        }


class OpenAI:
    """Answers for one model; *generate* is None where it writes no text."""

    def __init__(
        self,
        contract: Contract,
        generate: Generate | None,
        asking: Asking,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._model = contract.model
        self._version = contract.version
        self._generate = generate
        self._calls = asking.calls
        self._counters = asking.counters
        self._journal = asking.journal
        self._now = now
        self._since = int(now())

    def routes(self) -> Routes:
        """Return OpenAI's paths; those that write text count as requests of the model."""
        chat, plain = partial(self._write, is_chat=True), partial(self._write, is_chat=False)
        return {
            ("GET", "/v1/models"): Route(self._models, needs="read", shape=openai_error),
            ("GET", f"/v1/models/{self._model}"): Route(
                self._one_model, needs="read", shape=openai_error
            ),
            ("POST", "/v1/chat/completions"): Route(chat, counted=True, shape=openai_error),
            ("POST", "/v1/completions"): Route(plain, counted=True, shape=openai_error),
        }

    async def _models(self, _: Request) -> Reply:
        return reply_of({"object": "list", "data": [self._described()]})

    async def _one_model(self, _: Request) -> Reply:
        return reply_of(self._described())

    def _described(self) -> dict[str, Any]:
        return {
            "id": self._model,
            "object": "model",
            "created": self._since,
            "owned_by": "mlops",
            "version": str(self._version),
        }

    async def _write(self, request: Request, *, is_chat: bool) -> Reply:
        try:
            wish = self._read(request, is_chat=is_chat)
        except UnanswerableError as error:
            return Reply(openai_error(_BAD, str(error), error.param), _BAD)
        text = Text(uuid.uuid4().hex, self._model, wish, is_chat, int(self._now()))
        pieces = self._pieces(request, text)
        if not wish.streams:
            async with aclosing(pieces):
                async for _ in pieces:
                    pass
            return reply_of(text.whole())
        # The first piece is waited for, so that what cannot begin is still an error with a status.
        first = await anext(pieces, None)
        return Reply(
            b"", media_type=_STREAM, headers=_UNCACHED, pieces=_events(text, first, pieces)
        )

    def _read(self, request: Request, *, is_chat: bool) -> Wish:
        if self._generate is None:
            raise RefusedError(
                _NOT_FOUND,
                f"model {self._model!r} writes no text; ask it at /v2/models/{self._model}/infer",
            )
        try:
            said = orjson.loads(request.body)
        except orjson.JSONDecodeError as error:
            raise UnanswerableError(f"the body is not JSON: {error}") from error
        if not isinstance(said, dict):
            raise UnanswerableError("the body must be a JSON object")
        if said.get("model") not in (None, self._model):
            raise RefusedError(
                _NOT_FOUND, f"model {said['model']!r} is not here; it is {self._model!r}"
            )
        return read_wish(said, is_chat=is_chat)

    async def _pieces(self, request: Request, text: Text) -> AsyncGenerator[dict[str, Any]]:
        began, wish = time.perf_counter(), text.wish
        assert self._generate is not None  # noqa: S101 - `_read` has refused it
        begin = partial(
            self._generate,
            wish.asked,
            max_tokens=wish.max_tokens,
            temperature=wish.temperature,
            top_p=wish.top_p,
            stop=wish.stop,
            seed=wish.seed,
        )
        async with aclosing(self._calls.stream(begin)) as pieces:
            async for piece in pieces:
                text.add(piece)
                yield piece
        self._counters.answered += 1
        self._journal.note(
            request,
            text.request_id,
            1,
            lambda: [_features(text)],
            lambda: [text.finish_reason or "stop"],
            (time.perf_counter() - began) * 1000,
        )


_UNCACHED = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


def _features(text: Text) -> dict[str, Scalar]:
    """Return what is logged of a text: how much, never what."""
    return {
        "prompt_tokens": text.prompt_tokens,
        "completion_tokens": text.completion_tokens,
        "max_tokens": text.wish.max_tokens,
        "temperature": text.wish.temperature,
    }


async def _events(
    text: Text, first: dict[str, Any] | None, rest: AsyncGenerator[dict[str, Any]]
) -> AsyncGenerator[bytes]:
    async with aclosing(rest):
        try:
            if first is not None:
                yield text.chunk(first["text"])
            async for piece in rest:
                if piece["text"]:
                    yield text.chunk(piece["text"])
        except RefusedError as error:
            # The status is out already; clients read an error from the stream.
            yield b"data: " + openai_error(error.status, error.reason) + b"\n\n"
            return
    yield text.chunk(None, text.finish_reason or "stop")
    if text.wish.tells_usage:
        yield text.usage_chunk()
    yield _DONE


def _event(said: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(said) + b"\n\n"
