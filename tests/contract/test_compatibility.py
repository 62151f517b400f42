# SPDX-License-Identifier: Apache-2.0
"""Compared with `main`, messages only grew: old and new readers both go on."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops.contracts.catalogue import read_envelope
from mlops.contracts.generate.schemas import data_schema
from mlops.contracts.message import MAX_BYTES
from mlops.contracts.monitoring import DriftDetected

FREE = {"title", "description", "default", "examples"}
WALKED = {"properties", "required", "$defs", "items"}
Schema = dict[str, Any]


def breaking(old: Schema, new: Schema, at: str = "$") -> list[str]:
    """Return why old or new readers would break; empty when none."""
    found = [
        f"{at}: {key} changed from {old.get(key)} to {new.get(key)}"
        for key in sorted((old.keys() | new.keys()) - FREE - WALKED)
        if old.get(key) != new.get(key)
    ]
    was, now = old.get("properties", {}), new.get("properties", {})
    found += [f"{at}.{name}: removed" for name in sorted(was.keys() - now.keys())]
    needed, needs = set(old.get("required", [])), set(new.get("required", []))
    found += [f"{at}.{name}: became required" for name in sorted(needs - needed)]
    found += [f"{at}.{name}: no longer required" for name in sorted(needed - needs)]
    # The words of an open enum stand in `examples`: new ones are welcome, old ones stay.
    words = [word for word in old.get("examples", []) if word not in new.get("examples", [])]
    found += [f"{at}: the word {word!r} was removed" for word in words]
    for group in ("properties", "$defs"):
        for name in sorted(old.get(group, {}).keys() & new.get(group, {}).keys()):
            found += breaking(old[group][name], new[group][name], f"{at}.{name}")
    if "items" in old and "items" in new:
        found += breaking(old["items"], new["items"], f"{at}[]")
    return found


def test_schemas_only_grew_since_main(
    root: Path, from_main: Callable[[str], dict[str, str]]
) -> None:
    for path, text in from_main("libs/contracts/schemas").items():
        now = root / path

        assert now.exists(), f"{path} was removed; the owner publishes a version until its SUNSET"
        assert breaking(json.loads(text), json.loads(now.read_text())) == [], (
            f"{path}: make it a new version"
        )


def test_examples_of_main_are_still_read(from_main: Callable[[str], dict[str, str]]) -> None:
    for path, text in from_main("libs/contracts/examples").items():
        message = read_envelope(json.loads(text))

        assert path.split("/")[-2] == message.type
        assert len(message.encode()) <= MAX_BYTES


def test_main_without_the_folder_is_told_from_git_failing(
    from_main: Callable[[str], dict[str, str]],
) -> None:
    assert from_main("no/such/folder") == {}
    assert "pyproject.toml" in from_main("pyproject.toml")


def _changed(change: Callable[[Schema], object]) -> Schema:
    schema = copy.deepcopy(data_schema(DriftDetected))
    change(schema)
    return schema


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda s: s["properties"].pop("suggestion"), "$.suggestion: removed"),
        (lambda s: s["required"].append("severity"), "$.severity: became required"),
        (lambda s: s["required"].remove("window"), "$.window: no longer required"),
        (lambda s: s["properties"]["version"].update(minimum=0), "$.version: minimum changed"),
        (lambda s: s["properties"]["report_uri"]["anyOf"].pop(), "$.report_uri: anyOf changed"),
        (lambda s: s["$defs"]["DriftKind"]["examples"].remove("data"), "the word 'data'"),
        (lambda s: s["$defs"]["Window"]["required"].append("labelled"), "$.Window.labelled"),
        (lambda s: s["properties"]["columns"]["items"].update(type="string"), "$.columns[]: type"),
        (lambda s: s.update({"$id": "urn:mlops:schema:other:1"}), "$: $id changed"),
    ],
)
def test_breaking_change_is_found(change: Callable[[Schema], object], complaint: str) -> None:
    found = breaking(data_schema(DriftDetected), _changed(change))

    assert [text for text in found if complaint in text], found


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["properties"].update(note={"type": "string", "default": ""}),
        lambda s: s.update(description="Said better."),
        lambda s: s["$defs"]["DriftKind"]["examples"].append("embedding"),
        lambda s: s["$defs"].update(Further={"type": "object", "properties": {}}),
    ],
)
def test_growth_is_welcome(change: Callable[[Schema], object]) -> None:
    assert breaking(data_schema(DriftDetected), _changed(change)) == []
