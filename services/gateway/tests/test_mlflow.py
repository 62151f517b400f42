# SPDX-License-Identifier: Apache-2.0
"""MLflow behind the door: who passes, what is passed on, and what a browser may do."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator

import httpx
import pytest
from aiohttp import web
from services.gateway.tests.conftest import BEARER, TOKEN, Answer, House, says

from mlops.gateway.model.mlflow_paths import (
    same_origin,
)

SEARCH = "/mlflow/ajax-api/2.0/mlflow/runs/search"
CREATE = "/mlflow/ajax-api/2.0/mlflow/experiments/create"


@pytest.fixture
def stranger(house: House) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(house.gateway.app)
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


@pytest.fixture
async def browser(stranger: httpx.AsyncClient) -> httpx.AsyncClient:
    """Return a browser that has opened the page once."""
    await stranger.get("/", params={"token": TOKEN})
    return stranger


def basic(password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'ada:{password}'.encode()).decode()}"}


def echoes(headers: dict[str, str] | None = None) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=await request.read(), headers=headers or {})

    return answer


@pytest.mark.parametrize(
    ("shown", "status", "code"),
    [
        ({}, 401, "UNAUTHENTICATED"),
        ({"Authorization": "Bearer wrong"}, 403, "PERMISSION_DENIED"),
        (basic("wrong"), 403, "PERMISSION_DENIED"),
        ({"Authorization": "Basic ???"}, 403, "PERMISSION_DENIED"),
        ({"Authorization": "Digest x"}, 403, "PERMISSION_DENIED"),
    ],
)
async def test_without_the_token_nothing_passes_and_mlflows_clients_can_say_why(
    house: House, stranger: httpx.AsyncClient, shown: dict[str, str], status: int, code: str
) -> None:
    answer = await stranger.post("/mlflow/api/2.0/mlflow/runs/search", json={}, headers=shown)

    assert answer.status_code == status
    assert answer.json()["error_code"] == code
    assert "MLFLOW_TRACKING_TOKEN" in answer.json()["message"]
    assert house.mlflow.seen == []


@pytest.mark.parametrize("shown", [BEARER, basic(TOKEN)])
async def test_the_token_opens_everything_and_stays_here(
    house: House, stranger: httpx.AsyncClient, shown: dict[str, str]
) -> None:
    house.mlflow.answers.append(echoes())

    answer = await stranger.post(
        "/mlflow/api/2.0/mlflow/runs/create?x=a%2Fb",
        content=b'{"a": 1}',
        headers={
            **shown,
            "X-MLFLOW-WORKSPACE": "rainfall",
            "Cookie": "mlops_visitor=x",
            "X-Forwarded-For": "10.0.0.1",
            "Connection": "x-own",
            "X-Own": "1",
        },
    )

    ((path, headers),) = house.mlflow.seen
    assert answer.content == b'{"a": 1}'
    assert path == "/api/2.0/mlflow/runs/create"
    assert headers["x-mlflow-workspace"] == "rainfall"
    assert headers["content-length"] == "8"
    assert not {"authorization", "cookie", "x-forwarded-for", "x-own"} & headers.keys()


async def test_the_address_reaches_mlflow_as_it_was_written(house: House) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.raw_path)
        return web.Response()

    house.mlflow.answers.append(answer)

    await house.client.get("/mlflow/ajax-api/x/a%2Fb%20c?filter=name%3D%27a%26b%27&x=1+2")

    assert seen == ["/ajax-api/x/a%2Fb%20c?filter=name%3D%27a%26b%27&x=1+2"]


async def test_more_bytes_pass_than_any_other_request_may_have(house: House) -> None:
    house.mlflow.answers.append(echoes())
    content = b"x" * (6 * 1024 * 1024)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 100_000):
            yield content[start : start + 100_000]

    answer = await house.client.put("/mlflow/api/2.0/mlflow-artifacts/a.bin", content=pieces())

    assert answer.content == content
    assert house.mlflow.seen[0][1]["transfer-encoding"] == "chunked"


async def test_what_mlflow_says_of_cookies_and_other_origins_stays_behind(house: House) -> None:
    headers = {
        "Set-Cookie": "a=b",
        "Access-Control-Allow-Origin": "http://localhost:8888",
        "Content-Encoding": "gzip",
        "ETag": "x",
        "Location": "/elsewhere",
    }
    house.mlflow.answers.append(echoes(headers))

    async with house.client.stream("GET", "/mlflow/version") as answer:
        assert not {"set-cookie", "access-control-allow-origin"} & answer.headers.keys()
        assert answer.headers["etag"] == "x"
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["location"] == "/mlflow/elsewhere"


async def test_a_prefix_that_is_written_otherwise_is_no_other_path(house: House) -> None:
    answer = await house.client.get("/%6dlflow/version")

    assert (answer.status_code, house.mlflow.seen) == (404, [])


async def test_refusals_of_mlflow_pass_as_they_are(house: House) -> None:
    house.mlflow.answers.append(says(404, '{"error_code": "RESOURCE_DOES_NOT_EXIST"}'))

    answer = await house.client.get("/mlflow/api/2.0/mlflow/runs/get?run_id=x")

    assert answer.status_code == 404
    assert answer.json() == {"error_code": "RESOURCE_DOES_NOT_EXIST"}


async def test_mlflow_that_is_away_is_told_in_its_own_words(house: House) -> None:
    await house.mlflow.stop()

    answer = await house.client.post("/mlflow/api/2.0/mlflow/runs/search", json={})

    assert answer.status_code == 502
    assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert "mlops logs tracking" in answer.json()["message"]


async def test_mlflow_that_says_nothing_is_given_up(house: House) -> None:
    async def sleeps(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3)
        return web.Response()

    house.mlflow.answers.append(sleeps)

    answer = await house.client.get("/mlflow/api/2.0/mlflow/experiments/search")

    assert answer.status_code == 504
    assert answer.json()["error_code"] == "DEADLINE_EXCEEDED"


async def test_an_answer_that_is_cut_off_does_not_end_well(house: House) -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"x" * 10)
        assert request.transport is not None
        request.transport.abort()
        return response

    house.mlflow.answers.append(breaks)
    said: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        said.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/mlflow/get-artifact",
        "raw_path": b"/mlflow/get-artifact",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"authorization", f"Bearer {TOKEN}".encode())],
    }
    await house.gateway.app(scope, receive, send)

    assert said[0]["status"] == 200
    assert [one for one in said[1:] if not one.get("more_body")] == []


@pytest.mark.parametrize("end", ["config", "config%0A", "%2e%2e/assistant/config"])
async def test_nobody_reaches_what_mlflow_keeps_for_its_own_machine(house: House, end: str) -> None:
    answer = await house.client.get(f"/mlflow/ajax-api/3.0/mlflow/assistant/{end}")

    assert answer.status_code == 403
    assert house.mlflow.seen == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/mlflow/", None),
        ("GET", "/mlflow/get-artifact?path=a.html", None),
        ("HEAD", "/mlflow/version", None),
        ("POST", SEARCH, {"experiment_ids": ["1"]}),
        ("POST", "/mlflow/ajax-api/2.0/mlflow/experiments/search-datasets", {}),
        ("POST", "/mlflow/ajax-api/3.0/mlflow/traces/batchGetInfos", {}),
        ("POST", "/mlflow/graphql", {"query": "query { mlflowGetRun { run { info { runId }}}}"}),
    ],
)
async def test_a_browser_that_opened_the_page_may_look(
    house: House, browser: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    house.mlflow.answers.append(echoes())
    headers = {"Origin": "http://gateway", "Sec-Fetch-Site": "same-origin"}

    answer = await browser.request(method, path, json=body, headers=headers)

    assert answer.status_code == 200
    assert len(house.mlflow.seen) == 1
    assert not {"cookie", "origin"} & house.mlflow.seen[0][1].keys()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", CREATE, {"name": "x"}),
        ("DELETE", "/mlflow/ajax-api/3.0/mlflow/workspaces/a", None),
        ("PUT", "/mlflow/api/2.0/mlflow-artifacts/artifacts/1/a", None),
        ("PATCH", "/mlflow/ajax-api/2.0/mlflow/registered-models/update", {}),
        ("POST", "/mlflow/ajax-api/2.0/mlflow/runs/search/../delete", {}),
        ("POST", "/mlflow/api/2.0/mlflow/runs/search", {}),
        (
            "POST",
            "/mlflow/graphql",
            {"query": 'mutation { testMutation(inputString: "a") { echo }}'},
        ),
        ("POST", "/mlflow/graphql", [{"query": "query { a }"}]),
        ("GET", "/mlflow/graphql?query=mutation{a}", None),
    ],
)
async def test_a_browser_changes_nothing(
    house: House, browser: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    answer = await browser.request(method, path, json=body)

    assert answer.status_code == 403
    assert answer.json()["error_code"] == "PERMISSION_DENIED"
    assert "may look but not change" in answer.json()["message"]
    assert house.mlflow.seen == []


async def test_an_empty_key_beside_the_cookie_makes_no_owner_of_a_visitor(
    house: House, browser: httpx.AsyncClient
) -> None:
    answer = await browser.post(CREATE, json={"name": "x"}, headers={"Authorization": ""})

    assert answer.status_code == 403
    assert house.mlflow.seen == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://gateway:8888"},
        {"Origin": "http://elsewhere"},
        {"Origin": "null"},
    ],
)
async def test_pages_of_others_cannot_use_the_browsers_key(
    house: House, browser: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    by_cookie = await browser.post(SEARCH, json={}, headers=headers)
    by_password = await browser.post(CREATE, json={}, headers={**headers, **basic(TOKEN)})

    assert (by_cookie.status_code, by_password.status_code) == (403, 403)
    assert "another site" in by_cookie.json()["message"]
    assert house.mlflow.seen == []


async def test_a_link_from_elsewhere_opens_mlflow() -> None:
    assert same_origin({"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"})
    assert not same_origin({"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"})


async def test_a_browser_without_a_key_is_told_how_to_get_one(
    stranger: httpx.AsyncClient,
) -> None:
    answer = await stranger.get("/mlflow/", headers={"Accept": "text/html,*/*"})

    assert answer.status_code == 401
    assert "/?token=" in answer.text


async def test_logged_pages_run_no_script_in_our_name(house: House) -> None:
    file = await house.client.get("/mlflow/get-artifact?path=a.html")
    page = await house.client.get("/mlflow/")

    assert file.headers["content-security-policy"] == "sandbox"
    assert "content-security-policy" not in page.headers


async def test_the_address_without_slash_leads_to_the_interface(house: House) -> None:
    answer = await house.client.get("/mlflow")

    assert (answer.status_code, answer.headers["location"]) == (308, "/mlflow/")


async def test_the_status_page_leads_there(house: House) -> None:
    assert 'href="/mlflow/"' in (await house.client.get("/")).text
