# SPDX-License-Identifier: Apache-2.0
"""The cache of fetched data keeps to its limit: what was used longest ago goes first, what is open stays."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from mlops.client.datasets.trimming import hold, limit_bytes, nothing_goes, trim
from mlops.client.errors import BadInputError

SIZE = 100


class Cache:
    """A cache that the client has made, filled by hand; uses are a second apart."""

    def __init__(self, folder: Path) -> None:
        self.objects = folder / "files" / "md5"
        self.now = 1_000_000_000
        with nothing_goes(self.objects):
            pass

    def bring(self, address: str, content: bytes = b"x" * SIZE) -> str:
        place = self.objects / address[:2] / address[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        self.now += 1
        os.utime(place, (self.now, self.now))
        return address

    def bring_folder(self, address: str, *files: str) -> str:
        lines = [{"relpath": one, "md5": self.bring(one)} for one in files]
        return self.bring(address, json.dumps(lines).encode())

    def open(self, address: str) -> BinaryIO:
        held = hold(address, self.objects)
        assert held is not None
        self.now += 1
        os.utime(held.name, (self.now, self.now))
        return held

    def use(self, *addresses: str) -> None:
        for address in addresses:
            self.open(address).close()

    def holds(self) -> set[str]:
        return {one.parent.name + one.name for one in self.objects.glob("??/*")}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "own")


def oid(letter: str, ending: str = "") -> str:
    return letter * 32 + ending


def test_what_was_used_longest_ago_goes_first(cache: Cache) -> None:
    a, b, c = (cache.bring(oid(letter)) for letter in "abc")
    cache.use(a, b, c, a)

    trim(cache.objects, 2 * SIZE)

    assert cache.holds() == {a, c}


def test_what_is_within_the_limit_stays(cache: Cache) -> None:
    held = {cache.bring(oid(letter)) for letter in "abc"}

    trim(cache.objects, 3 * SIZE)

    assert cache.holds() == held


def test_what_is_open_stays_with_all_of_its_files_whatever_the_limit(cache: Cache) -> None:
    folder = cache.bring_folder(oid("d", ".dir"), oid("a"), oid("b"))
    cache.use(cache.bring(oid("c")))
    with cache.open(folder):
        cache.use(oid("c"))
        trim(cache.objects, 0)
        assert cache.holds() == {folder, oid("a"), oid("b")}

    trim(cache.objects, 0)

    assert cache.holds() == set()
    assert not list((cache.objects.parent.parent / "used").iterdir())


def test_what_a_fetch_has_left_half_goes_before_anything_else(cache: Cache) -> None:
    whole = cache.bring(oid("a"))
    cache.use(whole)
    cache.bring(oid("b", ".part"))

    trim(cache.objects, SIZE)

    assert cache.holds() == {whole}


def test_nothing_is_trimmed_while_somebody_fetches(cache: Cache) -> None:
    cache.use(cache.bring(oid("a")))

    with nothing_goes(cache.objects):
        trim(cache.objects, 0)

    assert cache.holds() == {oid("a")}


def test_a_cache_that_the_client_has_not_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dvc" / "files" / "md5").mkdir(parents=True)
    cache = Cache(tmp_path / "dvc")
    cache.use(cache.bring(oid("a")))

    trim(cache.objects, 0)

    assert cache.holds() == {oid("a")}


def test_what_dvc_keeps_in_a_cache_that_the_client_has_made_stays(cache: Cache) -> None:
    theirs = cache.bring_folder(oid("d", ".dir"), oid("a"), oid("b"))
    cache.use(cache.bring_folder(oid("e", ".dir"), oid("b"), oid("c")))
    (cache.objects.parent.parent / "used" / ".DS_Store").touch()

    trim(cache.objects, 0)

    # What the client has fetched is on the platform, whoever else keeps it.
    assert cache.holds() == {theirs, oid("a")}


def test_the_listing_of_what_is_trimmed_in_part_goes_last(cache: Cache) -> None:
    folder = cache.bring_folder(oid("0", ".dir"), oid("a"), oid("b"))
    cache.use(folder)
    size = (cache.objects / "00" / f"{'0' * 30}.dir").stat().st_size

    trim(cache.objects, size + SIZE)
    after_one = cache.holds()
    trim(cache.objects, size)

    assert len(after_one) == 2
    assert cache.holds() == {folder}


def test_a_cache_that_can_only_be_read_can_be_read(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.bring(oid("a"))

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(fcntl, "flock", refuse)

    with nothing_goes(cache.objects):
        assert hold(oid("a"), cache.objects) is None
    trim(cache.objects, 0)

    assert cache.holds() == {oid("a")}


def test_the_limit_is_said_in_gigabytes() -> None:
    assert limit_bytes({}) == 50_000_000_000
    assert limit_bytes({"MLOPS_DATA_CACHE_GB": "0.5"}) == 500_000_000
    for told in ("much", "-1", "nan", "inf"):
        with pytest.raises(BadInputError, match="no number of gigabytes"):
            limit_bytes({"MLOPS_DATA_CACHE_GB": told})
