# SPDX-License-Identifier: Apache-2.0
"""The replica: one packed model version in Ray Serve, answering the Open Inference Protocol.

Ray imports this module in its own processes (`import_path` of the application). The Bento is loaded natively; its
predictions leave as `prediction.logged`. Nothing here imports MLflow.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import orjson
from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from ray import serve

from mlops.chassis import log
from mlops.chassis.bus_nats import NatsBus
from mlops.chassis.errors import ChassisError
from mlops.chassis.settings import ServiceSettings
from mlops.contracts.message import Message
from mlops.contracts.serving import Prediction
from mlops.serving.adapters.confinement import limit_memory, stay_on_loopback
from mlops.serving.adapters.counters import Counters
from mlops.serving.adapters.inference import (
    Asked,
    Contract,
    UnknownOutputError,
    checked,
    column_of,
)
from mlops.serving.adapters.leftovers import hold
from mlops.serving.adapters.limits import NAME, Limits
from mlops.serving.adapters.prediction_log import PredictionLog
from mlops.serving.adapters.turns import Turns
from mlops.serving.model.apps import FULL_CONCURRENCY
from mlops.serving.model.tensors import Array, MalformedError

_MOST_ONGOING = 64

app = FastAPI(title="mlops replica", docs_url=None, redoc_url=None, openapi_url=None)


class Replica:
    """One version of one model; constructed by Ray, once per replica."""

    def __init__(self, spec: dict[str, Any]) -> None:
        log.configure(NAME)
        stay_on_loopback()
        limit_memory(float(spec["memory_gb"]))
        began = time.perf_counter()
        self._spec = spec
        self._model = _load(spec)
        self._contract = Contract.of(spec["model"], int(spec["version"]), self._model.spec)
        self._turns = Turns(FULL_CONCURRENCY)
        self._threads = ThreadPoolExecutor(
            max_workers=FULL_CONCURRENCY, thread_name_prefix="predict"
        )
        self._bus, self._held = _bus(spec)
        publish = self._bus.publish if self._bus else _forget
        self._log = PredictionLog(publish, spec["project"], spec["model"], spec["version"])
        self._counters = Counters(spec)
        self._limits = Limits(self._turns, self._log, spec["project"], self._counters.report)
        self._tasks: list[asyncio.Task[None]] = []
        self._load_s = round(time.perf_counter() - began, 3)

    async def reconfigure(self, config: dict[str, Any] | None) -> None:
        """Take Ray's `user_config`, at the start and whenever it changes, in the loop that answers."""
        self._limits.declare(config)

    async def check_health(self) -> None:
        """Begin what needs the running loop, the first time; raise when the log has died."""
        self._begin()
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    @app.get("/v2/health/live")
    async def live(self) -> Response:
        """Return that the process answers."""
        return _json({"live": True})

    @app.get("/v2/health/ready")
    async def ready(self) -> Response:
        """Return that the model is loaded: without it there is no replica."""
        return _json({"ready": True})

    @app.get("/v2")
    async def server(self) -> Response:
        """Return what answers here, and how it was made."""
        spec = self._spec
        facts = {key: spec[key] for key in ("project", "model", "version", "bento_tag")}
        log_is = "on" if self._bus else "off: neither NATS_URL nor endpoints.json names the bus"
        return _json(
            {
                "name": "mlops",
                "version": "2",
                "extensions": [],
                **facts,
                "backend": self._model.spec["backend"],
                "pid": os.getpid(),
                "load_s": self._load_s,
                "concurrency": self._turns.most,
                "concurrency_from": self._limits.source,
                "prediction_log": log_is,
                "dropped_predictions": self._log.dropped,
            }
        )

    @app.get("/v2/models/{model}")
    @app.get("/v2/models/{model}/versions/{version}")
    async def metadata(self, model: str, version: str = "") -> Response:
        """Return what the model takes and gives."""
        return self._unknown(model, version) or _json(self._contract.metadata())

    @app.get("/v2/models/{model}/ready")
    @app.get("/v2/models/{model}/versions/{version}/ready")
    async def model_ready(self, model: str, version: str = "") -> Response:
        """Return that the model answers."""
        self._begin()
        return self._unknown(model, version) or _json({"name": model, "ready": True})

    @app.post("/v2/models/{model}/infer")
    @app.post("/v2/models/{model}/versions/{version}/infer")
    async def infer(self, request: Request, model: str, version: str = "") -> Response:
        """Return predictions for the request's rows."""
        unknown = self._unknown(model, version)
        if unknown is not None:
            return unknown
        try:
            asked = self._contract.read(await request.body(), request.headers)
        except MalformedError as error:
            return _json({"error": str(error)}, 400)
        return await self._answer(asked)

    async def _answer(self, asked: Asked) -> Response:
        began = time.perf_counter()
        request_id = asked.id or str(uuid.uuid4())
        try:
            async with self._turns:
                loop = asyncio.get_running_loop()
                with self._counters.busy():
                    answer = await loop.run_in_executor(
                        self._threads, self._model.answer, asked.rows.values
                    )
            outputs = checked(self._contract.named(answer), lambda: self._spec["model"])
            body = self._contract.write(asked, request_id, outputs)
        except UnknownOutputError as error:
            return _json({"error": str(error)}, 400)
        except Exception as error:  # noqa: BLE001 - a project's model may raise anything; the replica lives on
            return _json({"error": f"the model failed: {type(error).__name__}: {error}"}, 500)
        self._counters.answered += asked.rows.count
        self._remember(asked, request_id, outputs, (time.perf_counter() - began) * 1000)
        return Response(body, media_type="application/json")

    def _remember(
        self, asked: Asked, request_id: str, outputs: Mapping[str, Array], latency_ms: float
    ) -> None:
        self._begin()
        if not self._bus or self._log.share == 0:
            return
        count = asked.rows.count
        ids = [request_id] if count == 1 else [f"{request_id}:{row}" for row in range(count)]
        at = datetime.now(UTC)
        self._log.put(
            [
                Prediction.model_construct(
                    request_id=one, at=at, features=row, prediction=value, latency_ms=latency_ms
                )
                for one, row, value in zip(
                    ids, asked.rows.features(), column_of(outputs, count), strict=True
                )
            ]
        )

    def _unknown(self, model: str, version: str) -> Response | None:
        if model != self._contract.model:
            return _json({"error": f"no model {model!r} here; it is {self._contract.model!r}"}, 404)
        if version not in ("", str(self._contract.version)):
            return _json(
                {
                    "error": f"no version {version!r} of {model!r} here; it is {self._contract.version}"
                },
                404,
            )
        return None

    def _begin(self) -> None:
        # Ray constructs a replica in a thread without a loop; the log begins with the first sign of life.
        if self._bus is not None and not self._tasks:
            self._tasks = [
                asyncio.create_task(self._bus.start(), name="bus"),
                asyncio.create_task(self._log.run(), name="prediction-log"),
                asyncio.create_task(self._limits.follow(self._bus), name="limits"),
                asyncio.create_task(self._limits.listen(self._bus), name="changes"),
            ]

    async def __del__(self) -> None:
        if self._bus is not None:
            await self._log.flush()
            with suppress(ChassisError):
                await self._limits.ask(self._bus)  # the last word of what it has counted
            for task in self._tasks:
                task.cancel()
            await self._bus.stop()


