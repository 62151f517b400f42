# SPDX-License-Identifier: Apache-2.0
"""The door: nobody passes without the token; the page's cookie opens reading only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from services.gateway.tests.conftest import TOKEN, House

from mlops.contracts.monitoring import AlertRaised, Severity
from mlops.contracts.workspaces import ProjectRegistered


@pytest.fixture
def stranger(house: House) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(house.gateway.app)
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


@pytest.mark.parametrize("path", ["/api/v1/projects", "/api/v1/explain/x", "/api/v1/events/stream"])
async def test_without_a_token_nothing_is_told(stranger: httpx.AsyncClient, path: str) -> None:
    answer = await stranger.get(path)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "gateway_token" in answer.json()["error"]["fix"]


@pytest.mark.parametrize(
    "shown",
    ["Bearer wrong", "Basic dXNlcjpwdw==", "Bearer ünsinn", "Bearer a.b.c", TOKEN, "Bearer"],
)
@pytest.mark.parametrize("path", ["/api/v1/commands", "/v2/models/rain/infer", "/api/v1/predict"])
async def test_wrong_token_is_refused(stranger: httpx.AsyncClient, shown: str, path: str) -> None:
    answer = await stranger.post(path, json={}, headers={b"Authorization": shown.encode()})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="mlops"')


async def test_inference_words_its_refusal_as_the_protocol_does(
    stranger: httpx.AsyncClient,
) -> None:
    answer = await stranger.post("/v2/models/rain/infer", json={})

    assert answer.status_code == 401
    assert isinstance(answer.json()["error"], str)


async def test_health_of_inference_is_open(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/v2/health/live")).status_code == 200
    assert (await stranger.get("/v2/health/ready")).status_code == 200
    assert (await stranger.get("/v2")).status_code == 401


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/v2/nothing"])
async def test_unknown_path_is_a_json_error(house: House, path: str) -> None:
    answer = await house.client.get(path)

    assert answer.status_code == 404
    assert answer.json()["error"]


async def test_page_is_locked_until_the_token_was_in_the_address_once(
    stranger: httpx.AsyncClient,
) -> None:
    locked = await stranger.get("/")
    wrong = await stranger.get("/", params={"token": "wrong"})
    let_in = await stranger.get("/", params={"token": TOKEN})
    page = await stranger.get("/")

    assert (locked.status_code, wrong.status_code) == (401, 403)
    assert (let_in.status_code, let_in.headers["location"]) == (303, "/")
    assert TOKEN not in let_in.headers["set-cookie"]
    assert "HttpOnly" in let_in.headers["set-cookie"]
    assert page.status_code == 200
    assert "Live events" in page.text


@pytest.mark.parametrize(
    ("wanted", "place"),
    [("/mlflow/", "/mlflow/"), ("", "/"), ("//evil.example", "/"), ("https://evil.example", "/")],
)
async def test_the_token_leads_to_a_page_of_ours_only(
    stranger: httpx.AsyncClient, wanted: str, place: str
) -> None:
    let_in = await stranger.get("/", params={"token": TOKEN, "next": wanted})

    assert let_in.headers["location"] == place


async def test_cookie_reads_but_never_writes(stranger: httpx.AsyncClient, house: House) -> None:
    await stranger.get("/", params={"token": TOKEN})

    reading = await stranger.get("/api/v1/projects")
    wish = {"type": "cmd.workflow.start", "project": "rainfall"}
    writing = await stranger.post("/api/v1/commands", json=wish)

    assert reading.status_code == 200
    assert writing.status_code == 401
    assert house.bus.published == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://gateway"}, 202),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://gateway:8080"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
    ],
)
async def test_cookie_silences_alerts_from_the_page_itself_only(
    stranger: httpx.AsyncClient, house: House, headers: dict[str, str], status: int
) -> None:
    await stranger.get("/", params={"token": TOKEN})
    silence = {"project": "rainfall", "for_s": 3600}

    answer = await stranger.post("/api/v1/alerts/silences", json=silence, headers=headers)

    assert answer.status_code == status
    assert len(house.bus.published) == (status == 202)


async def test_a_cookie_ends_silences_and_deletes_nothing_else(
    stranger: httpx.AsyncClient, house: House
) -> None:
    async def silences(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"silences": [{"silence_id": "s-1", "project": "rainfall", "holds": True}]}

    house.bus.answer("monitoring", "silences", silences)
    await stranger.get("/", params={"token": TOKEN})
    page, elsewhere = {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "cross-site"}

    ended = await stranger.delete("/api/v1/alerts/silences/s-1", headers=page)
    attack = await stranger.delete("/api/v1/alerts/silences/s-1", headers=elsewhere)
    other = await stranger.delete("/api/v1/data/rainfall", headers=page)

    assert (ended.status_code, attack.status_code, other.status_code) == (202, 403, 401)
    assert len(house.bus.published) == 1


async def test_without_a_cookie_the_pages_buttons_open_nothing(
    stranger: httpx.AsyncClient, house: House
) -> None:
    answers = [
        await stranger.post("/api/v1/alerts/silences", json={"project": "rainfall", "for_s": 1}),
        await stranger.post("/api/v1/alerts/a-1/acknowledge", json={}),
        await stranger.delete("/api/v1/alerts/silences/s-1"),
        await stranger.post("/api/v1/alerts/channels/chat/test"),
    ]

    assert [one.status_code for one in answers] == [401, 401, 401, 401]
    assert house.bus.published == []


async def test_page_escapes_what_comes_from_outside(house: House) -> None:
    attack = '<script>alert("x")</script>'
    settings = {"name": "rainfall", "description": attack}
    await house.say(
        ProjectRegistered.model_validate(
            {"project": "rainfall", "settings": settings, "path": f"/tmp/{attack}", "revision": 1}  # noqa: S108 - text only
        ),
        AlertRaised(
            project="rainfall",
            alert_id="a",
            severity=Severity.CRITICAL,
            title=f"{attack} broke",
            dedup_key="k",
            kind=attack,
            suggestion=attack,
        ),
    )

    page = (await house.client.get("/")).text

    assert attack not in page
    assert page.count("&lt;script&gt;alert(") >= 4
    assert page.count("<script") == 1


async def test_page_needs_nothing_from_elsewhere(house: House) -> None:
    answer = await house.client.get("/")

    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert (await house.client.get("/static/page.js")).status_code == 200
    assert (await house.client.get("/static/page.css")).status_code == 200
    assert (await house.client.get("/static/..%2fpage.py")).status_code == 404
