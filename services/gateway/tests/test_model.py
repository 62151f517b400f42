# SPDX-License-Identifier: Apache-2.0
"""What the gateway decides and remembers, without any bus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from mlops.contracts.catalogue import CATALOGUE
from mlops.gateway.adapters.memory import MemoryOfBus
from mlops.gateway.adapters.prometheus import PrometheusMeter
from mlops.gateway.http.answers import json_answer
from mlops.gateway.http.traffic import Traffic
from mlops.gateway.model.archive import Bounds, Wanted
from mlops.gateway.model.describe import describe
from mlops.gateway.model.facts import fact_of
from mlops.gateway.model.labels import batches
from mlops.gateway.model.routing import RetryBudget, Route, Target, table_of

RAIN = Route("rainfall", "rain", (Target(1, "u1", 0.75), Target(2, "u2", 0.25)))


def told(
    id_: str, type_: str, *, cause: str = "", story: str = "", at: int = 0, **data: Any
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": id_,
        "type": type_,
        "source": "/test",
        "time": f"2026-01-01T00:00:{at:02}Z",
        "project": data.pop("project", "rainfall"),
        **({"causationid": cause} if cause else {}),
        **({"correlationid": story} if story else {}),
        "data": data,
    }


def memory_of(*envelopes: Mapping[str, Any], bounds: Bounds | None = None) -> MemoryOfBus:
    memory = MemoryOfBus(bounds)
    for envelope in envelopes:
        memory.take(envelope)
    return memory


@pytest.mark.parametrize(
    ("draw", "avoid", "version"),
    [(0.0, None, 1), (0.749, None, 1), (0.75, None, 2), (0.999, None, 2), (0.5, 1, 2), (0.9, 2, 1)],
)
def test_draw_chooses_by_weight(draw: float, avoid: int | None, version: int) -> None:
    target = RAIN.choose(draw, avoid)

    assert target is not None
    assert target.version == version


def test_no_weight_is_no_choice() -> None:
    assert Route("rainfall", "rain", (Target(1, "u", 0.0),)).choose(0.5) is None


def test_full_name_wins_over_a_model_that_is_called_so() -> None:
    table = table_of(
        {
            "routes": [
                {"project": "a", "model": "b", "versions": []},
                {"project": "x", "model": "a.b", "versions": []},
            ]
        }
    )

    assert [route.project for route in table.find("a.b")] == ["a"]
    assert [route.project for route in table.find("x.a.b")] == ["x"]


def test_nonsense_in_the_routes_is_left_out() -> None:
    good = {"version": 1, "url": "http://r/", "weight": 1}
    entry = {"project": "p", "model": "m", "versions": [good, {"version": "2"}, 3, {"url": "x"}]}

    table = table_of({"routes": [entry, {"project": "p"}, None]})

    assert table.names() == ["m"]
    assert table.routes["p", "m"].targets == (Target(1, "http://r", 1.0),)


def test_budget_of_retries_runs_dry_and_recovers() -> None:
    budget = RetryBudget(tokens=1.0)

    assert budget.spend()
    assert not budget.spend()

    for _ in range(6):
        budget.earn()
    assert budget.spend()


@given(st.lists(st.integers(1, 60), max_size=80))
def test_batches_hold_every_item_once_and_stay_small(sizes: list[int]) -> None:
    found = batches(sizes, 7, 100)

    assert [index for batch in found for index in batch] == list(range(len(sizes)))
    assert all(0 < len(batch) <= 7 for batch in found)
    assert all(sum(sizes[index] for index in batch) <= 100 for batch in found)


@pytest.mark.parametrize("type_", sorted(CATALOGUE))
def test_every_message_has_words_even_when_it_is_empty(type_: str) -> None:
    assert len(describe({"type": type_, "subject": "x", "data": {}})) > 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["model", "version", "name", "metric", "value", "window", "settings", "workflow_key", "links"]
)


@given(st.sampled_from(sorted(CATALOGUE)), st.dictionaries(FIELDS, JSON), JSON)
def test_no_strangers_message_breaks_the_fold(
    type_: str, data: dict[str, object], scope: object
) -> None:
    memory = memory_of({"id": "x", "type": type_, "project": scope, "data": data, "time": scope})

    assert memory.world.as_json()
    assert fact_of({"id": "", "type": type_}) is None


STORIES = [
    [
        told(f"{name}-1", "run.started", run_id=f"r-{name}", at=1),
        told(f"{name}-2", "model.registered", name=name, version=1, at=2),
        told(f"{name}-3", "model.promoted", name=name, version=1, metric="accuracy", at=3),
        told(f"{name}-4", "deployment.started", deployment_id=name, model=name, version=1, at=4),
        told(f"{name}-5", "deployment.completed", deployment_id=name, model=name, version=1, at=5),
        told(f"{name}-6", "performance.measured", model=name, version=1, value=0.7, at=6),
        told(f"{name}-7", "workflow.queued", workflow_key=name, kind="retrain", at=7),
        told(f"{name}-8", "model.promoted", name=name, version=2, at=8),
    ]
    for name in ("rain", "snow")
]


@given(st.data())
def test_repeats_and_other_interleavings_end_in_the_same_world(data: st.DataObject) -> None:
    turns = data.draw(st.permutations([0] * 8 + [1] * 8))
    queues = [iter(story) for story in STORIES]
    history = [next(queues[turn]) for turn in turns]
    repeats = data.draw(st.lists(st.sampled_from(history), max_size=10))

    plain = memory_of(*STORIES[0], *STORIES[1]).world.as_json()
    other = memory_of(*history, *repeats).world.as_json()

    for kind, rows in plain.items():
        assert sorted(map(repr, rows)) == sorted(map(repr, other[kind]))  # type: ignore[call-overload]  # JSON lists


def test_archive_forgets_the_oldest_and_all_that_led_to_it() -> None:
    envelopes = [told(f"e{i}", "run.started", run_id=f"r{i}", cause="c") for i in range(5)]

    memory = memory_of(*envelopes, bounds=Bounds(facts=2))

    assert [fact.id for fact in memory.last(Wanted(), 10)] == ["e3", "e4"]
    assert memory.explain("r0") is None
    assert memory.explain("r4") is not None


def test_long_story_keeps_its_beginning_and_its_end() -> None:
    envelopes = [told(f"e{i}", "run.started", story="s") for i in range(9)]

    memory = memory_of(*envelopes, bounds=Bounds(story=3))

    assert [fact.id for fact in memory.last(Wanted(story="s"), 10)] == ["e0", "e7", "e8"]


def test_bodies_of_the_very_many_are_not_kept() -> None:
    envelope = told("p", "prediction.logged", model="rain", version=1, predictions=[{}, {}])

    (fact,) = memory_of(envelope).last(Wanted(story="p"), 1)

    assert fact.summary == "2 predictions of rain v1"
    assert "data" not in fact.envelope()


def test_story_is_a_tree_from_drift_to_rollout() -> None:
    memory = memory_of(
        told("p", "prediction.logged", model="rain", version=1, predictions=[{}]),
        told("d", "performance.degraded", cause="p", story="p", model="rain", at=1),
        told("q", "workflow.queued", cause="d", story="p", workflow_key="w", at=2),
        told("m", "model.promoted", cause="q", story="p", name="rain", version=2, at=3),
        told("x", "deployment.started", cause="m", story="p", deployment_id="d2", at=4),
        told("other", "run.started", run_id="r", at=5),
    )

    found = memory.explain("rain:2")

    assert found is not None
    assert (found.matched, found.event_id, found.chain) == ("model", "m", ("p", "d", "q", "m"))
    depths = []
    node = found.tree
    while True:
        depths.append((node.type, node.asked))
        if not node.children:
            break
        (node,) = node.children
    assert depths == [
        ("prediction.logged", False),
        ("performance.degraded", False),
        ("workflow.queued", False),
        ("model.promoted", True),
        ("deployment.started", False),
    ]


def test_causes_that_go_in_circles_still_make_a_tree() -> None:
    memory = memory_of(
        told("a", "run.started", cause="b", story="s"),
        told("b", "run.started", cause="a", story="s"),
    )

    found = memory.explain("a")

    assert found is not None
    assert {child.id for child in found.tree.children} == {"a", "b"}


def test_endless_chain_of_causes_is_cut() -> None:
    chain = [told(f"e{i}", "run.started", cause=f"e{i - 1}", story="s") for i in range(300)]

    found = memory_of(*chain).explain("e299")

    assert found is not None
    assert len(found.chain) <= 61
    assert found.as_json()


def test_champion_of_before_is_retired() -> None:
    memory = memory_of(
        told("a", "model.promoted", name="rain", version=1),
        told("b", "model.promoted", name="rain", version=2),
        told("c", "model.rejected", name="rain", version=3, reason="not better"),
    )

    states = {one.version: one.state for one in memory.world.versions.values()}

    assert states == {1: "retired", 2: "champion", 3: "rejected"}


def test_settings_told_late_do_not_replace_newer_ones() -> None:
    memory = memory_of(
        told("b", "project.updated", settings={"description": "new"}, revision=2),
        told("a", "project.registered", settings={"description": "old"}, revision=1),
    )

    assert memory.world.projects["rainfall"].description == "new"


@pytest.mark.parametrize("known", [True, False])
def test_a_version_that_heat_slows_is_no_rollout(*, known: bool) -> None:
    ended = [told("c", "deployment.completed", deployment_id="d", model="rain", version=1)]
    slowed = told(
        "s", "deployment.progressed", deployment_id="d", model="rain", phase="slowed", concurrency=4
    )

    memory = memory_of(*(ended if known else []), slowed)

    assert [one.state for one in memory.world.deployments.values()] == ["completed"] * known
    assert not memory.world.being_deployed("rain")


def test_retry_of_a_rollout_told_late_does_not_reopen_it() -> None:
    memory = memory_of(
        told("c", "deployment.completed", deployment_id="d", model="rain", version=1),
        told("p", "deployment.progressed", deployment_id="d", model="rain", traffic_ratio=0.5),
    )

    assert memory.world.deployments["d"].state == "completed"
    assert not memory.world.being_deployed("rain")


HUGE = 10**400  # JSON knows it, a float and orjson do not


@pytest.mark.parametrize("number", [HUGE, -HUGE, float("inf"), float("nan")])
async def test_no_number_of_a_stranger_stops_the_fold_or_the_answers(number: float) -> None:
    memory = memory_of(
        told("a", "performance.measured", model="rain", version=number, value=number),
        told("b", "model.promoted", name="rain", version=number, metrics={"accuracy": number}),
        told("c", "run.started", run_id="r"),
    )

    assert [fact.id for fact in memory.last(Wanted(), 9)] == ["a", "b", "c"]
    assert json_answer(memory.world.as_json()).status_code == 200
    assert json_answer([fact.envelope() for fact in memory.last(Wanted(), 9)]).status_code == 200


def test_archive_is_bounded_in_bytes_too() -> None:
    envelopes = [told(f"e{i}", "run.started", run_id="r" * 1000) for i in range(20)]

    memory = memory_of(*envelopes, bounds=Bounds(bytes=5000))

    kept = [fact.id for fact in memory.last(Wanted(), 99)]
    assert kept == [f"e{i}" for i in range(20)][-len(kept) :]
    assert 2 <= len(kept) <= 4


def test_traffic_remembers_the_versions_last_asked() -> None:
    traffic = Traffic()
    for version in range(1, 1000):
        traffic.count(("p", "m", version), failed=False, latency_ms=1.0)
        traffic.count(("p", "m", 1), failed=True, latency_ms=1.0)

    told_now = traffic.as_json()

    assert len(told_now) <= 256
    assert told_now[0] == {
        "project": "p",
        "model": "m",
        "version": 1,
        "requests": 1000,
        "errors": 999,
        "shed": 0,
        "p50_ms": 1.0,
        "p95_ms": 1.0,
        "p99_ms": 1.0,
        "latencies": {"12": 1000},
    }


def test_meter_forgets_versions_that_nobody_asks_any_more() -> None:
    registry = CollectorRegistry()
    meter = PrometheusMeter(registry, most_versions=3)
    for version in ("1", "2", "3", "1", "4"):
        meter.count("p", "m", version, "ok")
        meter.took("p", "m", version, 0.1)

    asked = {
        sample.labels["version"]
        for family in registry.collect()
        for sample in family.samples
        if sample.labels
    }

    assert asked == {"1", "3", "4"}


def test_a_run_that_was_taken_for_stale_and_came_back_runs_again() -> None:
    memory = memory_of(
        told("a", "run.started", run_id="r"),
        told("b", "run.stale", run_id="r", metrics={"loss": 0.5}, reason="no heartbeat", at=1),
        told("c", "run.started", run_id="r", resumed=True, at=2),
        told("d", "run.started", run_id="r", at=3),
    )

    run = memory.world.runs["r"]

    assert (run.state, run.metrics) == ("started", {"loss": 0.5})
    stale = told("b", "run.stale", run_id="r", reason="no heartbeat")
    assert describe(stale) == "run r gave no more signs of life: no heartbeat"
