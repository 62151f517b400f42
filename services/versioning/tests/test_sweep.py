# SPDX-License-Identifier: Apache-2.0
"""A sweep of what nobody names, by DVC in this process, keeps what anybody may still need."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.versioning.adapters import dvc_setup, dvc_sweep, dvc_unnamed, dvc_worker
from mlops.versioning.adapters.by_hand import named_by_hand
from mlops.versioning.adapters.dvc_store import Store
from mlops.versioning.adapters.people_worker import touch, unpushed

OID = "0123456789abcdef0123456789abcdef"
LONG_AGO = 1_000_000_000.0


class World:
    """Two projects of an installation, and what it keeps for itself."""

    def __init__(self, root: Path) -> None:
        self.root, self.cache = root, str(root / "data" / "cache")
        self.remotes = str(root / "data" / "remote")
        self.remote = f"{self.remotes}/rain"
        self.rain, self.snow = root / "rain", root / "snow"
        for folder in (self.rain, self.snow):
            (folder / ".dvc").mkdir(parents=True)
        self.provision(self.rain, self.remote)

    def provision(self, folder: Path, remote: str) -> None:
        dvc_worker.provision(str(folder), remote, self.cache)

    def store(self, where: str | Path) -> Store:
        return Store(str(Path(where) / "files" / "md5"))

    def keep(self, where: str | Path, content: bytes = b"left", ending: str = "") -> str:
        oid = self.store(where).add_bytes(content, ending)
        self.age(where)
        return oid

    def age(self, *places: str | Path) -> None:
        for file in (one for place in places for one in Path(place).rglob("files/md5/??/*")):
            os.utime(file, (LONG_AGO, LONG_AGO))

    def holds(self, where: str | Path, oid: str) -> bool:
        return Path(self.store(where).place(oid)).exists()

    def sweep(
        self, live: tuple[str, ...] = (), dead: tuple[str, ...] = (), *, dry: bool = False
    ) -> int:
        swept = dvc_worker.sweep(
            str(self.rain),
            self.remote,
            self.cache,
            list(dead),
            list(live),
            folders=[str(self.rain), str(self.snow)],
            before=time.time() - 86_400,
            unnamed=True,
            own=[self.cache, self.remotes],
            dry=dry,
        )
        return swept["objects"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_what_nobody_names_goes_from_the_shared_cache_and_from_our_own_remote(world: World) -> None:
    oid = world.keep(world.cache)
    world.keep(world.remote)

    assert (world.sweep(dry=True), world.sweep()) == (2, 2)
    assert not world.holds(world.cache, oid)
    assert not world.holds(world.remote, oid)


@pytest.mark.parametrize("is_linked", [False, True])
def test_on_a_remote_that_others_may_share_only_given_up_contents_go(
    world: World, *, is_linked: bool
) -> None:
    share = world.root / "share" / "rain"
    share.mkdir(parents=True)
    if is_linked:
        Path(world.remotes).mkdir(parents=True, exist_ok=True)
        Path(world.remote).symlink_to(share)
    else:
        world.remote = str(share)
    theirs = world.keep(share, b"a version of another installation")
    dead = world.keep(share, b"given up")

    assert world.sweep(dead=(dead,)) == 1
    assert (world.holds(share, theirs), world.holds(share, dead)) == (True, False)


def test_a_cache_of_the_projects_own_is_left_alone(world: World) -> None:
    own = world.rain / ".dvc" / "cache"
    local = world.rain / ".dvc" / "config.local"
    local.write_text(local.read_text().replace(world.cache, str(own)).replace("reflink", "copy"))
    oid = world.keep(own, b"kept by an unregistered project, too")

    assert world.sweep() == 0
    assert world.holds(own, oid)
    assert world.sweep(dead=(oid,)) == 1


def test_a_listing_that_is_damaged_on_one_side_is_read_on_the_other(world: World) -> None:
    file = world.keep(world.cache, b"wet")
    right = f'[{{"md5": "{file}", "relpath": "a"}}]'
    live = world.keep(world.remote, right.encode(), ".dir")
    wrong = Path(world.store(world.cache).place(live))
    wrong.parent.mkdir(parents=True, exist_ok=True)
    wrong.write_text(right.replace(file, OID))

    assert world.sweep(live=(live,)) == 0
    assert world.holds(world.cache, file)
    Path(world.store(world.remote).place(live)).unlink()
    (world.snow / "days.dvc").write_text(f"outs:\n- md5: {live}\n  path: days\n")
    with pytest.raises(UnavailableError, match="nothing was deleted"):
        world.sweep(live=(live,))
    with pytest.raises(UnavailableError, match="nothing was deleted"):
        world.sweep()
    wrong.unlink()  # by hand it may be elsewhere, with all of its files
    assert world.sweep() == 1


def test_a_folder_where_nothing_is_mounted_just_now_stops_the_sweep(world: World) -> None:
    oid = world.keep(world.cache)
    world.snow.rename(world.root / "away")
    world.snow.mkdir()

    with pytest.raises(RejectedError, match=r"snow/\.dvc' of a registered project is not there"):
        world.sweep()
    assert world.holds(world.cache, oid)


def test_what_people_add_while_a_sweep_looks_around_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    oid = world.keep(world.cache, b"seen before")
    gone = world.keep(world.cache)

    def meanwhile(odb: Any, before: float) -> Iterator[Any]:
        (world.snow / "x.csv.dvc").write_text(f"outs:\n- md5: {oid}\n  path: x.csv\n")
        return dvc_unnamed.held(odb, before)

    monkeypatch.setattr(dvc_sweep, "held", meanwhile)

    assert world.sweep() == 1
    assert (world.holds(world.cache, oid), world.holds(world.cache, gone)) == (True, False)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("x.dvc", f"outs:\n- md5: {OID}\n  path: x\n"),
        ("x.dvc", f"outs:\n- md5: {OID} # of july\n"),
        ("x.dvc", f"outs: [{{md5: {OID}, path: x}}]\n"),
        ("x.dvc", f"outs:\n- md5: '{OID}'\n"),
        (".hidden/x.dvc", f"- md5: {OID}\n"),
        ("train/x.dvc", f"- md5: {OID}\n"),
        (".venv/lib/dvc.lock", f"    md5: {OID}\n"),
    ],
)
def test_whatever_people_write_in_whichever_folder_is_named(
    tmp_path: Path, file: str, text: str
) -> None:
    for beside in ("pyvenv.cfg", ".venv/pyvenv.cfg", "train.dvc"):
        (tmp_path / beside).parent.mkdir(exist_ok=True)
        (tmp_path / beside).touch()
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / ".dvc" / "tmp" / "old.dvc").write_text("f" * 32)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(f"{text}# {'e' * 64}\n")

    assert named_by_hand(str(tmp_path)) == {OID}


def test_a_listing_is_named_with_its_ending(tmp_path: Path) -> None:
    (tmp_path / "x.dvc").write_text(f"outs:\n- md5: {OID}.dir\n")

    assert named_by_hand(str(tmp_path)) == {f"{OID}.dir"}


def test_what_cannot_be_read_is_refused_and_what_is_gone_meanwhile_names_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert named_by_hand(str(tmp_path / "gone")) == set()

    def scandir(path: str) -> Any:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(RejectedError, match=r"cannot be read \(Permission denied\)"):
        named_by_hand(str(tmp_path))


def test_a_look_while_versions_move_to_another_remote_asks_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, place = str(world.root / "new"), (str(world.rain), world.remote, world.cache)
    oid = world.keep(world.remote)
    here = touch(*place, oid)
    world.provision(world.rain, new)
    before = (world.rain / ".dvc" / "config.local").read_text()

    moving = touch(*place, oid)
    with pytest.raises(UnavailableError, match="just now"):
        unpushed(*place, {"x.dvc": oid})
    prepare = dvc_setup.prepare
    monkeypatch.setattr(dvc_worker, "prepare", lambda folder, _, cache: prepare(folder, new, cache))
    with pytest.raises(UnavailableError, match=f"is '{new}' just now"):
        dvc_worker.push(*place, [oid])

    assert (here, moving) == (True, False)
    assert (world.rain / ".dvc" / "config.local").read_text() == before


def test_a_look_makes_nothing_where_the_projects_folder_is_gone(world: World) -> None:
    (world.rain / ".dvc").rename(world.root / "taken away")

    assert touch(str(world.rain), world.remote, world.cache, OID) is False
    assert list(world.rain.iterdir()) == [world.rain / ".dvcignore"]
