# SPDX-License-Identifier: Apache-2.0
"""Programs that others wrote for the protocol ask our replica through HAProxy, and our gateway, and are content."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import pytest

from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.message import Message
from mlops.contracts.settings import ProjectSettings, ServeSettings
from mlops.contracts.tracking import ModelPromoted
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered
from mlops.gateway.adapters.oip import open_inference_grpc_pb2 as oip
from servers import descriptions, peers
from servers.programs import end, free_port, until

pytestmark = [
    pytest.mark.server,
    pytest.mark.mlflow,
    pytest.mark.ray,
    pytest.mark.timeout(900),
]
TOKEN = "a-token-for-programs-of-others"
PROJECT = "others"
COLUMNS = {
    "temperature": [0.9, 0.1, 0.6],
    "dew_point": [0.1, 0.2, 0.9],
    "visibility": [0.5, 0.3, 0.2],
}
SAID = [1, 0, 1]
# Not `positive_data_acceptance`: tensors of a random shape are rightly refused.
CHECKS = (
    "not_a_server_error",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
# The tree that is served, fitted once more: its own process, as every training.
FIT = """
import sys, joblib, log_models
joblib.dump(log_models.made("skops", *log_models.rows()), sys.argv[1])
"""
each_door = pytest.mark.parametrize("door", ["replica", "gateway"])


@dataclass(frozen=True)
class Doors:
    """Where one model is asked: at its replica, and at the gateway over HTTP and gRPC."""

    replica: str
    gateway: str
    grpc: str
    output: str

    def wish(self, door: str, **more: object) -> dict[str, object]:
        return {
            "url": getattr(self, door),
            "token": TOKEN,
            "model": PROJECT,
            "columns": COLUMNS,
            "output": self.output,
            "wrong": {"temperature": [0.5]},
            **more,
        }


@pytest.fixture(scope="module")
def model(
    serving: Any,  # noqa: ARG001 - it must run
    trainer: Any,
    shared_nats: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """A tree of three columns in service; the address of its replicas."""
    folder = tmp_path_factory.mktemp("others")
    serve = ServeSettings(model=PROJECT, steps=(1.0,), step_hold="1s")
    settings = ProjectSettings(name=PROJECT, serve=serve)
    registered = ProjectRegistered(project=PROJECT, settings=settings, revision=1)
    asyncio.run(tell(shared_nats, folder, registered))
    [version] = trainer.log(PROJECT, "skops")
    yield asyncio.run(deploy(shared_nats, folder, version))
    asyncio.run(tell(shared_nats, folder, ProjectArchived(project=PROJECT)))


@contextlib.asynccontextmanager
async def on_bus(nats: Any, folder: Path) -> Any:
    bus = NatsBus(nats.url, token=nats.token, name="test", outbox=folder / "outbox.db")
    await bus.start()
    yield bus
    await bus.stop()


async def tell(nats: Any, folder: Path, message: Message) -> None:
    async with on_bus(nats, folder) as bus:
        await bus.publish(message)


async def deploy(nats: Any, folder: Path, version: int) -> str:
    async with on_bus(nats, folder) as bus, asyncio.timeout(240):
        async for one in bus.follow(("workspace.provisioned",), PROJECT):
            if one.envelope["source"] == "/services/serving":
                break  # a promotion could overtake the settings while serving starts
        metrics = {"accuracy": 0.8}
        promoted = ModelPromoted(
            project=PROJECT,
            name=PROJECT,
            version=version,
            metric="accuracy",
            candidate_metrics=metrics,
        )
        await bus.publish(promoted)
        async for one in bus.follow(("deployment.completed", "deployment.failed"), PROJECT):
            assert one.envelope["type"] == "deployment.completed", one.envelope
            break
        answer = await bus.ask("serving", "routes", {})
    [route] = [one for one in answer["routes"] if one["project"] == PROJECT]
    return str(route["versions"][0]["url"])


@pytest.fixture(scope="module")
def doors(
    model: str, shared_nats: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("gateway")
    http, second = free_port(), free_port()
    env = {
        "MLOPS_HOME": str(folder),
        "NATS_URL": shared_nats.url,
        "NATS_TOKEN": shared_nats.token,
        "GATEWAY_TOKEN": TOKEN,
        "MLOPS_HTTP_PORT": str(http),
        "GATEWAY_GRPC_PORT": str(second),
    }
    url = f"http://127.0.0.1:{http}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlops.gateway"], env=os.environ | env, stdout=log, stderr=log
        )
    try:
        until(lambda: is_ready(url), 60, (folder / "log").read_text)
        metadata = ask(f"{model}/v2/models/{PROJECT}")[1]
        yield Doors(model, url, f"127.0.0.1:{second}", metadata["outputs"][0]["name"])
        process.terminate()
        assert process.wait(30) == 0, (folder / "log").read_text()[-3000:]
    finally:
        end(process)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v2/health/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def ask(url: str, body: object = None) -> tuple[int, Any]:
    """Return status and JSON of a GET, or of a POST of *body*."""
    headers, method = {"Authorization": f"Bearer {TOKEN}"}, "GET" if body is None else "POST"
    answer = httpx.request(method, url, json=body, headers=headers, timeout=30)
    return answer.status_code, answer.json()


def bare(url: str) -> str:
    """Return an address as Triton's client wants it: without the scheme."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}"


