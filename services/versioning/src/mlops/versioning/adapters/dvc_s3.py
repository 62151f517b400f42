# SPDX-License-Identifier: Apache-2.0
"""S3Objects: the objects of a remote on S3, sent and fetched by one signed HTTP request each.

The client that DVC uses builds and reads each request anew, for several times the CPU (benchmarks/versioning.py); here
all requests are alike but for the address. Where they go, the region that signs them, the certificates that are
trusted and the credentials are those of DVC's client (`dvc_s3_place.py`). An object's address is its MD5, so the server
itself refuses what arrives damaged.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import (
    ClientError,
    ConnectionError,  # noqa: A004 - not Python's: no server there, or not in time, or not the right one
    HTTPClientError,
    IncompleteReadError,
)
from botocore.httpsession import URLLib3Session
from botocore.parsers import create_parser
from botocore.response import StreamingBody
from botocore.utils import get_environ_proxies
from fsspec.asyn import sync

from mlops.versioning.adapters.dvc_pace import Moved, Pace, Part
from mlops.versioning.adapters.dvc_s3_place import S3Place, credentials_of, place_of

WORKERS = 8
# Up to here one request carries a file: its MD5 is known, and there is nothing to put together.
PART_FROM_BYTES = 256 << 20
PART_BYTES = 64 << 20
_MOST_PARTS = 10_000
_PART_WORKERS = 4
_PIECE_BYTES = 1 << 16
# A server that is started again is away for some seconds.
_WAITS_S = (0.1, 0.4, 1.6, 4.0)
_CREDENTIALS_S = 60.0
# A server may have to write hundreds of megabytes before it answers.
_ANSWER_S = 60.0
_TROUBLE = (429, 500, 502, 503, 504)
# Refused, but only for how it came: too slowly, or damaged on the way.
_AGAIN = ("RequestTimeout", "BadDigest")
_AT_END = ("InvalidRange", "416")
_ABSENT, _REFUSED = ("NoSuchKey", "404"), "refused"
_BROKEN = (HTTPClientError, ConnectionError, IncompleteReadError)
_DIGEST = re.compile(r"[0-9a-f]{32}")
_UNSIGNED = Config(s3={"payload_signing_enabled": False})


def s3_objects(
    odb: Any, pace: Pace | None = None, rest: Callable[[float], None] = time.sleep
) -> S3Objects | None:
    """Return the objects of a remote on S3; None for another one, or one whose requests need more than an address.

    Encryption by given keys, access lists, anonymous buckets and other ways of signing stay with DVC's client.
    """
    if odb.fs.protocol != "s3":
        return None
    client = odb.fs.fs
    if client.s3_additional_kwargs or client.req_kw or client.anon:
        return None
    bucket, key, _ = client.split_path(odb.path)
    place = sync(client.loop, place_of, client, bucket, key)
    return S3Objects(client, place, pace, rest) if place else None


def part_bytes(size: int) -> int:
    """Return how long the parts are in which a file of this size goes."""
    return max(PART_BYTES, -(-size // _MOST_PARTS))


class Writes(Protocol):
    """What fetched bytes are written to."""

    def write(self, piece: bytes, /) -> object:
        """Take the next bytes."""


class Nowhere:
    """Takes bytes that are only counted or hashed."""

    def write(self, piece: bytes) -> None:
        """Forget them."""


@dataclass(frozen=True)
class Held:
    """What a server says of an object: its size and its tag, which has the number of parts behind a dash.

    `is_digest` is False where the tag is not meant to be the content's MD5: encryption by the owner's keys, parts.
    """

    size: int
    tag: str
    is_digest: bool

    @property
    def parts(self) -> int:
        """Return in how many parts it came, 0 for one that came in one piece."""
        number = self.tag.partition("-")[2]
        return int(number) if number.isdecimal() else 0


class S3Objects:
    """Objects by address; any number of threads may use it at once."""

    def __init__(
        self, client: Any, place: S3Place, pace: Pace | None, rest: Callable[[float], None]
    ) -> None:
        self._client, self._at, self._pace, self._rest = client, place, pace, rest
        self.moved = Moved()
        self._lock = threading.Lock()
        self._until = 0.0
        self._credentials: Credentials | None = None
        self._session = URLLib3Session(
            verify=place.verify,
            client_cert=place.client_cert,
            proxies=get_environ_proxies(place.url),
            timeout=(client.connect_timeout, max(client.read_timeout, _ANSWER_S)),
            max_pool_connections=WORKERS + _PART_WORKERS,
            # Head and body are two writes: the second would wait for what the first is answered with, 40 ms each time.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        self._parser = create_parser("rest-xml")

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def put(self, oid: str, file: str) -> None:
        """Send a file, whole or not at all."""
        size = os.stat(file).st_size
        if size > PART_FROM_BYTES:
            self._put_parts(oid, file, size)
        else:
            digest = bytes.fromhex(oid.partition(".")[0])
            self._send("PutObject", self._place(oid), Part(file, 0, size), digest)

    def held(self, oid: str) -> Held | None:
        """Return what the server says of an object, None where there is none."""
        try:
            answer = self._tried(
                "HeadObject", lambda: self._once("HEAD", self._place(oid), None, {})
            )
        except ClientError as error:
            if _said(error) in _ABSENT:
                return None
            raise
        tag = str(answer.headers.get("ETag") or "").strip('"')
        own_keys = "kms" in str(answer.headers.get("x-amz-server-side-encryption"))
        is_digest = bool(_DIGEST.fullmatch(tag)) and not own_keys
        return Held(int(answer.headers.get("Content-Length") or 0), tag, is_digest)

    def get(
        self, oid: str, file: Writes, begun: hashlib._Hash | None = None, size: int = 0
    ) -> str | None:
        """Write what lies at an object's place into *file* and return its MD5; None where there is nothing.

        A connection that breaks off is taken up again where it was. *size* bytes, of which *begun* is the MD5 so far,
        are in the file already.
        """
        found, waits = begun or hashlib.md5(usedforsecurity=False), list(_WAITS_S)
        while True:
            try:
                for piece in self._pieces(oid, size):
                    found.update(piece)
                    file.write(piece)
                    size += len(piece)
                    waits = list(_WAITS_S)
            except (ClientError, *_BROKEN) as error:
                if _said(error) in _ABSENT:
                    return None
                if _said(error) in _AT_END:
                    return found.hexdigest()
                if not waits or _said(error) == _REFUSED:
                    raise
            else:
                return found.hexdigest()
            self._rest(waits.pop(0))

    def _pieces(self, oid: str, begin: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={begin}-"} if begin else {}
        answer = self._once("GET", self._place(oid), None, headers, stream=True)
        self._refuse("GetObject", answer)
        body = StreamingBody(answer.raw, answer.headers.get("Content-Length"))
        with contextlib.closing(body):
            while piece := body.read(self._pace.piece_bytes if self._pace else _PIECE_BYTES):
                if self._pace:
                    self._pace.pass_on(len(piece))
                self.moved.add(len(piece))
                yield piece

    def _put_parts(self, oid: str, file: str, size: int) -> None:
        where = {"Bucket": self._at.bucket, "Key": f"{self._at.key}/{oid[:2]}/{oid[2:]}"}
        upload, there = self._begun(where)
        length = part_bytes(size)

        def sent(number: int) -> dict[str, Any]:
            begin = (number - 1) * length
            part = Part(file, begin, min(length, size - begin))
            digest = part.digest()
            tag = f'"{digest.hex()}"'
            if there.get(number) != tag:
                place = f"{self._place(oid)}?partNumber={number}&uploadId={quote(upload['UploadId'], safe='')}"
                tag = self._send("UploadPart", place, part, digest).headers["ETag"]
            return {"PartNumber": number, "ETag": tag}

        try:
            parts = _all(sent, range(1, -(-size // length) + 1))
            self._client.call_s3(
                "complete_multipart_upload", **upload, MultipartUpload={"Parts": parts}
            )
        except Exception as error:
            if not isinstance(error, (ClientError, *_BROKEN)) or _said(error):
                # It would be refused again. What was sent of it costs its owner money until it is given up.
                with contextlib.suppress(Exception):
                    self._client.call_s3("abort_multipart_upload", **upload)
            raise

    def _begun(self, where: dict[str, str]) -> tuple[dict[str, str], dict[int, str]]:
        """Return the upload of an object and the tags of the parts that an earlier try has brought; else a new one."""
        prefix = {"Bucket": where["Bucket"], "Prefix": where["Key"]}
        # Whoever may not look, or a server that cannot, begins anew.
        with contextlib.suppress(ClientError, OSError, NotImplementedError):
            held = self._client.call_s3("list_multipart_uploads", **prefix).get("Uploads") or []
            for one in held:
                if one["Key"] == where["Key"]:
                    upload = {**where, "UploadId": one["UploadId"]}
                    return upload, self._parts(upload)
        begun = self._client.call_s3("create_multipart_upload", **where)
        return {**where, "UploadId": begun["UploadId"]}, {}

    def _parts(self, upload: dict[str, str]) -> dict[int, str]:
        found: dict[int, str] = {}
        while True:
            last = max(found, default=0)
            page = self._client.call_s3("list_parts", **upload, PartNumberMarker=last)
            found |= {one["PartNumber"]: one["ETag"] for one in page.get("Parts") or []}
            # Also where a server says each time that there is more, and brings the same.
            if not page.get("IsTruncated") or max(found, default=0) == last:
                return found

    def _place(self, oid: str) -> str:
        return f"{self._at.url}/{oid[:2]}/{oid[2:]}"

    def _send(self, operation: str, url: str, part: Part, digest: bytes) -> Any:
        """Send a part of a file, again when the server has trouble; return the answer."""
        headers = {
            "Content-MD5": base64.b64encode(digest).decode(),
            "Content-Length": str(part.size),
        }

        def ask() -> Any:
            with part.opened(self._pace, self.moved) as body:
                return self._once("PUT", url, body, headers)

        return self._tried(operation, ask)

    def _tried(self, operation: str, ask: Callable[[], Any]) -> Any:
        """Return what is answered, asking again while the server has trouble or is away."""
        waits: list[float | None] = [*_WAITS_S, None]
        while True:
            wait_s = waits.pop(0)
            try:
                answer = ask()
                self._refuse(operation, answer)
            except (ClientError, *_BROKEN) as error:
                if wait_s is None or _said(error):
                    raise
            else:
                return answer
            self._rest(wait_s)

    def _once(
        self, method: str, url: str, body: Any, headers: dict[str, str], *, stream: bool = False
    ) -> Any:
        request = AWSRequest(method, url, headers=headers, data=body, stream_output=stream)
        request.context["client_config"] = _UNSIGNED
        S3SigV4Auth(self._signer(), "s3", self._at.region).add_auth(request)
        return self._session.send(request.prepare())

    def _signer(self) -> Credentials:
        with self._lock:
            if self._credentials is None or time.monotonic() > self._until:
                # Lent ones end after a while; DVC's client knows where new ones come from.
                self._credentials = sync(self._client.loop, credentials_of, self._client)
                self._until = time.monotonic() + _CREDENTIALS_S
            return self._credentials

    def _refuse(self, operation: str, answer: Any) -> None:
        """Raise ClientError, as Amazon's own client does, for an answer that is none."""
        if answer.status_code < 300:  # noqa: PLR2004 - HTTP
            return
        said = {
            "headers": answer.headers,
            "status_code": answer.status_code,
            "body": answer.content,
        }
        raise ClientError(self._parser.parse(said, None), operation)


def _all(send: Callable[[int], dict[str, Any]], numbers: range) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(_PART_WORKERS) as threads:
        try:
            return list(threads.map(send, numbers))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _said(error: Exception) -> str:
    """Return what a server says is wrong, `refused` for what will be so again; nothing when it is in trouble or away."""
    if not isinstance(error, ClientError):
        return ""
    code = str(error.response["Error"].get("Code"))
    if code in (*_ABSENT, *_AT_END):
        return code
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return "" if status in _TROUBLE or code in _AGAIN else _REFUSED
