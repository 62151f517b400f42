# SPDX-License-Identifier: Apache-2.0
"""Contents of datasets go out as they lie in the cache: whole or in ranges, to who may read the project."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from services.gateway.tests.conftest import House, bearer

from mlops.chassis.errors import RejectedError

CONTENT = bytes(range(256)) * 1000
ADDRESS = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
WISH = {"project": "rainfall", "name": "model/rain", "version": "3", "hash": ADDRESS}
PATH = "/api/v1/data/object"


@pytest.fixture
def place(house: House, tmp_path: Path) -> Path:
    """Where the content lies; versioning says so of that one version."""
    place = tmp_path / ADDRESS[:2] / ADDRESS[2:]
    place.parent.mkdir()
    place.write_bytes(CONTENT)

    async def object_(question: Mapping[str, Any]) -> dict[str, Any]:
        if question["hash"] != ADDRESS:
            raise RejectedError("rainfall/model/rain@3 has no content of that address")
        if question.get("version") == "being-fetched":
            return {"ready": False}
        assert (question["project"], question["name"]) == ("rainfall", "model/rain")
        return {"ready": True, "hash": ADDRESS, "place": str(place)}

    house.bus.answer("versioning", "object", object_)
    return place


@pytest.mark.usefixtures("place")
async def test_a_content_goes_out_whole(house: House) -> None:
    answer = await house.client.get(PATH, params=WISH, headers=bearer("read"))

    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["etag"] == f'"{ADDRESS}"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ({"Range": "bytes=1000-"}, 206, 1000, len(CONTENT)),
        ({"Range": "bytes=0-9"}, 206, 0, 10),
        ({"Range": "bytes=-5"}, 206, len(CONTENT) - 5, len(CONTENT)),
        ({"Range": "bytes=10-19", "If-Range": f'"{ADDRESS}"'}, 206, 10, 20),
        ({"Range": "bytes=10-19", "If-Range": '"another"'}, 200, 0, len(CONTENT)),
    ],
)
async def test_a_range_is_answered(
    house: House, asked: dict[str, str], status: int, start: int, stop: int
) -> None:
    answer = await house.client.get(PATH, params=WISH, headers={**bearer("read"), **asked})

    assert (answer.status_code, answer.content) == (status, CONTENT[start:stop])


@pytest.mark.usefixtures("place")
async def test_a_range_behind_the_end_is_told_so(house: House) -> None:
    asked = {**bearer("read"), "Range": f"bytes={len(CONTENT)}-"}

    assert (await house.client.get(PATH, params=WISH, headers=asked)).status_code == 416


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": ""}, 401),
        (bearer("read", projects=["tropics"]), 403),
        (bearer("infer"), 403),
    ],
)
async def test_only_who_may_read_the_project_gets_it(
    house: House, headers: dict[str, str], status: int
) -> None:
    answer = await house.client.get(PATH, params=WISH, headers=headers)

    assert answer.status_code == status
    assert CONTENT[:64] not in answer.content


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("wish", "status", "says"),
    [
        ({"hash": "../../etc/passwd"}, 422, "no address"),
        ({"hash": ADDRESS.upper()}, 422, "no address"),
        ({"hash": "0" * 32}, 422, "has no content"),
        ({"version": "being-fetched"}, 503, "being fetched"),
    ],
)
async def test_what_is_not_the_versions_is_refused(
    house: House, wish: dict[str, str], status: int, says: str
) -> None:
    answer = await house.client.get(PATH, params={**WISH, **wish})

    assert answer.status_code == status
    assert says in answer.text


def spoil(place: Path, kind: str) -> None:
    place.unlink()
    if kind == "folder":
        place.mkdir()


@pytest.mark.parametrize("kind", ["gone", "folder"])
async def test_what_is_not_in_the_cache_says_what_to_do(
    house: House, place: Path, kind: str
) -> None:
    spoil(place, kind)

    answer = await house.client.get(PATH, params=WISH)

    assert answer.status_code == 503
    assert "mount the cache" in answer.text
