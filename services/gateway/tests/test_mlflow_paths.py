# SPDX-License-Identifier: Apache-2.0
"""What a request for MLflow means by its path and body alone: reading or writing, local, a page that may run."""

from __future__ import annotations

import httpx
import pytest

from mlops.gateway.model.mlflow_paths import (
    may_run,
    offered,
    only_queries,
    only_reads,
    passed_out,
)


@pytest.mark.parametrize(
    ("query", "reads"),
    [
        ("query GetRun { run(id: 1) { id } }", True),
        ("{ run(name: $name) { mutations } }", True),
        ("# x\rmutation M { a }", False),
        ('{ f(a: """\\""" """) } mutation M { x } # """', False),
        ("mutation { a }", False),
        ("query A { a } mutation B { b }", False),
        ("subscription { a }", False),
    ],
)
def test_graphql_is_told_apart(query: str, *, reads: bool) -> None:
    body = httpx.Request("POST", "http://x", json={"query": query}).content

    assert only_queries(body) is reads


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"{}", b'{"query": 1}'])
def test_what_is_no_graphql_does_not_read(body: bytes) -> None:
    assert not only_queries(body)


@pytest.mark.parametrize(
    ("path", "reads"),
    [
        ("/ajax-api/2.0/mlflow/logged-models/search", True),
        ("/ajax-api/3.0/mlflow/prompt-optimization/jobs/search", True),
        ("/ajax-api/2.0/mlflow/runs/delete", False),
        ("/ajax-api/2.0/mlflow/runs/search/", False),
        ("/ajax-api/2.0/mlflow/runs/searchx", False),
        ("/ajax-api/2.0/mlflow/gateway-proxy", False),
    ],
)
def test_posts_that_only_ask_are_known(path: str, *, reads: bool) -> None:
    assert only_reads("POST", path) is reads


@pytest.mark.parametrize(
    ("path", "runs"),
    [
        ("/", True),
        ("/static-files/static/js/main.js", True),
        ("/get-artifact", False),
        ("/ajax-api/2.0/mlflow/logged-models/m-1/artifacts/files", False),
        ("/api/2.0/mlflow-artifacts/artifacts/1/a\n.html", False),
        ("/ajax-api/2.0/mlflow-artifacts/artifacts/1/a.html\n", False),
        ("//", False),
    ],
)
def test_only_the_interface_runs_in_a_browser(path: str, *, runs: bool) -> None:
    assert may_run(path) is runs


@pytest.mark.parametrize(
    ("path", "passes"),
    [
        ("/api/2.0/mlflow-artifacts/artifacts/1/assistant/a", True),
        ("/ajax-api/2.0/mlflow/runs/search", True),
        ("/ajax-api/3.0/mlflow/assistant", False),
        ("//ajax-api/3.0/mlflow//assistant", False),
        ("/ajax-api/3.0/mlflow/assistant/message\n", False),
        ("/x/../ajax-api/3.0/./mlflow/assistant/message", False),
    ],
)
def test_local_paths_are_known_however_they_are_written(path: str, *, passes: bool) -> None:
    assert offered(path) is passes


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("http://127.0.0.1:5000/a", "/mlflow/a"),
        ("/a", "/mlflow/a"),
        ("//evil/a", "//evil/a"),
        ("http://127.0.0.1:5000", "/mlflow/"),
        ("http://127.0.0.1:5000?a=1", "/mlflow/?a=1"),
        ("http://127.0.0.1:50001/a", "http://127.0.0.1:50001/a"),
        ("https://bucket/a?sign=1", "https://bucket/a?sign=1"),
    ],
)
def test_redirects_stay_under_the_prefix(location: str, seen: str) -> None:
    found = passed_out([("location", location)], "http://127.0.0.1:5000")

    assert found == [("location", seen)]


def test_redirects_of_an_mlflow_below_a_path_stay_under_the_prefix() -> None:
    assert passed_out([("location", "/ml/a")], "http://host/ml") == [("location", "/mlflow/a")]
