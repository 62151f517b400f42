# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of what a message carries, and of the envelope around it."""

from __future__ import annotations

from typing import Any, Literal

from mlops.contracts.message import Message, NodeEvent, ProjectEvent, schema_uri

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT = {"type": "string", "minLength": 1}
_CLOUD_EVENT: dict[str, dict[str, Any]] = {
    "specversion": {"type": "string", "const": "1.0"},
    "type": {**_TEXT, "description": "The type of the message, version included."},
    "id": {**_TEXT, "maxLength": 128, "description": "Unique; stored once. Also `Nats-Msg-Id`."},
    "source": {**_TEXT, "format": "uri-reference", "description": "Who tells it."},
    "time": {"type": "string", "format": "date-time", "description": "When it was told."},
    "subject": {**_TEXT, "description": "What it is about: a model, a run, a node …"},
    "datacontenttype": {"type": "string", "const": "application/json"},
    "dataschema": {"type": "string", "format": "uri", "description": "The `$id` of its schema."},
    "correlationid": {
        "type": "string",
        "maxLength": 128,
        "description": "Id that began the story.",
    },
    "causationid": {
        "type": "string",
        "maxLength": 128,
        "description": "Id of the message that caused it.",
    },
    "traceparent": {"type": "string", "maxLength": 128, "description": "W3C trace context."},
    "data": {"type": "object", "description": "What the message says."},
}


def data_schema(kind: type[Message]) -> dict[str, Any]:
    """Return the JSON Schema of the `data` of a message, as it is written on the wire."""
    schema = kind.model_json_schema(mode="serialization")
    outside = {*Message.model_fields, kind.scoped_by}
    fields = {name: it for name, it in schema["properties"].items() if name not in outside}
    required = [name for name in schema.get("required", []) if name not in outside]
    return {
        "$schema": DIALECT,
        "$id": schema_uri(kind.type),
        "title": kind.__name__,
        "description": (kind.__doc__ or "").strip(),
        "type": "object",
        "properties": fields,
        **({"required": required} if required else {}),
        **({"$defs": schema["$defs"]} if "$defs" in schema else {}),
    }


def envelope_schema(scoped_by: Literal["project", "node"]) -> dict[str, Any]:
    """Return the JSON Schema of the CloudEvent around the data."""
    scoped = ProjectEvent if scoped_by == "project" else NodeEvent
    scope = scoped.model_json_schema()["properties"][scoped_by]
    return {
        "title": f"CloudEvent of a {scoped_by}",
        "description": "CloudEvents 1.0, structured JSON mode; unknown attributes are ignored.",
        "type": "object",
        "properties": {**_CLOUD_EVENT, scoped_by: scope},
        "required": ["specversion", "type", "id", "source", "time", scoped_by, "data"],
    }
