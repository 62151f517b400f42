# SPDX-License-Identifier: Apache-2.0
"""Connection: HTTP to one MLflow; its answers are JSON, everything else is one of two kinds of trouble.

It stands on the standard library: a call takes a quarter of the processor time that it takes with httpx, and while the
sender works the training loop waits for the interpreter.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import SplitResult, urlencode, urlsplit

from mlops.client.mlflow_rest.trouble import (
    AwayError,
    FaultError,
    LostAnswerError,
    NotLetInError,
    PlaceMissingError,
    RefusedByServerError,
    RunGoneError,
)

CONNECT_S = 2.0
READ_S = 30.0
_UPLOAD_S = 120.0
_BLOCK = 1 << 18
_LOCAL = ("127.0.0.1", "localhost", "::1")
_PASSING = (408, 409, 425, 429, 503)
# A proxy heard nothing of the server, which may do it all the same.
_LOST = (502, 504)
_TOO_LARGE = 413
# MLflow says these with a status of its own failures.
_NEVER = ("FEATURE_DISABLED", "NOT_IMPLEMENTED", "ENDPOINT_NOT_FOUND")
_SERVER = 500
_SUCCESS = range(200, 300)
_CLIENT = range(400, 500)


@dataclass(frozen=True)
class Answer:
    """What a server said to a request."""

    url: str
    status: int
    body: bytes


class Connection:
    """One connection to one address, kept open between calls; not safe to share between threads."""

    def __init__(self, uri: str, headers: Mapping[str, str], *, verify: bool | str = True) -> None:
        self.uri = uri.rstrip("/")
        self._headers = {"Accept": "application/json", "User-Agent": "mlops-client", **headers}
        self._verify = verify
        self._open: http.client.HTTPConnection | None = None
        self._prefix = ""

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return the JSON answer; AwayError or RefusedByServerError otherwise."""
        content = json.dumps(body).encode() if isinstance(body, Mapping) else body
        told = {"Content-Type": "application/json"} if content is not None else {}
        asked = f"{path}?{urlencode(params)}" if params else path
        return _content(self._send(method, asked, content, {**told, **(headers or {})}, READ_S))

    def put_file(
        self, path: str, file: IO[bytes], size: int, headers: Mapping[str, str] | None = None
    ) -> None:
        """Stream a file of *size* bytes to *path*."""
        told = {"Content-Length": str(size), **(headers or {})}
        _content(self._send("PUT", path, file, told, _UPLOAD_S))

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _send(
        self,
        method: str,
        path: str,
        content: bytes | IO[bytes] | None,
        headers: Mapping[str, str],
        timeout_s: float,
    ) -> Answer:
        line = self._connected(timeout_s)
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # A server that will not take a large body says so, and hangs up while it is sent.
                line.request(method, self._prefix + path, content, {**self._headers, **headers})
            answer = line.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            told = str(error) or type(error).__name__
            raise LostAnswerError(f"{self.uri} did not answer: {told}") from error
        if answer.will_close:
            self.close()
        return Answer(self.uri + path.partition("?")[0], answer.status, body)

    def _connected(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._open is not None and _hung_up(self._open):
            self.close()
        if self._open is None:
            try:
                self._open = self._dialled()
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise AwayError(f"{self.uri} does not answer: {error}") from error
        self._open.sock.settimeout(timeout_s)
        return self._open

    def _dialled(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.uri)
        host = parts.hostname
        if parts.scheme not in ("http", "https") or not host:
            raise ValueError("not an http or https address")
        self._prefix = parts.path
        line = self._line(parts, host)
        line.connect()
        return line

    def _line(self, parts: SplitResult, host: str) -> http.client.HTTPConnection:
        proxy = _proxy(parts.scheme, host)
        if parts.scheme == "https":
            tls = self._tls()
            if proxy is None:
                return http.client.HTTPSConnection(
                    host, parts.port, timeout=CONNECT_S, context=tls, blocksize=_BLOCK
                )
            made = http.client.HTTPSConnection(
                proxy.hostname or "", proxy.port, timeout=CONNECT_S, context=tls, blocksize=_BLOCK
            )
            made.set_tunnel(host, parts.port)
            return made
        if proxy is None:
            return http.client.HTTPConnection(host, parts.port, timeout=CONNECT_S, blocksize=_BLOCK)
        self._prefix = self.uri  # a proxy wants the whole address
        return http.client.HTTPConnection(
            proxy.hostname or "", proxy.port, timeout=CONNECT_S, blocksize=_BLOCK
        )

    def _tls(self) -> ssl.SSLContext:
        if self._verify is False:
            made = ssl.create_default_context()
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
            return made
        return ssl.create_default_context(cafile=None if self._verify is True else self._verify)


def _hung_up(line: http.client.HTTPConnection) -> bool:
    """Say whether the server closed a connection that was idle: something to read before anything was asked."""
    if line.sock is None:
        return True
    ready = select.poll()  # select() fails where a process has more than a thousand files open
    ready.register(line.sock, select.POLLIN)
    return bool(ready.poll(0))


def _proxy(scheme: str, host: str) -> SplitResult | None:
    # Environment proxies are not for a server on this machine.
    if host in _LOCAL or urllib.request.proxy_bypass(host):
        return None
    found = urllib.request.getproxies().get(scheme)
    return urlsplit(found if "//" in found else f"//{found}") if found else None


def _content(answer: Answer) -> dict[str, Any]:
    found = _json(answer)
    if answer.status in _SUCCESS and found is not None:
        return found
    where = f"{answer.url} answered {answer.status}"
    if answer.status in (401, 403):
        raise NotLetInError(f"{where}: the token or password is not accepted")
    code = str((found or {}).get("error_code", ""))
    message = str((found or {}).get("message", answer.body.decode(errors="replace")))[:1000]
    if code in _NEVER:
        raise RefusedByServerError(code, message)
    if answer.status in _LOST:
        raise LostAnswerError(f"{where}: {message[:300]}")
    if answer.status in _PASSING or (found is None and answer.status != _TOO_LARGE):
        raise AwayError(f"{where}: {message[:300] or 'no answer of MLflow'}")
    if answer.status >= _SERVER:
        raise FaultError(f"{where}: {code}: {message[:300]}")
    raise _refusal(answer.status, code, message)


def _refusal(status: int, code: str, message: str) -> Exception:
    low = message.lower()
    if code == "RESOURCE_DOES_NOT_EXIST" and low.startswith("workspace"):
        return PlaceMissingError(message)
    if code == "RESOURCE_DOES_NOT_EXIST" and low.startswith("run "):
        return RunGoneError(code, message)
    if low.startswith("the run ") and "must be in the 'active' state" in low:
        return RunGoneError(code, message)
    if code == "" and status in _CLIENT and status != _TOO_LARGE:
        return AwayError(f"status {status}: {message[:300]}")  # not said by MLflow
    return RefusedByServerError(code or str(status), message)


def _json(answer: Answer) -> dict[str, Any] | None:
    try:
        found = json.loads(answer.body) if answer.body else {}
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
