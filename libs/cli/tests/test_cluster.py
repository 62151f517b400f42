# SPDX-License-Identifier: Apache-2.0
"""`mlops up` on a Ray cluster that runs already."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops.cli.home import Home, read_json
from mlops.cli.supervisor.parts.cluster import ClusterError, cluster_of
from mlops.cli.supervisor.plan import settle


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    found = Home(tmp_path)
    yield found
    shutil.rmtree(found.short, ignore_errors=True)


def test_a_named_cluster_is_used_and_no_head_is_started(home: Home) -> None:
    plan = settle(home, {"RAY_ADDRESS": "10.0.0.7:6379"}, [], [])

    services = {one.name: one for one in plan.components}
    endpoints = read_json(home.endpoints)
    assert "ray" not in services
    assert "ray" not in services["serving"].needs
    assert {"RAY_ADDRESS", "RAY_AUTH_MODE"}.isdisjoint(plan.environment)
    assert endpoints["ray"] == "10.0.0.7:6379"
    assert endpoints["serve"] == f"http://10.0.0.7:{plan.site.ports['serve']}"


def test_serve_may_answer_elsewhere_on_the_cluster(home: Home) -> None:
    caller = {"RAY_ADDRESS": "10.0.0.7:6379", "SERVING_URL": "http://10.0.0.8:8000"}

    settle(home, caller, ["serving"], [])

    assert read_json(home.endpoints)["serve"] == "http://10.0.0.8:8000"


def test_without_a_cluster_the_head_is_our_own(home: Home) -> None:
    plan = settle(home, {}, ["ray", "serving"], [])

    assert {one.name for one in plan.components} == {"ray", "serving"}
    assert plan.environment["RAY_AUTH_MODE"] == "disabled"
    assert read_json(home.endpoints)["ray"].startswith("127.0.0.1:")


def test_whoever_wants_tokens_between_ray_and_serving_gets_them(home: Home) -> None:
    plan = settle(home, {"RAY_AUTH_MODE": "token"}, ["ray", "serving"], [])

    assert plan.environment["RAY_AUTH_MODE"] == "token"


@pytest.mark.parametrize("told", ["auto", "ray://10.0.0.7:10001", "10.0.0.7", ":6379", "a:b"])
def test_what_is_no_head_is_refused_with_the_fix(told: str) -> None:
    with pytest.raises(ClusterError, match="unset it to run a head here"):
        cluster_of({"RAY_ADDRESS": told})
