# SPDX-License-Identifier: Apache-2.0
"""What a request in OpenAI's shape asks of a text model; whatever it cannot have is refused by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_TOKENS = 256
_MOST_STOPS = 4
_HOTTEST = 2.0
_MOST_SEED = 2**63

# What may be sent because it changes nothing here; any other value is refused.
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (False, 0),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "reasoning_effort": ("none",),
}
_IGNORED = {"user", "metadata", "safety_identifier", "prompt_cache_key"}
_READ = {
    "model",
    "messages",
    "prompt",
    "stream",
    "stream_options",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "seed",
}
_ROLES = ("system", "developer", "user", "assistant")


class UnanswerableError(ValueError):
    """This cannot be asked here; *param* names the part of the request."""

    def __init__(self, reason: str, param: str | None = None) -> None:
        super().__init__(reason)
        self.param = param


@dataclass(frozen=True)
class Wish:
    """A text that is wanted: what for (messages or a prompt), how long, how random, and how it is told."""

    asked: list[dict[str, str]] | str
    max_tokens: int
    temperature: float
    top_p: float
    stop: list[str]
    seed: int | None
    streams: bool
    tells_usage: bool


def read_wish(request: Mapping[str, Any], *, is_chat: bool) -> Wish:
    """Return what a request asks; raises UnanswerableError."""
    _refuse_unknown(request)
    streams = _flag(request, "stream")
    return Wish(
        asked=_messages(request.get("messages")) if is_chat else _prompt(request.get("prompt")),
        max_tokens=_tokens(request),
        temperature=_number(request, "temperature", 1.0, 0.0, _HOTTEST),
        top_p=_number(request, "top_p", 1.0, 0.0, 1.0),
        stop=_stops(request.get("stop")),
        seed=_seed(request.get("seed")),
        streams=streams,
        tells_usage=_tells_usage(request, streams=streams),
    )


def _refuse_unknown(request: Mapping[str, Any]) -> None:
    for name, value in request.items():
        if name in _READ or name in _IGNORED or value is None:
            continue
        if name not in _NEUTRAL:
            raise UnanswerableError(f"{name!r} is not known here; leave it out", name)
        if not any(_is_same(value, one) for one in _NEUTRAL[name]):
            raise UnanswerableError(
                f"{name} = {str(value)[:60]!r} is not supported by this server; leave it out", name
            )


def _is_same(value: object, one: object) -> bool:
    return value == one and isinstance(value, bool) == isinstance(one, bool)  # True equals 1


def _messages(said: object) -> list[dict[str, str]]:
    if not isinstance(said, list) or not said:
        raise UnanswerableError("`messages` must be a list of at least one message", "messages")
    return [_message(one, f"messages[{place}]") for place, one in enumerate(said)]


def _message(one: object, at: str) -> dict[str, str]:
    if not isinstance(one, Mapping) or one.get("role") not in _ROLES:
        raise UnanswerableError(f"{at} needs a `role` of {', '.join(_ROLES)}", f"{at}.role")
    if one.get("tool_calls") or one.get("function_call"):
        raise UnanswerableError(f"{at}: tools are not supported; leave them out", at)
    role = "system" if one["role"] == "developer" else one["role"]
    return {"role": role, "content": _content(one.get("content"), f"{at}.content")}


def _content(said: object, at: str) -> str:
    if isinstance(said, str):
        return said
    parts = said if isinstance(said, list) else [None]
    texts = []
    for part in parts:
        said_as = part if isinstance(part, Mapping) else {}
        text = said_as.get("text")
        if not isinstance(text, str) or said_as.get("type") != "text":
            raise UnanswerableError(f"{at} must be text; images and sounds are not read here", at)
        texts.append(text)
    return "".join(texts)


def _prompt(said: object) -> str:
    if isinstance(said, list) and len(said) == 1:
        said = said[0]
    if not isinstance(said, str):
        raise UnanswerableError("`prompt` must be one text; send one request for each", "prompt")
    return said


def _tokens(request: Mapping[str, Any]) -> int:
    for name in ("max_completion_tokens", "max_tokens"):
        value = request.get(name)
        if value is None:
            continue
        if type(value) is not int or value < 1:
            raise UnanswerableError(f"`{name}` must be a whole number above 0", name)
        return value
    return DEFAULT_TOKENS


def _number(
    request: Mapping[str, Any], name: str, default: float, least: float, most: float
) -> float:
    value = request.get(name)
    if value is None:
        return default
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not least <= value <= most:
        raise UnanswerableError(f"`{name}` must be a number from {least:g} to {most:g}", name)
    return float(value)


def _stops(said: object) -> list[str]:
    stops = [said] if isinstance(said, str) else said if said is not None else []
    is_list = isinstance(stops, list) and all(isinstance(one, str) and one for one in stops)
    if not isinstance(stops, list) or not is_list or len(stops) > _MOST_STOPS:
        raise UnanswerableError(f"`stop` must be at most {_MOST_STOPS} texts, none empty", "stop")
    return stops


def _seed(said: object) -> int | None:
    if said is None:
        return None
    if type(said) is not int or not 0 <= said < _MOST_SEED:
        raise UnanswerableError("`seed` must be a whole number, 0 or more", "seed")
    return said


def _flag(request: Mapping[str, Any], name: str) -> bool:
    value = request.get(name)
    if not isinstance(value, bool | None):
        raise UnanswerableError(f"`{name}` must be true or false", name)
    return bool(value)


def _tells_usage(request: Mapping[str, Any], *, streams: bool) -> bool:
    options = request.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, Mapping) or not streams:
        raise UnanswerableError(
            "`stream_options` must be an object, and needs `stream`", "stream_options"
        )
    return _flag(options, "include_usage")
