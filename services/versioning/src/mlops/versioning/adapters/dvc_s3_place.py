# SPDX-License-Identifier: Apache-2.0
"""place_of: where DVC's client sends its requests, and how it signs them: seen on one that it makes.

Nothing of it is worked out here. The client knows Amazon's endpoints, the ways to name a bucket, certificates, and it
asks again in the region that a server names for a bucket.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Any

from botocore.credentials import Credentials
from botocore.exceptions import ClientError, NoCredentialsError

_SENT = "before-send.s3.HeadObject"
_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=\S+/\d{8}/([^/\s]+)/s3/aws4_request")


@dataclass(frozen=True)
class S3Place:
    """A folder of a bucket: its address, the region that signs, which certificates are trusted and which one is shown."""

    bucket: str
    key: str
    url: str
    region: str
    verify: bool | str
    client_cert: tuple[str, str | None] | None


async def place_of(client: Any, bucket: str, key: str) -> S3Place | None:
    """Let DVC's client (an s3fs one) ask for the folder; None where its requests are not signed as ours would be.

    It is asked as an object, so there is none; what counts is where the question went in the end.
    """
    await client.set_session()
    amazon = await client.get_s3(bucket)
    sent: list[tuple[str, str]] = []

    def note(request: Any, **_: Any) -> None:
        signed = request.headers.get("Authorization", b"")
        sent.append((request.url, signed.decode() if isinstance(signed, bytes) else signed))

    amazon.meta.events.register(_SENT, note)
    try:
        # Also one that may not look is told the region; our own requests say what is wrong, with a body.
        with contextlib.suppress(ClientError):
            await amazon.head_object(Bucket=bucket, Key=key)
    finally:
        amazon.meta.events.unregister(_SENT, note)
    url, signed = sent[-1]
    found = _SIGNED.match(signed)
    if found is None:
        return None
    # Private, like much of what s3fs itself uses; nothing else tells what environment and files have come to.
    wire = amazon._endpoint.http_session  # noqa: SLF001
    shown = (wire._cert_file, wire._key_file) if wire._cert_file else None  # noqa: SLF001
    return S3Place(bucket, key, url.partition("?")[0], found[1], wire._verify, shown)  # noqa: SLF001


async def credentials_of(client: Any) -> Credentials:
    """Return what DVC's client signs with now."""
    if client.key:
        return Credentials(client.key, client.secret, client.token)
    found = await client.session.get_credentials()
    if found is None:
        raise NoCredentialsError
    frozen = await found.get_frozen_credentials()
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token)
