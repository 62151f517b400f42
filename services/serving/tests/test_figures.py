# SPDX-License-Identifier: Apache-2.0
"""What Prometheus reads of serving."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from mlops.contracts.latency import Latencies
from mlops.serving.adapters.figures import ServingFigures

LABELS = '{model="rain",project="rain",version="1"}'


async def asked(stage: Any) -> str:
    showing = stage.parts.showing
    registry = CollectorRegistry()
    ServingFigures(showing.versions, showing.room, showing.woken).offer(registry)
    return generate_latest(registry).decode()


async def report(stage: Any, requests: int, replica: str = "r") -> None:
    latencies = Latencies()
    for _ in range(requests):
        latencies.add(3.0)
    question = {
        "project": "rain",
        "model": "rain",
        "version": 1,
        "replica": replica,
        "answered": 2 * requests,
        "busy_s": 0.0,
        "cpu_s": 0.0,
        "requests": requests,
        "errors": 1,
        "shed": 2,
        "waiting": 3,
        "memory_bytes": 1000,
        "latencies": latencies.as_json(),
    }
    await stage.bus.ask("serving", "limits", question)


async def test_every_version_that_runs_is_shown_with_its_counts(stage: Any) -> None:
    await stage.first()
    await report(stage, 7)
    await stage.turn()

    text = await asked(stage)

    assert f"serving_requests_total{LABELS} 7.0" in text
    assert f"serving_request_errors_total{LABELS} 1.0" in text
    assert f"serving_requests_shed_total{LABELS} 2.0" in text
    assert f"serving_predictions_total{LABELS} 14.0" in text
    assert f"serving_queue_requests{LABELS} 3.0" in text
    assert f"serving_memory_bytes{LABELS} 1000.0" in text
    assert f"serving_replicas{LABELS} 1.0" in text
    assert f"serving_traffic_ratio{LABELS} 1.0" in text
    assert 'le="0.004",model="rain",project="rain",version="1"} 7.0' in text
    assert 'le="0.002",model="rain",project="rain",version="1"} 0.0' in text
    assert "serving_room_capacity_bytes 8.589934592e+09" in text


async def test_counts_grow_on_when_a_replica_is_replaced(stage: Any) -> None:
    await stage.first()
    await report(stage, 7, "old")
    await report(stage, 9, "old")
    await report(stage, 4, "new")

    text = await asked(stage)

    assert f"serving_requests_total{LABELS} 13.0" in text


async def test_what_nobody_has_measured_is_left_out(stage: Any) -> None:
    await stage.first()

    text = await asked(stage)

    assert f"serving_memory_bytes{LABELS}" not in text
    assert f"serving_joules_per_1000_predictions{LABELS}" not in text
