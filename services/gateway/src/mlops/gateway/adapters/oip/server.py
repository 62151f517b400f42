# SPDX-License-Identifier: Apache-2.0
"""GrpcServer: gRPC's side of the door: the token before the message is read, so many calls at once, statuses, the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import grpc
import grpc.aio
import structlog

from mlops.chassis.clock import Clock
from mlops.chassis.tokens import TokenError, Tokens
from mlops.gateway.adapters.oip.inside import Asgi, Inside
from mlops.gateway.adapters.oip.methods import Methods
from mlops.gateway.adapters.oip.open_inference_grpc_pb2 import DESCRIPTOR
from mlops.gateway.adapters.oip.reading import Reading, SlowCallerError
from mlops.gateway.adapters.oip.status import Refusal, bad_request
from mlops.gateway.model.access import said_in

_SERVICE = DESCRIPTOR.services_by_name["GRPCInferenceService"]
_OPEN = ("ServerLive", "ServerReady")
_HEAD_BYTES = 64 * 1024  # names, shapes and parameters, beside the tensors
_READERS_PER_CALL = 2
_GRACE_S = 8
_RETRY_AFTER_S = 1
_FIX = "send the metadata `authorization: Bearer <token>`"


@dataclass(frozen=True)
class Bounds:
    """How much the server takes on: calls at once, bytes of a request, time for its bytes to come in."""

    calls: int
    most_bytes: int
    longest_read: timedelta = timedelta(seconds=15)


class GrpcServer:
    """Serves the Open Inference Protocol over gRPC for an application that serves it over HTTP."""

    def __init__(self, app: Asgi, tokens: Tokens, clock: Clock, bounds: Bounds) -> None:
        self._methods = Methods(Inside(app), bounds.most_bytes)
        self._tokens = tokens
        self._clock = clock
        self._bounds = bounds
        self._reading = Reading(_READERS_PER_CALL * bounds.calls, bounds.longest_read)
        self.under_way = 0
        self.port = 0
        self._server = grpc.aio.server(options=_options(bounds))
        self._log = structlog.get_logger("grpc")

    @property
    def reading(self) -> int:
        """Return how many messages are on their way in."""
        return self._reading.count

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port; OSError where it cannot be had."""
        handlers = {
            method.name: grpc.stream_unary_rpc_method_handler(self._answering(method.name))
            for method in _SERVICE.methods
        }
        generic = grpc.method_handlers_generic_handler(_SERVICE.full_name, handlers)
        self._server.add_generic_rpc_handlers((generic,))
        try:
            self.port = int(self._server.add_insecure_port(f"{host}:{port}"))
        except RuntimeError as error:
            raise OSError(f"gRPC cannot listen on {host}:{port}; set GATEWAY_GRPC_PORT") from error
        await self._server.start()
        self._log.info("grpc.started", port=self.port)
        return self.port

    async def stop(self) -> None:
        """Take no more calls, and finish those that have begun."""
        await self._server.stop(_GRACE_S)

    def _answering(
        self, method: str
    ) -> Callable[[AsyncIterator[bytes], grpc.aio.ServicerContext], Awaitable[bytes]]:
        # One message comes, yet it is read as a stream: so nothing of it is taken in before the token is known.
        async def answer(messages: AsyncIterator[bytes], call: grpc.aio.ServicerContext) -> bytes:
            try:
                return await self._answer(method, messages, call)
            except Refusal as error:
                await call.abort(error.code, str(error), error.trailers)
            except SlowCallerError as error:
                await call.abort(grpc.StatusCode.DEADLINE_EXCEEDED, str(error))
            raise AssertionError("a call that is ended goes no further")

        return answer

    async def _answer(
        self, method: str, messages: AsyncIterator[bytes], call: grpc.aio.ServicerContext
    ) -> bytes:
        metadata = _texts(call.invocation_metadata() or ())
        if method in _OPEN:  # its message says nothing, and a stranger's is not waited for
            return (await self._methods.answer(method, b"", metadata)).message
        self._check(metadata)
        async with self._reading.turn():
            message = await anext(messages, None)
        if message is None:
            raise bad_request("the call has no message")
        with self._place():
            answer = await self._methods.answer(method, message, metadata)
        call.set_trailing_metadata(tuple(answer.trailers))
        return answer.message

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self.under_way >= self._bounds.calls:
            told = f"{self.under_way} calls are under way; send it again shortly"
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, told, _RETRY_AFTER_S)
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    def _check(self, metadata: Mapping[str, str]) -> None:
        scheme, token = said_in(metadata.get("authorization", ""))
        if scheme != "bearer" or not token:
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, f"no token; {_FIX}")
        try:
            self._tokens.judge(token, self._clock())
        except TokenError as error:
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, str(error)) from error


def _options(bounds: Bounds) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # two gateways on one port would share its callers by chance
        ("grpc.max_receive_message_length", bounds.most_bytes + _HEAD_BYTES),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", bounds.calls),
        ("grpc.max_connection_idle_ms", 300_000),
        ("grpc.server_handshake_timeout_ms", 10_000),
        # Only plain messages: the limit above is one of bytes on the wire, and packed zeros are a thousand times smaller.
        ("grpc.compression_enabled_algorithms_bitset", 1),
    ]


def _texts(metadata: grpc.aio.Metadata) -> dict[str, str]:
    return {name: value for name, value in metadata if isinstance(value, str)}
