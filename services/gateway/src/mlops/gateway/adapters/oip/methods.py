# SPDX-License-Identifier: Apache-2.0
"""Methods: what each method of the protocol does: a message in, the gateway asked over HTTP inside, a message out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import orjson
from google.protobuf.message import DecodeError, Message

from mlops.gateway.adapters.oip import open_inference_grpc_pb2 as oip
from mlops.gateway.adapters.oip.calls import infer_call, path_of
from mlops.gateway.adapters.oip.inside import Call, Reply
from mlops.gateway.adapters.oip.replies import infer_response, model_metadata, server_metadata
from mlops.gateway.adapters.oip.status import bad_request, refused

_FAILED = 400
_NOT_READY = 503
_TOLD = ("mlops-model-version", "x-request-id")
_SMALL_BYTES = 256 * 1024  # translating more here would hold up other callers

Asked = TypeVar("Asked", bound=Message)


class Site(Protocol):
    """The gateway's own application."""

    async def send(self, call: Call, metadata: Mapping[str, str]) -> Reply:
        """Return its answer."""


@dataclass(frozen=True)
class Answer:
    """A message as bytes, and what is told beside it."""

    message: bytes
    trailers: Sequence[tuple[str, str]] = ()


class Methods:
    """Answers every method of the service; a Refusal says why one is not answered."""

    def __init__(self, site: Site, most_bytes: int) -> None:
        self._site = site
        self._most_bytes = most_bytes
        self._answers: dict[str, Callable[[bytes, Mapping[str, str]], Awaitable[Answer]]] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
        }

    async def answer(self, method: str, message: bytes, metadata: Mapping[str, str]) -> Answer:
        """Return the answer to a message; raises Refusal."""
        return await self._answers[method](message, metadata)

    async def _server_live(self, _: bytes, metadata: Mapping[str, str]) -> Answer:
        reply = await self._site.send(_get("/v2/health/live"), metadata)
        return _answer(oip.ServerLiveResponse(live=reply.status < _FAILED), reply)

    async def _server_ready(self, _: bytes, metadata: Mapping[str, str]) -> Answer:
        reply = await self._site.send(_get("/v2/health/ready"), metadata)
        return _answer(oip.ServerReadyResponse(ready=reply.status < _FAILED), reply)

    async def _model_ready(self, message: bytes, metadata: Mapping[str, str]) -> Answer:
        asked = _read(oip.ModelReadyRequest, message)
        call = _get(path_of(asked.name, asked.version, "/ready"))
        reply = await self._site.send(call, metadata)
        if reply.status == _NOT_READY:
            return _answer(oip.ModelReadyResponse(ready=False), reply)
        return _answer(oip.ModelReadyResponse(ready=_is_ready(_good(reply))), reply)

    async def _server_metadata(self, _: bytes, metadata: Mapping[str, str]) -> Answer:
        reply = _good(await self._site.send(_get("/v2"), metadata))
        return _answer(server_metadata(reply), reply)

    async def _model_metadata(self, message: bytes, metadata: Mapping[str, str]) -> Answer:
        asked = _read(oip.ModelMetadataRequest, message)
        reply = _good(await self._site.send(_get(path_of(asked.name, asked.version)), metadata))
        return _answer(model_metadata(reply), reply)

    async def _model_infer(self, message: bytes, metadata: Mapping[str, str]) -> Answer:
        call, raw = await _aside(len(message), lambda: self._call(message))
        reply = _good(await self._site.send(call, metadata))
        return await _aside(len(reply.body), lambda: _answer(infer_response(reply, raw=raw), reply))

    def _call(self, message: bytes) -> tuple[Call, bool]:
        asked = _read(oip.ModelInferRequest, message)
        return infer_call(asked, self._most_bytes), bool(asked.raw_input_contents)


Made = TypeVar("Made")


async def _aside(size: int, make: Callable[[], Made]) -> Made:
    return make() if size <= _SMALL_BYTES else await asyncio.to_thread(make)


def _read(kind: type[Asked], message: bytes) -> Asked:
    try:
        found: Asked = kind.FromString(message)
    except DecodeError as error:
        raise bad_request(f"the message is no {kind.__name__}: {error}") from error
    return found


def _get(path: str) -> Call:
    return Call("GET", path, {})


def _good(reply: Reply) -> Reply:
    if reply.status >= _FAILED:
        raise refused(reply.status, reply.headers, reply.body)
    return reply


def _is_ready(reply: Reply) -> bool:
    try:
        found = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return True  # the protocol's answer is the status
    return not isinstance(found, dict) or found.get("ready") is not False


def _answer(message: Message, reply: Reply) -> Answer:
    told = [(name, reply.headers[name]) for name in _TOLD if name in reply.headers]
    return Answer(message.SerializeToString(), told)
