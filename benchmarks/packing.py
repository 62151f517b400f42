# SPDX-License-Identifier: Apache-2.0
"""Twenty models of four formats in a bounded memory: who fits, who makes room, how long a first answer takes.

    SERVING_MEMORY_GB=1.5 mlops up && python benchmarks/packing.py [--models 20]

Needs a running platform that was started with that limit and serves nothing else. Each model is a project of its own
that may sleep. They are deployed one after the other; then each is asked twice through the gateway, so that those who
sleep wake up, and others make room. Packing is compared with BentoML's own MLflow import and a Bento of it; a format that
BentoML does not import has no peer. Writes benchmarks/results/packing.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from results_file import Figure, write
from serving_platform import SCRIPTS, Platform, platform, pss_mb, row

from mlops.cli.errors import CliError

KINDS = ("sklearn", "onnx", "layers", "pyfunc")
IMPORTED = ("sklearn", "onnx", "pyfunc")
SINGLE = ("onnx", "layers")
PLAIN = "bentoml alone"
_ASK_S = 120.0


@dataclass
class Model:
    """One model, and what happened to it; seconds."""

    project: str
    kind: str
    version: int = 0
    ended: str = ""
    reason: str = ""
    packed_s: float | None = None
    started_s: float | None = None
    first_s: float | None = None
    second_s: float | None = None
    slept_before: bool = False


@dataclass
class Seen:
    """What holds for all of them together."""

    awake: int = 0
    memory_mb: float = 0.0
    fell_asleep: int = 0
    failed: list[str] = field(default_factory=list)


def deploy(found: Platform, model: Model) -> None:
    """Register, train and deploy one; note how that went and how long its steps took."""
    found.register(model.project, steps=[1.0], min_replicas=0, sleep_after="1h", memory_gb=0.5)
    [model.version] = found.log(model.project, model.kind)
    try:
        deployment = found.start_rollout(model.project, model.version)
        end = found.end_of(model.project, deployment)
    except CliError as error:
        model.ended, model.reason = "refused", error.what
        return
    model.ended, model.reason = end["type"], str(end["data"].get("reason", ""))
    at = {
        str(one["data"].get("phase") or one["type"]): when(one)
        for one in events(found, model.project)
        if one["data"].get("deployment_id") == deployment
    }
    if {"deployment.started", "packed"} <= at.keys():
        model.packed_s = at["packed"] - at["deployment.started"]
    if {"packed", "warm"} <= at.keys():
        model.started_s = at["warm"] - at["packed"]


def events(found: Platform, project: str) -> list[dict[str, Any]]:
    """Return what was said about a project's deployments."""
    asked = found.gateway.get("/api/v1/events", type="deployment.*", project=project, limit=200)
    return [dict(one) for one in asked]


def when(event: dict[str, Any]) -> float:
    """Return the time of an event."""
    return datetime.fromisoformat(str(event["time"])).timestamp()


def ask(found: Platform, model: Model) -> float:
    """Return how long one answer took, through the gateway, which waits for those who wake."""
    body = row(model.project)
    if model.kind in SINGLE:
        body["inputs"][0]["datatype"] = "FP32"
    url = f"{found.where.gateway}/v2/models/{model.project}.{model.project}/infer"
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {found.where.token}",
    }
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - our gateway
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=_ASK_S) as answer:  # noqa: S310 - as above
        answer.read()
    return time.perf_counter() - began


def awake(found: Platform) -> dict[str, str]:
    """Return where each model that is awake answers, by project."""
    return {
        str(route["project"]): str(route["versions"][0]["url"])
        for route in found.gateway.query("serving", "routes")["routes"]
        if route["versions"]
    }


def replica_mb(found: Platform, urls: list[str]) -> float:
    """Return what the replicas hold together."""
    headers = {"Authorization": f"Bearer {found.where.token}"}
    pids = []
    for url in urls:
        request = urllib.request.Request(f"{url}/v2", headers=headers)  # noqa: S310 - our replica
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            pids.append(int(json.load(answer)["pid"]))
    return pss_mb(pids)


