# SPDX-License-Identifier: Apache-2.0
"""The lists of other programs' packages: made of what is asked for, pinned by hash, and of no private registry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

LISTS = Path(__file__).resolve().parents[1] / "servers" / "peer_lists"
WISHES = sorted(LISTS.glob("*.in"))
each_wish = pytest.mark.parametrize("wish", WISHES, ids=lambda path: path.stem)


def entries(listed: Path) -> list[str]:
    return re.split(r"\n(?=\S)", listed.read_text().strip())


def test_every_list_is_made_of_a_wish() -> None:
    assert {one.stem for one in WISHES} == {one.stem for one in LISTS.glob("*.txt")}


@each_wish
def test_list_holds_what_is_wished_for(wish: Path) -> None:
    wished = [Requirement(line) for line in wish.read_text().splitlines() if line[:1] != "#"]
    pinned = {entry.split(" ")[0] for entry in entries(wish.with_suffix(".txt"))}

    assert {f"{one.name}{one.specifier}" for one in wished} <= pinned


@each_wish
def test_every_package_is_pinned_by_hash(wish: Path) -> None:
    found = entries(wish.with_suffix(".txt"))

    assert [entry for entry in found if "--hash=sha256:" not in entry or "==" not in entry] == []


@each_wish
def test_no_registry_is_named(wish: Path) -> None:
    assert "://" not in wish.with_suffix(".txt").read_text()


@pytest.mark.parametrize("server", ["mlserver", "kserve"])
def test_servers_of_others_load_models_with_our_scikit_learn(server: str) -> None:
    locked = (LISTS.parents[2] / "requirements.lock").read_text()
    wish = (LISTS / f"{server}.in").read_text()
    pin = re.compile(r"^scikit-learn==[\d.]+", re.MULTILINE)

    assert pin.findall(wish) == pin.findall(locked)
