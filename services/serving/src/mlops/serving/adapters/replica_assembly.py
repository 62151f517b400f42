# SPDX-License-Identifier: Apache-2.0
"""The parts of a replica and how they meet: model, turns, protocols, log, limits, keeper."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.message import Message
from mlops.serving.adapters.about import Told, facts
from mlops.serving.adapters.bodies import Bodies
from mlops.serving.adapters.calls import Calls
from mlops.serving.adapters.counters import Counters
from mlops.serving.adapters.description import describe
from mlops.serving.adapters.doorkeeper import Doorkeeper
from mlops.serving.adapters.inference import Contract
from mlops.serving.adapters.ingress import Ingress
from mlops.serving.adapters.journal import Asking, Journal
from mlops.serving.adapters.keeper import Keeper
from mlops.serving.adapters.leftovers import hold
from mlops.serving.adapters.limits import NAME, Limits
from mlops.serving.adapters.openai import OpenAI
from mlops.serving.adapters.prediction_log import PredictionLog
from mlops.serving.adapters.replica_settings import ReplicaSettings
from mlops.serving.adapters.replies import Routes
from mlops.serving.adapters.scoring import Scoring
from mlops.serving.adapters.turns import Turns
from mlops.serving.adapters.typed import Typed
from mlops.serving.adapters.v2 import OpenInference
from mlops.serving.model.apps import FULL_CONCURRENCY
from mlops.serving.model.haste import Haste, only_computes

_MIB = 2**20


@dataclass(frozen=True)
class Loaded:
    """A Bento as loaded: its service, the instance that has the model, and the time that took."""

    service: Any
    instance: Any
    took_s: float


@dataclass(frozen=True)
class Parts:
    """What a replica works with; *held* keeps the outbox of the bus its own."""

    ingress: Ingress
    bus: NatsBus | None
    held: IO[str] | None
    log: PredictionLog
    limits: Limits
    keeper: Keeper


def load(args: Mapping[str, Any]) -> Loaded:
    """Load the Bento that *args* names."""
    began = time.perf_counter()
    os.environ["BENTOML_HOME"] = str(Path(args["home"]) / "bentoml")
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "true")
    # After the environment: BentoML reads it when imported.
    import bentoml  # noqa: PLC0415

    service = bentoml.load(args["bento_tag"])
    return Loaded(service, service(), round(time.perf_counter() - began, 3))


def assemble(
    args: Mapping[str, Any], loaded: Loaded, settings: ReplicaSettings, *, is_alone: bool = True
) -> Parts:
    """Put a replica together, nothing of it running yet; *is_alone*: only this machine can reach it."""
    wanted = loaded.instance.spec.get("concurrency") or FULL_CONCURRENCY
    ceiling = min(FULL_CONCURRENCY, wanted)
    turns = Turns(FULL_CONCURRENCY, ceiling)
    bus, held = _bus(settings)
    log = PredictionLog(
        bus.publish if bus else _forget, args["project"], args["model"], args["version"]
    )
    counters = Counters(args, lambda: {"waiting": turns.waiting, "dropped": log.dropped_ever})
    haste = Haste(may=only_computes(loaded.instance.spec))
    calls = Calls(turns, counters, ceiling, settings.infer_timeout_s, haste=haste)
    limits = Limits(turns, log, args["project"], counters.report)
    secret = settings.gateway_token.get_secret_value() if settings.gateway_token else None
    doorkeeper = Doorkeeper(secret, args["project"], is_alone=is_alone)

    def now() -> dict[str, Any]:
        return {
            "load_s": loaded.took_s,
            "concurrency": turns.most,
            "concurrency_from": limits.source,
            "queue": turns.queue,
            "tokens": doorkeeper.wants,
            "prediction_log": "on" if bus else _NO_LOG,
            "dropped_predictions": log.dropped_ever,
        }

    asking = Asking(calls, counters, Journal(log, is_on=bus is not None))
    routes, missing = _protocols(args, loaded, asking, now)
    bodies = Bodies(int(settings.max_body_mb * _MIB), settings.body_timeout_s)
    ingress = Ingress(routes, missing, doorkeeper, bodies, counters)
    keeper = Keeper(calls.stuck, float(args["memory_gb"]))
    return Parts(ingress, bus, held, log, limits, keeper)


def _protocols(
    args: Mapping[str, Any], loaded: Loaded, asking: Asking, now: Callable[[], Mapping[str, Any]]
) -> tuple[Routes, Callable[[str], str]]:
    """Return the paths of every protocol, and what says why a path has none."""
    packed, model = loaded.instance.spec, loaded.instance
    contract = Contract.of(args["model"], int(args["version"]), packed)
    is_text = packed.get("task") == "text"
    about = facts(args, packed, now)
    v2 = OpenInference(contract, model.answer, asking, about, is_text=is_text)
    typed = Typed(loaded.service, model, asking)
    described = partial(describe, contract, typed.methods, is_text=is_text)
    routes = {
        **typed.routes(),
        **v2.routes(),
        **Scoring(contract, model.answer, asking).routes(),
        **OpenAI(contract, model.generate if is_text else None, asking).routes(),
        **Told(asking.counters, described).routes(),
    }
    return routes, v2.missing


_NO_LOG = "off: neither NATS_URL nor endpoints.json names the bus"


def _bus(settings: ReplicaSettings) -> tuple[NatsBus | None, IO[str] | None]:
    """Return the bus, and what holds this replica's outbox for as long as the replica lives."""
    if not settings.nats_url:
        return None, None
    token = settings.nats_token.get_secret_value() if settings.nats_token else None
    outbox = settings.state_dir(NAME) / f"replica-{os.getpid()}.db"
    held = hold(outbox)
    return NatsBus(settings.nats_url, token=token, name=NAME, outbox=outbox), held


async def _forget(_: Message) -> None:
    return None
