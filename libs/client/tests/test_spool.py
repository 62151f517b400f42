# SPDX-License-Identifier: Apache-2.0
"""The spool against a tracking server in memory: whatever crashes, is torn, lost or sent twice, each point is there once."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.client.errors import SpoolError
from mlops.client.mlflow_rest.server import HEARTBEAT
from mlops.client.spool import (
    Target,
    discard,
    discard_refused,
    flush_all,
    listing,
    retry_refused,
    segments,
)
from mlops.client.spool.journal import Journal
from mlops.client.spool.lock import Lock
from mlops.client.spool.quota import Quota
from mlops.client.spool.record import (
    ARTIFACT,
    END,
    JOIN,
    PARAMS,
    encode,
    encode_object,
    pair,
)
from servers.memory_tracking import MemoryRun, MemoryTracking
from servers.spools import TARGET, began, courier_of, deliver, flush, journal_in, point, steps

TROUBLES = st.lists(st.sampled_from(["", "away", "lost"]), max_size=60)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    records=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 300)), max_size=30),
    troubles=TROUBLES,
    crashes=st.lists(st.integers(1, 25), max_size=4),
    forget=st.booleans(),
)
def test_every_point_is_there_once_whatever_is_lost_and_whoever_dies(
    records: list[tuple[str, int]], troubles: list[str], crashes: list[int], *, forget: bool
) -> None:
    """A sender dies after so many calls, somewhere; its successor knows what was saved, or nothing."""
    with tempfile.TemporaryDirectory() as place:
        journal = journal_in(Path(place) / "spool")
        server = MemoryTracking(troubles=iter(troubles))
        wanted: dict[str, list[int]] = {}
        for ref, count in records:
            if ref not in wanted:
                journal.append(began(ref, journal.id), 1)
                wanted[ref] = []
            for _ in range(count):
                journal.append(point(ref, len(wanted[ref])), 1)
                wanted[ref].append(len(wanted[ref]))

        die_after(journal, server, crashes, forget=forget)
        journal.close(remove=False)
        flush(Path(place) / "spool", server)

        assert {ref: steps(server, ref) for ref in wanted} == wanted
        assert len(server.runs) == len(wanted)
        assert {run.status for run in server.runs.values()} <= {"KILLED"}
        assert not listing(Path(place) / "spool").journals


def die_after(
    journal: Journal, server: MemoryTracking, crashes: list[int], *, forget: bool
) -> None:
    class DiedError(Exception):
        pass

    for after in crashes:
        limit = server.calls + after
        original = server._trouble

        def dies(limit: int = limit, original: Any = original) -> bool:
            if server.calls >= limit:
                raise DiedError
            found: bool = original()
            return found

        server._trouble = dies  # type: ignore[method-assign]  # the process dies within a call
        try:
            deliver(journal, courier_of(journal, server, look_first=True))
        except DiedError:
            if forget:
                journal.sent.__init__()  # type: ignore[misc]  # as if the file was lost
        finally:
            server._trouble = original  # type: ignore[method-assign]


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 3000), noise=st.binary(max_size=40), more=st.integers(0, 5))
def test_a_journal_cut_anywhere_gives_all_that_is_whole(cut: int, noise: bytes, more: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "spool"
        journal = journal_in(folder)
        journal.append(began("a", journal.id), 1)
        for step in range(20):
            journal.append(point("a", step), 1)
        file = segments.path(journal.folder, 1)
        whole = file.read_bytes()
        cut = min(cut, len(whole))
        later = b"".join(point("a", 100 + step) for step in range(more))
        file.write_bytes(whole[:cut] + noise.replace(b"\n", b"") + b"\n" + later)
        kept = max(0, whole[:cut].count(b"\n") - 1)
        server = MemoryTracking()
        journal.close(remove=False)

        flush(folder, server)

        # A cut at the very end of a line damages nothing.
        found = steps(server, "a") if server.runs else []
        assert found[:kept] == list(range(kept))
        assert [step for step in found if step >= 100] == [100 + step for step in range(more)]


def test_half_a_line_of_a_living_writer_waits_for_its_other_half(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    line = point("a", 1)
    file = segments.path(journal.folder, 1)

    file.write_bytes(line[:20])
    early = journal.read()
    file.write_bytes(line)
    late = journal.read()

    assert early is None
    assert late is not None
    assert late.lines == line


def test_zeros_after_a_power_failure_are_told_and_stop_nothing(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.append(began("a", journal.id), 1)
    with segments.path(journal.folder, 1).open("ab") as file:
        file.write(b"\0" * 4096 + b"\n" + point("a", 7))
    server = MemoryTracking()

    deliver(journal, courier_of(journal, server))

    assert steps(server, "a") == [7]
    assert journal.sent.damaged == 1


def test_many_segments_are_read_in_order_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 2000)
    journal = journal_in(tmp_path)
    journal.append(began("a", journal.id), 1)
    for step in range(200):
        journal.append(point("a", step), 1)
    server = MemoryTracking()
    before = segments.numbers(journal.folder)

    deliver(journal, courier_of(journal, server))

    assert len(before) > 5
    assert steps(server, "a") == list(range(200))
    assert segments.numbers(journal.folder) == before[-1:]


def test_only_the_entry_that_is_refused_is_set_aside_with_the_reason(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    server = MemoryTracking()
    journal.append(began("a", journal.id), 1)
    journal.append(encode(PARAMS, b"a", 1, pair("depth", "3")), 1)
    deliver(journal, courier_of(journal, server))
    journal.append(encode(PARAMS, b"a", 1, pair("depth", "4")), 1)
    for step in range(9):
        journal.append(point("a", step, "poison" if step == 4 else "loss"), 1)

    deliver(journal, courier_of(journal, server))

    assert steps(server, "a") == [0, 1, 2, 3, 5, 6, 7, 8]
    found = listing(tmp_path).refused
    assert sorted(one.kind for one in found) == ["m", "p"]
    assert any("depth was logged already" in one.reason for one in found)
    assert (journal.sent.delivered, journal.sent.refused) == (10, 2)


def test_refused_entries_can_be_tried_again_or_thrown_away(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    server = MemoryTracking()
    journal.append(began("a", journal.id), 1)
    deliver(journal, courier_of(journal, server))
    server.runs["run0"].deleted = True
    for step in range(5):
        journal.append(point("a", step), 1)
    deliver(journal, courier_of(journal, server))
    journal.close(remove=False)
    flush(tmp_path, server)
    refused = listing(tmp_path).refused
    server.runs["run0"].deleted = False

    again = retry_refused(tmp_path)
    flush(tmp_path, server)

    assert sum(one.entries for one in refused) == again == 5
    assert steps(server, "a") == list(range(5))
    assert discard_refused(tmp_path) == 0


def test_files_of_a_refusal_are_kept_and_come_again(tmp_path: Path) -> None:
    journal = journal_in(tmp_path / "spool")
    server = MemoryTracking()
    journal.append(encode_object(JOIN, "a", {"run_id": "gone"}), 1)
    (journal.folder / "files" / "1").mkdir(parents=True)
    (journal.folder / "files" / "1" / "f.txt").write_text("kept")
    journal.append(encode_object(ARTIFACT, "a", {"path": "d/f.txt", "file": "1/f.txt"}), 1)
    journal.close(remove=False)
    flush(tmp_path / "spool", server)
    refused = listing(tmp_path / "spool").refused
    server.runs["gone"] = MemoryRun()

    retry_refused(tmp_path / "spool")
    flush(tmp_path / "spool", server)

    assert [one.kind for one in refused] == ["j", "a"]
    assert server.runs["gone"].files == {"d/f.txt": b"kept"}
    assert not list((tmp_path / "spool" / "refused").rglob("*.txt"))


def test_run_that_a_dead_writer_left_open_is_killed_unless_another_went_on(tmp_path: Path) -> None:
    server = MemoryTracking()
    journal = journal_in(tmp_path)
    for ref in ("left", "resumed", "ended"):
        journal.append(began(ref, journal.id), 1)
    journal.append(encode_object(END, "ended", {"status": "FINISHED", "at": 5}), 1)
    deliver(journal, courier_of(journal, server))
    server.runs["run1"].tags[HEARTBEAT] = "9 another"
    journal.close(remove=False)

    flush(tmp_path, server)

    found = {run.name: run.status for run in server.runs.values()}
    assert found == {"left": "KILLED", "resumed": "RUNNING", "ended": "FINISHED"}


def test_journal_of_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.append(began("a", journal.id), 1)
    server = MemoryTracking()

    told = flush_all(tmp_path, connect=lambda _: server)

    assert (told.sent, told.waiting, server.calls) == (0, 1, 0)
    assert listing(tmp_path).journals[0].writing
    with pytest.raises(SpoolError, match="still writes"):
        discard(tmp_path, journal.id)


def test_dead_journal_can_be_thrown_away_knowingly(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.append(began("a", journal.id), 1)
    journal.append(point("a", 1), 1)
    journal.close(remove=False)

    assert discard(tmp_path, journal.id) == 2
    assert listing(tmp_path).journals == ()
    with pytest.raises(SpoolError, match="no such journal"):
        discard(tmp_path, "../elsewhere")


def test_two_who_want_to_adopt_do_not_both(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.append(point("a", 1), 1)
    journal.close(remove=False)

    first = Lock.take(journal.folder)
    second = Lock.take(journal.folder)
    shutil.rmtree(journal.folder)
    third = Lock.take(journal.folder)

    assert first is not None
    assert second is None
    assert third is None
    first.release()


def test_spool_is_for_its_owner_only_and_holds_no_secret(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "spool", TARGET, Quota(tmp_path, 1 << 30))

    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert journal.folder.stat().st_mode & 0o777 == 0o700
    assert Target.load(journal.folder) == TARGET


def test_damaged_state_only_means_to_send_again(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.append(began("a", journal.id), 1)
    for step in range(10):
        journal.append(point("a", step), 1)
    server = MemoryTracking()
    deliver(journal, courier_of(journal, server))
    journal.close(remove=False)
    (journal.folder / "sent.json").write_text('{"segment": "x')

    flush(tmp_path, server)

    assert steps(server, "a") == list(range(10))
    assert len(server.runs) == 1


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr("mlops.client.spool.courier.SETTLE_S", 0.0)
