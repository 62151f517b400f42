# SPDX-License-Identifier: Apache-2.0
"""A version is explained by how it came about, not by the last window that mentions it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mlops.cli.story import explain, said_of
from mlops.contracts.message import Message
from mlops.contracts.monitoring import PerformanceMeasured, Window
from mlops.contracts.serving import DeploymentRemoved
from mlops.contracts.tracking import ModelPromoted

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
WINDOW = Window(index=1, rows=100, labelled=100, first_at=NOON, last_at=NOON)


def promoted(project: str, minutes: int) -> Message:
    at = NOON + timedelta(minutes=minutes)
    return ModelPromoted(project=project, id=f"{project}-p", time=at, name="rain", version=3)


def test_a_version_is_explained_by_its_promotion() -> None:
    measured = PerformanceMeasured(
        project="a",
        time=NOON + timedelta(hours=1),
        model="rain",
        version=3,
        metric="accuracy",
        value=0.8,
        window=WINDOW,
    )
    said = [said_of(one.envelope()) for one in (promoted("a", 0), measured)]

    [tree] = explain([one for one in said if one], "rain:3")

    assert tree.said.type == "model.promoted"


def test_what_removes_a_version_belongs_to_the_one_that_replaced_it() -> None:
    removed = DeploymentRemoved(
        project="a",
        time=NOON + timedelta(hours=1),
        deployment_id="rain-v3",
        model="rain",
        version=3,
        reason="replaced by version 4",
    )
    said = [said_of(one.envelope()) for one in (promoted("a", 0), removed)]

    [tree] = explain([one for one in said if one], "rain:3")

    assert tree.said.type == "model.promoted"


def test_a_project_may_be_named_where_models_share_a_name() -> None:
    said = [said_of(one.envelope()) for one in (promoted("a", 0), promoted("b", 1))]

    [tree] = explain([one for one in said if one], "a.rain:3")

    assert tree.said.id == "a-p"
