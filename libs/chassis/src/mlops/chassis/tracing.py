# SPDX-License-Identifier: Apache-2.0
"""One trace across the bus: the W3C `traceparent` of a message continues in its handler's span."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind

from mlops.contracts.message import Message

_FIELD = "traceparent"


def configure(service: str) -> None:
    """Export spans by OTLP when `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector; otherwise cost nothing."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return
    # Imported here because the SDK and its exporter take 15 MB that an installation without a collector saves.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create({"service.name": f"mlops-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


@dataclass(frozen=True)
class Handling:
    """The span of one handler."""

    span: Span | None
    received: str | None

    def parent(self) -> str | None:
        """Return the traceparent for what the handler sends on: its own span, or what it received."""
        if self.span is None:
            return self.received
        carrier: dict[str, str] = {}
        propagate.inject(carrier, context=trace.set_span_in_context(self.span))
        return carrier.get(_FIELD) or self.received


def handling(message: Message, subject: str) -> AbstractContextManager[Handling]:
    """Open the span in which *message* is handled, as a child of whoever sent it."""
    if _recording():
        return _span(message, subject)
    return nullcontext(Handling(None, message.traceparent))


@contextmanager
def _span(message: Message, subject: str) -> Iterator[Handling]:
    carrier = {_FIELD: message.traceparent} if message.traceparent else {}
    context = propagate.extract(carrier)
    tracer = trace.get_tracer("mlops.chassis")
    attributes = {
        "messaging.system": "nats",
        "messaging.operation.type": "process",
        "messaging.destination.name": subject,
        "messaging.message.id": message.id,
        "mlops.correlation_id": message.story_id,
    }
    with tracer.start_as_current_span(
        f"process {message.type}", context=context, kind=SpanKind.CONSUMER, attributes=attributes
    ) as span:
        yield Handling(span, message.traceparent)


def current() -> str | None:
    """Return the traceparent of the current span, or None outside of any."""
    if not _recording():
        return None
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get(_FIELD)


def _recording() -> bool:
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
