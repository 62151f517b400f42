# SPDX-License-Identifier: Apache-2.0
"""The door of a replica: which paths lead where, who may, how large and how slow a request may be, how many at once."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from services.serving.tests.asking import RAIN, matrix, replica

from mlops.chassis.tokens import Tokens

INFER = "/v2/models/rain/infer"
ONE = {"inputs": [matrix([1, 2])]}
SECRET = "the-installation-s-own-token"


class Slow:
    """A model that computes until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.began = threading.Semaphore(0)
        self.inside = 0
        self.most = 0
        self.lock = threading.Lock()

    def __call__(self, values: Any) -> Any:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.began.release()
        self.go.wait(20)
        with self.lock:
            self.inside -= 1
        return values.sum(axis=1)


@pytest.fixture
def slow() -> Iterator[Slow]:
    model = Slow()
    yield model
    model.go.set()


async def begun(slow: Slow, times: int = 1) -> None:
    for _ in range(times):
        assert await asyncio.to_thread(slow.began.acquire, timeout=5)


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/v2/health/live", 200, '"live":true'),
        ("GET", "/v2/health/ready", 200, '"ready":true'),
        ("HEAD", "/v2/health/ready", 200, ""),
        ("GET", "/v2", 200, '"extensions":["binary_tensor_data"]'),
        ("GET", "/v2", 200, '"tokens":"none: the installation has no GATEWAY_TOKEN"'),
        ("GET", "/v2/models/rain", 200, '"versions":["3"]'),
        ("GET", "/v2/models/rain/versions/3", 200, '"name":"dew_point"'),
        ("GET", "/v2/models/rain/ready", 200, '"name":"rain"'),
        ("GET", "/v2/models/rain/versions/3/ready", 200, '"ready":true'),
        ("POST", "/v2/repository/index", 200, '"state":"READY"'),
        ("GET", "/v2/models/wind", 404, "no model 'wind' here; it is 'rain'"),
        ("POST", "/v2/models/wind/infer", 404, "no model 'wind'"),
        ("GET", "/v2/models/rain/versions/2", 404, "no version '2' of 'rain' here; it is 3"),
        ("POST", "/v2/models/rain/versions/x/infer", 404, "no version 'x'"),
        ("GET", "/v2/models/", 404, "no model ''"),
        ("GET", "/odd", 404, "GET /openapi.json lists"),
        ("GET", INFER, 405, "takes POST, not GET"),
        ("DELETE", "/v2", 405, "takes GET, HEAD, not DELETE"),
    ],
)
async def test_paths_lead_somewhere_or_say_where_else(
    tmp_path: Path, method: str, path: str, status: int, said: str
) -> None:
    answer = await replica(tmp_path).ask(method, path)

    assert answer.status == status
    assert said in answer.body.decode()


async def test_a_version_s_own_path_answers_too(tmp_path: Path) -> None:
    answer = await replica(tmp_path).post("/v2/models/rain/versions/3/infer", ONE)

    assert (answer.status, answer.json["outputs"][0]["data"]) == (200, [3.0])


def signed(*projects: str, can: str = "infer", ago: timedelta = timedelta()) -> str:
    now = datetime.now(UTC) - ago
    return "Bearer " + Tokens(SECRET).sign("ana", projects, [can], now, timedelta(hours=1))


@pytest.mark.parametrize(
    ("token", "path", "status", "said"),
    [
        (None, INFER, 401, "a token is needed"),
        ("Basic YTpi", INFER, 401, "a token is needed"),
        ("Bearer wrong", INFER, 401, "the token is wrong"),
        ("Bearer ", INFER, 401, "the token is wrong"),
        (signed("rain", ago=timedelta(hours=2)), INFER, 401, "the token has expired"),
        (signed("wind"), INFER, 403, "may not infer in project 'rain'"),
        (signed("rain", can="read"), INFER, 403, "may not infer in project 'rain'"),
        (signed("rain"), INFER, 200, "outputs"),
        (f"bearer {SECRET}", INFER, 200, "outputs"),
        (None, "/v1/chat/completions", 401, "authentication_error"),
        (None, "/invocations", 401, "UNAUTHENTICATED"),
    ],
)
async def test_a_token_is_judged_before_the_body_is_read(
    tmp_path: Path, token: str | None, path: str, status: int, said: str
) -> None:
    guarded = replica(tmp_path, gateway_token=SECRET)

    answer = await guarded.post(path, ONE, {} if token is None else {"Authorization": token})

    assert answer.status == status
    assert said in answer.body.decode()
    assert (answer.headers.get("www-authenticate") is not None) == (status == 401)


async def test_without_a_secret_only_this_machine_is_let_in(tmp_path: Path) -> None:
    reachable = replica(tmp_path, is_alone=False)

    answer = await reachable.infer([1, 2])
    health = await reachable.get("/v2/health/ready")

    assert (answer.status, health.status) == (401, 200)
    assert "set GATEWAY_TOKEN" in answer.json["error"]


