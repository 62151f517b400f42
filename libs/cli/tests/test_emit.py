# SPDX-License-Identifier: Apache-2.0
"""deploy --emit: what a deployment becomes for KServe, KubeRay and Compose, and what is refused.

That the projects themselves take what is written is tried in tests/integration/serving/test_elsewhere.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from libs.cli.tests.conftest import Door, Refuse

from mlops.cli.emit.deployed import Deployed, deployed
from mlops.cli.emit.kuberay import kuberay
from mlops.cli.emit.wanted import Target, Wanted
from mlops.cli.emit.writers import written
from mlops.cli.errors import InputError
from mlops.contracts.settings import ServeSettings

PACKAGES = [
    {"version": 2, "bento_tag": "rain--wet:2-aa", "backend": "sklearn"},
    {"version": 3, "bento_tag": "rain--wet:3-bb", "backend": "sklearn"},
]
ANSWER: dict[str, Any] = {
    "project": "rain",
    "model": "wet",
    "live": 2,
    "bento_tag": "rain--wet:2-aa",
    "running": [2],
    "weights": {"2": 1.0},
    "rollout": None,
    "packages": PACKAGES,
    "heat": {"2": {"concurrency": 8, "full": 8}},
}
CANARY = {
    **ANSWER,
    "weights": {"2": 0.75, "3": 0.25},
    "rollout": {"version": 3, "traffic_ratio": 0.25},
}
ASLEEP = {**ANSWER, "weights": {}}
NOTHING = {**ANSWER, "live": None, "bento_tag": None, "weights": {}, "packages": []}


def known(version: int | None = None, answer: dict[str, Any] = ANSWER, **settings: Any) -> Deployed:
    return deployed("rain", "wet", version, answer, ServeSettings(model="wet", **settings))


def made(target: Target, found: Deployed, **options: Any) -> dict[str, Any]:
    return written(found, Wanted(target, **options)).content


def predictor(found: Deployed, **options: Any) -> dict[str, Any]:
    spec: dict[str, Any] = made(Target.KSERVE, found, **options)["spec"]["predictor"]
    return spec


def application(found: Deployed) -> dict[str, Any]:
    text = made(Target.KUBERAY, found)["spec"]["serveConfigV2"]
    app: dict[str, Any] = yaml.safe_load(text)["applications"][0]
    return app


@pytest.mark.parametrize(
    ("answer", "version", "tag"),
    [
        (ANSWER, None, "rain--wet:2-aa"),
        (ANSWER, 3, "rain--wet:3-bb"),
        (ASLEEP, None, "rain--wet:2-aa"),
        ({**CANARY, "live": None}, None, "rain--wet:3-bb"),
        ({**ANSWER, "packages": []}, 2, "rain--wet:2-aa"),
    ],
    ids=["live", "packed", "asleep", "first-rollout", "live-alone"],
)
def test_the_bento_is_that_of_the_version(
    answer: dict[str, Any], version: int | None, tag: str
) -> None:
    assert known(version, answer).bento_tag == tag


@pytest.mark.parametrize(
    ("answer", "version", "says"),
    [
        (NOTHING, None, "no version of 'wet' of rain is deployed"),
        (ANSWER, 7, "version 7 of 'wet' of rain has no Bento here; packed are: 2, 3"),
    ],
)
def test_what_is_not_deployed_is_refused(
    answer: dict[str, Any], version: int | None, says: str
) -> None:
    with pytest.raises(InputError, match=says) as refused:
        known(version, answer)

    assert "mlops deploy wet" in refused.value.fix


@pytest.mark.parametrize(
    ("answer", "version", "settings", "percent"),
    [
        (ANSWER, 2, {}, None),
        (ASLEEP, 2, {}, None),
        (CANARY, 3, {}, 25),
        (CANARY, 2, {}, 75),
        (ANSWER, 3, {}, 5),
        (ANSWER, 3, {"steps": (0.001, 1.0)}, 1),
        (ANSWER, 3, {"steps": (1.0,)}, None),
        (ANSWER, 3, {"rollout": "blue-green"}, None),
    ],
)
def test_kserve_begins_with_the_share_that_the_version_has_here(
    answer: dict[str, Any], version: int, settings: dict[str, Any], percent: int | None
) -> None:
    found = predictor(known(version, answer, **settings))

    assert found.get("canaryTrafficPercent") == percent


def test_kserve_runs_the_bentos_own_image_within_the_projects_bounds() -> None:
    found = predictor(known(min_replicas=2, max_replicas=5, memory_gb=1.5))

    [container] = found["containers"]
    assert container["image"] == "rain--wet:2-aa"
    assert container["ports"] == [{"containerPort": 3000, "name": "http1", "protocol": "TCP"}]
    assert container["resources"]["limits"] == {"memory": "2048Mi"}
    assert (found["minReplicas"], found["maxReplicas"]) == (2, 5)
    assert found["containerConcurrency"] == 8
    assert "annotations" not in found


def test_a_model_that_may_sleep_scales_to_zero_after_its_time() -> None:
    may_sleep = known(min_replicas=0, sleep_after="5m")

    assert predictor(may_sleep)["minReplicas"] == 0
    assert list(predictor(may_sleep)["annotations"].values()) == ["300s"]
    scaling = application(may_sleep)["deployments"][0]["autoscaling_config"]
    assert (scaling["min_replicas"], scaling["downscale_to_zero_delay_s"]) == (0, 300)


def test_kserve_answers_from_the_models_files_in_protocol_v2() -> None:
    found = predictor(known(), storage_uri="s3://models/wet/2")

    assert "containers" not in found
    assert found["model"]["modelFormat"] == {"name": "mlflow"}
    assert found["model"]["protocolVersion"] == "v2"
    assert found["model"]["storageUri"] == "s3://models/wet/2"


def test_kuberay_runs_the_same_application_one_replica_a_worker() -> None:
    found = known(min_replicas=1, max_replicas=4, memory_gb=2, max_queue=16)

    spec = made(Target.KUBERAY, found)["spec"]
    [app] = yaml.safe_load(spec["serveConfigV2"])["applications"]
    assert app["name"] == "rain.wet.v2"
    assert app["route_prefix"] == "/rain/wet/v2"
    assert app["args"]["bento_tag"] == "rain--wet:2-aa"
    [replica] = app["deployments"]
    assert replica["user_config"] == {"concurrency": 8, "queue": 16}
    assert replica["ray_actor_options"] == {"num_cpus": 1, "memory": 2147483648}
    cluster = spec["rayClusterConfig"]
    [workers] = cluster["workerGroupSpecs"]
    assert (workers["minReplicas"], workers["maxReplicas"]) == (1, 4)
    assert workers["rayStartParams"]["num-cpus"] == "1"
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["enableInTreeAutoscaling"] is True


@pytest.mark.parametrize(("ray", "auth"), [("2.60.0", {"mode": "token"}), (None, None)])
def test_kuberay_guards_the_head_by_a_token_where_the_version_of_ray_is_known(
    ray: str | None, auth: dict[str, str] | None
) -> None:
    cluster = kuberay(known(), ray_version=ray).content["spec"]["rayClusterConfig"]

    assert cluster.get("rayVersion") == ray
    assert cluster.get("authOptions") == auth


def test_secrets_are_named_not_written() -> None:
    cluster = made(Target.KUBERAY, known())["spec"]["rayClusterConfig"]

    [container] = cluster["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    given = {one["name"]: one for one in container["env"]}
    assert given["GATEWAY_TOKEN"]["valueFrom"]["secretKeyRef"] == {
        "name": "mlops",
        "key": "gateway-token",
        "optional": True,
    }
    assert given["RAY_SERVE_ENABLE_HA_PROXY"]["value"] == "1"
    assert not [name for name in given if "TOKEN" in name and "value" in given[name]]


@pytest.mark.parametrize(
    ("replicas", "ports"), [(1, "127.0.0.1:3000:3000"), (3, "127.0.0.1:3000-3002:3000")]
)
def test_compose_runs_on_loopback_as_many_containers_as_replicas(replicas: int, ports: str) -> None:
    found = made(Target.COMPOSE, known(min_replicas=replicas, max_replicas=3))

    service = found["services"]["model"]
    assert service["ports"] == [ports]
    assert service["deploy"]["replicas"] == replicas
    assert service["deploy"]["resources"]["limits"]["memory"] == "1536M"


@pytest.mark.parametrize("target", list(Target))
def test_a_name_is_a_dns_label_and_two_models_never_share_one(target: Target) -> None:
    names = [
        made(target, Deployed("rain", model, 1, "a:1", ServeSettings()))
        for model in ("wet", "Wet.A", "wet_a")
    ]

    given = [one.get("name") or one["metadata"]["name"] for one in names]
    assert given[0] == "rain-wet"
    assert len(set(given)) == 3
    assert all(one.replace("-", "").isalnum() and one == one.lower() for one in given)


@pytest.mark.parametrize(
    ("target", "most"), [(Target.KSERVE, 45), (Target.KUBERAY, 47), (Target.COMPOSE, 63)]
)
def test_a_name_that_is_too_long_is_refused_and_another_can_be_given(
    target: Target, most: int
) -> None:
    found = Deployed("rain", "w" * (most + 1 - len("rain-")), 1, "a:1", ServeSettings())

    with pytest.raises(InputError, match=f"at most {most}"):
        made(target, found)
    assert made(target, found, name="wet")


@pytest.mark.parametrize(
    ("target", "options", "says"),
    [
        (Target.KSERVE, {"name": "Wet"}, "no name"),
        (Target.KSERVE, {"storage_uri": "file:///models"}, "cannot fetch"),
        (Target.KSERVE, {"storage_uri": "s3://m", "image": "i"}, "two things"),
        (Target.COMPOSE, {"storage_uri": "s3://m"}, "KServe's"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    target: Target, options: dict[str, str], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        made(target, known(), **options)


def answering(door: Door, answer: dict[str, Any]) -> Door:
    door.answer("serving", "get", {"deployment": answer})
    settings = {"name": "rain", "serve": {"model": "wet", "min_replicas": 2, "max_replicas": 2}}
    door.answer("workspaces", "get", {"project": {"project": "rain", "settings": settings}})
    return door


def test_the_command_prints_the_manifest_and_says_what_is_left_to_do(door: Door) -> None:
    found = answering(door, ANSWER).run("deploy", "wet", "-p", "rain", "--emit", "kserve")

    assert found.exit_code == 0
    assert yaml.safe_load(found.stdout)["spec"]["predictor"]["minReplicas"] == 2
    assert "bentoml containerize rain--wet:2-aa" in found.stderr.replace("\n", " ")
    assert door.bodies("/api/v1/commands") == []


def test_the_command_writes_a_file(door: Door, tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    words = ("--emit", "compose", "--output", str(file), "--image", "here/wet:2")

    found = answering(door, ANSWER).run("deploy", "wet", "2", "-p", "rain", *words)

    assert found.stdout == ""
    assert yaml.safe_load(file.read_text())["services"]["model"]["image"] == "here/wet:2"


def test_the_command_prints_json_for_programs(door: Door) -> None:
    words = ("--emit", "kuberay", "--json")

    found = answering(door, ANSWER).run("deploy", "wet", "-p", "rain", *words)

    assert json.loads(found.stdout)["kind"] == "RayService"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--image", "i"), 2, "about a manifest"),
        (("--emit", "helm"), 2, "helm"),
        (("--emit", "kserve", "--output", "/nowhere/at/all.yaml"), 1, "cannot be written"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(
    door: Door, words: tuple[str, ...], code: int, says: str
) -> None:
    found = answering(door, ANSWER).run("deploy", "wet", "-p", "rain", *words)

    assert found.exit_code == code
    assert says in found.stderr
    assert door.bodies("/api/v1/commands") == []


def test_a_model_that_serving_does_not_know_is_an_input_error(door: Door) -> None:
    door.answer("serving", "get", Refuse(404, "rain serves no model 'dry'", "deploy it first"))

    found = door.run("deploy", "dry", "-p", "rain", "--emit", "kserve")

    assert found.exit_code == 2
    assert "rain serves no model 'dry'" in found.stderr
