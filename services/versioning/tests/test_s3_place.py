# SPDX-License-Identifier: Apache-2.0
"""Requests of our own go where those of DVC's client go, are signed for the same region and trust the same servers."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import re
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from dvc_s3 import S3FileSystem
from fsspec.asyn import sync

from mlops.versioning.adapters.dvc_s3 import S3Objects, s3_objects
from mlops.versioning.adapters.dvc_s3_place import place_of

HELD = "eu-central-1"
KEY = "rain + snow/100%/ä/files/md5"
CONTENT = b"wet"
BUNDLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
OID = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class Answers(BaseHTTPRequestHandler):
    """As Amazon answers for a bucket in `eu-central-1`, whichever of its servers is asked."""

    protocol_version = "HTTP/1.1"
    server: Amazon

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(404)

    def do_GET(self) -> None:
        self._answer(404)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200)

    def _answer(self, status: int) -> None:
        # Through a proxy the whole address is asked for.
        host = urlsplit(self.path).hostname or ""
        self.server.asked.append((self.command, self.path))
        region = re.findall(r"/([^/]+)/s3/aws4_request", self.headers["Authorization"])[0]
        is_right = region == HELD and f".{HELD}." in host
        self.send_response(status if is_right or not self.server.redirects else 301)
        self.send_header("x-amz-bucket-region", HELD)
        self.send_header("Content-Length", "0")
        self.end_headers()


class Amazon(ThreadingHTTPServer):
    """Counts what it is asked."""

    daemon_threads = True
    redirects = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[tuple[str, str]] = []


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Amazon]:
    """A proxy that is Amazon itself: nothing leaves this machine, and names need not be found."""
    server = Amazon()
    listening = threading.Thread(target=server.serve_forever, args=(0.01,))
    listening.start()
    for name in ("NO_PROXY", "no_proxy", "AWS_REGION", "AWS_ENDPOINT_URL_S3", *BUNDLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    yield server
    server.shutdown()
    listening.join()
    server.server_close()


def dvc_client(**options: Any) -> Any:
    return S3FileSystem(skip_instance_cache=True, **options).fs


def ours(client: Any) -> S3Objects:
    remote = SimpleNamespace(fs=SimpleNamespace(protocol="s3", fs=client), path=f"days/{KEY}")
    found = s3_objects(remote)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("bucket", "region", "begin"),
    [
        ("days", "us-east-1", "http://days.s3.amazonaws.com/rain"),
        ("days", "me-south-1", "http://days.s3.me-south-1.amazonaws.com/rain"),
        ("with.dots", "cn-north-1", "http://s3.cn-north-1.amazonaws.com.cn/with.dots/rain"),
    ],
)
def test_what_we_ask_for_lies_where_dvcs_client_asks(
    amazon: Amazon, bucket: str, region: str, begin: str
) -> None:
    client = dvc_client(region=region, use_ssl=False)

    found = sync(client.loop, place_of, client, bucket, KEY)
    amazon.asked.clear()
    assert not client.exists(f"{bucket}/{KEY}/ab")

    assert found is not None
    assert found.region == region
    assert f"{found.url}/ab" in [address for _, address in amazon.asked]
    assert found.url.startswith(begin)


def test_a_bucket_of_another_region_than_the_configured_one_is_met_where_it_is(
    amazon: Amazon, tmp_path: Path
) -> None:
    amazon.redirects = True
    (tmp_path / "days.bin").write_bytes(CONTENT)
    objects = ours(dvc_client(region="us-east-1", use_ssl=False))

    objects.put(OID, str(tmp_path / "days.bin"))
    objects.close()

    sent = [address for method, address in amazon.asked if method == "PUT"]
    assert len(sent) == 1
    assert sent[0].startswith(f"http://days.s3.{HELD}.amazonaws.com/rain%20%2B%20snow/100%25/")


@pytest.mark.parametrize("named", BUNDLES)
def test_a_server_whose_authority_is_named_is_trusted(
    amazon: Amazon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    certificate = write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    amazon.socket = context.wrap_socket(amazon.socket, server_side=True)
    (tmp_path / "days.bin").write_bytes(CONTENT)
    monkeypatch.setenv(named, str(certificate))
    url = f"https://127.0.0.1:{amazon.server_port}"

    objects = ours(dvc_client(region="us-east-1", endpointurl=url))
    objects.put(OID, str(tmp_path / "days.bin"))
    objects.close()

    assert [method for method, _ in amazon.asked] == ["HEAD", "PUT"]


def write_certificate(folder: Path) -> Path:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = dt.datetime.now(dt.UTC)
    home = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([home]), critical=True)
        .sign(key, hashes.SHA256())
    )
    kind = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "server.pem"
    file.write_bytes(made.public_bytes(kind) + key.private_bytes(kind, *plain))
    return file
