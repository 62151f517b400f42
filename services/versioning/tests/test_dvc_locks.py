# SPDX-License-Identifier: Apache-2.0
"""Outputs of pipelines are seen in `dvc.lock` files; one that is half written or has conflicts is passed by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops.versioning.adapters.dvc_files import DvcFiles
from mlops.versioning.adapters.dvc_locks import Locks, parted

A, B = "a" * 32, "b" * 32 + ".dir"
LOCK = f"""schema: '2.0'
stages:
  prep:
    cmd: python prep.py
    deps:
    - path: raw.csv
      hash: md5
      md5: {"c" * 32}
    outs:
    - path: out
      hash: md5
      md5: {B}
      size: 4
      nfiles: 2
    - path: 'ä: b.txt'
      md5: {A}
  each@x:
    cmd: echo x
    outs:
    - path: x.txt
      hash: md5
      md5: {A}
"""


async def test_each_output_is_seen_by_its_content(files: DvcFiles, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "dvc.lock").write_text(LOCK)

    found = await files.look(str(tmp_path))

    prefix = "sub/dvc.lock"
    assert found == {
        f"{prefix}:prep:out": B,
        f"{prefix}:prep:ä: b.txt": A,
        f"{prefix}:each@x:x.txt": A,
    }
    assert await files.named(str(tmp_path), f"{prefix}:prep:out") == ("sub/out", B)
    assert await files.named(str(tmp_path), f"{prefix}:gone:out") is None


async def test_a_pipeline_that_ran_again_has_other_contents(
    files: DvcFiles, tmp_path: Path
) -> None:
    (tmp_path / "dvc.lock").write_text(LOCK)
    first = await files.look(str(tmp_path))
    (tmp_path / "dvc.lock").write_text(LOCK.replace(B, A) + "\n")

    second = await files.look(str(tmp_path))

    assert (first["dvc.lock:prep:out"], second["dvc.lock:prep:out"]) == (B, A)


@pytest.mark.parametrize(
    "text",
    [
        f"<<<<<<< HEAD\n{LOCK}=======\n{LOCK}>>>>>>> other\n",
        LOCK.replace("    outs:", "    outs: [", 1),
        "",
        "\0\0\0\0",
        "- a list\n",
    ],
)
async def test_a_lock_file_that_cannot_be_read_is_passed_by_and_said_once(
    files: DvcFiles, tmp_path: Path, logged: list[Any], text: str
) -> None:
    (tmp_path / "dvc.lock").write_text(text)

    found = [await files.look(str(tmp_path)) for _ in range(3)]
    (tmp_path / "dvc.lock").write_text(text + "\n")
    found.append(await files.look(str(tmp_path)))
    (tmp_path / "dvc.lock").write_text(LOCK)
    healed = await files.look(str(tmp_path))

    assert found == [{}] * 4
    assert [line["event"] for line in logged] == ["lock.unreadable"]
    assert len(healed) == 3


@pytest.mark.parametrize("cut", range(60, len(LOCK), 37))
def test_of_a_half_written_file_only_whole_outputs_are_taken(tmp_path: Path, cut: int) -> None:
    (tmp_path / "dvc.lock").write_text(LOCK[:cut])

    found = Locks().outs(str(tmp_path), "dvc.lock", "1")

    assert set(found.values()) <= {A, B}


@pytest.mark.parametrize("file", ["dvc.lock", "dvc.yaml"])
def test_what_dvc_does_not_keep_is_passed_by_until_its_record_or_its_pipeline_changes(
    tmp_path: Path, file: str
) -> None:
    locks, name, root = Locks(), "dvc.lock:each@x:x.txt", str(tmp_path)
    (tmp_path / "dvc.lock").write_text(LOCK)
    (tmp_path / "dvc.yaml").write_text("cache: false")
    assert name in locks.outs(root, "dvc.lock", "1")

    locks.pass_by(root, name, locks.standing(root, name))
    same = locks.outs(root, "dvc.lock", "1")
    (tmp_path / file).write_text(f"{(tmp_path / file).read_text()} \n")
    changed = locks.outs(root, "dvc.lock", "2")

    assert (name in same, name in changed) == (False, True)


def test_a_pipeline_that_changed_while_dvc_read_it_is_asked_for_anew(tmp_path: Path) -> None:
    locks, name, root = Locks(), "dvc.lock:each@x:x.txt", str(tmp_path)
    (tmp_path / "dvc.lock").write_text(LOCK)
    locks.outs(root, "dvc.lock", "1")
    before = locks.standing(root, name)
    (tmp_path / "dvc.yaml").write_text("the stage has come")

    locks.pass_by(root, name, before)

    assert name in locks.outs(root, "dvc.lock", "1")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 60_000, "levels"),
        ("stages: " + "{a: " * 100_000, "levels"),
        (LOCK + "#" * 8_000_000, "8 MB"),
        (f"{LOCK}---\n{LOCK}", "document"),
    ],
)
def test_a_lock_file_that_no_pipeline_writes_is_refused(
    tmp_path: Path, logged: list[Any], text: str, reason: str
) -> None:
    (tmp_path / "dvc.lock").write_text(text)

    assert Locks().outs(str(tmp_path), "dvc.lock", "1") == {}
    assert reason in logged[0]["reason"]


def test_an_alias_is_passed_by_whatever_it_stands_for(tmp_path: Path) -> None:
    levels = "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 100}]\n" for n in range(1, 9))
    shared = "    params: &p [1, 2]\n    more: *p\n"
    bomb = "  bomb:\n    outs:\n    - path: out\n      md5: *a8\n"
    text = f"a0: &a0 [x]\n{levels}{LOCK}{bomb}".replace("    deps:\n", f"{shared}    deps:\n", 1)
    (tmp_path / "dvc.lock").write_text(text)

    found = Locks().outs(str(tmp_path), "dvc.lock", "1")

    assert sorted(found.values()) == sorted([B, A, A])


def test_a_file_that_could_not_be_opened_is_read_when_it_can(tmp_path: Path) -> None:
    locks, file = Locks(), tmp_path / "dvc.lock"
    file.mkdir()  # it refuses root, too

    before = locks.outs(str(tmp_path), "dvc.lock", "1")
    file.rmdir()
    file.write_text(LOCK)
    after = locks.outs(str(tmp_path), "dvc.lock", "1")

    assert (len(before), len(after)) == (0, 3)


def test_a_name_has_its_parts() -> None:
    assert parted("a/dvc.lock:each@x:b: c.txt") == ("a/dvc.lock", "each@x", "b: c.txt")
