# SPDX-License-Identifier: Apache-2.0
"""Both ways, with real DVC: what people add and push by hand becomes versions, once; what we add a plain `dvc` restores."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mlops.chassis.errors import UnavailableError
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.versioning import AddData, RemoveData, RestoreData
from mlops.contracts.workspaces import ProjectArchived
from mlops.versioning.adapters.sqlite import SqliteVersions
from mlops.versioning.model import Version
from servers.versioning import Versioning

pytestmark = pytest.mark.timeout(240)

DVC = Path(sys.executable).with_name("dvc")


async def run(program: str | Path, folder: Path, *arguments: str) -> str:
    """Run a program as people have it, with none of our settings."""
    own = {"HOME": str(folder.parent), "DVC_SITE_CACHE_DIR": str(folder.parent / "theirs")}
    who = ("-c", "user.name=ada", "-c", "user.email=ada@localhost") if program == "git" else ()
    done = await asyncio.create_subprocess_exec(
        program,
        *who,
        *arguments,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "DVC_NO_ANALYTICS": "1", **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await done.communicate()
    assert done.returncode == 0, said.decode()
    return said.decode()


async def test_what_people_add_becomes_a_version_when_they_push_it_and_is_told_once(
    versioning: Versioning, folder: Path
) -> None:
    (folder / "wind").mkdir()
    (folder / "wind" / "north.csv").write_text("1\n")
    (folder / "wind" / "south.csv").write_text("22\n")
    await run(DVC, folder, "add", "wind")

    before = await versioning.looks(40)
    await run(DVC, folder, "push")
    told = await versioning.looks(3)
    again = await versioning.looks(3)
    versioning.start()
    await versioning.register()
    after_restart = await versioning.looks(3)

    assert (before, again, after_restart) == ([], [], [])
    [event] = told
    assert (event.name, event.version, event.path) == ("wind", 1, "wind")
    assert (event.files, event.size_bytes) == (2, 5)
    assert event.hash.endswith(".dir")


async def test_what_people_pushed_is_restored_byte_for_byte(
    versioning: Versioning, folder: Path
) -> None:
    (folder / "days.csv").write_text("first\n")
    await run(DVC, folder, "add", "days.csv")
    await run(DVC, folder, "push")
    [first] = await versioning.looks()
    (folder / "days.csv").write_text("second\n")
    await versioning.tell(AddData(project="rain", name=first.name, path="days.csv"))

    restored = await versioning.tell(RestoreData(project="rain", name=first.name, version=1))

    assert restored.type == "data.restored"
    assert (folder / "days.csv").read_text() == "first\n"
    assert await versioning.looks(2) == []


async def test_what_came_by_command_is_not_told_again(versioning: Versioning, folder: Path) -> None:
    (folder / "days.csv").write_text("ours\n")
    await versioning.tell(AddData(project="rain", name="rainy", path="days.csv"))

    assert await versioning.looks(2) == []
    assert [v.name for v in await versioning.versions.known("rain")] == ["rainy"]


class DyingVersions(SqliteVersions):
    """Its process dies once, before the row of a version is written."""

    died = False

    async def remember(self, wished: Version, command_id: str) -> Version:
        if not self.died:
            self.died = True
            raise UnavailableError("killed before the row was written")
        return await super().remember(wished, command_id)


async def test_an_addition_that_was_killed_is_left_to_its_command(
    versioning: Versioning, folder: Path, tmp_path: Path
) -> None:
    await versioning.versions.close()
    versioning.versions = DyingVersions(tmp_path / "dying.db")
    versioning.start()
    await versioning.register()
    (folder / "days.csv").write_text("ours\n")
    command = AddData(project="rain", name="rainy", path="./days.csv", run_id="run-9")
    with pytest.raises(UnavailableError):
        await versioning.people.additions.do_add_data(command)

    between = await versioning.looks(3)
    await versioning.people.additions.do_add_data(command)
    afterwards = await versioning.looks(3)

    assert (folder / "days.csv.dvc").exists()
    assert (between, afterwards) == ([], [])
    [version] = await versioning.versions.known("rain")
    assert (version.name, version.run_id) == ("rainy", "run-9")


async def test_a_version_whose_telling_died_is_told_with_the_same_id(
    versioning: Versioning, folder: Path
) -> None:
    (folder / "days.csv").write_text("theirs\n")
    await run(DVC, folder, "add", "days.csv")
    await run(DVC, folder, "push")
    look = versioning.people.look()
    dying = await anext(look)
    await look.aclose()

    versioning.start()
    await versioning.register()
    told = await versioning.looks(2)

    assert [event.id for event in told] == [dying.id]
    assert [v.version for v in await versioning.versions.known("rain")] == [1]


async def test_what_they_push_to_a_remote_of_their_own_is_brought_to_ours(
    versioning: Versioning, folder: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs-remote"
    await run(DVC, folder, "remote", "add", "--default", "own", str(theirs))
    (folder / "days.csv").write_text("theirs\n")
    await run(DVC, folder, "add", "days.csv")
    await run(DVC, folder, "push", "--remote", "own")

    [event] = await versioning.looks()
    shutil.rmtree(theirs)
    shutil.rmtree(versioning.place.cache)
    (folder / "days.csv").unlink()
    await versioning.tell(RestoreData(project="rain", name=event.name, version=1))

    assert (folder / "days.csv").read_text() == "theirs\n"


async def test_a_clone_pulls_what_we_added(
    versioning: Versioning, folder: Path, tmp_path: Path
) -> None:
    await run("git", folder, "init", "--quiet")
    (folder / "days.csv").write_text("ours\n")
    await versioning.tell(AddData(project="rain", name="days", path="days.csv"))
    (folder / ".gitignore").write_text("days.csv\n")
    await run("git", folder, "add", "--all")
    await run("git", folder, "commit", "--quiet", "--message", "data")

    clone = tmp_path / "clone"
    await run("git", tmp_path, "clone", "--quiet", str(folder), str(clone))
    # Where the remote is, is this machine's affair, so git does not know it.
    shutil.copy(folder / ".dvc" / "config.local", clone / ".dvc" / "config.local")
    await run(DVC, clone, "pull")

    assert (clone / "days.csv").read_text() == "ours\n"


async def test_a_version_that_was_given_up_does_not_come_back_by_a_look(
    versioning: Versioning, folder: Path
) -> None:
    (folder / "days.csv").write_text("theirs\n")
    await run(DVC, folder, "add", "days.csv")
    await run(DVC, folder, "push")
    [event] = await versioning.looks()
    await versioning.tell(RemoveData(project="rain", name=event.name, version=1))

    versioning.start()
    await versioning.register()

    assert await versioning.looks(2) == []
    assert await versioning.versions.known("rain") == []


async def test_files_in_the_midst_of_a_merge_keep_no_other_from_being_seen(
    versioning: Versioning, folder: Path
) -> None:
    for name in ("days.csv", "wind.csv"):
        (folder / name).write_text(f"{name}\n")
        await run(DVC, folder, "add", name)
    await run(DVC, folder, "push")
    half = (folder / "days.csv.dvc").read_text()
    (folder / "days.csv.dvc").write_text(f"<<<<<<< ours\n{half}=======\n{half}>>>>>>> theirs\n")
    (folder / "broken.dvc").write_text(f"outs: [\n- md5: {'a' * 32}\n")

    during = await versioning.looks(3)
    (folder / "days.csv.dvc").write_text(half)
    after = await versioning.looks(2)

    assert [event.name for event in during] == ["wind.csv"]
    assert [event.name for event in after] == ["days.csv"]


async def test_a_remote_that_cannot_be_asked_keeps_nothing_back_that_is_on_ours(
    versioning: Versioning, folder: Path
) -> None:
    for name in ("days.csv", "wind.csv"):
        (folder / name).write_text(f"{name}\n")
        await run(DVC, folder, "add", name)
    await run(DVC, folder, "push", "days.csv")
    await run(DVC, folder, "remote", "add", "--default", "own", "gs://no-driver-for-this")

    told = await versioning.looks(4)

    assert [event.name for event in told] == ["days.csv"]


async def test_datasets_are_called_as_the_project_calls_them(
    versioning: Versioning, folder: Path
) -> None:
    settings = {"name": "rain", "data": {"datasets": {"gale": "data/wind.csv"}}}
    await versioning.register(ProjectSettings.model_validate(settings), revision=2)
    for path in ("data/wind.csv", "data/days.csv", "old/days.csv"):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(f"{path}\n")
        await run(DVC, folder, "add", path)
    await run(DVC, folder, "push")

    told = await versioning.looks()

    names = {event.path: event.name for event in told}
    assert names.pop("data/wind.csv") == "gale"
    assert sorted(names.values()) in (["data-days.csv", "days.csv"], ["days.csv", "old-days.csv"])


async def test_an_archived_project_is_not_looked_at(versioning: Versioning, folder: Path) -> None:
    (folder / "days.csv").write_text("theirs\n")
    await run(DVC, folder, "add", "days.csv")
    await run(DVC, folder, "push")

    await versioning.tell(ProjectArchived(project="rain"))

    assert await versioning.looks() == []


async def test_a_file_that_is_written_anew_meanwhile_is_told_with_its_own_text(
    versioning: Versioning, folder: Path
) -> None:
    texts: list[str] = []
    for content in ("first\n", "second\n"):
        (folder / "days.csv").write_text(content)
        await run(DVC, folder, "add", "days.csv")
        texts.append((folder / "days.csv.dvc").read_text())
        await run(DVC, folder, "push")
    over = threading.Event()

    def writes() -> None:
        draft = folder / "days.csv.dvc.new"
        while not over.is_set():
            for text in texts:
                draft.write_text(text)
                draft.replace(folder / "days.csv.dvc")

    writing = asyncio.create_task(asyncio.to_thread(writes))
    try:
        claims = [
            await versioning.files.claimed(versioning.place, "days.csv.dvc") for _ in range(30)
        ]
    finally:
        over.set()
        await writing
    claims.append(await versioning.files.claimed(versioning.place, "days.csv.dvc"))

    assert claims[-1] is not None
    for claim in claims:
        assert claim is None or claim.content.oid in claim.content.dvc_text
