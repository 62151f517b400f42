# SPDX-License-Identifier: Apache-2.0
"""Whatever a producer may say is read back equal; whatever else comes is refused in one way."""

from __future__ import annotations

import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import annotated_types as bounds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime

from mlops.contracts.catalogue import CATALOGUE, read
from mlops.contracts.datasets import DataSettings
from mlops.contracts.errors import MessageError, MessageTooLargeError, UnreadableMessageError
from mlops.contracts.examples import full
from mlops.contracts.message import MAX_BYTES, Message, Part
from mlops.contracts.serving import Prediction, PredictionLogged
from mlops.contracts.settings import FederatedSettings, ServeSettings

KINDS = sorted(CATALOGUE.values(), key=lambda kind: kind.type)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type)
few = settings(max_examples=15, deadline=None)
many = settings(max_examples=40, deadline=None)

P = TypeVar("P", bound=Part)

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30), timezones=OFFSETS)  # noqa: DTZ001 - hypothesis adds the zone
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    type(None): st.none(),
    datetime: TIMES,
    AwareDatetime: TIMES,
    timedelta: st.timedeltas(timedelta(0), timedelta(days=3660)),
}


@cache
def parts(kind: type[P]) -> st.SearchStrategy[P]:
    """Every field said, each within what the contract allows."""
    fields = {
        name: values(field.annotation, list(field.metadata))
        for name, field in kind.model_fields.items()
    }
    if kind is ServeSettings:
        shares = st.floats(0, 1, exclude_min=True, exclude_max=True)
        fields["steps"] = st.lists(shares, unique=True, max_size=4).map(
            lambda steps: (*sorted(steps), 1.0)
        )
        fields["min_replicas"] = st.just(1)
    if kind is FederatedSettings:
        fields["min_nodes"] = st.just(1)
    if kind is DataSettings:
        fields["remote"] = st.from_regex(r"(|/[^?@\n]*|s3://[a-z/]+)", fullmatch=True)
        fields["bandwidth"] = st.from_regex(r"(|[1-9][0-9]{0,5} ?[MG](B|bit)/s)", fullmatch=True)
    return st.builds(kind, **fields)


def values(annotation: Any, rules: list[Any]) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one line per kind of type
    """What a field of this type may hold, small enough to stay under the size limit."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values(inner[0], [*rules, *_flat(inner[1:])])
    if origin in (Union, types.UnionType):
        return st.one_of([values(one, rules) for one in inner])
    if origin is tuple:
        return st.lists(
            values(inner[0], []), min_size=_rule(rules, "min_length", 0), max_size=3
        ).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text(max_size=8), values(inner[1], []), max_size=3)
    if annotation in SIMPLE:
        return SIMPLE[annotation]
    if issubclass(annotation, Part):
        return parts(annotation)
    return scalars(annotation, rules)


def scalars(kind: type[Any], rules: list[Any]) -> st.SearchStrategy[Any]:
    """Words, texts and numbers within their bounds."""
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    if kind is str:
        if pattern := _rule(rules, "pattern", None):
            return st.from_regex(pattern, fullmatch=True)
        most = min(_rule(rules, "max_length", 24), 24)
        return st.text(min_size=_rule(rules, "min_length", 0), max_size=most)
    low, high = _rule(rules, "ge", None), _rule(rules, "le", None)
    above, below = _rule(rules, "gt", None), _rule(rules, "lt", None)
    if kind is int:
        return st.integers(
            low if above is None else above + 1, high if below is None else below - 1
        )
    return st.floats(
        low if above is None else above,
        high if below is None else below,
        exclude_min=above is not None,
        exclude_max=below is not None,
        allow_nan=False,
        allow_infinity=False,
    )


def _flat(metadata: tuple[Any, ...]) -> list[Any]:
    return [rule for one in metadata for rule in getattr(one, "metadata", [one])]


def _rule(rules: list[Any], name: str, default: Any) -> Any:
    found = [getattr(rule, name) for rule in rules if getattr(rule, name, None) is not None]
    return found[-1] if found else default


def test_bounds_of_the_contract_are_found() -> None:
    assert _rule([bounds.Ge(3), bounds.MaxLen(9)], "ge", None) == 3
    assert _rule([bounds.Ge(3), bounds.MaxLen(9)], "max_length", None) == 9


@each_kind
@few
@given(data=st.data())
def test_what_is_written_is_read_back_equal(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(parts(kind))

    read_back = kind.decode(message.encode(), strict=True)

    assert read_back == message
    assert read_back.encode() == message.encode()


@each_kind
@few
@given(data=st.data())
def test_truncated_bytes_are_unreadable(kind: type[Message], data: st.DataObject) -> None:
    payload = full(kind).encode()
    kept = data.draw(st.integers(0, len(payload) - 1))

    with pytest.raises(UnreadableMessageError):
        kind.decode(payload[:kept])


@each_kind
@many
@given(data=st.data())
def test_flipped_bits_are_read_or_unreadable_and_nothing_else(
    kind: type[Message], data: st.DataObject
) -> None:
    payload = bytearray(full(kind).encode())
    for bit in data.draw(st.sets(st.integers(0, 8 * len(payload) - 1), min_size=1, max_size=4)):
        payload[bit // 8] ^= 1 << bit % 8

    try:
        message = kind.decode(bytes(payload))
    except UnreadableMessageError:
        return

    assert kind.decode(message.encode()) == message


def _tables(node: object) -> Iterator[dict[str, Any]]:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and node:
        yield node
    for value in inner:
        yield from _tables(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("9" * 400 + "d"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@each_kind
@many
@given(data=st.data())
def test_any_value_in_any_field_is_read_or_unreadable(
    kind: type[Message], data: st.DataObject
) -> None:
    envelope = full(kind).envelope()
    place = data.draw(st.sampled_from(list(_tables(envelope))))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(JSON)

    try:
        message = kind.from_envelope(envelope)
    except UnreadableMessageError:
        return

    assert kind.decode(message.encode()) == message


@many
@given(payload=st.binary(max_size=200))
def test_any_bytes_are_refused_as_a_message_error(payload: bytes) -> None:
    with pytest.raises(MessageError):
        read(payload)


def _batch(rows: int) -> PredictionLogged:
    row = Prediction(
        request_id="r" * 100, at=datetime(2026, 1, 1, tzinfo=UTC), features={"x": 1.0}, prediction=1
    )
    return PredictionLogged(project="fraud", model="fraud", version=1, predictions=(row,) * rows)


@many
@given(rows=st.integers(1, 500))
def test_what_is_encoded_is_never_too_large(rows: int) -> None:
    try:
        payload = _batch(rows).encode()
    except MessageTooLargeError:
        assert rows > 250
        return

    assert len(payload) <= MAX_BYTES
