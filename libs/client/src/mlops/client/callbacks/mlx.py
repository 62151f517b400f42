# SPDX-License-Identifier: Apache-2.0
"""MLXCallback: logs the training of mlx-lm, or of a loop of one's own, to a run; it never raises into the training.

With mlx-lm: `train(…, training_callback=MLXCallback(run))`. In a loop of one's own:

    callback = MLXCallback(run, every=20)
    for batch in batches:
        with callback.step(samples=len(batch), tokens=batch.size) as report:
            loss = step(batch)
            mx.eval(model.state, loss)
            report(loss=loss)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

_LOG = logging.getLogger("mlops.client")
_GIB = 2**30
# mlx-lm counts these in units of its own; what MLX says itself is logged instead.
_NOT_LOGGED = ("iteration", "peak_memory")


class Run(Protocol):
    """A run, as far as it matters here."""

    def log_metrics(self, metrics: Mapping[str, float], /, *, step: int | None = None) -> Any:
        """Log numbers of one step."""


class Hardware(Protocol):
    """What knows the GPU and wants to know the memory: the run's Sampler."""

    @property
    def gpu_busy_percentage(self) -> float | None:
        """How busy the GPU is, 0 to 100."""

    def observe_memory(self, peak_bytes: int) -> None:
        """Take note of a peak."""


class MLXCallback:
    """Logs loss, learning rate, throughput, MLX's memory and how busy the GPU is.

    *run* has `log_metrics(metrics, step=…)`: a run of this client, or the module `mlflow`. *sampler* is a `Sampler`
    (default: the run's own, where it has one); *every* is how many steps of `step` or `on_step` are one
    logged point; *wrapped* is another callback of mlx-lm that is told too.
    """

    def __init__(
        self,
        run: Run,
        *,
        sampler: Hardware | None = None,
        every: int = 10,
        wrapped: Any = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._run = run
        self._sampler = sampler
        self._every = max(1, every)
        self._wrapped = wrapped
        self._clock = clock
        self._told = False
        self._steps = 0
        self._since = clock()
        self._fresh()

    def on_train_loss_report(self, train_info: Mapping[str, Any]) -> None:
        """Log what mlx-lm reports of the training; called by mlx-lm."""
        self._guarded(lambda: self._report(train_info))
        if self._wrapped is not None:
            self._guarded(lambda: self._wrapped.on_train_loss_report(train_info))

    def on_val_loss_report(self, val_info: Mapping[str, Any]) -> None:
        """Log what mlx-lm reports of the validation; called by mlx-lm."""
        self._guarded(lambda: self._report(val_info))
        if self._wrapped is not None:
            self._guarded(lambda: self._wrapped.on_val_loss_report(val_info))

    @contextmanager
    def step(
        self, *, samples: float = 0, tokens: float = 0, step: int | None = None
    ) -> Iterator[Callable[..., None]]:
        """Time one step; what the block gives to `report(loss=…, …)` is logged with it.

        MLX computes when it must: end the block with `mx.eval`, or only the queueing is timed.
        """
        reported: dict[str, Any] = {}
        began = self._clock()
        yield reported.update  # an error of the training passes, and its step is not counted
        took = self._clock() - began
        self.on_step(took_s=took, samples=samples, tokens=tokens, step=step, **reported)

    def on_step(
        self,
        *,
        took_s: float | None = None,
        samples: float = 0,
        tokens: float = 0,
        step: int | None = None,
        **metrics: Any,
    ) -> None:
        """Count one step that is done; every so many of them become one point, with the newest *metrics*.

        Without *took_s*, the time since the step before is taken.
        """
        self._guarded(lambda: self._count(took_s, samples, tokens, step, metrics))

    def flush(self) -> None:
        """Log the steps that do not make a full point yet; call it after the last step."""
        self._guarded(self._point)

    def _count(
        self,
        took_s: float | None,
        samples: float,
        tokens: float,
        step: int | None,
        metrics: Mapping[str, Any],
    ) -> None:
        now = self._clock()
        self._took_s += now - self._since if took_s is None else took_s
        self._since = now
        self._steps = self._steps + 1 if step is None else step
        self._counted += 1
        self._samples += samples
        self._tokens += tokens
        # Numbers are taken from arrays once per point: each time MLX has to finish what it computes.
        self._newest.update(metrics)
        if self._counted >= self._every:
            self._point()

    def _point(self) -> None:
        if not self._counted:
            return
        found = dict(self._newest)
        if self._took_s > 0:
            found["iterations_per_second"] = self._counted / self._took_s
            if self._samples:
                found["samples_per_second"] = self._samples / self._took_s
            if self._tokens:
                found["tokens_per_second"] = self._tokens / self._took_s
        self._fresh()
        self._log(found, self._steps)

    def _report(self, info: Mapping[str, Any]) -> None:
        found = {key: value for key, value in info.items() if key not in _NOT_LOGGED}
        iteration = info.get("iteration")
        self._log(found, None if iteration is None else int(iteration))

    def _log(self, found: Mapping[str, Any], step: int | None) -> None:
        numbers = {key: _number(value) for key, value in found.items()}
        known = {key: value for key, value in numbers.items() if value is not None}
        self._run.log_metrics({**known, **self._hardware()}, step=step)

    def _hardware(self) -> dict[str, float]:
        sizes = _sizes()
        found = {f"system/mlx_{name}_memory_gb": size / _GIB for name, size in sizes.items()}
        # The run's own may begin after this callback was made.
        sampler: Hardware | None = self._sampler or getattr(self._run, "sampler", None)
        if sampler is None:
            return found
        sampler.observe_memory(sizes.get("peak", 0))
        busy = sampler.gpu_busy_percentage
        return found if busy is None else {**found, "gpu_busy_percentage": busy}

    def _fresh(self) -> None:
        self._counted = 0
        self._took_s = 0.0
        self._samples = 0.0
        self._tokens = 0.0
        self._newest: dict[str, Any] = {}

    def _guarded(self, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - logging must never end a training
            if not self._told:
                self._told = True
                _LOG.warning(
                    "what a training step said is not logged: %r; further ones pass silently", error
                )


def _number(value: Any) -> float | None:
    item = getattr(value, "item", None)
    try:
        return float(item() if callable(item) else value)
    except (TypeError, ValueError):
        return None


def _sizes() -> dict[str, int]:
    try:
        from mlops.client.adapters import mlx_memory  # noqa: PLC0415 - importing MLX takes a while
    except ImportError:
        return {}
    return mlx_memory.sizes()