async def test_a_refused_caller_s_body_is_not_waited_for(tmp_path: Path) -> None:
    guarded = replica(tmp_path, gateway_token=SECRET)

    async with asyncio.timeout(30):
        answer = await guarded.ask("POST", INFER, [])

    assert answer.status == 401


@pytest.mark.parametrize(
    "path", ["/v2/health/live", "/v2/health/ready", "/v2/models/rain/ready", "/ping", "/health"]
)
async def test_health_needs_no_token(tmp_path: Path, path: str) -> None:
    assert (await replica(tmp_path, gateway_token=SECRET).get(path)).status == 200


@pytest.mark.parametrize(("can", "status"), [("read", 200), ("infer", 200), ("write", 403)])
async def test_whoever_may_infer_may_read_what_it_takes(
    tmp_path: Path, can: str, status: int
) -> None:
    guarded = replica(tmp_path, gateway_token=SECRET)

    answer = await guarded.get("/v2/models/rain", {"Authorization": signed("rain", can=can)})

    assert answer.status == status


async def test_a_body_said_to_be_too_large_is_refused_unread(tmp_path: Path) -> None:
    small = replica(tmp_path, max_body_mb=0.001)

    async with asyncio.timeout(30):
        answer = await small.ask("POST", INFER, [], {"Content-Length": str(2**30)})

    assert answer.status == 413
    assert "at most 1048 bytes" in answer.json["error"]
    assert "SERVING_REPLICA_MAX_BODY_MB" in answer.json["error"]


async def test_a_body_that_grows_too_large_is_cut(tmp_path: Path) -> None:
    answer = await replica(tmp_path, max_body_mb=0.001).ask("POST", INFER, [b"x" * 500] * 5)

    assert answer.status == 413


async def test_a_body_in_pieces_is_put_together(tmp_path: Path) -> None:
    raw = json.dumps(ONE).encode()

    answer = await replica(tmp_path).ask("POST", INFER, [raw[:10], b"", raw[10:30], raw[30:]])

    assert answer.json["outputs"][0]["data"] == [3.0]


async def test_a_body_that_trickles_holds_no_turn_and_is_given_up(tmp_path: Path) -> None:
    alone = replica(tmp_path, spec={**RAIN, "concurrency": 1}, body_timeout_s=0.2)

    async with asyncio.TaskGroup() as group:
        trickling = group.create_task(alone.ask("POST", INFER, []))
        quick = group.create_task(alone.infer([1, 2]))
        done, _ = await asyncio.wait((trickling, quick), return_when=asyncio.FIRST_COMPLETED)

    assert done == {quick}
    assert trickling.result().status == 408
    assert trickling.result().headers["connection"] == "close"


async def test_a_caller_that_leaves_while_it_sends_is_forgotten(tmp_path: Path) -> None:
    door = replica(tmp_path)
    door.gone.set()

    answer = await door.ask("POST", INFER, [])

    assert answer.status == 0


def raw_deflate(body: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(body) + engine.flush()


@pytest.mark.parametrize(
    ("coding", "squeeze"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)],
)
async def test_deflated_bodies_are_read(tmp_path: Path, coding: str, squeeze: Any) -> None:
    body = squeeze(json.dumps(ONE).encode())

    answer = await replica(tmp_path).post(INFER, body, {"Content-Encoding": coding})

    assert answer.json["outputs"][0]["data"] == [3.0]


@pytest.mark.parametrize(
    ("coding", "body", "status", "said"),
    [
        ("gzip", gzip.compress(b" " * 100_000_000), 413, "inflated it is longer"),
        ("gzip", gzip.compress(b"{}")[:-4], 400, "cut short"),
        ("gzip", gzip.compress(b"{}") + b"more", 400, "is not gzip, or is cut short"),
        ("gzip", b"{}", 400, "the body is not gzip"),
        ("deflate", b"\x00", 400, "the body is not deflate"),
        ("br", b"{}", 415, "send gzip, deflate or none"),
    ],
    ids=["bomb", "cut", "longer", "plain", "odd", "brotli"],
)
async def test_what_cannot_be_inflated_is_refused(
    tmp_path: Path, coding: str, body: bytes, status: int, said: str
) -> None:
    answer = await replica(tmp_path).post(INFER, body, {"Content-Encoding": coding})

    assert answer.status == status
    assert said in answer.json["error"]


