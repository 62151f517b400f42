# SPDX-License-Identifier: Apache-2.0
"""AppriseChannels: the channels of `alerts.toml`, told by apprise or as a web hook from a child process; and `log`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger

from mlops.chassis.errors import UnavailableError
from mlops.chassis.sidecar import Sidecar
from mlops.monitoring.adapters.channels_file import ChannelEntry, ChannelsFile, Read
from mlops.monitoring.model.notices import Channel
from mlops.monitoring.ports import Letter

WORKER = "mlops.monitoring.adapters.apprise_worker"
LOG = "log"
_TIMEOUT = timedelta(seconds=30)
_BEGINNINGS = {
    "worse": "worse: ",
    "escalated": "nobody has acknowledged: ",
    "repeated": "still: ",
    "resolved": "over: ",
}


class AppriseChannels:
    """Channels by name; each is told by a child process, which is away while nobody is told anything."""

    def __init__(self, file: ChannelsFile, sidecar: Sidecar) -> None:
        self._file = file
        self._sidecar = sidecar

    async def known(self) -> Mapping[str, Channel]:
        """Return what every channel wants to hear."""
        found = (await self._read()).channels
        return {LOG: Channel(), **{name: entry.rules() for name, entry in found.items()}}

    async def usual(self) -> tuple[str, ...]:
        """Return the channels of projects that name none: those that say so, else the log."""
        found = (await self._read()).channels
        return tuple(name for name, entry in found.items() if entry.default) or (LOG,)

    async def problem(self) -> str | None:
        """Return why the file cannot be used, or None."""
        return (await self._read()).problem

    async def tell(self, name: str, letter: Letter) -> None:
        """Tell one channel."""
        found = await self._read()
        entry = found.channels.get(name)
        if entry is not None:
            await self._send(entry, letter)
        elif name == LOG:
            _log().warning("alert.told", why=letter.why, title=title_of(letter), **_about(letter))
        else:
            known = ", ".join(sorted({LOG, *found.channels}))
            raise UnavailableError(
                found.problem or f"alerts.toml has no channel {name!r}; there are {known}"
            )

    async def close(self) -> None:
        """End the child."""
        await self._sidecar.close()

    async def _send(self, entry: ChannelEntry, letter: Letter) -> None:
        if entry.webhook is not None:
            await self._sidecar.call(
                "by_web_hook",
                _TIMEOUT,
                url=self._file.filled(entry.webhook),
                secret=None if entry.secret is None else self._file.filled(entry.secret),
                notice_id=letter.notice_id,
                body=body_of(letter),
            )
        elif entry.url is not None:
            alert = letter.alert
            await self._sidecar.call(
                "by_apprise",
                _TIMEOUT,
                url=self._file.filled(entry.url),
                title=title_of(letter),
                body=text_of(letter),
                tone="resolved" if letter.why == "resolved" else alert.severity.value,
            )

    async def _read(self) -> Read:
        return await asyncio.to_thread(self._file.read)


def title_of(letter: Letter) -> str:
    """Return the alert in one line."""
    alert = letter.alert
    return (
        f"[{alert.severity.value}] {alert.project}: {_BEGINNINGS.get(letter.why, '')}{alert.title}"
    )


def text_of(letter: Letter) -> str:
    """Return what a person reads below the title: what to do, where to look, how to say that it was seen."""
    alert = letter.alert
    if letter.why == "resolved":
        return f"Since {_time(letter)}. {alert.reason}"
    lines = [alert.suggestion, *alert.links, f"Since {alert.raised_at:%Y-%m-%d %H:%M} UTC."]
    if alert.count > 1:
        lines[-1] += f" It has begun {alert.count} times."
    lines.append(f"Seen it: mlops alerts ack {alert.alert_id}")
    return "\n".join(line for line in lines if line)


def body_of(letter: Letter) -> dict[str, Any]:
    """Return what a web hook gets; `notice_id` is the same at every try, `dedup_key` that of the trouble."""
    alert = letter.alert
    return {
        "notice_id": letter.notice_id,
        "why": letter.why,
        "title": alert.title,
        "severity": alert.severity.value,
        "state": "open" if alert.open else "resolved",
        "suggestion": alert.suggestion,
        "links": list(alert.links),
        "count": alert.count,
        "raised_at": alert.raised_at.isoformat(),
        "ended_at": None if alert.ended_at is None else alert.ended_at.isoformat(),
        "reason": alert.reason,
        **_about(letter),
    }


def _about(letter: Letter) -> dict[str, str]:
    alert = letter.alert
    return {
        "alert_id": alert.alert_id,
        "dedup_key": letter.dedup_key,
        "project": alert.project,
        "model": alert.model,
        "kind": alert.kind,
    }


def _time(letter: Letter) -> str:
    ended = letter.alert.ended_at or letter.alert.heard_at
    return f"{ended:%Y-%m-%d %H:%M} UTC"


def _log() -> FilteringBoundLogger:
    logger: FilteringBoundLogger = structlog.get_logger("alerts")
    return logger