@each_door
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_tritons_client_is_understood_over_http(doors: Doors, door: str, *, binary: bool) -> None:
    triton = peers.environment("triton")
    wish = doors.wish(door, binary=binary) | {"url": bare(getattr(doors, door))}

    found = triton.run(peers.SCRIPTS / "ask_triton_http.py", wish)

    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    assert (found["values"], found["dtype"]) == (SAID, "int64")
    assert found["response"] == {"id": "r-1", "model_version": "1"}
    assert [one["name"] for one in found["metadata"]["inputs"]] == list(COLUMNS)
    assert "binary_tensor_data" in found["server"]["extensions"]
    index = {(one["name"], one["version"], one["state"]) for one in found["index"]}
    assert (PROJECT, "1", "READY") in index
    assert found["refusal"]["status"] == "400"
    assert "temperature" in found["refusal"]["told"] or "rows" in found["refusal"]["told"]


def test_tritons_client_is_understood_over_grpc(doors: Doors) -> None:
    triton = peers.environment("triton")

    found = triton.run(peers.SCRIPTS / "ask_triton_grpc.py", doors.wish("grpc"))

    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    assert (found["values"], found["dtype"]) == (SAID, "int64")
    assert found["response"] == {"id": "r-1", "model_version": "1"}
    assert found["inputs"] == list(COLUMNS)
    assert found["refusal"]["status"] == "StatusCode.INVALID_ARGUMENT"
    assert found["stranger"]["status"] == "StatusCode.UNAUTHENTICATED"
    assert found["unknown"]["status"] == "StatusCode.NOT_FOUND"


def test_typed_elements_are_answered_typed_over_grpc(doors: Doors) -> None:
    asked = oip.ModelInferRequest(model_name=PROJECT, id="r-1")
    for name, values in COLUMNS.items():
        one = asked.inputs.add(name=name, datatype="FP64", shape=[len(values)])
        one.contents.fp64_contents.extend(values)

    answer = infer(doors, asked)

    assert list(answer.outputs[0].contents.int64_contents) == SAID
    assert not answer.raw_output_contents


def test_halves_are_understood_over_grpc(doors: Doors) -> None:
    asked = oip.ModelInferRequest(model_name=PROJECT)
    for name, values in COLUMNS.items():
        asked.inputs.add(name=name, datatype="FP16", shape=[len(values)])
        asked.raw_input_contents.append(struct.pack("<3e", *values))

    answer = infer(doors, asked)

    assert struct.unpack("<3q", answer.raw_output_contents[0]) == tuple(SAID)


def infer(doors: Doors, asked: oip.ModelInferRequest) -> oip.ModelInferResponse:
    with grpc.insecure_channel(doors.grpc) as channel:
        multi = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=oip.ModelInferRequest.SerializeToString,
            response_deserializer=oip.ModelInferResponse.FromString,
        )
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        answer: oip.ModelInferResponse = multi(asked, metadata=metadata, timeout=30)
    return answer


