# SPDX-License-Identifier: Apache-2.0
"""The Bento's own methods, shaped by their own types: what does not fit is answered 422 with its places."""

from __future__ import annotations

import asyncio
import inspect
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from mlops.serving.adapters.journal import Answers, Asking, Features, Vectors
from mlops.serving.adapters.replies import (
    Reply,
    Request,
    Route,
    Routes,
    reply_of,
    request_id_of,
)
from mlops.serving.model.tensors import Scalar
from mlops.serving.model.vectors import Shortened, vectors_of

_LARGE = 64 * 1024
_UNFIT = 422
_PLAIN = (str, int, float, bool)


class Typed:
    """Answers each method of a Bento's *service* at its route, by its *instance*."""

    def __init__(self, service: Any, instance: Any, asking: Asking) -> None:
        self._instance = instance
        self._calls = asking.calls
        self._counters = asking.counters
        self._journal = asking.journal
        self.methods = {
            api.route: api for api in getattr(service, "apis", {}).values() if _is_answerable(api)
        }

    def routes(self) -> Routes:
        """Return one path for each method."""
        return {
            ("POST", route): Route(partial(self._answer, api), counted=True)
            for route, api in self.methods.items()
        }

    async def _answer(self, api: Any, request: Request) -> Reply:
        began = time.perf_counter()
        try:
            if len(request.body) > _LARGE:
                asked = await asyncio.to_thread(_read, api, request.body)
            else:
                asked = _read(api, request.body)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            reason = "the body does not fit; GET /openapi.json says what does"
            return reply_of({"error": reason, "detail": found}, _UNFIT)
        call = partial(getattr(self._instance, api.name), **asked)
        body, said = await self._calls.run(partial(_written, api, call))
        request_id = request_id_of(request) or str(uuid.uuid4())
        rows = _rows(asked)
        plain = cache(partial(_plain, rows))
        self._counters.answered += len(rows)
        self._journal.note(
            request,
            request_id,
            len(rows),
            lambda: _features(plain()),
            partial(_predictions, said, len(rows)),
            (time.perf_counter() - began) * 1000,
            lambda: _vectors(plain()),
            partial(_answers, said, len(rows)),
        )
        return Reply(body)


def _is_answerable(api: Any) -> bool:
    is_plain = not api.is_stream and not inspect.iscoroutinefunction(api.func)
    return is_plain and not getattr(api.input_spec, "multipart_fields", [])


def _read(api: Any, body: bytes) -> dict[str, Any]:
    validated = api.input_spec.model_validate_json(body or b"{}")
    return {name: getattr(validated, name) for name in type(validated).model_fields}


def _written(api: Any, call: Callable[[], Any]) -> tuple[bytes, Any]:
    """Call the method and write what it says; in the model's thread, for it may be much."""
    spec, said = api.output_spec, call()
    if "root" in spec.model_fields:
        plain = spec(said).model_dump(mode="json")
    else:
        plain = spec.model_validate(said).model_dump(mode="json")
    return orjson.dumps(plain, option=orjson.OPT_NON_STR_KEYS), plain


def _rows(asked: Mapping[str, Any]) -> Sequence[Any]:
    only = next(iter(asked.values())) if len(asked) == 1 else None
    return only if isinstance(only, list) else [dict(asked)]


def _plain(rows: Sequence[Any]) -> list[Mapping[Any, Any]]:
    """Return rows as mappings of plain values; of a wide one this is what costs most, so it is done once."""
    each = [row.model_dump(by_alias=True) if isinstance(row, BaseModel) else row for row in rows]
    return [row if isinstance(row, Mapping) else {} for row in each]


def _features(rows: Sequence[Mapping[Any, Any]]) -> Features:
    return [
        {
            str(name): value
            for name, value in row.items()
            if value is None or isinstance(value, _PLAIN)
        }
        for row in rows
    ]


def _vectors(rows: Sequence[Mapping[Any, Any]]) -> Vectors:
    lists = [(place, name) for place, row in enumerate(rows) for name in row if _is_list(row[name])]
    found: list[dict[str, Shortened]] = [{} for _ in rows] if lists else []
    for name in dict.fromkeys(name for _, name in lists):
        each = vectors_of([row.get(name) for row in rows])
        for row, one in zip(found, each, strict=True):
            if one is not None:
                row[str(name)] = one
    return found if any(found) else []


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _answers(said: Any, count: int) -> Answers:
    values = said if isinstance(said, list) and len(said) == count else [said]
    if not any(map(_is_list, values)):
        return []
    found = vectors_of(values)
    return found if len(found) == count and any(found) else []


def _predictions(said: Any, count: int) -> list[Scalar]:
    values = said if isinstance(said, list) else [said]
    if len(values) != count:
        return [None] * count
    return [one if isinstance(one, _PLAIN) else None for one in values]
