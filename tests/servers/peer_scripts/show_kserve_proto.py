# SPDX-License-Identifier: Apache-2.0
"""KServe's own generated code tells the protocol's fields and methods; runs in the environment `kserve`."""

from __future__ import annotations

import json
from typing import Any

from kserve.protocol.grpc import grpc_predict_v2_pb2 as theirs


def fields_of(message: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {
        f"{message.full_name}.{one.name}": [
            one.number,
            one.type,
            one.is_repeated,
            one.message_type.full_name if one.message_type else "",
        ]
        for one in message.fields
    }
    for inner in message.nested_types:
        found |= fields_of(inner)
    return found


def main() -> None:
    fields: dict[str, list[Any]] = {}
    for message in theirs.DESCRIPTOR.message_types_by_name.values():
        fields |= fields_of(message)
    methods = {
        one.full_name: [one.input_type.full_name, one.output_type.full_name]
        for one in theirs.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    }
    print(json.dumps({"fields": fields, "methods": methods}))  # noqa: T201 - that is the answer


if __name__ == "__main__":
    main()
