# SPDX-License-Identifier: Apache-2.0
"""Whatever a caller sends, a replica answers with what is wrong; it is never an error of the platform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services.serving.tests.asking import replica

from mlops.serving.model.chat import UnanswerableError, Wish, read_wish
from mlops.serving.model.frames import FORMATS, read_frame
from mlops.serving.model.requests import read_inputs
from mlops.serving.model.rows import Rows, read_rows
from mlops.serving.model.tensors import DTYPES, Field, MalformedError

FIELDS = (Field("a", "FP32"), Field("b", "INT8"), Field("c", "BYTES"), Field("d", "BOOL"))
IMAGE = (Field("a", "FP16", (-1, 2)),)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["a", "b", "user", "text"])
)
NAMES = st.sampled_from(
    ["a", "b", "c", "d", "columns", "data", "index", "role", "content", "type", "text", "name"]
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=15,
)
ASKED = st.dictionaries(
    st.sampled_from(
        ["model", "messages", "prompt", "stream", "stop", "max_tokens", "seed", "n", "top_p"]
    ),
    ANYTHING,
)


@pytest.mark.parametrize("fields", [FIELDS, IMAGE, ()])
@settings(deadline=None)
@given(said=ANYTHING, called=st.sampled_from(FORMATS))
def test_a_frame_is_read_or_named(fields: tuple[Field, ...], said: Any, called: str) -> None:
    try:
        found = type(read_frame({called: said}, fields))
    except MalformedError:
        found = Rows  # told what is wrong with it

    assert found is Rows


@settings(deadline=None)
@given(said=ASKED, is_chat=st.booleans())
def test_a_wish_is_read_or_named(said: Any, *, is_chat: bool) -> None:
    try:
        found = type(read_wish(said, is_chat=is_chat))
    except UnanswerableError:
        found = Wish

    assert found is Wish


@pytest.mark.parametrize("fields", [FIELDS, IMAGE, ()])
@settings(deadline=None)
@given(
    tensors=st.lists(
        st.fixed_dictionaries(
            {
                "name": st.sampled_from("abcd"),
                "datatype": st.sampled_from(list(DTYPES)),
                "shape": st.lists(st.integers(0, 3), max_size=3),
            },
            optional={
                "data": ANYTHING,
                "parameters": st.dictionaries(st.just("binary_data_size"), LEAVES),
            },
        ),
        max_size=3,
    ),
    raw=st.none() | st.binary(max_size=16),
)
def test_inputs_are_read_or_named(
    fields: tuple[Field, ...], tensors: Any, raw: bytes | None
) -> None:
    try:
        rest = None if raw is None else memoryview(bytearray(raw))
        found = type(read_rows(read_inputs(tensors, rest), fields))
    except MalformedError:
        found = Rows

    assert found is Rows


@pytest.mark.parametrize(
    "path", ["/v2/models/rain/infer", "/invocations", "/v1/chat/completions", "/v1/completions"]
)
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=st.binary(max_size=64) | ANYTHING.map(lambda one: json.dumps(one).encode()),
    length=st.none() | st.text(max_size=4) | st.integers(0, 70).map(str),
)
async def test_no_body_is_the_platforms_fault(
    tmp_path: Path, path: str, body: bytes, length: str | None
) -> None:
    headers = {"Content-Type": "application/json"}
    if length is not None and length.isascii():
        headers["Inference-Header-Content-Length"] = length

    answer = await replica(tmp_path).post(path, body, headers)

    assert answer.status in (200, 400, 404)
    assert answer.json
