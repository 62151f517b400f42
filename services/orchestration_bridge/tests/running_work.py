# SPDX-License-Identifier: Apache-2.0
"""Workflows that run, and machines as hot as a test needs them: what the tests of moves are built of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from mlops.orchestration_bridge.model.lifecycle import End
from mlops.orchestration_bridge.model.nodes import Node
from mlops.orchestration_bridge.model.queue import Entry, Policy, Queue, State
from mlops.orchestration_bridge.model.standing import World

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SAVES = Policy(can_train=True, saves_within=MINUTE)


def entry(key: str = "k", began: datetime = NOON - 10 * MINUTE, **more: Any) -> Entry:
    given: dict[str, Any] = {
        "kind": "train",
        "model": "m",
        "why": "",
        "trigger_id": key,
        "trigger_type": "x",
        "queued_id": f"q-{key}",
        "story_id": "s",
        "queued_at": began,
        "state": State.RUNNING,
        "told": State.RUNNING,
        "admitted_at": began,
        "started_at": began,
        "node": "n1",
    }
    return Entry(key=key, **{**given, **more})


def done(key: str, lasted: timedelta) -> Entry:
    began = NOON - timedelta(hours=20)
    return entry(
        key, began, state=State.COMPLETED, told=State.COMPLETED, ended_at=began + lasted, node="n9"
    )


def node(level: int, at: datetime = NOON, episode: str = "e1") -> Node:
    return Node(level, at, reason="fan stopped" if level else "", episode=episode)


def world(*entries: Entry, policy: Policy = SAVES, **machines: Node) -> World:
    queue = Queue("p", policy, path="/p", entries=entries)
    return World({"p": queue}, machines, max_parallel=4)


LEFT = End(completed=False, at=NOON, left=True, saved=True)
FAILED = End(completed=False, at=NOON, step="train", diagnosis="exit status 1")
