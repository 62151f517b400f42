# SPDX-License-Identifier: Apache-2.0
"""What a server on S3 says of an object is taken as proof, read, or left unread."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mlops.versioning.adapters import dvc_s3
from mlops.versioning.adapters.dvc_s3 import Held, Writes
from mlops.versioning.adapters.dvc_store import Store
from mlops.versioning.adapters.dvc_there import Tags, There


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Server:
    """Says of each object what it was told to, and counts what is read."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.own_keys = False
        self.read: list[str] = []

    def held(self, oid: str) -> Held | None:
        if oid not in self.objects:
            return None
        tag = self.tags.get(oid, md5(self.objects[oid]))
        return Held(len(self.objects[oid]), tag, "-" not in tag and not self.own_keys)

    def get(self, oid: str, file: Writes) -> str | None:
        self.read.append(oid)
        file.write(self.objects[oid])
        return md5(self.objects[oid])


class World:
    """Three objects, whole in the cache and on the server."""

    def __init__(self, folder: Path) -> None:
        self.server, self.cache = Server(), Store(str(folder / "files" / "md5"))
        self.contents = [f"{number}".encode() * 1000 for number in range(3)]
        self.oids = [self.cache.add_bytes(one) for one in self.contents]
        self.server.objects = dict(zip(self.oids, self.contents, strict=True))

    def look(self, *, deep: bool = False, here: bool = True) -> There:
        found = There()
        tags = Tags(self.server, self.cache, set(self.oids) if here else set(), found, deep=deep)
        for oid in self.oids:
            tags.look(oid)
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_tag_that_is_the_address_proves_the_content_unread(world: World) -> None:
    del world.server.objects[world.oids[0]]

    assert world.look() == There(set(world.oids[1:]))
    assert world.server.read == []


@pytest.mark.parametrize("content", [b"x" * 1000, b"x"], ids=["of the same length", "shorter"])
def test_an_object_that_was_overwritten_is_damaged(world: World, content: bytes) -> None:
    world.server.objects[world.oids[1]] = content

    found = world.look()

    assert found == There({world.oids[0], world.oids[2]}, set(), {world.oids[1]})
    assert len(world.server.read) == (len(content) > 1)


def test_a_length_that_is_not_right_is_damage_whatever_the_tag_says(world: World) -> None:
    world.server.tags[world.oids[1]] = world.oids[1]
    world.server.objects[world.oids[1]] = b"x"

    assert world.look().damaged == {world.oids[1]}
    assert world.server.read == []


def test_tags_of_a_server_that_makes_up_its_own_are_believed_after_one_reading_no_more(
    world: World,
) -> None:
    world.server.tags = dict.fromkeys(world.oids, "0" * 32)

    found = world.look()

    assert found == There(set(world.oids), set(world.oids[1:]))
    assert world.server.read == world.oids[:1]


def test_what_is_encrypted_by_the_owners_keys_is_read_only_when_asked_for(world: World) -> None:
    world.server.own_keys = True
    world.server.tags = dict.fromkeys(world.oids, "0" * 32)
    world.server.objects[world.oids[2]] = b"x" * 1000

    looked, read = world.look(), world.look(deep=True)

    assert looked == There(set(world.oids), set(world.oids))
    assert read == There(set(world.oids[:2]), set(), {world.oids[2]})


def test_the_tag_of_an_object_in_parts_is_worked_out_from_the_cache(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc_s3, "PART_BYTES", 400)
    [one, two, three] = world.contents

    def of_parts(content: bytes) -> str:
        parts = b"".join(bytes.fromhex(md5(content[at : at + 400])) for at in (0, 400, 800))
        return f"{md5(parts)}-3"

    # The first as we send it, the second as somebody else did, the third is not in parts of a length that we know.
    tags = [of_parts(one), of_parts(b"x" * 1000), of_parts(three).replace("-3", "-7")]
    world.server.tags = dict(zip(world.oids, tags, strict=True))
    assert two

    assert world.look() == There(set(world.oids), set(world.oids[1:]))
    assert world.look(here=False).unread == set(world.oids)
    assert world.server.read == []
