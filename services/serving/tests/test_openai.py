# SPDX-License-Identifier: Apache-2.0
"""OpenAI's paths: a text model of the test's own, which writes the words it is told, one piece after another."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from services.serving.tests.asking import RAIN, Replica, Said, replica

CHAT = "/v1/chat/completions"
PLAIN = "/v1/completions"
TEXT = {
    **RAIN,
    "backend": "mlx-lm",
    "task": "text",
    "concurrency": 1,
    "inputs": [{"name": "prompt", "datatype": "BYTES", "dtype": "O", "shape": [-1]}],
    "outputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
}
ASKED = {"model": "rain", "messages": [{"role": "user", "content": "how is the weather"}]}


class Words:
    """Writes the words of what it is asked, and remembers how it was asked."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.go = threading.Event()
        self.go.set()
        self.written = 0
        self.fails_at = -1

    def __call__(self, asked: list[dict[str, str]] | str, **how: Any) -> Iterator[dict[str, Any]]:
        self.asked = {"asked": asked, **how}
        said = asked if isinstance(asked, str) else asked[-1]["content"]
        words = [*said.split(), "."]
        for place, word in enumerate(words):
            if place == self.fails_at:
                raise ValueError("lost for words")
            ends = "stop" if word == "." else None
            is_last = place + 1 == how["max_tokens"] or ends is not None
            self.written += 1
            yield {
                "text": word if place == 0 else f" {word}",
                "finish_reason": (ends or "length") if is_last else None,
                "prompt_tokens": len(words) - 1,
                "completion_tokens": place + 1,
            }
            if is_last:
                return
            if place:
                self.go.wait(10)


@pytest.fixture
def words() -> Iterator[Words]:
    words = Words()
    yield words
    words.go.set()


@pytest.fixture
def door(tmp_path: Path, words: Words) -> Replica:
    return replica(tmp_path, spec=TEXT, generate=words, answer=lambda rows: rows["prompt"])


def events(said: Said) -> list[Any]:
    assert said.headers["content-type"] == "text/event-stream; charset=utf-8"
    lines = said.body.decode().split("\n\n")
    assert lines[-1] == ""
    assert all(line.startswith("data: ") for line in lines[:-1])
    told = [line.removeprefix("data: ") for line in lines[:-1]]
    return [one if one == "[DONE]" else json.loads(one) for one in told]


async def test_a_chat_is_answered_whole(door: Replica, words: Words) -> None:
    answer = await door.post(CHAT, ASKED)

    said = answer.json
    assert answer.status == 200
    assert said["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "how is the weather ."},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert said["usage"] == {"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9}
    assert (said["object"], said["model"]) == ("chat.completion", "rain")
    assert said["id"].startswith("chatcmpl-")
    assert words.asked == {
        "asked": [{"role": "user", "content": "how is the weather"}],
        "max_tokens": 256,
        "temperature": 1.0,
        "top_p": 1.0,
        "stop": [],
        "seed": None,
    }


async def test_what_a_caller_sets_reaches_the_model(door: Replica, words: Words) -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two three"}]
    answer = await door.post(
        CHAT,
        {
            "messages": [
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": parts},
            ],
            "max_completion_tokens": 2,
            "temperature": 0,
            "top_p": 0.5,
            "stop": "END",
            "seed": 7,
            "n": 1,
            "user": "ana",
            "tools": None,
            "frequency_penalty": 0.0,
        },
    )

    assert answer.json["choices"][0]["finish_reason"] == "length"
    assert answer.json["choices"][0]["message"]["content"] == "one two"
    assert words.asked == {
        "asked": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "one two three"},
        ],
        "max_tokens": 2,
        "temperature": 0.0,
        "top_p": 0.5,
        "stop": ["END"],
        "seed": 7,
    }


@pytest.mark.parametrize("prompt", ["two words", ["two words"]])
async def test_a_prompt_is_completed(door: Replica, prompt: Any) -> None:
    answer = await door.post(PLAIN, {"prompt": prompt})

    assert answer.json["object"] == "text_completion"
    assert answer.json["choices"][0]["text"] == "two words ."