async def test_only_so_many_are_computed_at_once_and_so_many_wait(
    tmp_path: Path, slow: Slow
) -> None:
    crowded = replica(tmp_path, answer=slow)
    crowded.parts.limits.declare({"concurrency": 2, "queue": 3})

    asked = [asyncio.create_task(crowded.infer([1, 2])) for _ in range(7)]
    await begun(slow, 2)
    done, _ = await asyncio.wait(asked, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    slow.go.set()
    answers = await asyncio.gather(*asked)

    assert len(done) >= 1
    assert sorted(one.status for one in answers) == [200] * 5 + [429] * 2
    shed = next(one for one in answers if one.status == 429)
    assert shed.headers["retry-after"] == "1"
    assert "2 are computed and 3 wait" in shed.json["error"]
    assert slow.most == 2


async def test_a_model_that_stands_one_call_gets_one(tmp_path: Path, slow: Slow) -> None:
    careful = replica(tmp_path, spec={**RAIN, "concurrency": 1}, answer=slow)
    careful.parts.limits.declare({"concurrency": 8, "queue": 64})

    asked = [asyncio.create_task(careful.infer([1, 2])) for _ in range(4)]
    await begun(slow)
    slow.go.set()
    await asyncio.gather(*asked)

    assert slow.most == 1


async def test_a_caller_that_leaves_gives_its_place_in_the_row_to_the_next(
    tmp_path: Path, slow: Slow
) -> None:
    crowded = replica(tmp_path, answer=slow)
    crowded.parts.limits.declare({"concurrency": 1, "queue": 1})
    first = asyncio.create_task(crowded.infer([1, 2]))
    await begun(slow)
    gone = asyncio.create_task(crowded.infer([1, 2]))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)

    last = asyncio.create_task(crowded.infer([3, 4]))
    await asyncio.sleep(0)
    slow.go.set()

    assert [(await one).status for one in (first, last)] == [200, 200]


async def test_a_model_that_hangs_is_told_and_keeps_its_turn_until_it_comes_back(
    tmp_path: Path, slow: Slow
) -> None:
    hanging = replica(tmp_path, spec={**RAIN, "concurrency": 1}, answer=slow, infer_timeout_s=0.1)

    first = await hanging.infer([1, 2])
    second = await hanging.infer([1, 2])
    slow.go.set()
    async with asyncio.timeout(30):
        while (third := await hanging.infer([1, 2])).status != 200:
            await asyncio.sleep(0.01)

    assert (first.status, second.status, third.status) == (504, 429, 200)
    assert "did not answer within 0.1 s" in first.json["error"]
    assert slow.most == 1


class Boom:
    """A model that fails as it is told."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, values: Any) -> Any:
        if values.sum() > 0:
            raise self.error
        return values.sum(axis=1)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ValueError("no such station"), 500, "the model failed: ValueError: no such station"),
        (MemoryError(), 507, "the model ran out of memory (MemoryError)"),
        (StopIteration(), 500, "the model failed: RuntimeError: StopIteration"),
        (SystemExit(3), 500, "SystemExit(3)"),
        (KeyboardInterrupt(), 500, "KeyboardInterrupt"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, BaseException) else None,
)
async def test_a_model_that_fails_is_told_and_the_replica_lives_on(
    tmp_path: Path, error: BaseException, status: int, said: str
) -> None:
    fragile = replica(tmp_path, answer=Boom(error))

    async with asyncio.timeout(30):
        failed = await fragile.infer([1, 2])
        after = await fragile.infer([-1, -2])

    assert (failed.status, after.status) == (status, 200)
    assert said in failed.json["error"]


async def test_what_was_asked_is_counted(tmp_path: Path) -> None:
    counted = replica(tmp_path, answer=Boom(ValueError()))

    await counted.infer([-1, -2], [-3, -4])
    await counted.infer([1, 2])
    await counted.post(INFER, b"{")
    await counted.get("/v2")
    page = (await counted.get("/metrics")).body.decode()

    labels = page.partition("serving_replica_requests_total{")[2].partition("}")[0]
    assert 'model="rain"' in labels
    assert 'version="3"' in labels
    figures = dict(
        line.replace("{" + labels + "}", "").split()
        for line in page.splitlines()
        if line[0] != "#" and "_bucket" not in line
    )
    assert figures["serving_replica_requests_total"] == "3.0"
    assert figures["serving_replica_errors_total"] == "1.0"
    assert figures["serving_replica_answered_total"] == "2.0"
    assert figures["serving_replica_latency_seconds_count"] == "3.0"
    assert float(figures["serving_replica_memory_bytes"]) > 2**20


async def test_large_bodies_are_held_only_so_many_at_once(tmp_path: Path) -> None:
    door = replica(tmp_path, max_body_mb=0.1, body_timeout_s=1)
    half = [b" " * 50_000, b" " * 40_000]

    # Each has sent 90 000 bytes, and the last of it never comes.
    asked = [asyncio.create_task(door.ask("POST", INFER, half, ends=False)) for _ in range(6)]
    answers = await asyncio.gather(*asked)
    after = await door.infer([1, 2])

    assert sorted(one.status for one in answers) == [408] * 4 + [429] * 2
    assert after.status == 200
