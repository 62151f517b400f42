# SPDX-License-Identifier: Apache-2.0
"""Texts in OpenAI's shape from a real replica, as server-sent events through HAProxy and through the gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import aiohttp
import pytest

pytestmark = [
    pytest.mark.server,
    pytest.mark.mlflow,
    pytest.mark.ray,
    pytest.mark.timeout(300),
]
FOR_HOURS = 1_000_000  # words, fifty in a second


def chat(project: Any, words: int, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "say it"}]
    return {"model": project.name, "messages": messages, "max_tokens": words, **more}


async def events(reply: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """Yield what each server-sent event holds."""
    async for line in reply.content:
        if line.strip():
            name, _, told = line.decode().strip().partition(": ")
            assert name == "data"
            yield told


async def check_stream(ask: Any, project: Any) -> None:
    async with ask(json=chat(project, 5)) as reply:
        assert reply.status == 200
        whole = await reply.json()
    wish = chat(project, 5, stream=True, stream_options={"include_usage": True})
    async with ask(json=wish) as reply:
        assert (reply.status, reply.content_type) == (200, "text/event-stream")
        *told, last = [one async for one in events(reply)]

    assert last == "[DONE]"
    *pieces, end, usage = [json.loads(one) for one in told]
    deltas = [one["choices"][0]["delta"] for one in pieces]
    assert [one["content"] for one in deltas] == ["rain ", "falls ", "on ", "hills ", "rain "]
    assert deltas[0]["role"] == "assistant"
    assert {one["object"] for one in (*pieces, end)} == {"chat.completion.chunk"}
    assert end["choices"][0]["finish_reason"] == "length"
    assert whole["choices"][0]["message"] == {
        "role": "assistant",
        "content": "".join(one["content"] for one in deltas),
    }
    assert usage["usage"] == whole["usage"]
    assert usage["usage"]["completion_tokens"] == 5


async def check_leaving(ask: Any, project: Any) -> None:
    """Leave in the middle of a text that takes the only place for hours: who comes next is answered."""
    async with ask(json=chat(project, FOR_HOURS, stream=True)) as reply:
        arrived = [json.loads(one) async for one in first_of(reply, 3)]
        reply.close()

    assert [one["choices"][0]["delta"]["content"] for one in arrived] == ["rain ", "falls ", "on "]
    async with ask(json=chat(project, 1)) as reply:
        assert reply.status == 200
        assert (await reply.json())["choices"][0]["message"]["content"] == "rain "


async def first_of(reply: aiohttp.ClientResponse, count: int) -> AsyncIterator[str]:
    async for one in events(reply):
        yield one
        count -= 1
        if not count:
            return


async def check_refusals(ask: Any, project: Any) -> None:
    async with ask(json={**chat(project, 5), "messages": []}) as reply:
        told = await reply.json()
    assert reply.status == 400
    assert (told["error"]["type"], told["error"]["param"]) == ("invalid_request_error", "messages")


async def test_texts_are_streamed_through_both_doors_and_end_when_the_caller_leaves(
    project: Any, gateway: Any
) -> None:
    await project.register()
    [version] = project.log("words")
    done = await project.serve(version)
    assert done["data"]["backend"] == "mlx-lm"
    [url] = await project.weights()

    door = f"{gateway.url}/models/{project.name}/{project.name}"

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(sock_read=60)) as session:
        for at, headers in ((url, {}), (door, gateway.headers)):
            ask = partial(session.post, f"{at}/v1/chat/completions", headers=headers)
            await check_stream(ask, project)
            await check_leaving(ask, project)
            await check_refusals(ask, project)
