# SPDX-License-Identifier: Apache-2.0
"""Every example on disk still reads, and the examples of the code are written as on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops.contracts.catalogue import CATALOGUE
from mlops.contracts.examples import full, minimal
from mlops.contracts.message import MAX_BYTES, Message, Part

EXAMPLES = Path(__file__).resolve().parents[2] / "libs/contracts/examples"
FILES = sorted(EXAMPLES.glob("*/*.json"))
KINDS = sorted(CATALOGUE.values(), key=lambda kind: kind.type)


def _unsaid(part: Part, at: str) -> list[str]:
    found = [f"{at}.{name}" for name in type(part).model_fields.keys() - part.model_fields_set]
    for name, value in part:
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Part):
                found += _unsaid(inner, f"{at}.{name}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_example_still_reads_strictly(path: Path) -> None:
    kind = CATALOGUE[path.parent.name]

    message = kind.from_envelope(json.loads(path.read_text()), strict=True)

    assert kind.decode(message.encode(), strict=True) == message
    assert len(message.encode()) <= MAX_BYTES


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type)
def test_producer_writes_what_the_examples_say(kind: type[Message]) -> None:
    folder = EXAMPLES / kind.type

    assert json.loads(full(kind).encode()) == json.loads((folder / "full.json").read_text())
    assert json.loads(minimal(kind).encode()) == json.loads((folder / "minimal.json").read_text())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type)
def test_full_example_says_every_field(kind: type[Message]) -> None:
    assert _unsaid(full(kind), kind.type) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type)
def test_minimal_example_says_only_what_it_must(kind: type[Message]) -> None:
    needed = {name for name, field in kind.model_fields.items() if field.is_required()}

    assert minimal(kind).model_fields_set == needed | {"id", "source", "time"}


def test_every_folder_of_examples_is_a_type() -> None:
    assert {path.parent.name for path in FILES} == set(CATALOGUE)
