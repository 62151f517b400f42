# SPDX-License-Identifier: Apache-2.0
"""One canonical line per message handled: JSON in files and containers, readable on a terminal."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog
from pydantic_core import to_json

if TYPE_CHECKING:
    from mlops.contracts.message import Message

_LINE = structlog.get_logger("bus")
_CHATTY = ("prediction.logged", "telemetry.sampled", "label.recorded")


def configure(service: str, level: str = "info") -> None:
    """Set up logging for this process; call once, at start."""
    threshold = getattr(logging, level.upper())
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer(serializer=_to_json)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(
        stream=sys.stderr, level=max(threshold, logging.WARNING), format="%(message)s"
    )


def _to_json(line: object, **_: object) -> str:
    # Several times as fast as the standard library's encoder, and it knows dates.
    return to_json(line, fallback=repr).decode()


def handled(
    subject: str,
    attempt: int,
    message: Message | None,
    outcome: str,
    reason: str,
    duration_s: float,
) -> None:
    """Write the line of one handled message."""
    line = _LINE
    quiet = outcome == "done" and subject.rpartition(".")[0] in _CHATTY
    write = line.debug if quiet else line.info if outcome == "done" else line.warning
    extra = {"reason": reason} if reason else {}
    write(
        "bus.handled",
        subject=subject,
        id=message.id if message else None,
        correlation_id=message.story_id if message else None,
        attempt=attempt,
        outcome=outcome,
        duration_ms=round(duration_s * 1000, 2),
        **extra,
    )
