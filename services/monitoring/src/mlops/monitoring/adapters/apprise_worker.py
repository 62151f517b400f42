# SPDX-License-Identifier: Apache-2.0
"""Worker of AppriseChannels: sends one notice by apprise, or as JSON to a web hook; runs as a child process."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit

import apprise
import requests

from mlops.chassis.errors import UnavailableError
from mlops.chassis.sidecar import serve

_TIMEOUT_S = 10
_LONGEST = 300
_SHORTEST_SECRET = 6
_MOST_PARTS = 2
_LINE_END = 2  # between a title and the text, where a server knows no titles
_SEPARATORS = re.compile(r"[/?&=:@,;#|\s]+")
_KINDS = {
    "critical": apprise.NotifyType.FAILURE,
    "warning": apprise.NotifyType.WARNING,
    "resolved": apprise.NotifyType.SUCCESS,
}


def by_apprise(url: str, title: str, body: str, brief: Sequence[str], tone: str) -> bool:
    """Send a text to an address of apprise; the lines of *brief* instead where the server takes no text that long."""
    # No logo: its address would be that of apprise's own pages.
    asset = apprise.AppriseAsset(
        app_id="mlops", app_desc="MLOps platform", image_url_mask=None, image_url_logo=None
    )
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:
        plugin = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
        taken = plugin is not None and _notify(plugin, title, body, brief, tone)
        reason = said.getvalue()
    if plugin is None:
        raise UnavailableError(
            f"{_scheme(url)}:// is no address that works on this machine: {_harmless(reason, url)}"
        )
    if not taken:
        raise UnavailableError(f"it was not taken: {_harmless(reason, url)}")
    return True


def _notify(
    plugin: apprise.NotifyBase, title: str, body: str, brief: Sequence[str], tone: str
) -> bool:
    # Most servers refuse what is longer than they take, and apprise sends it as it is unless `overflow=` asks otherwise.
    is_asked = "overflow_mode" in vars(plugin)
    room = plugin.body_maxlen - (0 if plugin.title_maxlen else len(title) + _LINE_END)
    taken: bool = plugin.notify(
        title=title,
        body=body if is_asked or len(body) <= room else _shortened(brief, plugin.body_maxlen),
        notify_type=_KINDS.get(tone, apprise.NotifyType.INFO),
        body_format=apprise.NotifyFormat.TEXT,
        overflow=plugin.overflow_mode if is_asked else apprise.OverflowMode.SPLIT,
    )
    return taken


def _shortened(lines: Sequence[str], longest: int) -> str:
    """Return as many lines as make two messages or three: apprise waits for seconds between them, for each receiver."""
    ends = list(accumulate(len(line) + 1 for line in lines))
    count = max(1, bisect_right(ends, _MOST_PARTS * longest))
    left_out = len(lines) - count
    more = [f"and {left_out} more: mlops alerts"] if left_out else []
    return "\n".join([*lines[:count], *more])


def by_web_hook(url: str, secret: str | None, notice_id: str, body: Mapping[str, Any]) -> bool:
    """Post JSON; with a secret, signed by HMAC-SHA256 over the body."""
    content = json.dumps(body, sort_keys=True, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": notice_id}
    if secret is not None:
        signature = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
        headers["X-MLOps-Signature"] = f"sha256={signature}"
    try:
        # A redirect would carry the notice to an address that nobody has named.
        answer = requests.post(
            url, data=content, headers=headers, timeout=_TIMEOUT_S, allow_redirects=False
        )
    except (requests.RequestException, ValueError) as error:
        raise UnavailableError(_harmless(_failure(error), url)) from error
    if not answer.ok or answer.is_redirect:
        said = _harmless(answer.reason or "", url)
        raise UnavailableError(f"the web hook answers {answer.status_code} {said}")
    return True


def _failure(error: BaseException) -> str:
    """Return what went wrong, without the text of the error: the address stands in it, written anew."""
    name = type(error).__name__
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TimeoutError | requests.Timeout):
            return f"{name}: no answer in time"
        if isinstance(cause, OSError) and cause.strerror:
            return f"{name}: {cause.strerror}"
        cause = cause.__cause__ or cause.__context__
    return name


def _harmless(reason: str, url: str) -> str:
    """Return the last line of a reason without the secrets that stand in the address."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    text = lines[-1] if lines else "no reason given"
    words = {spelled for word in _words(url) for spelled in _spellings(word)}
    # The longest first: what is left of a word that begins with another would still tell most of it.
    for word in sorted(words - {_host(url)}, key=lambda one: (-len(one), one)):
        if len(word) >= _SHORTEST_SECRET:
            text = re.sub(re.escape(word), "…", text, flags=re.IGNORECASE)
    return text[:_LONGEST]


def _words(url: str) -> Iterator[str]:
    """Yield the parts of an address, as they are written and as they are meant."""
    rest = url.partition("://")[2] or url
    for form in (rest, unquote(rest), unquote_plus(rest)):
        yield form.partition("/")[2]
        yield from _SEPARATORS.split(form)


def _spellings(word: str) -> Iterator[str]:
    """Yield the ways in which libraries write a part of an address."""
    meant = unquote(word)
    yield from (word, meant, quote(word), quote(meant), quote(meant, safe=""), quote_plus(meant))


def _scheme(url: str) -> str:
    name, found, _ = url.partition("://")
    return name if found else ""


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # it is no address at all
        return ""


if __name__ == "__main__":
    serve({"by_apprise": by_apprise, "by_web_hook": by_web_hook})