def build(args: dict[str, Any]) -> Any:
    """Return the application of one version; Ray calls it with the `args` of its configuration."""
    deployment = serve.deployment(
        name="replica",
        max_ongoing_requests=_MOST_ONGOING,
        health_check_period_s=2,
        health_check_timeout_s=10,
        graceful_shutdown_wait_loop_s=0.5,
        graceful_shutdown_timeout_s=10,
        max_constructor_retry_count=2,
        ray_actor_options={"num_cpus": 0.05},
    )
    return deployment(serve.ingress(app)(Replica)).bind(args)


def _load(spec: dict[str, Any]) -> Any:
    os.environ["BENTOML_HOME"] = str(Path(spec["home"]) / "bentoml")
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "true")
    # After the environment: BentoML reads it when imported.
    import bentoml  # noqa: PLC0415

    return bentoml.load(spec["bento_tag"])()


def _bus(spec: dict[str, Any]) -> tuple[NatsBus | None, IO[str] | None]:
    """Return the bus, and what holds this replica's outbox for as long as the replica lives."""
    try:
        settings = ServiceSettings(home=Path(spec["home"]))
    except ValidationError:
        return None, None
    token = settings.nats_token.get_secret_value() if settings.nats_token else None
    outbox = settings.state_dir(NAME) / f"replica-{os.getpid()}.db"
    held = hold(outbox)
    return NatsBus(settings.nats_url, token=token, name=NAME, outbox=outbox), held


async def _forget(_: Message) -> None:
    return None


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
