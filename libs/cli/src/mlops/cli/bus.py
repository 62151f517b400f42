# SPDX-License-Identifier: Apache-2.0
"""Bus: the command's own look at what was said: history, live events and dead letters."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from mlops.cli.errors import CliError, InputError, NotRunningError
from mlops.cli.home import Home, read_json

if TYPE_CHECKING:
    from mlops.chassis.bus_nats import NatsBus

R = TypeVar("R")
_FIX = "start it with `mlops up`; `mlops status` tells what runs"


def with_bus(home: Home, work: Callable[[NatsBus], Awaitable[R]]) -> R:
    """Do *work* with an open bus; errors of the bus become errors of ours."""
    import asyncio  # noqa: PLC0415 - slow to import, needed by few commands

    from mlops.chassis.errors import (  # noqa: PLC0415 - slow to import, needed by few commands
        RejectedError,
        UnavailableError,
    )

    try:
        return asyncio.run(_with_bus(home, work))
    except RejectedError as error:
        raise InputError(str(error)) from error
    except UnavailableError as error:
        raise CliError(str(error), _FIX) from error


async def _with_bus(home: Home, work: Callable[[NatsBus], Awaitable[R]]) -> R:
    async with open_bus(home) as bus:
        return await work(bus)


@asynccontextmanager
async def open_bus(home: Home) -> AsyncIterator[NatsBus]:
    """Open the bus of an installation; NotRunningError when there is none, or it does not answer."""
    log_to_stderr()
    url = read_json(home.endpoints).get("nats")
    token = read_json(home.credentials).get("nats_token")
    if not url:
        raise NotRunningError(f"no platform runs in {home.root}", _FIX)
    await _must_answer(str(url))
    from mlops.chassis.bus_nats import NatsBus  # noqa: PLC0415 - slow to import, needed by few commands

    bus = NatsBus(str(url), token=str(token) if token else None, name="cli")
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()


async def _must_answer(url: str) -> None:
    """Ask once, because the bus itself waits for its server as long as it takes."""
    import asyncio  # noqa: PLC0415 - slow to import, needed by few commands

    parts = urlsplit(url)
    try:
        async with asyncio.timeout(3):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except (OSError, TimeoutError) as error:
        raise NotRunningError(f"the bus at {url} does not answer: {error}", _FIX) from error
    writer.close()


def log_to_stderr() -> None:
    """Say only what went wrong, and where it is no part of the answer: stdout may be somebody's JSON."""
    import structlog  # noqa: PLC0415 - slow to import, needed by few commands

    structlog.configure(
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # where that is by then
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    )
