# SPDX-License-Identifier: Apache-2.0
"""S3Objects: the objects of a remote on S3, sent and fetched by one signed HTTP request each.

The client that DVC uses builds and reads each request anew, for several times the CPU (benchmarks/versioning.py); here
all requests are alike but for the address. Endpoint, region and credentials are still those that DVC's client has
found. An object's address is its MD5, so the server itself refuses what arrives damaged.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import (
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.httpsession import URLLib3Session
from botocore.parsers import create_parser
from botocore.response import StreamingBody
from botocore.utils import get_environ_proxies
from fsspec.asyn import sync

from mlops.versioning.adapters.dvc_pace import Pace, Part

WORKERS = 8
# Up to here one request carries a file: its MD5 is known, and there is nothing to put together.
PART_FROM_BYTES = 256 << 20
PART_BYTES = 64 << 20
_MOST_PARTS = 10_000
_PART_WORKERS = 4
_PIECE_BYTES = 1 << 16
_WAITS_S = (0.1, 0.4, 1.6)
_CREDENTIALS_S = 60.0
# A server may have to write hundreds of megabytes before it answers.
_ANSWER_S = 60.0
_TROUBLE = (429, 500, 502, 503, 504)
_ABSENT, _REFUSED = ("NoSuchKey", "404"), "refused"
_BROKEN = (HTTPClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_UNSIGNED = Config(s3={"payload_signing_enabled": False})


def s3_objects(odb: Any, pace: Pace | None = None) -> S3Objects | None:
    """Return the objects of a remote on S3; None for another one, or one whose requests need more than an address.

    Encryption by given keys, access lists and anonymous buckets stay with DVC's client.
    """
    if odb.fs.protocol != "s3":
        return None
    client = odb.fs.fs
    if client.s3_additional_kwargs or client.req_kw or client.anon:
        return None
    bucket, key, _ = client.split_path(odb.path)
    return S3Objects(client, bucket, key, pace)


class S3Objects:
    """Objects by address; any number of threads may use it at once."""

    def __init__(self, client: Any, bucket: str, key: str, pace: Pace | None) -> None:
        self._client, self._bucket, self._key = client, bucket, key
        self._pace = pace
        self._lock = threading.Lock()
        self._until = 0.0
        self._credentials: Credentials | None = None
        self._url, self._region = sync(client.loop, _address, client, bucket, key)
        self._session = URLLib3Session(
            verify=client.client_kwargs.get("verify", True),
            proxies=get_environ_proxies(self._url),
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

    def get(self, oid: str, file: IO[bytes]) -> str | None:
        """Write what lies at an object's place into *file* and return its MD5; None where there is nothing.

        A connection that breaks off is taken up again where it was.
        """
        found, size, waits = hashlib.md5(usedforsecurity=False), 0, list(_WAITS_S)
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
                if not waits or _said(error) == _REFUSED:
                    raise
            else:
                return found.hexdigest()
            time.sleep(waits.pop(0))

    def _pieces(self, oid: str, begin: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={begin}-"} if begin else {}
        answer = self._once("GET", self._place(oid), None, headers, stream=True)
        self._refuse("GetObject", answer)
        body = StreamingBody(answer.raw, answer.headers.get("Content-Length"))
        with contextlib.closing(body):
            while piece := body.read(self._pace.piece_bytes if self._pace else _PIECE_BYTES):
                if self._pace:
                    self._pace.pass_on(len(piece))
                yield piece

    def _put_parts(self, oid: str, file: str, size: int) -> None:
        where = {"Bucket": self._bucket, "Key": f"{self._key}/{oid[:2]}/{oid[2:]}"}
        begun = self._client.call_s3("create_multipart_upload", **where)
        upload = {**where, "UploadId": begun["UploadId"]}
        length = max(PART_BYTES, -(-size // _MOST_PARTS))

        def sent(number: int) -> dict[str, Any]:
            begin = (number - 1) * length
            part = Part(file, begin, min(length, size - begin))
            place = f"{self._place(oid)}?partNumber={number}&uploadId={quote(begun['UploadId'], safe='')}"
            answer = self._send("UploadPart", place, part, part.digest())
            return {"PartNumber": number, "ETag": answer.headers["ETag"]}

        try:
            parts = _all(sent, range(1, -(-size // length) + 1))
            self._client.call_s3(
                "complete_multipart_upload", **upload, MultipartUpload={"Parts": parts}
            )
        except BaseException:
            # What was sent of it costs its owner money until it is given up.
            with contextlib.suppress(Exception):
                self._client.call_s3("abort_multipart_upload", **upload)
            raise

    def _place(self, oid: str) -> str:
        return f"{self._url}/{oid[:2]}/{oid[2:]}"

    def _send(self, operation: str, url: str, part: Part, digest: bytes) -> Any:
        """Send a part of a file, again when the server has trouble; return the answer."""
        headers = {
            "Content-MD5": base64.b64encode(digest).decode(),
            "Content-Length": str(part.size),
        }
        waits: list[float | None] = [*_WAITS_S, None]
        while True:
            wait_s = waits.pop(0)
            try:
                with part.opened(self._pace) as body:
                    answer = self._once("PUT", url, body, headers)
                if wait_s is None or answer.status_code not in _TROUBLE:
                    self._refuse(operation, answer)
                    return answer
            except HTTPClientError:
                if wait_s is None:
                    raise
            time.sleep(wait_s)

    def _once(
        self, method: str, url: str, body: Any, headers: dict[str, str], *, stream: bool = False
    ) -> Any:
        request = AWSRequest(method, url, headers=headers, data=body, stream_output=stream)
        request.context["client_config"] = _UNSIGNED
        S3SigV4Auth(self._signer(), "s3", self._region).add_auth(request)
        return self._session.send(request.prepare())

    def _signer(self) -> Credentials:
        with self._lock:
            if self._credentials is None or time.monotonic() > self._until:
                # Lent ones end after a while; DVC's client knows where new ones come from.
                self._credentials = sync(self._client.loop, _credentials, self._client)
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
    if code in _ABSENT:
        return code
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return "" if status in _TROUBLE else _REFUSED


async def _address(client: Any, bucket: str, key: str) -> tuple[str, str]:
    """Return where the objects' folder is, as DVC's client would address it, and the region that signs."""
    await client.set_session()
    amazon = await client.get_s3(bucket)
    place = {"Bucket": bucket, "Key": key}
    url = await amazon.generate_presigned_url("get_object", Params=place, ExpiresIn=60)
    region = amazon.meta.region_name
    return str(url).partition("?")[0], "us-east-1" if region in (None, "aws-global") else region


async def _credentials(client: Any) -> Credentials:
    if client.key:
        return Credentials(client.key, client.secret, client.token)
    found = await client.session.get_credentials()
    if found is None:
        raise NoCredentialsError
    frozen = await found.get_frozen_credentials()
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token)
