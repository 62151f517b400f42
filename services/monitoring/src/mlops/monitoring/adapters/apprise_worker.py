# SPDX-License-Identifier: Apache-2.0
"""Worker of AppriseChannels: sends one notice by apprise, or as JSON to a web hook; runs as a child process."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import apprise
import requests

from mlops.chassis.errors import UnavailableError
from mlops.chassis.sidecar import serve

_TIMEOUT_S = 10
_LONGEST = 300
_SHORTEST_SECRET = 6
_KINDS = {
    "critical": apprise.NotifyType.FAILURE,
    "warning": apprise.NotifyType.WARNING,
    "resolved": apprise.NotifyType.SUCCESS,
}


def by_apprise(url: str, title: str, body: str, tone: str) -> bool:
    """Send a text to an address of apprise."""
    # No logo: its address would be that of apprise's own pages.
    asset = apprise.AppriseAsset(
        app_id="mlops", app_desc="MLOps platform", image_url_mask=None, image_url_logo=None
    )
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:
        plugin = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
        taken = plugin is not None and plugin.notify(
            title=title,
            body=body,
            notify_type=_KINDS.get(tone, apprise.NotifyType.INFO),
            body_format=apprise.NotifyFormat.TEXT,
        )
        reason = said.getvalue()
    if plugin is None:
        raise UnavailableError(
            f"{urlsplit(url).scheme}:// is no address that works on this machine: "
            f"{_harmless(reason, url)}"
        )
    if not taken:
        raise UnavailableError(f"it was not taken: {_harmless(reason, url)}")
    return True


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
        raise UnavailableError(_harmless(str(error), url)) from error
    if not answer.ok or answer.is_redirect:
        raise UnavailableError(f"the web hook answers {answer.status_code} {answer.reason}")
    return True


def _harmless(reason: str, url: str) -> str:
    """Return the last line of a reason without the secrets that stand in the address."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    text = lines[-1] if lines else "no reason given"
    parts = urlsplit(url)
    words = re.split(r"[/?&=:@,;]+", url.removeprefix(f"{parts.scheme}://"))
    for word in {*words, *map(unquote, words)} - {parts.hostname or ""}:
        if len(word) >= _SHORTEST_SECRET:
            text = text.replace(word, "…")
    return text[:_LONGEST]


if __name__ == "__main__":
    serve({"by_apprise": by_apprise, "by_web_hook": by_web_hook})
