# SPDX-License-Identifier: Apache-2.0
"""A document that was written when there were only canaries still reads, and its rollout goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops.serving.model.plan import Kind
from mlops.serving.model.rollout import Phase
from mlops.serving.ports import Deployment

OLD = Path(__file__).parent / "documents" / "deployment_of_canaries_only.json"


def test_an_old_document_reads_with_what_it_says() -> None:
    state = Deployment.model_validate_json(OLD.read_text()).state

    assert (state.live, state.before) == (2, 1)
    assert [one.phase for one in state.rollouts] == [
        Phase.COMPLETED,
        Phase.COMPLETED,
        Phase.CANARY,
    ]
    rollout = state.rollout
    assert rollout is not None
    assert (rollout.version, rollout.step, rollout.baseline.requests) == (3, 1, 40)
    assert (rollout.plan.kind, rollout.plan.max_latency_ratio) == (Kind.CANARY, None)


def test_what_is_written_now_reads_again_as_it_was() -> None:
    known = Deployment.model_validate_json(OLD.read_text())

    assert Deployment.model_validate_json(known.model_dump_json()) == known


async def test_its_rollout_goes_on_to_the_end(stage: Any) -> None:
    old = Deployment.model_validate_json(OLD.read_text())
    documents = stage.bus.documents("serving_deployments", Deployment)
    stage.now = datetime(2026, 1, 1, 12, 2, tzinfo=UTC)
    await documents.change("rain.rain", lambda _: old, applied="as it was")

    await stage.turn(times=40)

    assert stage.said()[-3:] == ["v3 canary 1", "v3 completed", "v2 removed"]
    assert await stage.routes() == {3: 1.0}