async def test_a_chat_comes_piece_by_piece(door: Replica) -> None:
    answer = await door.post(
        CHAT, {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
    )

    *pieces, last, usage, done = events(answer)
    assert pieces[0]["choices"][0]["delta"] == {"content": "how", "role": "assistant"}
    assert (
        "".join(one["choices"][0]["delta"]["content"] for one in pieces) == "how is the weather ."
    )
    assert last["choices"][0] == {
        "index": 0,
        "delta": {},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 9)
    assert done == "[DONE]"
    assert {one["object"] for one in [*pieces, last, usage]} == {"chat.completion.chunk"}
    assert len({one["id"] for one in [*pieces, last, usage]}) == 1


async def test_a_completion_comes_piece_by_piece(door: Replica) -> None:
    *pieces, last, done = events(await door.post(PLAIN, {"prompt": "a b", "stream": True}))

    assert [one["choices"][0]["text"] for one in pieces] == ["a", " b", " ."]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert done == "[DONE]"


async def test_a_caller_that_leaves_a_stream_frees_its_turn(door: Replica, words: Words) -> None:
    words.go.clear()
    begun = asyncio.Event()
    leaving = asyncio.create_task(
        door.ask(
            "POST",
            CHAT,
            [json.dumps({**ASKED, "stream": True}).encode()],
            heard=lambda piece: begun.set() if piece else None,
        )
    )
    async with asyncio.timeout(30):
        await begun.wait()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    words.go.set()

    async with asyncio.timeout(30):
        answer = await door.post(CHAT, ASKED)

    assert answer.status == 200
    assert words.written < 5 + 5  # the text that nobody read was not finished


async def test_one_that_writes_is_not_stuck_however_long_it_takes(
    tmp_path: Path, words: Words
) -> None:
    door = replica(tmp_path, spec=TEXT, generate=words, infer_timeout_s=0.3)

    answer = await door.post(CHAT, ASKED)
    words.go.clear()
    waited = await door.post(CHAT, ASKED)

    assert (answer.status, waited.status) == (200, 504)
    assert waited.json["error"]["type"] == "server_error"


async def test_a_model_that_fails_before_its_first_word_is_an_error_with_a_status(
    door: Replica, words: Words
) -> None:
    words.fails_at = 0

    answer = await door.post(CHAT, {**ASKED, "stream": True})

    assert answer.status == 500
    assert "lost for words" in answer.json["error"]["message"]


async def test_a_model_that_fails_in_the_middle_says_so_in_the_stream(
    door: Replica, words: Words
) -> None:
    words.fails_at = 2

    *_, last = events(await door.post(CHAT, {**ASKED, "stream": True}))

    assert "lost for words" in last["error"]["message"]


@pytest.mark.parametrize(
    ("more", "param", "said"),
    [
        ({"messages": []}, "messages", "at least one message"),
        ({"messages": "hi"}, "messages", "at least one message"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "must be text"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "needs a `role`"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "needs a `role`"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content",
            "images and sounds",
        ),
        ({"n": 2}, "n", "n = '2' is not supported"),
        ({"n": True}, "n", "is not supported"),
        ({"logprobs": True}, "logprobs", "is not supported"),
        ({"tools": [{"type": "function"}]}, "tools", "is not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "is not supported"),
        ({"presence_penalty": 0.5}, "presence_penalty", "is not supported"),
        ({"max_token": 3}, "max_token", "is not known here"),
        ({"max_tokens": 0}, "max_tokens", "above 0"),
        ({"max_tokens": 1.5}, "max_tokens", "above 0"),
        ({"temperature": 3}, "temperature", "from 0 to 2"),
        ({"temperature": "hot"}, "temperature", "from 0 to 2"),
        ({"top_p": -0.1}, "top_p", "from 0 to 1"),
        ({"stop": [""]}, "stop", "none empty"),
        ({"stop": ["a"] * 5}, "stop", "at most 4"),
        ({"seed": -1}, "seed", "0 or more"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"stream_options": {}}, "stream_options", "needs `stream`"),
    ],
)
async def test_what_cannot_be_had_is_refused_by_name(
    door: Replica, more: dict[str, Any], param: str, said: str
) -> None:
    answer = await door.post(CHAT, {**ASKED, **more})

    error = answer.json["error"]
    assert (answer.status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert said in error["message"]


@pytest.mark.parametrize(("body", "said"), [(b"{", "is not JSON"), (b"[]", "a JSON object")])
async def test_a_body_that_is_none_is_refused(door: Replica, body: bytes, said: str) -> None:
    answer = await door.post(CHAT, body)

    assert answer.status == 400
    assert said in answer.json["error"]["message"]


async def test_another_model_is_not_here(door: Replica) -> None:
    answer = await door.post(CHAT, {**ASKED, "model": "gpt"})

    assert (answer.status, answer.json["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize("path", [CHAT, PLAIN])
async def test_a_model_that_writes_no_text_says_where_to_ask_it(tmp_path: Path, path: str) -> None:
    answer = await replica(tmp_path).post(path, ASKED)

    assert answer.status == 404
    assert "/v2/models/rain/infer" in answer.json["error"]["message"]


async def test_the_list_of_models_is_the_one_model(door: Replica) -> None:
    listed = (await door.get("/v1/models")).json
    one = (await door.get("/v1/models/rain")).json

    assert listed == {"object": "list", "data": [one]}
    assert (one["id"], one["object"], one["owned_by"]) == ("rain", "model", "mlops")


async def test_a_text_model_answers_the_open_protocol_too(door: Replica) -> None:
    prompt = {"name": "prompt", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]}

    answer = await door.post("/v2/models/rain/infer", {"inputs": [prompt]})

    assert answer.json["outputs"][0]["data"] == ["a", "b"]
