# SPDX-License-Identifier: Apache-2.0
"""The AsyncAPI document and the events hold to the published standards, read by other people's code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from mlops.contracts.catalogue import CATALOGUE, read
from mlops.contracts.generate.schemas import DIALECT
from mlops.contracts.tracking import ModelPromoted

CONTRACTS = Path(__file__).resolve().parents[2] / "libs/contracts"
EXAMPLES = sorted((CONTRACTS / "examples").glob("*/*.json"))
ASYNCAPI = ("@asyncapi/specs", "6.11.1", "schemas/3.0.0.json")
CLOUDEVENTS = ("cloudevents", "10.0.0", "dist/schema/v1.js")
Published = Callable[[str, str, str], str]


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CONTRACTS / "asyncapi.json").read_text())
    return loaded


@pytest.fixture(scope="session")
def asyncapi_standard(published: Published) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads(published(*ASYNCAPI)))


@pytest.fixture(scope="session")
def cloudevents_standard(published: Published) -> jsonschema.Draft7Validator:
    # The SDK of the CloudEvents project ships its schema as a literal inside the compiled validator.
    found = re.search(r'^const \w+ = (\{ "\$schema".*\});$', published(*CLOUDEVENTS), re.MULTILINE)
    assert found, f"{CLOUDEVENTS} holds the schema elsewhere now"
    schema = json.loads(found[1])
    assert schema["description"] == "CloudEvents Specification JSON Schema"
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())


def test_asyncapi_document_is_valid(
    asyncapi_standard: jsonschema.Draft7Validator, document: dict[str, Any]
) -> None:
    assert [error.message for error in asyncapi_standard.iter_errors(document)] == []


def test_asyncapi_standard_finds_what_is_wrong(
    asyncapi_standard: jsonschema.Draft7Validator, document: dict[str, Any]
) -> None:
    broken = {**document, "operations": {"x": {"action": "shout"}}}

    assert not asyncapi_standard.is_valid(broken)


@pytest.mark.parametrize("path", EXAMPLES, ids=_name)
def test_every_example_is_a_cloudevent(
    cloudevents_standard: jsonschema.Draft7Validator, path: Path
) -> None:
    cloudevents_standard.validate(json.loads(path.read_text()))


@pytest.mark.parametrize("broken", [{"id": ""}, {"subject": ""}, {"specversion": 1}, {"time": 5}])
def test_cloudevents_standard_finds_what_is_wrong(
    cloudevents_standard: jsonschema.Draft7Validator, broken: dict[str, object]
) -> None:
    event = json.loads(EXAMPLES[0].read_text())

    assert not cloudevents_standard.is_valid({**event, **broken})


def _attribute_names(event: dict[str, Any]) -> set[str]:
    return event.keys() - {"data"}


@pytest.mark.parametrize("path", EXAMPLES, ids=_name)
def test_attribute_names_are_lower_case_and_short(path: Path) -> None:
    names = _attribute_names(json.loads(path.read_text()))

    assert [name for name in names if not re.fullmatch(r"[a-z0-9]{1,20}", name)] == []


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "$ref")
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _target(document: dict[str, Any], reference: str) -> object:
    found: object = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step] if isinstance(found, dict) else None
    return found


def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(_references(document))
    files = {each for each in references if each.startswith("./")}

    assert [each for each in files if not (CONTRACTS / each).exists()] == []
    assert [each for each in references - files if _target(document, each) is None] == []


def test_every_message_has_a_channel_someone_sends_on(document: dict[str, Any]) -> None:
    sent = {
        it["channel"]["$ref"] for it in document["operations"].values() if it["action"] == "send"
    }

    assert document["channels"].keys() == CATALOGUE.keys()
    assert {f"#/channels/{type_}" for type_ in CATALOGUE} == sent


@pytest.fixture(scope="session")
def registry(document: dict[str, Any]) -> Registry[Any]:
    files = (CONTRACTS / "schemas").glob("*.json")
    schemas = {f"http://local/schemas/{path.name}": json.loads(path.read_text()) for path in files}
    whole = {"http://local/asyncapi.json": document, **schemas}
    return Registry().with_resources(
        (uri, Resource.from_contents(it, default_specification=DRAFT202012))
        for uri, it in whole.items()
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=_name)
def test_every_example_fits_the_payload_of_the_document(
    registry: Registry[Any], path: Path
) -> None:
    kind = CATALOGUE[path.parent.name]
    pointer = f"http://local/asyncapi.json#/components/messages/{kind.__name__}/payload"
    schema = {"$schema": DIALECT, "$ref": pointer}

    jsonschema.Draft202012Validator(schema, registry=registry).validate(
        json.loads(path.read_text())
    )


@pytest.mark.parametrize("path", sorted((CONTRACTS / "schemas").glob("*.json")), ids=_name)
def test_every_schema_is_json_schema_2020_12(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_payload_of_the_document_refuses_what_does_not_fit(registry: Registry[Any]) -> None:
    event = json.loads((CONTRACTS / "examples/model.promoted/full.json").read_text())
    event["data"]["version"] = 0
    schema = {"$ref": "http://local/asyncapi.json#/components/messages/ModelPromoted/payload"}

    assert not jsonschema.Draft202012Validator(schema, registry=registry).is_valid(event)


@pytest.mark.parametrize("path", EXAMPLES, ids=_name)
def test_strangers_read_our_events(path: Path) -> None:
    event = JSONFormat().read(CloudEvent, path.read_text())

    assert event.get_type() == path.parent.name
    assert event.get_data() == json.loads(path.read_text())["data"]


def test_we_read_events_of_strangers() -> None:
    stranger = CloudEvent(
        {
            "id": "1",
            "source": "/people/ada",
            "type": "model.promoted",
            "specversion": "1.0",
            "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            "project": "fraud",
        },
        {"name": "fraud", "version": 2},
    )

    message = read(JSONFormat().write(stranger))

    assert isinstance(message, ModelPromoted)
    assert (message.project, message.version, message.alias) == ("fraud", 2, "champion")
