# SPDX-License-Identifier: Apache-2.0
"""Our .proto has the names, numbers and types that KServe's own package has."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.gateway.adapters.oip import open_inference_grpc_pb2 as oip
from servers import peers

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]
# The standard has these, KServe 0.21 not yet.
NEWER = {
    "inference.ModelMetadataResponse.properties",
    "inference.ModelMetadataResponse.PropertiesEntry.key",
    "inference.ModelMetadataResponse.PropertiesEntry.value",
    "inference.InferParameter.double_param",
    "inference.InferParameter.uint64_param",
}
# KServe's own extension of it.
EXTENSION = "Repository"


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


def test_fields_and_methods_are_those_of_kserve() -> None:
    told = peers.environment("kserve").run(peers.SCRIPTS / "show_kserve_proto.py", {})
    ours: dict[str, list[Any]] = {}
    for message in oip.DESCRIPTOR.message_types_by_name.values():
        ours |= fields_of(message)
    methods = {
        one.full_name: [one.input_type.full_name, one.output_type.full_name]
        for one in oip.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    }

    theirs = {name: one for name, one in told["fields"].items() if EXTENSION not in name}
    assert {name: one for name, one in ours.items() if name not in NEWER} == theirs
    assert methods == {name: one for name, one in told["methods"].items() if EXTENSION not in name}
