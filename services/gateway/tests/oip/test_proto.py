# SPDX-License-Identifier: Apache-2.0
"""The generated code says what the .proto says; protoc is not needed to see that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlops.gateway.adapters.oip import open_inference_grpc_pb2 as oip

PROTO = Path(oip.__file__).with_name("open_inference_grpc.proto")
TOKENS = re.compile(r"[\w.]+|[{}()=;<>,]")
SCALARS = {
    1: "double",
    2: "float",
    3: "int64",
    4: "uint64",
    5: "int32",
    8: "bool",
    9: "string",
    12: "bytes",
    13: "uint32",
}
MESSAGE = 11


def words() -> Iterator[str]:
    text = re.sub(r"//[^\n]*|\"[^\"]*\"", " ", PROTO.read_text())
    return iter(TOKENS.findall(text))


def of_proto() -> set[str]:
    """Return `Message.field: type = number` for every field, and `rpc Method(Asked) Answered`."""
    found: set[str] = set()
    within: list[str] = []
    line: list[str] = []
    for word in words():
        if word == "{":
            within.append(line[1] if line[:1] == ["message"] else "")
            found |= said_rpc(line)
            line = []
        elif word == "}":
            within.pop()
            line = []
        elif word == ";":
            found |= said_field(line, [one for one in within if one])
            line = []
        else:
            line.append(word)
    return found


def said_rpc(line: list[str]) -> set[str]:
    if line[:1] != ["rpc"]:
        return set()
    method, asked, answered = line[1], line[3], line[7]
    return {f"rpc {method}({asked}) {answered}"}


def said_field(line: list[str], within: list[str]) -> set[str]:
    if "=" not in line or line[0] == "syntax":
        return set()
    *kind, name, _, number = line
    return {f"{'.'.join(within)}.{name}: {' '.join(kind)} = {number}"}


def of_code() -> set[str]:
    found = {
        f"rpc {one.name}({one.input_type.name}) {one.output_type.name}"
        for one in oip.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    }
    for message in oip.DESCRIPTOR.message_types_by_name.values():
        found |= fields_of(message, message.name)
    return found


def fields_of(message: Any, named: str) -> set[str]:
    found = {f"{named}.{one.name}: {kind_of(one)} = {one.number}" for one in message.fields}
    for inner in message.nested_types:
        if not inner.GetOptions().map_entry:
            found |= fields_of(inner, f"{named}.{inner.name}")
    return found


def kind_of(field: Any) -> str:
    if field.type != MESSAGE:
        return f"repeated {SCALARS[field.type]}" if field.is_repeated else SCALARS[field.type]
    inner = field.message_type
    if inner.GetOptions().map_entry:
        key, value = inner.fields_by_name["key"], inner.fields_by_name["value"]
        return f"map < {kind_of(key)} , {kind_of(value)} >"
    return f"repeated {inner.name}" if field.is_repeated else str(inner.name)


def test_generated_code_is_made_of_the_proto() -> None:
    assert of_code() == of_proto()
    assert len(of_proto()) == 57 + 6  # fields and methods: the parser above has read them all
    assert oip.DESCRIPTOR.package == "inference"


def test_parameters_are_a_choice_of_one() -> None:
    (choice,) = oip.InferParameter.DESCRIPTOR.oneofs

    assert choice.name == "parameter_choice"
    assert len(choice.fields) == len(oip.InferParameter.DESCRIPTOR.fields)
