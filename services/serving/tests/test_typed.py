# SPDX-License-Identifier: Apache-2.0
"""The Bento's own methods at a replica, shaped by their own types; and the description of all that it answers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer
from services.serving.tests.asking import RAIN, Replica, matrix, replica

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # BentoML's own, of another library
    from bentoml import api, service


class Row(BaseModel):
    temperature: float
    dew_point: float = Field(ge=0)


class Wide(BaseModel):
    sky: list[float]
    words: list[int]
    wind: float
    dumped: ClassVar[list[str]] = []

    @model_serializer(mode="wrap")
    def _dump(self, usual: SerializerFunctionWrapHandler) -> Any:
        self.dumped.append("once")
        return usual(self)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # BentoML makes its types in a way that pydantic gives up

    @service(name="rain")
    class Rain:
        """What a packed service looks like to its replica."""

        def __init__(self, model: Any) -> None:
            self.spec = model.spec
            self.answer = model.answer

        @api  # type: ignore[untyped-decorator]  # BentoML has no types
        def predict(self, rows: list[Row]) -> list[float]:
            """Return one prediction for each row."""
            return [one.temperature + one.dew_point for one in rows]

        @api(route="/explain/why")  # type: ignore[untyped-decorator]  # as above
        def why(self, temperature: float = 1.0) -> dict[str, Any]:
            return {"because": temperature, "nothing": float("nan")}

        @api  # type: ignore[untyped-decorator]  # as above
        def look(self, rows: list[Wide]) -> list[list[float]]:
            return [one.sky[:2] for one in rows]

        @api  # type: ignore[untyped-decorator]  # as above
        def broken(self, rows: list[Row]) -> list[float]:
            raise ValueError(f"{len(rows)} rows too many")


class Inner:
    """The service with its model given, as BentoML would make it."""

    apis = Rain.apis  # type: ignore[attr-defined]  # BentoML makes a service of the class

    def __call__(self, model: Any) -> Any:
        return Rain.inner(model)  # type: ignore[attr-defined]  # as above


@pytest.fixture
def door(tmp_path: Path) -> Replica:
    return replica(tmp_path, service=Inner())


async def test_rows_of_the_right_type_are_answered(door: Replica) -> None:
    rows = [{"temperature": 1.5, "dew_point": 2}, {"temperature": -1, "dew_point": 0}]

    answer = await door.post("/predict", {"rows": rows})

    assert (answer.status, answer.json) == (200, [3.5, -1.0])


@pytest.mark.parametrize(
    ("body", "place", "kind"),
    [
        ({}, ["rows"], "missing"),
        ({"rows": 1}, ["rows"], "list_type"),
        ({"rows": [{"temperature": 1}]}, ["rows", 0, "dew_point"], "missing"),
        (
            {"rows": [{"temperature": "hot", "dew_point": 1}]},
            ["rows", 0, "temperature"],
            "float_parsing",
        ),
        (
            {"rows": [{"temperature": 1, "dew_point": -1}]},
            ["rows", 0, "dew_point"],
            "greater_than_equal",
        ),
        (b"{", [], "json_invalid"),
        (b"", ["rows"], "missing"),
    ],
)
async def test_what_does_not_fit_is_answered_with_its_place(
    door: Replica, body: Any, place: list[Any], kind: str
) -> None:
    answer = await door.post("/predict", body)

    assert answer.status == 422
    assert (answer.json["detail"][0]["loc"], answer.json["detail"][0]["type"]) == (place, kind)


async def test_every_method_answers_at_its_own_route(door: Replica) -> None:
    answer = await door.post("/explain/why", {"temperature": 2})
    usual = await door.post("/explain/why", {})

    assert answer.json == {"because": 2.0, "nothing": None}
    assert usual.json["because"] == 1.0


async def test_rows_with_lists_are_logged_and_read_once(tmp_path: Path) -> None:
    door = replica(tmp_path, service=Inner(), nats_url="nats://127.0.0.1:1")
    row = {"sky": [0.5] * 20, "words": [101] * 20, "wind": 3.0}
    Wide.dumped.clear()

    said = await door.post("/look", {"rows": [row, row]})

    if door.parts.held is not None:
        door.parts.held.close()
    noted = [one for one, _ in door.parts.log._waiting]
    assert said.json == [[0.5, 0.5]] * 2
    assert [(one.features, list(one.vectors)) for one in noted] == [({"wind": 3.0}, ["sky"])] * 2
    assert [one.answer.values for one in noted if one.answer] == [(0.5, 0.5)] * 2
    assert len(Wide.dumped) == 2


async def test_a_method_that_fails_is_told(door: Replica) -> None:
    answer = await door.post("/broken", {"rows": []})

    assert (answer.status, answer.json["error"]) == (
        500,
        "the model failed: ValueError: 0 rows too many",
    )


async def described(door: Replica) -> Any:
    return (await door.get("/openapi.json")).json


async def test_the_description_lists_what_answers(door: Replica) -> None:
    said = await described(door)

    answering = [
        (method.upper(), path) for path, methods in said["paths"].items() for method in methods
    ]
    statuses = {one: (await door.ask(*one)).status for one in answering}
    assert {"/predict", "/explain/why", "/invocations", "/v2/models/rain/infer"} <= set(
        said["paths"]
    )
    assert not {404, 405} & set(statuses.values())


async def test_the_description_holds_the_bento_s_own_types(door: Replica) -> None:
    said = await described(door)

    row = said["components"]["schemas"]["Row"]
    assert row["required"] == ["temperature", "dew_point"]
    assert row["properties"]["dew_point"]["minimum"] == 0
    ref = said["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    asked = {**ref, "components": said["components"]}
    Draft202012Validator.check_schema(asked)
    check = Draft202012Validator(asked)
    assert check.is_valid({"rows": [{"temperature": 1, "dew_point": 2}]})
    assert not check.is_valid({"rows": [{"temperature": 1}]})


async def test_answers_are_as_described(door: Replica) -> None:
    said = await described(door)
    asked = {"inputs": [matrix([1, 2])]}

    answer = (await door.post("/v2/models/rain/infer", asked)).json
    metadata = (await door.get("/v2/models/rain")).json

    for name, found in (
        ("InferRequest", asked),
        ("InferResponse", answer),
        ("Metadata", metadata),
    ):
        schema = {"$ref": f"#/components/schemas/{name}", "components": said["components"]}
        Draft202012Validator(schema).validate(found)


async def test_only_a_model_that_writes_text_describes_openai_s_paths(tmp_path: Path) -> None:
    plain = await described(replica(tmp_path))
    text = await described(replica(tmp_path, spec={**RAIN, "task": "text"}, generate=iter))

    assert "/v1/chat/completions" not in plain["paths"]
    assert "/v1/chat/completions" in text["paths"]
