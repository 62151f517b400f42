# SPDX-License-Identifier: Apache-2.0
"""A version that lies on another machine is brought once, checked, and gone on with after an interruption."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops.client import MLOpsClient
from mlops.client.datasets import fetching, opening, trimming
from mlops.client.datasets.dataset import Dataset
from mlops.client.datasets.fetching import own_cache
from mlops.client.endpoints import Endpoints
from mlops.client.errors import MLOpsClientError, NotRunningError, RefusedError

LONG = bytes(range(256)) * 4096


class Cut(httpx.SyncByteStream):
    """An answer that breaks off."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content
        raise httpx.ReadError("the connection is gone")


@dataclass
class Gateway:
    """A gateway whose cache is on no machine that a client sees; its answers may break off, or lie."""

    held: dict[str, bytes] = field(default_factory=dict)
    version: dict[str, Any] = field(default_factory=dict)
    cut_at: list[int] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def keep(self, content: bytes, ending: str = "") -> str:
        address = hashlib.md5(content, usedforsecurity=False).hexdigest() + ending
        self.held[address] = content
        return address

    def tell(self, address: str, path: str = "days.bin") -> None:
        self.version = {
            "ready": True,
            "project": "meadow",
            "name": "days",
            "version": 3,
            "hash": address,
            "size_bytes": 1,
            "path": path,
            "objects": "/on/another/machine",
        }

    def reply(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/open"):
            return httpx.Response(200, json=self.version)
        asked = dict(request.url.params)
        assert (asked["project"], asked["name"], asked["version"]) == ("meadow", "days", "3")
        begins = request.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-")
        self.asked.append((asked["hash"], begins))
        content = self.held[asked["hash"]]
        if int(begins) >= len(content) > 0:
            return httpx.Response(416)
        rest = content[int(begins) :]
        status = 206 if int(begins) else 200
        if self.cut_at:
            return httpx.Response(status, stream=Cut(rest[: self.cut_at.pop(0)]))
        return httpx.Response(status, content=rest)


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLOPS_DATA_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(fetching, "_PAUSE_S", 0.0)
    return tmp_path / "own" / "files" / "md5"


def client(gateway: Gateway) -> MLOpsClient:
    where = Endpoints("http://gateway", "secret")
    return MLOpsClient("meadow", where, transport=httpx.MockTransport(gateway.reply))


def test_a_file_is_brought_once_and_mapped_after_that(gateway: Gateway, cache: Path) -> None:
    gateway.tell(address := gateway.keep(LONG))

    first = client(gateway).open_dataset("days")
    again = client(gateway).open_dataset("days")

    assert first.bytes().tobytes() == again.bytes().tobytes() == LONG
    assert gateway.asked == [(address, "0")]
    place = first.path()
    assert (place, place.stat().st_mode & 0o777) == (cache / address[:2] / address[2:], 0o444)
    assert first.files == ("days.bin",)


def test_a_folder_comes_with_all_of_its_files(gateway: Gateway, cache: Path) -> None:
    files = {f"{number:04}/ä.bin": str(number % 50).encode() for number in range(300)}
    files["empty"] = b""
    lines = [{"md5": gateway.keep(held), "relpath": name} for name, held in files.items()]
    gateway.tell(gateway.keep(json.dumps(lines).encode(), ".dir"), "days")

    data = client(gateway).open_dataset("days")

    assert {name: data.bytes(name).tobytes() for name in data.files} == files
    # The listing, and each content once.
    assert len(gateway.asked) == 1 + 51
    assert not list(cache.rglob("*.part"))


def test_what_a_process_has_opened_outlasts_the_limit_and_goes_when_it_has_ended(
    gateway: Gateway, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_DATA_CACHE_GB", "0")

    def opened(content: bytes) -> Dataset:
        gc.collect()
        gateway.tell(gateway.keep(content))
        return client(gateway).open_dataset("days")

    # Only what a dataset has given out is kept, as of a loop over its files.
    paths = [opened(content).path() for content in (bytes(1000), b"second", bytes(1000))]
    content = opened(bytes(1000)).bytes()
    meanwhile = set(cache.glob("??/*"))
    descriptors = [opening._HELD.pop(key) for key in list(opening._HELD) if key[0] == cache]
    for held in descriptors:
        held.close()  # as when the process ends
    last = opened(b"last")

    assert meanwhile == set(paths)
    assert len(descriptors) == 2
    assert list(cache.glob("??/*")) == [last.path()]
    assert content.tobytes() == bytes(1000)


def test_what_no_note_can_be_kept_of_is_not_trimmed_as_soon_as_it_has_come(
    gateway: Gateway, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_DATA_CACHE_GB", "0")
    monkeypatch.setattr(trimming, "hold", lambda _address, _objects: None)
    gateway.tell(gateway.keep(LONG))

    assert client(gateway).open_dataset("days").bytes().tobytes() == LONG
    assert list(cache.glob("??/*"))


def test_a_folder_whose_listing_is_gone_again_is_not_opened_as_an_empty_one(
    gateway: Gateway, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [{"md5": gateway.keep(LONG), "relpath": "days.bin"}]
    gateway.tell(gateway.keep(json.dumps(lines).encode(), ".dir"), "days")

    def gone(objects: Path, _limit: int) -> None:
        for listing in objects.glob("??/*.dir"):
            listing.unlink()

    monkeypatch.setattr(trimming, "trim", gone)

    with pytest.raises(MLOpsClientError, match="is gone again"):
        client(gateway).open_dataset("days")
    assert not list(cache.glob("??/*.dir"))


@pytest.mark.parametrize("ending", ["", ".dir"])
def test_what_cannot_even_be_looked_at_is_brought(
    gateway: Gateway, cache: Path, ending: str
) -> None:
    lines = [{"md5": gateway.keep(LONG), "relpath": "days.bin"}]
    listing = gateway.keep(json.dumps(lines).encode(), ".dir")
    gateway.tell(listing if ending else gateway.keep(LONG), "days" if ending else "days.bin")
    # As the folder of another user: asking whether something is there raises.
    gateway.version["objects"] = "/" + "x" * 300

    data = client(gateway).open_dataset("days")

    assert data.bytes("days.bin").tobytes() == LONG
    assert data.path("days.bin").is_relative_to(cache)


@pytest.mark.usefixtures("cache")
def test_what_was_cut_off_goes_on_where_it_stopped(gateway: Gateway) -> None:
    gateway.tell(address := gateway.keep(LONG))
    gateway.cut_at = [100_000, 0, 50_000]

    assert client(gateway).open_dataset("days").bytes().tobytes() == LONG

    assert [begins for _, begins in gateway.asked] == ["0", "100000", "100000", "150000"]
    assert {one for one, _ in gateway.asked} == {address}


@pytest.mark.usefixtures("cache")
def test_another_process_goes_on_with_what_one_has_left(gateway: Gateway) -> None:
    gateway.tell(gateway.keep(LONG))
    gateway.cut_at = [200_000, *[0] * 20]
    with pytest.raises(NotRunningError, match="does not answer"):
        client(gateway).open_dataset("days")
    gateway.cut_at, gateway.asked = [], []

    assert client(gateway).open_dataset("days").bytes().tobytes() == LONG

    assert [begins for _, begins in gateway.asked] == ["200000"]


def test_a_draft_that_was_spoilt_is_begun_again(gateway: Gateway, cache: Path) -> None:
    gateway.tell(address := gateway.keep(LONG))
    draft = cache / address[:2] / f"{address[2:]}.part"
    draft.parent.mkdir(parents=True)
    draft.write_bytes(b"something else" * 1000)

    assert client(gateway).open_dataset("days").bytes().tobytes() == LONG


def test_a_draft_that_is_longer_than_the_content_is_begun_again(
    gateway: Gateway, cache: Path
) -> None:
    gateway.tell(address := gateway.keep(b"short"))
    draft = cache / address[:2] / f"{address[2:]}.part"
    draft.parent.mkdir(parents=True)
    draft.write_bytes(b"x" * 1000)

    assert client(gateway).open_dataset("days").bytes().tobytes() == b"short"


def test_bytes_that_are_not_those_of_the_version_are_refused(gateway: Gateway, cache: Path) -> None:
    gateway.tell(address := gateway.keep(LONG))
    gateway.held[address] = LONG[:-1] + b"?"

    with pytest.raises(MLOpsClientError, match="are not those of"):
        client(gateway).open_dataset("days")

    assert not (cache / address[:2] / address[2:]).exists()


@pytest.mark.parametrize("address", ["../../../../etc/passwd", "a" * 31, "/etc/passwd", "A" * 32])
@pytest.mark.usefixtures("cache")
def test_what_is_no_address_is_written_nowhere(gateway: Gateway, address: str) -> None:
    lines = [{"md5": address, "relpath": "a"}]
    gateway.tell(gateway.keep(json.dumps(lines).encode(), ".dir"), "days")

    with pytest.raises(MLOpsClientError, match="is no address"):
        client(gateway).open_dataset("days")

    assert len(gateway.asked) == 1


@pytest.mark.usefixtures("cache")
def test_what_the_gateway_refuses_is_not_tried_again(gateway: Gateway) -> None:
    gateway.tell(gateway.keep(LONG))
    asked = []

    def refuse(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/open"):
            return gateway.reply(request)
        asked.append(request)
        told = {"error": {"what": "the token does not open this project", "fix": "another token"}}
        return httpx.Response(403, json=told)

    where = Endpoints("http://gateway", "secret")
    refused = MLOpsClient("meadow", where, transport=httpx.MockTransport(refuse))
    with pytest.raises(RefusedError, match="does not open this project"):
        refused.open_dataset("days")
    assert len(asked) == 1


@pytest.mark.usefixtures("cache")
def test_a_folder_that_cannot_be_written_says_what_to_do(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "own").write_text("a file")
    gateway.tell(gateway.keep(LONG))

    with pytest.raises(MLOpsClientError, match="MLOPS_DATA_CACHE"):
        client(gateway).open_dataset("days")


def test_many_that_open_at_once_bring_it_once(gateway: Gateway, cache: Path) -> None:
    gateway.tell(gateway.keep(LONG))

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda _: client(gateway).open_dataset("days"), range(6)))

    assert {one.bytes().tobytes() for one in found} == {LONG}
    assert len(gateway.asked) == 1
    assert not list(cache.rglob("*.part"))


def test_the_cache_is_where_the_system_keeps_caches() -> None:
    assert own_cache({"MLOPS_DATA_CACHE": "/big/disk"}) == Path("/big/disk")
    assert own_cache({}).parts[-2:] == ("mlops", "data")
