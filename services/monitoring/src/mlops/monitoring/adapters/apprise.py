# SPDX-License-Identifier: Apache-2.0
"""AppriseChannels: the channels of `alerts.toml`, told by apprise or as a web hook from child processes; and `log`.

A child tells one channel at a time. While one waits for a slow server another tells the rest, so that nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger

from mlops.chassis.errors import UnavailableError
from mlops.chassis.sidecar import Sidecar
from mlops.contracts.channels import ChannelEntry
from mlops.contracts.report_paths import opened_at
from mlops.monitoring.adapters.channels_file import ChannelsFile, Read, rules_of
from mlops.monitoring.model.notices import Channel
from mlops.monitoring.ports import Letter

WORKER = "mlops.monitoring.adapters.apprise_worker"
LOG = "log"
_TIMEOUT = timedelta(seconds=30)
_PARTS_TIMEOUT = timedelta(
    seconds=50
)  # several texts to several phones; a claim lasts for a minute
_PATIENCE_S = 2.0
_MOST_CHILDREN = 4
_LONGEST_ADVICE = 240
_LONGEST_LINE = 160
_BEGINNINGS = {
    "worse": "worse: ",
    "escalated": "nobody has acknowledged: ",
    "repeated": "still: ",
    "resolved": "over: ",
}
_TONES = ("critical", "warning", "info", "unknown", "resolved")


class Children:
    """The child processes, most of the time one; another is made when all are busy for a while."""

    def __init__(self, make: Callable[[], Sidecar]) -> None:
        self._make = make
        self._all = [make()]
        # The last one given back is taken first: the others may leave, for want of work.
        self._free: asyncio.LifoQueue[Sidecar] = asyncio.LifoQueue()
        self._free.put_nowait(self._all[0])

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Sidecar]:
        """Lend one."""
        child = await self._taken()
        try:
            yield child
        finally:
            self._free.put_nowait(child)

    async def close(self) -> None:
        """End them all."""
        await asyncio.gather(*(child.close() for child in self._all))

    async def _taken(self) -> Sidecar:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._free.get()
        except TimeoutError:
            if len(self._all) == _MOST_CHILDREN:
                return await self._free.get()
        self._all.append(self._make())
        return self._all[-1]


class AppriseChannels:
    """Channels by name; each is told by a child process, which is away while nobody is told anything."""

    def __init__(self, file: ChannelsFile, make: Callable[[], Sidecar], gateway: str = "") -> None:
        self._file = file
        self._children = Children(make)
        self._gateway = gateway

    async def known(self) -> Mapping[str, Channel]:
        """Return what every channel wants to hear."""
        found = (await self._read()).channels
        return {LOG: Channel(), **{name: rules_of(entry) for name, entry in found.items()}}

    async def usual(self) -> tuple[str, ...]:
        """Return the channels of projects that name none: those that say so, else the log."""
        found = (await self._read()).channels
        return tuple(name for name, entry in found.items() if entry.default) or (LOG,)

    async def problem(self) -> str | None:
        """Return why the file cannot be used, or None."""
        return (await self._read()).problem

    async def tell(self, name: str, letters: Sequence[Letter]) -> None:
        """Tell one channel."""
        found = await self._read()
        letters = [self._openable(letter) for letter in letters]
        entry = found.channels.get(name)
        if entry is not None:
            await self._send(entry, letters)
        elif name == LOG:
            for one in letters:
                _log().warning("alert.told", why=one.why, title=title_of(one), **_about(one))
        else:
            known = ", ".join(sorted({LOG, *found.channels}))
            raise UnavailableError(
                found.problem or f"alerts.toml has no channel {name!r}; there are {known}"
            )

    async def close(self) -> None:
        """End the children."""
        await self._children.close()

    async def _send(self, entry: ChannelEntry, letters: Sequence[Letter]) -> None:
        async with self._children.one() as child:
            if entry.url is not None:
                await _by_apprise(child, self._file.filled(entry.url), letters)
            elif entry.webhook is not None:
                url = self._file.filled(entry.webhook)
                secret = None if entry.secret is None else self._file.filled(entry.secret)
                for letter in letters:
                    await _by_web_hook(child, url, secret, letter)

    def _openable(self, letter: Letter) -> Letter:
        # A report stands on this machine, or in a bucket; people read elsewhere, and open it at the gateway.
        links = tuple(opened_at(self._gateway, one) or one for one in letter.alert.links)
        return replace(letter, alert=letter.alert.model_copy(update={"links": links}))

    async def _read(self) -> Read:
        return await asyncio.to_thread(self._file.read)


async def _by_web_hook(child: Sidecar, url: str, secret: str | None, letter: Letter) -> None:
    await child.call(
        "by_web_hook",
        _TIMEOUT,
        url=url,
        secret=secret,
        notice_id=letter.notice_id,
        body=body_of(letter),
    )


async def _by_apprise(child: Sidecar, url: str, letters: Sequence[Letter]) -> None:
    alone = len(letters) == 1
    await child.call(
        "by_apprise",
        _PARTS_TIMEOUT,
        url=url,
        title=title_of(letters[0]) if alone else title_of_all(letters),
        body=text_of(letters[0]) if alone else text_of_all(letters),
        brief=brief_text_of(letters[0]).split("\n") if alone else lines_of(letters),
        tone=_tone(letters),
    )


def title_of(letter: Letter) -> str:
    """Return the alert in one line."""
    alert = letter.alert
    return (
        f"[{alert.severity.value}] {alert.project}: {_BEGINNINGS.get(letter.why, '')}{alert.title}"
    )


def title_of_all(letters: Sequence[Letter]) -> str:
    """Return what came together in one line."""
    projects = sorted({letter.alert.project for letter in letters})
    over = sum(letter.why == "resolved" for letter in letters)
    count = f"{len(letters)} alerts" + (f", {over} of them over" if over else "")
    return f"[{_tone(letters)}] {count}: {', '.join(projects[:5])}"


def text_of_all(letters: Sequence[Letter]) -> str:
    """Return what a person reads of alerts that came together, the worst first."""
    ranked = _worst_first(letters)
    return "\n\n".join(f"{title_of(letter)}\n{brief_text_of(letter)}" for letter in ranked)


def lines_of(letters: Sequence[Letter]) -> list[str]:
    """Return alerts that came together in a line each, for servers that take short texts only."""
    return [title_of(letter)[:_LONGEST_LINE] for letter in _worst_first(letters)]


def _worst_first(letters: Sequence[Letter]) -> list[Letter]:
    return sorted(letters, key=lambda one: _TONES.index(_tone([one])))


def brief_text_of(letter: Letter) -> str:
    """Return what a person reads below the title where there is little room."""
    alert = letter.alert
    if letter.why == "resolved":
        return alert.reason[:_LONGEST_ADVICE]
    advice = alert.suggestion[:_LONGEST_ADVICE]
    lines = [advice, *alert.links, f"Seen it: mlops alerts ack {alert.alert_id}"]
    return "\n".join(line for line in lines if line)


def _tone(letters: Sequence[Letter]) -> str:
    tones = {
        "resolved" if letter.why == "resolved" else letter.alert.severity.value
        for letter in letters
    }
    return next((tone for tone in _TONES if tone in tones), "info")


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
