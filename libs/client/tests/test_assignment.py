# SPDX-License-Identifier: Apache-2.0
"""What the orchestrator tells a step becomes tags of its run: the story, the workflow, and the workflow's kind."""

from __future__ import annotations

from mlops.client.steps.assignment import read

TOLD = {"MLOPS_PROJECT": "rain", "MLOPS_WORKFLOW_KEY": "rain-1", "MLOPS_CORRELATION_ID": "story"}


def test_the_run_carries_the_kind_of_its_workflow() -> None:
    assert read({**TOLD, "MLOPS_WORKFLOW_KIND": "retrain"}).tags == {
        "mlops.workflow_key": "rain-1",
        "mlops.workflow_kind": "retrain",
        "mlops.correlation_id": "story",
    }


def test_a_step_that_a_person_started_has_no_kind() -> None:
    assert "mlops.workflow_kind" not in read(TOLD).tags
