# SPDX-License-Identifier: Apache-2.0
"""A real S3 server: transfers keep to a limit and go on where they broke off; damage and loss are put right."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from dvc.config import Config
from dvc.repo import Repo

from mlops.chassis.errors import UnavailableError
from mlops.versioning.adapters import dvc_copy, dvc_s3
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.adapters.dvc_pace import Pace
from mlops.versioning.adapters.dvc_places import own_places
from mlops.versioning.adapters.dvc_reach import DvcReach
from mlops.versioning.adapters.dvc_setup import prepare
from mlops.versioning.adapters.dvc_store import Store
from mlops.versioning.adapters.dvc_transfer import fetch, push
from mlops.versioning.adapters.dvc_unnamed import give_up_uploads
from mlops.versioning.ports import Place
from servers.relay import Relay

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

# Everything is older than what comes a minute from now.
AT_ONCE = timedelta(minutes=-1)
DAY_S = 86_400.0


class Clock:
    """Time that passes only while somebody rests; it counts what it was asked for."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def now(self) -> float:
        return self.now_s

    def rest(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def place(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name, value in {**s3.environment, **own_places(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "rain").mkdir()
    remote = s3.bucket("datasets") + "/rain"
    return Place("rain", str(tmp_path / "rain"), remote, str(tmp_path / "cache"))


@pytest.fixture
async def datasets(place: Place, tmp_path: Path) -> AsyncIterator[DvcDatasets]:
    assert place.remote.startswith("s3://")  # the worker begins with what tells DVC of the server
    datasets = DvcDatasets(tmp_path / "state")
    yield datasets
    await datasets.close()


@pytest.fixture
async def reach(place: Place, tmp_path: Path) -> AsyncIterator[DvcReach]:
    assert place.remote.startswith("s3://")
    reach = DvcReach(own_places(tmp_path / "state"))
    yield reach
    await reach.close()


def amazon(s3: Any) -> Any:
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=s3.environment["AWS_ENDPOINT_URL_S3"],
        region_name="us-east-1",
        aws_access_key_id=s3.key,
        aws_secret_access_key=s3.secret,
    )


def keys(client: Any) -> list[str]:
    return [one["Key"] for one in client.list_objects_v2(Bucket="datasets").get("Contents", [])]


def write_days(place: Place, files: int, size: int) -> dict[str, bytes]:
    days = Path(place.folder) / "days"
    days.mkdir()
    contents = {f"{number}.bin": os.urandom(size) for number in range(files)}
    for name, content in contents.items():
        (days / name).write_bytes(content)
    return contents


def damage(file: Path) -> None:
    file.chmod(0o644)
    file.write_bytes(b"x" * file.stat().st_size)
    file.chmod(0o444)


@pytest.mark.parametrize("way", ["one request", "in parts", "by DVC's client"])
def test_what_goes_out_and_comes_in_keeps_to_the_limit(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "in parts":
        monkeypatch.setattr(dvc_s3, "PART_FROM_BYTES", 1 << 20)
        monkeypatch.setattr(dvc_s3, "PART_BYTES", 5 << 20)
    monkeypatch.setattr(dvc_copy, "_LOOK_S", 0.001)
    content, out, back = os.urandom(6_000_000), Clock(), Clock()
    told = set[tuple[int, int]]()
    other = tmp_path / "other cache"
    prepare(place.folder, place.remote, place.cache)
    if way == "by DVC's client":
        with Config(str(Path(place.folder) / ".dvc")).edit("local") as local:
            local["remote"]["mlops"]["acl"] = "private"
    with Repo(place.folder) as repo:
        oid = Store(repo.cache.local.path).add_bytes(content)
        moved = push(repo, [oid], lambda *done: told.add(done), Pace(1_000_000, out.now, out.rest))
        again = push(repo, [oid], pace=Pace(1_000_000, out.now, out.rest))
    prepare(place.folder, place.remote, str(other))
    with Repo(place.folder) as repo:
        brought = fetch(repo, oid, pace=Pace(2_000_000, back.now, back.rest))

    assert (moved, again, brought) == (1, 0, True)
    assert Path(Store(str(other / "files" / "md5")).place(oid)).read_bytes() == content
    # Also one large file tells that it goes on.
    assert told >= {(0, 1), (1, 1)}
    assert out.now_s == pytest.approx(6, abs=0.3)
    assert back.now_s == pytest.approx(3, abs=0.3)


def test_a_large_file_goes_on_with_the_parts_that_have_arrived(
    s3: Any, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc_s3, "PART_FROM_BYTES", 1 << 20)
    monkeypatch.setattr(dvc_s3, "PART_BYTES", 5 << 20)
    content, out, client = os.urandom(12_000_000), Clock(), amazon(s3)
    prepare(place.folder, place.remote, place.cache)
    with Repo(place.folder) as repo:
        oid = Store(repo.cache.local.path).add_bytes(content)
        where = {"Bucket": "datasets", "Key": f"rain/files/md5/{oid[:2]}/{oid[2:]}"}
        begun = client.create_multipart_upload(**where)["UploadId"]
        client.upload_part(**where, UploadId=begun, PartNumber=1, Body=content[: 5 << 20])
        moved = push(repo, [oid], pace=Pace(1_000_000, out.now, out.rest))

    assert moved == 1
    assert client.get_object(**where)["Body"].read() == content
    assert out.now_s == pytest.approx(12 - 5.24, abs=0.3)
    assert not client.list_multipart_uploads(Bucket="datasets").get("Uploads")
    # Of another object, which nobody goes on with.
    client.create_multipart_upload(Bucket="datasets", Key="rain/files/md5/ab/cdef")
    with Repo(place.folder) as repo:
        remote = repo.cloud.get_remote_odb("mlops")
        give_up_uploads(remote, time.time() + DAY_S)
        left = client.list_multipart_uploads(Bucket="datasets").get("Uploads")
        give_up_uploads(remote, time.time() + 8 * DAY_S)
    assert [one["Key"] for one in left or []] == ["rain/files/md5/ab/cdef"]
    assert not client.list_multipart_uploads(Bucket="datasets").get("Uploads")


async def test_a_push_that_was_cut_off_sends_only_what_is_not_there_yet(
    s3: Any, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = write_days(place, 40, 100_000)
    async with Relay(s3.port) as relay:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{relay.port}")
        datasets = DvcDatasets(tmp_path / "state")
        relay.cut_after = 2_500_000
        with pytest.raises(UnavailableError) as cut:
            await datasets.snapshot(place, "days")
        relay.cut_after, before = None, relay.sent
        held = await datasets.snapshot(place, "days")
        sent = relay.sent - before
        (Path(place.folder) / "days").rename(tmp_path / "before")
        elsewhere = replace(place, cache=str(tmp_path / "other cache"))
        await datasets.restore(elsewhere, "days", held)
        await datasets.close()

    restored = {one.name: one.read_bytes() for one in (Path(place.folder) / "days").iterdir()}
    assert place.remote in str(cut.value)
    assert "check the network" in str(cut.value)
    assert sent < 4_000_000 - 1_000_000
    assert restored == contents


async def test_damage_and_loss_on_either_side_are_put_right_and_a_sweep_spares_what_lives(
    s3: Any, datasets: DvcDatasets, place: Place
) -> None:
    client = amazon(s3)
    write_days(place, 5, 1000)
    dead = await datasets.snapshot(place, "days")
    (Path(place.folder) / "days" / "0.bin").write_bytes(b"later")
    live = await datasets.snapshot(place, "days")
    shown = await datasets.files(place, live)
    damage(Path(shown["0.bin"]))
    lost, overwritten, cut = (
        {"Bucket": "datasets", "Key": f"rain/files/md5/{one.parent.name}/{one.name}"}
        for one in (Path(shown[f"{number}.bin"]) for number in (1, 2, 3))
    )
    client.delete_object(**lost)
    client.put_object(**overwritten, Body=b"x" * 1000)
    client.put_object(**cut, Body=b"x")

    looked = await datasets.verify(place, [live.oid], repair=False)
    repaired = await datasets.verify(place, [live.oid])
    counted = await datasets.sweep(place, [dead.oid], [live.oid], grace=AT_ONCE, dry=True)
    swept = await datasets.sweep(place, [dead.oid], [live.oid], grace=AT_ONCE, dry=False)
    after = await datasets.verify(place, [live.oid], repair=False)
    read = await datasets.verify(place, [live.oid], repair=False, deep=True)

    # Whole again: what is read has the address of `later`.
    assert (looked.lost, looked.repaired, looked.unread) == ((live.oid,), 0, 0)
    assert (repaired.repaired, repaired.repaired_there, repaired.lost) == (4, 3, ())
    assert counted == swept
    assert swept.objects == 4  # one file and the listing, on both sides
    assert (after.lost, after.unread, read.lost) == ((), 0, ())
    assert len(keys(client)) == 6
    # It may be a version of another installation.
    client.put_object(Bucket="datasets", Key=f"rain/files/md5/ff/{'f' * 30}", Body=b"left")
    left = await datasets.sweep(place, [], [live.oid], unnamed=True, grace=AT_ONCE, dry=False)
    assert left.objects == 0
    assert len(keys(client)) == 7


async def test_a_bucket_that_is_gone_is_said_with_the_fix_and_comes_back_full(
    s3: Any, datasets: DvcDatasets, place: Place, reach: DvcReach
) -> None:
    client = amazon(s3)
    (Path(place.folder) / "days.csv").write_text("1,2\n")
    held = await datasets.snapshot(place, "days.csv")
    for key in keys(client):
        client.delete_object(Bucket="datasets", Key=key)
    client.delete_bucket(Bucket="datasets")

    with pytest.raises(UnavailableError, match="create the bucket"):
        await datasets.push(place, [held.oid])
    with pytest.raises(UnavailableError, match="create the bucket"):
        await reach.touch(place, held.oid)
    client.create_bucket(Bucket="datasets")
    with pytest.raises(UnavailableError, match=f"lacks {held.oid}"):
        await reach.touch(place, held.oid)

    assert await datasets.push(place, [held.oid]) == 1
    await reach.touch(place, held.oid)
    assert len(keys(client)) == 1
