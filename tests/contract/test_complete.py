# SPDX-License-Identifier: Apache-2.0
"""The catalogue is complete: every message of every module, named by the grammar, with one owner."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mlops.contracts
from mlops.contracts.catalogue import CATALOGUE, COMMANDS, EVENTS, owner
from mlops.contracts.generate.schemas import data_schema
from mlops.contracts.message import Command, Event, Message
from mlops.contracts.units import OpenEnum

EVENT_TYPE = re.compile(r"[a-z]+\.[a-z]+(_v([2-9]|[1-9]\d+))?")
COMMAND_TYPE = re.compile(r"cmd\.[a-z]+\.[a-z]+(_v([2-9]|[1-9]\d+))?")
SHARED_MODULES = {"commands"}
KINDS = sorted(CATALOGUE.values(), key=lambda kind: kind.type)


@pytest.fixture(scope="module", autouse=True)
def _every_module() -> None:
    for module in pkgutil.walk_packages(mlops.contracts.__path__, "mlops.contracts."):
        importlib.import_module(module.name)


def _all_below(kind: type[Any]) -> Iterator[type[Any]]:
    for below in kind.__subclasses__():
        if below.__module__.startswith("mlops.contracts"):
            yield below
        yield from _all_below(below)


def _messages(of: type[Message]) -> set[type[Message]]:
    return {kind for kind in _all_below(of) if kind.type}


def test_catalogue_lists_every_event_and_command() -> None:
    assert _messages(Event) == set(EVENTS)
    assert _messages(Command) == set(COMMANDS)
    assert set(CATALOGUE.values()) == {*EVENTS, *COMMANDS}


def test_every_class_without_a_type_is_a_base_of_others() -> None:
    untyped = [kind for kind in _all_below(Message) if not kind.type]

    assert [kind.__name__ for kind in untyped if not kind.__subclasses__()] == []


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.type)
def test_event_types_are_noun_and_participle(kind: type[Event]) -> None:
    assert EVENT_TYPE.fullmatch(kind.type)


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.type)
def test_command_types_are_cmd_noun_imperative(kind: type[Command]) -> None:
    assert COMMAND_TYPE.fullmatch(kind.type)


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.type)
def test_event_classes_are_called_as_the_type_is_spoken(kind: type[Event]) -> None:
    spoken = re.split(r"[._]", kind.type)

    assert kind.__name__ == "".join(word.capitalize() for word in spoken)


def test_every_message_is_owned_by_a_member_or_shared(root: Path) -> None:
    members = {path.parent.name for path in root.glob("*/*/pyproject.toml")}

    assert {owner(kind) for kind in KINDS} <= members | SHARED_MODULES


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type)
def test_message_says_what_it_means_and_names_a_field_of_its_own(kind: type[Message]) -> None:
    assert kind.__doc__ is not None
    assert kind.__doc__ != kind.__mro__[1].__doc__
    assert kind.about is None or kind.about in kind.model_fields
    assert kind.scoped_by in kind.model_fields


def test_messages_of_several_services_are_told_apart() -> None:
    shared = [kind for kind in EVENTS if kind.answers and not kind.answers.startswith("cmd.")]

    assert [kind.type for kind in shared if kind.told_apart_by not in kind.model_fields] == []
    assert {kind.type for kind in shared} == {"workspace.provisioned", "workspace.refused"}


def _undescribed(table: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    return [
        f"{table['title']}.{name}"
        for name, field in table.get("properties", {}).items()
        if not {**definitions.get(field.get("$ref", "").rpartition("/")[2], {}), **field}.get(
            "description"
        )
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type)
def test_every_field_is_described(kind: type[Message]) -> None:
    schema = data_schema(kind)
    definitions = schema.get("$defs", {})

    tables = [schema, *definitions.values()]

    assert [name for table in tables for name in _undescribed(table, definitions)] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type)
def test_no_field_hides_one_of_the_envelope(kind: type[Message]) -> None:
    envelope = {"specversion", "type", "subject", "datacontenttype", "dataschema", "data"}

    assert (
        data_schema(kind)["properties"].keys() & (envelope | Message.model_fields.keys()) == set()
    )


def test_every_enum_can_read_what_comes_later() -> None:
    closed = [kind.__name__ for kind in _all_below(OpenEnum) if "UNKNOWN" not in kind.__members__]

    assert closed == []