def wake_all(found: Platform, models: list[Model], seen: Seen) -> None:
    """Ask every model twice; those who sleep wake for the first one."""
    for model in models:
        model.slept_before = model.project not in awake(found)
        try:
            model.first_s, model.second_s = ask(found, model), ask(found, model)
        except (urllib.error.URLError, TimeoutError) as error:
            seen.failed.append(f"{model.project} ({model.kind}): {error}")


def plain(found: Platform, models: list[Model]) -> dict[str, float]:
    """Return the seconds that BentoML alone takes for one model of each kind that it imports."""
    first = {kind: next(one for one in models if one.kind == kind) for kind in IMPORTED}
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as store:
        done = subprocess.run(
            [sys.executable, SCRIPTS / "plain_bento.py"],
            input=json.dumps({one.project: one.version for one in first.values()}),
            env=os.environ
            | {
                "BENTOML_HOME": store,
                "BENTOML_DO_NOT_TRACK": "true",
                "MLFLOW_TRACKING_URI": found.where.address("mlflow"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"BentoML alone: {done.stderr[-2000:]}")
    seconds = json.loads(done.stdout.splitlines()[-1])
    return {kind: float(seconds[one.project]) for kind, one in first.items()}


def figures(models: list[Model], seen: Seen, alone: dict[str, float]) -> list[Figure]:
    """Return the counts, and the median times of each format."""
    limit_mb = float(os.environ.get("SERVING_MEMORY_GB", "1.5")) * 1073.74
    wanted = float(len(models))
    ended = sum(one.ended == "deployment.completed" for one in models)
    found = [
        figure("models deployed", "", float(ended), "wanted", wanted, len(models)),
        figure("awake at once", "", float(seen.awake), "wanted", wanted, len(models)),
        figure("memory of their replicas", "MB", seen.memory_mb, "limit", limit_mb, seen.awake),
        figure("put to sleep for others", "", float(seen.fell_asleep), "wanted", wanted, 1),
        figure("did not answer", "", float(len(seen.failed)), "wanted", wanted, len(models)),
    ]
    for kind in KINDS:
        of_kind = [one for one in models if one.kind == kind]
        packed = [one.packed_s for one in of_kind if one.packed_s is not None]
        started = [one.started_s for one in of_kind if one.started_s is not None]
        woken = [one.first_s for one in of_kind if one.slept_before and one.first_s is not None]
        again = [one.second_s for one in of_kind if one.second_s is not None]
        rows = [
            ("pack", packed, PLAIN if kind in alone else "no peer", alone.get(kind)),
            ("cold start", started, "pack", middle(packed)),
            ("wake", woken, "the second answer", middle(again)),
        ]
        found += [
            figure(f"{what}, {kind}", "s", statistics.median(times), peer, value or 0.0, len(times))
            for what, times, peer, value in rows
            if times
        ]
    return found


def figure(metric: str, unit: str, ours: float, peer: str, value: float, runs: int) -> Figure:
    """Return one line of the results."""
    ratio = round(ours / value, 3) if value else 0.0
    return Figure("packing", metric, unit, round(ours, 3), peer, round(value, 4), ratio, runs)


def middle(times: list[float]) -> float | None:
    """Return the median, None of nothing."""
    return statistics.median(times) if times else None


def main(count: int) -> list[Figure]:
    """Deploy, look, wake, and compare."""
    models = [Model(f"bench-pack-{n:02d}", KINDS[n % len(KINDS)]) for n in range(count)]
    with platform() as found:
        for model in models:
            deploy(found, model)
            print(f"{model.project} ({model.kind}): {model.ended} {model.reason}")
        urls = awake(found)
        seen = Seen(len(urls), replica_mb(found, list(urls.values())))
        wake_all(found, [one for one in models if one.ended == "deployment.completed"], seen)
        told = [one for model in models for one in events(found, model.project)]
        seen.fell_asleep = sum(one["data"].get("phase") == "asleep" for one in told)
        for problem in seen.failed:
            print(problem)
        return figures(models, seen, plain(found, models))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=int, default=20)
    write("packing", main(parser.parse_args().models))
