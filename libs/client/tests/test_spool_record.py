# SPDX-License-Identifier: Apache-2.0
"""Lines, batches, the breaker and the clock: pure parts of the spool."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.client.errors import BadInputError
from mlops.client.runs import apple, checks
from mlops.client.runs.clock import Clock
from mlops.client.runs.ending import status_after
from mlops.client.spool import batch, record
from mlops.client.spool.batch import Batch
from mlops.client.spool.breaker import FIRST_S, LONGEST_S, Breaker
from mlops.client.spool.record import METRICS, PARAMS, TAGS, Record

KINDS = st.sampled_from([METRICS, PARAMS, TAGS, record.START, record.END])
BODIES = st.text(st.characters(exclude_characters="\n", codec="utf-8")).map(str.encode)


@given(KINDS, st.from_regex(r"[0-9a-f]{1,32}", fullmatch=True), st.integers(0, 1000), BODIES)
def test_line_is_read_as_it_was_written(kind: bytes, ref: str, entries: int, body: bytes) -> None:
    line = record.encode(kind, ref.encode(), entries, body)

    assert line.count(b"\n") == 1
    assert record.decode(line[:-1]) == Record(kind, ref, entries, body)


@given(st.binary(), st.integers(0, 60), st.integers(1, 255))
def test_damage_anywhere_is_noticed(tail: bytes, at: int, flip: int) -> None:
    line = bytearray(record.encode(METRICS, b"abc", 1, b'{"key":"loss","value":1}' + tail)[:-1])
    at %= len(line)
    line[at] ^= flip

    found = record.decode(bytes(line))

    # The checksum may be written with capitals, and nothing else may differ.
    assert (
        found is None
        or bytes(line).lower()[:8]
        == record.encode(found.kind, found.ref.encode(), found.entries, found.body)[:8]
    )


@given(st.lists(st.integers(1, 400), max_size=40), st.sampled_from([METRICS, PARAMS, TAGS]))
def test_lines_never_hold_more_than_a_request_may(sizes: list[int], kind: bytes) -> None:
    fragments = [record.pair(f"k{number}", "v" * size) for size in sizes for number in range(size)]

    lines = list(record.encode_many(kind, b"r", fragments))

    found = [record.decode(line[:-1]) for line, _ in lines]
    assert all(one is not None and one.entries <= record.MOST_ENTRIES[kind] for one in found)
    assert [entry for one in found if one for entry in record.entries_of(one.body)] == fragments


def metrics(ref: str, *keys: str) -> Record:
    body = b",".join(record.dumps({"key": key, "value": 1}) for key in keys)
    return Record(METRICS, ref, len(keys), body)


def param(ref: str, key: str, value: str) -> Record:
    return Record(PARAMS, ref, 1, record.pair(key, value))


def test_records_of_a_run_become_one_request() -> None:
    found = list(batch.plan([metrics("a", "x"), param("a", "p", "1"), metrics("a", "y", "z")]))

    assert len(found) == 1
    assert isinstance(found[0], Batch)
    told = json.loads(found[0].request("id"))
    assert [metric["key"] for metric in told["metrics"]] == ["x", "y", "z"]
    assert told["params"] == [{"key": "p", "value": "1"}]
    assert told["run_id"] == "id"


def test_the_end_of_a_run_comes_after_its_metrics_and_before_nothing_of_others() -> None:
    end = Record(record.END, "a", 1, b"{}")

    found = list(batch.plan([metrics("a", "x"), metrics("b", "y"), end, metrics("b", "z")]))

    assert [getattr(one, "kind", b"batch") for one in found] == [b"batch", record.END, b"batch"]
    assert [one.ref for one in found] == ["a", "a", "b"]


def test_param_that_comes_twice_goes_into_two_requests() -> None:
    found = list(batch.plan([param("a", "p", "1"), param("a", "p", "1")]))

    assert [one.entries for one in found] == [1, 1]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 600)), max_size=12))
def test_no_request_is_larger_than_mlflow_takes(lines: list[tuple[str, int]]) -> None:
    records = [metrics(ref, *(f"k{n}" for n in range(count))) for ref, count in lines]

    found = [one for one in batch.plan(records) if isinstance(one, Batch)]

    assert all(one.entries <= 1000 for one in found)
    assert sum(one.entries for one in found) == sum(count for _, count in lines)


@given(st.sets(st.integers(0, 63)), st.integers(1, 64))
def test_only_what_is_refused_alone_is_set_aside(bad: set[int], count: int) -> None:
    singles = [(METRICS, b"%d" % number) for number in range(count)]
    taken: list[bytes] = []
    refused: list[bytes] = []

    def send(some: list[tuple[bytes, bytes]]) -> str | None:
        if any(int(entry) in bad for _, entry in some):
            return "no"
        taken.extend(entry for _, entry in some)
        return None

    batch.bisect(singles, send, lambda one, _: refused.append(one[1]))

    assert sorted(taken + refused) == sorted(entry for _, entry in singles)
    assert {int(entry) for entry in refused} == {number for number in bad if number < count}


@given(st.integers(0, 40), st.floats(0, 0.999))
def test_pauses_grow_and_stay_bounded(failures: int, chance: float) -> None:
    state = Breaker()
    for _ in range(failures):
        state = state.failed(0.0, chance)

    pause = state.failed(100.0, chance).retry_at - 100.0

    assert FIRST_S * 0.49 <= pause <= LONGEST_S
    assert state.is_open == (failures >= 3)
    assert state.succeeded() == Breaker()


def test_somebody_who_waits_shortens_the_pause() -> None:
    state = Breaker(failures=20, retry_at=130.0)

    assert state.hurried(100.0).retry_at == 101.0
    assert not state.may_try(120.0)


def test_clock_that_is_set_back_does_not_go_back() -> None:
    times = iter([5_000_000_000, 1_000_000, 5_001_000_000])
    now = Clock(lambda: next(times))

    assert [now(), now(), now()] == [5000, 5000, 5001]


@pytest.mark.parametrize(
    ("value", "json_text"),
    [(1, b"1.0"), (0.1, b"0.1"), (True, b"1.0"), (1e300, b"1e+300"), (-0.0, b"-0.0")],
)
def test_numbers_are_json(value: float, json_text: bytes) -> None:
    assert checks.number(value, "x") == json_text


@pytest.mark.parametrize(
    ("value", "text"),
    [(math.nan, b'"NaN"'), (math.inf, b'"Infinity"'), (-math.inf, b'"-Infinity"')],
)
def test_what_json_has_no_number_for_is_text_that_mlflow_reads(value: float, text: bytes) -> None:
    assert checks.number(value, "x") == text


@pytest.mark.parametrize("value", ["1.0", None, [1], 1j, {}, object(), b"1"])
def test_what_is_no_number_is_refused_by_name(value: object) -> None:
    with pytest.raises(BadInputError, match="loss"):
        checks.number(value, "loss")


@pytest.mark.parametrize("name", ["", "a\n", "a,b", "../a", "/a", "a//b", "a/", "x" * 251, 7, None])
def test_names_that_mlflow_refuses_are_refused_here(name: object) -> None:
    with pytest.raises(BadInputError):
        checks.key(name, "log metrics")


@pytest.mark.parametrize("path", ["/etc", "../up", "a/../../b", "C:/x", "a\\b", "a\x00b"])
def test_artifacts_stay_below_their_run(path: str) -> None:
    with pytest.raises(BadInputError, match="leave"):
        checks.artifact_path(path, "log artifact")


@pytest.mark.parametrize("step", [1.5, "1", None, 2**63, math.nan])
def test_steps_are_whole(step: object) -> None:
    with pytest.raises(BadInputError):
        checks.step(step)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "FINISHED"),
        (ValueError(), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(143), "KILLED"),
        (SystemExit(0), "FINISHED"),
        (SystemExit(), "FINISHED"),
        (GeneratorExit(), "KILLED"),
    ],
)
def test_a_run_ends_as_its_block_ends(error: BaseException | None, status: str) -> None:
    assert status_after(error) == status


def test_readings_of_apple_silicon_get_the_names_that_compare() -> None:
    readings = {
        "power_watts": 12.5,
        "thermal_state": "serious",
        "ane_ops": 3,
        "chip": "M4",
        "x": None,
    }

    assert apple.sorted_out(readings) == (
        {"system/package_power_w": 12.5, "system/heat_level": 2.0, "apple/ane_ops": 3},
        {"apple.chip": "M4"},
    )
