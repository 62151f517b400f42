# SPDX-License-Identifier: Apache-2.0
"""A message is a CloudEvent on the wire, and what is none is refused by name."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from mlops.contracts.catalogue import read
from mlops.contracts.errors import MessageTooLargeError, UnreadableMessageError
from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.message import MAX_BYTES, follow_up_id, schema_uri
from mlops.contracts.telemetry_agent import ThermalThrottled
from mlops.contracts.versioning import AddData, DataRestored
from mlops.contracts.workspaces import ProjectArchived, WorkspaceProvisioned

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ARCHIVED: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/people/ada",
    "type": "project.archived",
    "time": "2026-01-02T03:04:05Z",
    "project": "fraud",
    "data": {"reason": "done"},
}


def test_envelope_names_type_subject_scope_and_schema() -> None:
    message = ProjectArchived(id="1", time=AT, source="/people/ada", project="fraud", reason="done")

    assert message.envelope() == {
        **ARCHIVED,
        "subject": "fraud",
        "datacontenttype": "application/json",
        "dataschema": "urn:mlops:schema:project.archived:1",
    }


def test_causes_travel_under_the_wire_names() -> None:
    message = ProjectArchived(
        project="fraud", correlation_id="story", causation_id="cause", traceparent="00-a-b-01"
    )

    envelope = message.envelope()

    assert [envelope[name] for name in ("correlationid", "causationid", "traceparent")] == [
        "story",
        "cause",
        "00-a-b-01",
    ]


def test_hardware_is_scoped_by_its_node() -> None:
    message = ThermalThrottled(node="node-3", episode_id="e", level=2, reason="hot", since=AT)

    assert message.subject == "thermal.throttled.node-3"
    assert message.envelope()["node"] == "node-3"
    assert "node" not in message.envelope()["data"]


def test_subject_attribute_is_left_out_when_there_is_nothing_to_name() -> None:
    message = AddData(project="fraud", path="data.csv")

    assert "subject" not in message.envelope()


def test_unknown_fields_are_ignored_when_reading() -> None:
    newer = {**ARCHIVED, "newattribute": "x", "data": {"reason": "done", "added_later": 1}}

    message = ProjectArchived.from_envelope(newer)

    assert message.reason == "done"


def test_unknown_fields_are_refused_when_reading_strictly() -> None:
    newer = {**ARCHIVED, "data": {"reason": "done", "added_later": 1}}

    with pytest.raises(UnreadableMessageError, match="added_later"):
        ProjectArchived.from_envelope(newer, strict=True)


def test_envelope_field_inside_data_is_refused_when_reading_strictly() -> None:
    misplaced = {**ARCHIVED, "data": {"project": "other"}}

    with pytest.raises(UnreadableMessageError, match="project"):
        ProjectArchived.from_envelope(misplaced, strict=True)


def test_scope_inside_data_never_wins_over_the_envelope() -> None:
    misplaced = {**ARCHIVED, "data": {"project": "other", "id": "2"}}

    message = ProjectArchived.from_envelope(misplaced)

    assert (message.project, message.id) == ("fraud", "1")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"specversion": "0.3"}, "specversion 1.0"),
        ({"type": "project.updated"}, "expected type 'project.archived'"),
        ({"data": "text"}, "`data` must be an object"),
        ({"id": ""}, "`id`, `source` and `time`"),
        ({"time": None}, "`id`, `source` and `time`"),
        ({"time": "2026-01-02T03:04:05"}, "time: Input should have timezone info"),
        ({"project": "Fraud!"}, "project: String should match pattern"),
        ({"project": None}, "project: Input should be a valid string"),
        ({"data": {"reason": 5}}, "reason: Input should be a valid string"),
    ],
)
def test_what_is_no_valid_message_is_named(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UnreadableMessageError, match=complaint):
        ProjectArchived.from_envelope({**ARCHIVED, **change})


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"null", b"[]", b"[" * 100_000, b"{}"])
def test_bytes_that_are_no_event_are_unreadable(payload: bytes) -> None:
    with pytest.raises(UnreadableMessageError):
        ProjectArchived.decode(payload)


def test_complaint_is_short_however_much_is_wrong() -> None:
    labels = [{"request_id": 1}] * 50
    broken = {**ARCHIVED, "type": "label.recorded", "data": {"model": "m", "labels": labels}}

    with pytest.raises(UnreadableMessageError, match=r"and \d+ more") as caught:
        LabelRecorded.from_envelope(broken)

    assert len(str(caught.value)) < 500


def _labels(count: int) -> LabelRecorded:
    labels = tuple(Label(request_id="r" * 128, label=1, at=AT) for _ in range(count))
    return LabelRecorded(project="fraud", model="fraud", labels=labels)


def test_message_above_the_limit_is_not_encoded() -> None:
    with pytest.raises(MessageTooLargeError, match=f"{MAX_BYTES} are allowed.*by reference"):
        _labels(500).encode()


def test_message_above_the_limit_is_not_read() -> None:
    payload = ProjectArchived(project="fraud").encode()
    padded = payload + b" " * (MAX_BYTES - len(payload))

    assert ProjectArchived.decode(padded) == read(padded)
    for reader in (ProjectArchived.decode, read):
        with pytest.raises(UnreadableMessageError, match=f"{MAX_BYTES + 1} bytes, {MAX_BYTES} are"):
            reader(padded + b" ")


def test_message_below_the_limit_is_encoded() -> None:
    assert len(_labels(300).encode()) <= MAX_BYTES


def test_non_finite_numbers_are_refused_by_the_writer() -> None:
    with pytest.raises(ValidationError, match="finite number"):
        Label(request_id="r", label=float("inf"), at=AT)


def test_messages_are_frozen() -> None:
    message = ProjectArchived(project="fraud")

    with pytest.raises(ValidationError, match="frozen"):
        message.project = "other"  # type: ignore[misc]  # what is tested


def test_follow_up_names_cause_and_story() -> None:
    cause = ProjectArchived(id="cause", project="fraud", correlation_id="story")
    follow_up = ProjectArchived(project="fraud").caused_by(cause, 0)

    assert (follow_up.causation_id, follow_up.correlation_id) == ("cause", "story")


def test_first_message_of_a_story_gives_it_its_id() -> None:
    cause = ProjectArchived(id="cause", project="fraud")

    assert ProjectArchived(project="fraud").caused_by(cause, 0).correlation_id == "cause"


def test_follow_up_id_is_the_same_at_every_redelivery_and_differs_by_place_and_type() -> None:
    ids = {
        follow_up_id("cause", "run.started", 0),
        follow_up_id("cause", "run.started", 0),
        follow_up_id("cause", "run.started", 1),
        follow_up_id("cause", "run.failed", 0),
        follow_up_id("other", "run.started", 0),
    }

    assert len(ids) == 4
    assert follow_up_id("cause", "run.started", 0) == "a03458b9-bc85-5929-b240-2e03ee0be3d1"


def test_answers_of_several_services_to_one_cause_have_ids_of_their_own() -> None:
    cause = ProjectArchived(id="cause", project="fraud")
    answers = [
        WorkspaceProvisioned(project="fraud", component=component, revision=1).caused_by(cause, 0)
        for component in ("tracking", "serving", "serving")
    ]

    assert answers[0].id != answers[1].id
    assert answers[1].id == answers[2].id


@pytest.mark.parametrize(
    ("type_", "uri"),
    [
        ("drift.detected", "urn:mlops:schema:drift.detected:1"),
        ("drift.detected_v2", "urn:mlops:schema:drift.detected:2"),
        ("cmd.data.add_v13", "urn:mlops:schema:cmd.data.add:13"),
    ],
)
def test_schema_uri_names_type_and_version(type_: str, uri: str) -> None:
    assert schema_uri(type_) == uri


def test_times_are_written_with_their_zone() -> None:
    message = DataRestored(
        time=AT, project="p", name="d", version=1, hash="h", size_bytes=0, files=0, path="d"
    )

    assert json.loads(message.encode())["time"] == "2026-01-02T03:04:05Z"


def test_services_that_answer_the_same_cause_are_told_apart() -> None:
    cause = ProjectArchived(project="fraud", id="cause")
    one = WorkspaceProvisioned(project="fraud", component="tracking", revision=1)
    other = WorkspaceProvisioned(project="fraud", component="serving", revision=1)

    assert one.caused_by(cause, 0).id != other.caused_by(cause, 0).id
