# SPDX-License-Identifier: Apache-2.0
"""An S3 server for tests (`rclone serve s3`): it checks signatures, on loopback only."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import botocore.session

from servers import choice
from servers.programs import end, free_port, greets, need, until


@dataclass(frozen=True)
class S3Server:
    """A running server, without any bucket."""

    port: int
    key: str
    secret: str
    close: Callable[[], None]

    @property
    def environment(self) -> dict[str, str]:
        """Return how Amazon's clients, and everything built on them, are told of it."""
        return {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def bucket(self, name: str) -> str:
        """Make a bucket and return its URL."""
        amazon = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL_S3"],
            region_name=self.environment["AWS_DEFAULT_REGION"],
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
        )
        amazon.create_bucket(Bucket=name)
        amazon.close()
        return f"s3://{name}"


def start_s3(folder: Path) -> S3Server:
    """Return a running server; a packaged one keeps its buckets in *folder*."""
    key, secret = secrets.token_hex(10).upper(), secrets.token_hex(20)
    return choice.start(
        choice.S3, lambda: _contained(key, secret), lambda: _packaged(folder, key, secret)
    )


def _contained(key: str, secret: str) -> S3Server:
    from servers.containers import Contained  # noqa: PLC0415 - see servers/nats.py

    serve = ["serve", "s3", "--addr", ":8080", "--auth-key", f"{key},{secret}", "/tmp"]  # noqa: S108 - in the container
    container = Contained(choice.S3, serve, 8080, {"RCLONE_CONFIG": ""})
    container.start(_answers)
    return S3Server(container.port, key, secret, container.remove)


def _packaged(folder: Path, key: str, secret: str) -> S3Server:
    port = free_port()
    (folder / "buckets").mkdir()
    serve = ["serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{key},{secret}"]
    with (folder / "s3.log").open("ab") as log:
        process = subprocess.Popen(
            [need("rclone"), *serve, "--config", "", str(folder / "buckets")],
            stdout=log,
            stderr=log,
        )
    until(lambda: _answers(port), 15, (folder / "s3.log").read_text)
    return S3Server(port, key, secret, lambda: end(process))


def _answers(port: int) -> bool:
    return greets(port, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.")
