# SPDX-License-Identifier: Apache-2.0
"""Logs are turned over when large, also under a writer; the last lines name the cause."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlops.cli.reading import follow, last_of
from mlops.cli.supervisor import logs


def test_a_small_log_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "nats.log"
    path.write_text("old\n")

    logs.turn_over(path, larger_than=100)

    assert path.read_text() == "old\n"


def test_large_logs_are_numbered_and_the_oldest_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "nats.log"
    for text in ("first", "second", "third", "fourth", "fifth"):
        path.write_text(text)
        logs.turn_over(path, larger_than=1)

    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "nats.log.1",
        "nats.log.2",
        "nats.log.3",
    ]
    assert [one.read_text() for one in logs.first_to_last(path)] == ["third", "fourth", "fifth"]


def test_a_log_is_turned_over_under_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "nats.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"before\n")
        logs.turn_over_open(path, larger_than=1)
        writer.write(b"after\n")

    assert path.read_bytes() == b"after\n"
    assert (tmp_path / "nats.log.1").read_bytes() == b"before\n"


def test_the_last_lines_begin_where_this_start_began(tmp_path: Path) -> None:
    path = tmp_path / "nats.log"
    path.write_text("earlier\n")
    begin = logs.size(path)
    path.write_text("earlier\none\n\ntwo\n")

    assert logs.last_lines(path, begin=begin) == ["one", "two"]
    assert logs.last_lines(path, most=1) == ["two"]
    assert logs.last_lines(tmp_path / "missing.log") == []


def test_each_line_comes_with_its_component(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("x\ny\n")
    (tmp_path / "b.log").write_text("z\n")

    found = list(last_of({"a": tmp_path / "a.log", "b": tmp_path / "b.log"}, 1))

    assert found == [("a", "y"), ("b", "z")]


def test_following_tells_what_comes_after_a_turn_over(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("a rather long old line\n")
    lines = follow({"a": path})

    with ThreadPoolExecutor(1) as reader:
        first = reader.submit(next, lines)
        time.sleep(0.5)  # until it has seen the old size
        path.write_text("new\n")

        assert first.result(5) == ("a", "new")
