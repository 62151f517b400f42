# SPDX-License-Identifier: Apache-2.0
"""The AsyncAPI 3.0 document: every subject of the bus, what travels on it, who tells and who reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlops.contracts.catalogue import CATALOGUE, owner
from mlops.contracts.generate.schemas import envelope_schema
from mlops.contracts.generate.wires import Wire
from mlops.contracts.message import CONTENT_TYPE, Command, Message, schema_uri

_SCOPES: dict[str, dict[str, str]] = {
    "project": {"description": "The project: `[a-z0-9-]`, at most 63 characters."},
    "node": {"description": "The machine: `[a-z0-9-]`, at most 63 characters."},
}
_ABOUT = (
    "Every message of the platform. Events are facts told by their owner; commands (`cmd.…`) are "
    "wishes of people and clients, received by their owner. Each travels as a CloudEvent in "
    "structured JSON mode and is stored by JetStream before publishing returns; its id is the "
    "`Nats-Msg-Id`. Subscribe to `<type>.*` for all projects, `*.*.<project>` for all events and "
    "`cmd.*.*.<project>` for all commands of one."
)


def asyncapi(wires: list[Wire]) -> dict[str, Any]:
    """Return the document; *wires* adds who reads what."""
    kinds = [CATALOGUE[type_] for type_ in sorted(CATALOGUE)]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "MLOps platform: messages",
            "version": "1.0.0",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
            "tags": [{"name": name} for name in sorted({owner(kind) for kind in kinds})],
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {"nats": _server()},
        "channels": {kind.type: _channel(kind) for kind in kinds},
        "operations": {key: it for kind in kinds for key, it in _operations(kind, wires)},
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in kinds},
            "schemas": {
                f"{scope}Envelope": envelope_schema(scope) for scope in ("project", "node")
            },
            "parameters": _SCOPES,
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "user", "description": "The token of NATS."},
            },
        },
    }


def readers(kind: type[Message], wires: list[Wire]) -> list[str]:
    """Return the services that read a message."""
    return sorted({wire.service for wire in wires if wire.kind is kind})


def tellers(kind: type[Message], wires: list[Wire]) -> list[str]:
    """Return who tells a message: its owner, the gateway for commands, or who reads what it answers."""
    if issubclass(kind, Command):
        return ["gateway"]
    if kind.answers:
        return sorted({wire.service for wire in wires if wire.kind.type.startswith(kind.answers)})
    return [owner(kind)]


def _server() -> dict[str, Any]:
    return {
        "host": "{address}",
        "protocol": "nats",
        "description": "`mlops up` starts one; `mlops status` shows its address.",
        "variables": {"address": {"default": "127.0.0.1:4222"}},
        "security": [{"$ref": "#/components/securitySchemes/token"}],
        "tags": [{"name": "jetstream"}],
    }


def _channel(kind: type[Message]) -> dict[str, Any]:
    return {
        "address": f"{kind.type}.{{scope}}",
        "summary": _first_line(kind),
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"}},
        "parameters": {"scope": {"$ref": f"#/components/parameters/{kind.scoped_by}"}},
        "tags": [{"name": owner(kind)}],
    }


def _message(kind: type[Message]) -> dict[str, Any]:
    return {
        "name": kind.type,
        "title": kind.__name__,
        "summary": _first_line(kind),
        "contentType": CONTENT_TYPE,
        "headers": {
            "type": "object",
            "properties": {"Nats-Msg-Id": {"type": "string", "description": "The event's id."}},
        },
        "payload": {
            "allOf": [
                {"$ref": f"#/components/schemas/{kind.scoped_by}Envelope"},
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": kind.type},
                        "dataschema": {"const": schema_uri(kind.type)},
                        "data": {"$ref": f"./schemas/{kind.type}.json"},
                    },
                },
            ]
        },
    }


def _operations(kind: type[Message], wires: list[Wire]) -> Iterator[tuple[str, dict[str, Any]]]:
    for service in tellers(kind, wires):
        yield f"{service}_sends_{kind.__name__}", _operation(kind, service, "send")
    receiving = readers(kind, wires)
    if issubclass(kind, Command):
        receiving = sorted({*receiving, owner(kind)})
    for service in receiving:
        yield f"{service}_receives_{kind.__name__}", _operation(kind, service, "receive")


def _operation(kind: type[Message], service: str, action: str) -> dict[str, Any]:
    channel = f"#/channels/{kind.type}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{kind.__name__}"}],
        "tags": [{"name": service}],
    }


def _first_line(kind: type[Message]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]
