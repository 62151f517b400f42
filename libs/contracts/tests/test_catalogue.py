# SPDX-License-Identifier: Apache-2.0
"""Any message of the catalogue can be read without knowing its type beforehand."""

from __future__ import annotations

import pytest

from mlops.contracts.catalogue import CATALOGUE, COMMANDS, EVENTS, owner, read, read_envelope
from mlops.contracts.commands import CommandRefused
from mlops.contracts.errors import MessageError, UnknownTypeError, UnreadableMessageError
from mlops.contracts.monitoring import DriftDetected, SetReference
from mlops.contracts.workspaces import ProjectArchived


def test_reading_finds_the_class_by_the_type() -> None:
    message = ProjectArchived(project="fraud", reason="done")

    assert read(message.encode()) == message


@pytest.mark.parametrize(
    "event", [None, 1, "text", [], {}, {"type": None}, {"type": ["a"]}, {"type": "no.such"}]
)
def test_unknown_type_is_named(event: object) -> None:
    with pytest.raises(UnknownTypeError, match="no message type"):
        read_envelope(event)


def test_bytes_that_are_no_json_are_unreadable() -> None:
    with pytest.raises(UnreadableMessageError, match="not JSON"):
        read(b"{")


def test_everything_wrong_with_a_message_is_one_family() -> None:
    assert issubclass(UnknownTypeError, MessageError)
    assert issubclass(UnreadableMessageError, MessageError)


@pytest.mark.parametrize(
    ("kind", "member"),
    [(DriftDetected, "monitoring"), (SetReference, "monitoring"), (CommandRefused, "commands")],
)
def test_owner_is_the_module(kind: type[DriftDetected], member: str) -> None:
    assert owner(kind) == member


def test_no_type_stands_twice() -> None:
    assert len(CATALOGUE) == len(EVENTS) + len(COMMANDS)