@each_door
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_kserves_client_is_understood(doors: Doors, door: str, *, binary: bool) -> None:
    kserve = peers.environment("kserve")

    found = kserve.run(peers.SCRIPTS / "ask_kserve.py", doors.wish(door, binary=binary))

    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    assert (found["values"], found["dtype"]) == (SAID, "int64")
    assert (found["id"], found["output"]) == ("r-1", doors.output)


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLServer with the same tree."""
    peer, folder = peers.environment("mlserver"), tmp_path_factory.mktemp("mlserver")
    fit = [sys.executable, "-c", FIT, str(folder / "model.joblib")]
    subprocess.run(fit, cwd=Path(__file__).parent, check=True, timeout=120)
    port = free_port()
    told = {"host": "127.0.0.1", "http_port": port, "grpc_port": free_port()}
    told |= {"metrics_port": free_port(), "parallel_workers": 0, "debug": False}
    (folder / "settings.json").write_text(json.dumps(told))
    parameters = {"uri": "./model.joblib", "version": "1"}
    kind = {"implementation": "mlserver_sklearn.SKLearnModel", "parameters": parameters}
    (folder / "model-settings.json").write_text(json.dumps({"name": PROJECT, **kind}))
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(peer.program("mlserver")), "start", str(folder)],
            env=peer.environment() | {"HOME": str(folder)},
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: is_ready(url), 90, (folder / "log").read_text)
        yield url
    finally:
        end(process)


def request_of(columns: Mapping[str, list[float]], **more: object) -> dict[str, Any]:
    inputs = [
        {"name": name, "datatype": "FP64", "shape": [len(values)], "data": values}
        for name, values in columns.items()
    ]
    # MLServer is told to make a table of the columns; for us that goes without saying.
    return {"id": "r-1", "parameters": {"content_type": "pd"}, "inputs": inputs, **more}


def matrix_of(datatype: str) -> dict[str, Any]:
    rows = [list(row) for row in zip(*COLUMNS.values(), strict=True)]
    one = {"name": "rows", "datatype": datatype, "shape": [len(rows), len(COLUMNS)], "data": rows}
    return {"id": "r-1", "inputs": [one]}


@each_door
@pytest.mark.parametrize(
    "body",
    [
        request_of(COLUMNS),
        request_of({name: one[:1] for name, one in COLUMNS.items()}),
        matrix_of("FP64"),
        matrix_of("FP32"),
    ],
    ids=["columns", "one-row", "matrix", "single-precision"],
)
def test_mlserver_answers_the_same(
    doors: Doors, door: str, mlserver: str, body: dict[str, Any]
) -> None:
    path = f"/v2/models/{PROJECT}/infer"

    status, theirs = ask(f"{mlserver}{path}", body)
    _, ours = ask(f"{getattr(doors, door)}{path}", body)

    assert status == 200, theirs
    assert flat(ours) == flat(theirs)
    assert (ours["id"], ours["model_name"]) == (theirs["id"], theirs["model_name"])


def flat(answer: Mapping[str, Any]) -> tuple[str, int, list[Any]]:
    """Return what an answer says; MLServer gives columns a second dimension of one."""
    [output] = answer["outputs"]
    return output["datatype"], output["shape"][0], output["data"]


WRONG = {
    "unknown-model": ("/v2/models/nobody/infer", request_of(COLUMNS)),
    "unknown-version": (f"/v2/models/{PROJECT}/versions/9/infer", request_of(COLUMNS)),
    "no-inputs": (f"/v2/models/{PROJECT}/infer", {"id": "r-1"}),
    "unknown-datatype": (
        f"/v2/models/{PROJECT}/infer",
        {"inputs": [{"name": "x", "shape": [1], "datatype": "STRING", "data": ["a"]}]},
    ),
    "no-shape": (
        f"/v2/models/{PROJECT}/infer",
        {"inputs": [{"name": "x", "datatype": "FP64", "data": [1.0]}]},
    ),
}


@each_door
@pytest.mark.parametrize("wrong", list(WRONG))
def test_mlserver_refuses_the_same(doors: Doors, door: str, mlserver: str, wrong: str) -> None:
    path, body = WRONG[wrong]

    theirs, _ = ask(f"{mlserver}{path}", body)
    ours, told = ask(f"{getattr(doors, door)}{path}", body)

    assert ours // 100 == theirs // 100 == 4
    assert isinstance(told["error"], str)


@pytest.mark.parametrize("source", ["mlserver", "protocol"])
@each_door
def test_generated_requests_are_answered_as_described(
    doors: Doors, door: str, source: str, tmp_path: Path
) -> None:
    described = (
        descriptions.of_protocol(PROJECT)
        if source == "protocol"
        else descriptions.of_mlserver(peers.environment("mlserver"), PROJECT)
    )
    (tmp_path / "described.json").write_text(json.dumps(described))
    peer = peers.environment("schemathesis")

    done = subprocess.run(
        [
            *(str(peer.program("schemathesis")), "run", str(tmp_path / "described.json")),
            *("--url", getattr(doors, door), "--header", f"Authorization: Bearer {TOKEN}"),
            *("--checks", ",".join(CHECKS), "--max-examples", "40", "--seed", "7"),
            *("--generation-database", "none", "--no-color", "--continue-on-failure"),
        ],
        env=peer.environment() | {"HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    operations = sum(len({"get", "post"} & one.keys()) for one in described["paths"].values())
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"Tested: {operations}" in done.stdout
