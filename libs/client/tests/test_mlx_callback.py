# SPDX-License-Identifier: Apache-2.0
"""MLXCallback with the protocol of mlx-lm, in loops of one's own, and with a log that fails."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from mlops.client.callbacks.mlx import MLXCallback

# As mlx_lm.tuner.trainer.train reports it.
TRAIN = {
    "iteration": 10,
    "train_loss": 2.603,
    "learning_rate": 0.001,
    "iterations_per_second": 210.0,
    "tokens_per_second": 15120.5,
    "trained_tokens": 720,
    "peak_memory": 0.001247,
}
VAL = {"iteration": 9, "val_loss": 2.167, "val_time": 0.008}


class Run:
    def __init__(self) -> None:
        self.logged: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: Mapping[str, float], /, *, step: int | None = None) -> None:
        own = {key: one for key, one in metrics.items() if not key.startswith("system/mlx_")}
        self.logged.append((step, own))


class Hardware:
    gpu_busy_percentage: float | None = 87.5

    def __init__(self) -> None:
        self.peaks: list[int] = []

    def observe_memory(self, peak_bytes: int) -> None:
        self.peaks.append(peak_bytes)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Lazy:
    """An array that counts how often it had to be computed."""

    computed = 0

    def item(self) -> float:
        Lazy.computed += 1
        return 0.5


def test_reports_of_mlx_lm_are_logged_at_their_iteration() -> None:
    run = Run()
    callback = MLXCallback(run)

    callback.on_val_loss_report(VAL)
    callback.on_train_loss_report(TRAIN)

    assert run.logged == [
        (9, {"val_loss": 2.167, "val_time": 0.008}),
        (
            10,
            {
                "train_loss": 2.603,
                "learning_rate": 0.001,
                "iterations_per_second": 210.0,
                "tokens_per_second": 15120.5,
                "trained_tokens": 720.0,
            },
        ),
    ]


def test_the_gpu_is_told_when_the_sampler_knows_it() -> None:
    run, hardware = Run(), Hardware()

    MLXCallback(run, sampler=hardware).on_val_loss_report(VAL)

    assert run.logged[0][1]["gpu_busy_percentage"] == 87.5
    assert len(hardware.peaks) == 1


def test_another_callback_is_told_too() -> None:
    heard: list[Any] = []

    class Other:
        def on_train_loss_report(self, info: Mapping[str, Any]) -> None:
            heard.append(info)

        def on_val_loss_report(self, info: Mapping[str, Any]) -> None:
            raise RuntimeError(info)

    callback = MLXCallback(Run(), wrapped=Other())
    callback.on_train_loss_report(TRAIN)
    callback.on_val_loss_report(VAL)

    assert heard == [TRAIN]


def test_steps_of_a_loop_become_one_point_of_their_throughput() -> None:
    run, clock = Run(), Clock()
    callback = MLXCallback(run, every=4, clock=clock)

    for _ in range(8):
        with callback.step(samples=32, tokens=1000) as report:
            clock.now_s += 0.5
            report(loss=0.25)
        clock.now_s += 100.0  # what happens between steps is not training

    point = {
        "loss": 0.25,
        "iterations_per_second": 2.0,
        "samples_per_second": 64.0,
        "tokens_per_second": 2000.0,
    }
    assert run.logged == [(4, point), (8, point)]


def test_steps_without_a_block_are_timed_from_one_to_the_next() -> None:
    run, clock = Run(), Clock()
    callback = MLXCallback(run, every=2, clock=clock)

    for step in (100, 101):
        clock.now_s += 0.25
        callback.on_step(samples=1, step=step, loss=1.0)

    expected = {"loss": 1.0, "iterations_per_second": 4.0, "samples_per_second": 4.0}
    assert run.logged == [(101, expected)]


def test_an_array_is_computed_once_per_point_only() -> None:
    run = Run()
    callback = MLXCallback(run, every=5, clock=Clock())
    Lazy.computed = 0

    for _ in range(10):
        callback.on_step(took_s=1.0, loss=Lazy())

    assert Lazy.computed == 2
    assert [point["loss"] for _, point in run.logged] == [0.5, 0.5]


def test_the_last_steps_are_logged_by_flush() -> None:
    run = Run()
    callback = MLXCallback(run, every=10, clock=Clock())
    callback.on_step(took_s=0.5, loss=2.0)

    callback.flush()
    callback.flush()

    assert run.logged == [(1, {"loss": 2.0, "iterations_per_second": 2.0})]


def test_an_error_of_the_training_passes_unharmed() -> None:
    run = Run()
    callback = MLXCallback(run, every=1)

    with pytest.raises(ZeroDivisionError), callback.step():
        raise ZeroDivisionError

    assert run.logged == []


def test_an_error_of_the_log_does_not(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def log_metrics(self, metrics: Mapping[str, float], /, *, step: int | None = None) -> None:
            raise OSError("disk full", metrics, step)

    callback = MLXCallback(Broken(), every=1)
    with caplog.at_level(logging.WARNING, "mlops.client"):
        callback.on_train_loss_report(TRAIN)
        callback.on_step(loss=1.0)

    assert [record.getMessage().count("disk full") for record in caplog.records] == [1]


def test_what_is_no_number_is_left_out() -> None:
    run = Run()

    MLXCallback(run).on_val_loss_report(
        {"iteration": 1, "val_loss": 1.0, "note": "text", "x": None}
    )

    assert run.logged == [(1, {"val_loss": 1.0})]
