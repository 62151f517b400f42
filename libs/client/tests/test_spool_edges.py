# SPDX-License-Identifier: Apache-2.0
"""Edges of the spool: folders of others, journals closed meanwhile, damaged starts, lost answers, many runs."""

from __future__ import annotations

import fcntl
import http.client
import os
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops.client.mlflow_rest import connection, models
from mlops.client.mlflow_rest.trouble import AwayError, LostAnswerError
from mlops.client.spool import Target, courier, desk, flush_all, listing, retry_refused, segments
from mlops.client.spool.journal import Journal
from mlops.client.spool.outlet import Outlet, close_all, close_outlet, open_outlet
from mlops.client.spool.record import ARTIFACT, END, JOIN, METRICS, encode_object
from mlops.client.spool.refused import Refusal, Refusals
from mlops.client.spool.sent import Sent
from servers.memory_tracking import MemoryRun, MemoryTracking
from servers.spools import (
    PLENTY,
    TARGET,
    began,
    courier_of,
    deliver,
    flush,
    journal_in,
    point,
    steps,
)

MANY = 1100
POINT = b'{"key":"loss","value":0.5,"timestamp":1,"step":%d}'


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.01)


def outlet_in(folder: Path, server: MemoryTracking) -> Outlet:
    return Outlet(folder, TARGET, PLENTY, lambda _: server)


def test_folders_of_others_are_left_alone_wherever_the_spool_is(tmp_path: Path) -> None:
    for name in (".ssh", "work"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text("mine")
        TARGET.save(tmp_path / name)
        os.utime(tmp_path / name, (1, 1))
    mode = tmp_path.stat().st_mode

    journal_in(tmp_path).close(remove=False)
    flush(tmp_path, MemoryTracking())

    assert [(tmp_path / name / "key").read_text() for name in (".ssh", "work")] == ["mine", "mine"]
    assert tmp_path.stat().st_mode == mode
    assert listing(tmp_path).journals == ()


def test_journal_of_another_user_is_not_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_in(tmp_path)
    journal.append(began("a", journal.id), 1)
    journal.close(remove=False)
    server = MemoryTracking()
    monkeypatch.setattr(os, "geteuid", lambda: journal.folder.stat().st_uid + 1)

    told = flush_all(tmp_path, timeout_s=0.4, connect=lambda _: server)

    assert server.calls == 0
    assert "another user" in told.reason


@pytest.mark.parametrize("place", ["../../../secret.txt", "/etc/hostname"])
def test_records_reach_no_file_outside_their_journal(tmp_path: Path, place: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("mine")
    journal = journal_in(tmp_path / "spool")
    (journal.folder / "files").mkdir()
    journal.append(began("a", journal.id), 1)
    journal.append(encode_object(ARTIFACT, "a", {"path": "x", "file": place}), 1)
    server = MemoryTracking()

    deliver(journal, courier_of(journal, server))

    assert secret.read_text() == "mine"
    assert server.runs["run0"].files == {}
    assert journal.sent.refused == 1


def test_what_comes_between_the_flush_and_the_end_is_not_removed(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.append(began("a", journal.id), 1)
    server = MemoryTracking()
    deliver(journal, courier_of(journal, server))
    journal.append(point("a", 1), 1)

    journal.close(remove=True)
    flush(tmp_path, server)

    assert steps(server, "a") == [1]


def test_thread_that_logs_while_another_closes_loses_nothing(tmp_path: Path) -> None:
    server = MemoryTracking()
    outlet = outlet_in(tmp_path, server)
    outlet.add_object(JOIN, "a", {"run_id": "theirs"})
    server.runs["theirs"] = MemoryRun(tags={"mlops.client_run": "x"})
    outlet.add(METRICS, b"a", 1, POINT % 1)
    outlet.close(20)

    outlet.add(METRICS, b"a", 1, POINT % 2)
    outlet.add(METRICS, b"a", 1, POINT % 3)

    until(lambda: steps(server, "x") == [1, 2, 3])
    outlet.close(20)
    assert listing(tmp_path).journals == ()


def test_journal_stays_its_senders_until_that_has_ended(tmp_path: Path) -> None:
    server = SlowTracking()
    outlet = outlet_in(tmp_path, server)
    outlet.add_object(JOIN, "a", {"run_id": "theirs"})
    outlet.hurry()
    until(lambda: server.calls == 1)

    outlet.close(0)
    while_sending = listing(tmp_path).journals[0].writing
    server.slow = False
    until(lambda: not any(one.writing for one in listing(tmp_path).journals))

    assert while_sending


class SlowTracking(MemoryTracking):
    slow = True

    def run(self, run_id: str) -> Any:
        self.calls += 1
        while self.slow:
            time.sleep(0.01)
        return super().run(run_id)


def test_outlet_that_is_opened_while_it_is_closed_is_the_same(tmp_path: Path) -> None:
    server = MemoryTracking()
    first = open_outlet(tmp_path, TARGET, PLENTY, lambda _: server)
    second = open_outlet(tmp_path, TARGET, PLENTY, lambda _: server)

    close_outlet(first, 20)
    close_outlet(first, 20)
    third = open_outlet(tmp_path, TARGET, PLENTY, lambda _: server)
    close_outlet(second, 20)

    assert first is second
    assert third is not first
    assert third.add(METRICS, b"a", 1, POINT % 1)
    assert third.journal.on_disk
    close_all(0.0)


def test_memory_goes_to_the_disk_at_the_end_if_that_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_in(tmp_path)
    journal.append(began("a", journal.id), 1)
    with monkeypatch.context() as full:
        full.setattr("mlops.client.spool.journal.quick_write", lambda *_: 0)
        journal.append(point("a", 1), 1)
    server = MemoryTracking()

    journal.close(remove=False)
    flush(tmp_path, server)

    assert steps(server, "a") == [1]


def test_what_was_only_in_memory_is_told_as_lost_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    def away(_: Target) -> Any:
        raise AwayError("nobody there")

    outlet = Outlet(tmp_path / "file" / "spool", TARGET, PLENTY, away)
    outlet.add(METRICS, b"a", 3, b",".join([POINT % 1] * 3))

    told = outlet.close(0)

    assert (told.waiting, told.dropped) == (0, 3)
    assert "spooled" not in str(told)


def test_damaged_start_of_one_run_stops_no_other(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    for ref in "ab":
        journal.append(began(ref, journal.id), 1)
        journal.append(point(ref, 7), 1)
    journal.close(remove=False)
    file = segments.path(journal.folder, 1)
    file.write_bytes(b"x" + file.read_bytes()[1:])
    server = MemoryTracking()

    flush(tmp_path, server)

    assert (steps(server, "a"), steps(server, "b")) == ([7], [7])
    assert ["mlops.recovered" in run.tags for run in server.runs.values()].count(True) == 1


def test_record_that_makes_no_sense_is_set_aside(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.append(began("a", journal.id), 1)
    journal.append(encode_object(END, "a", {"when": 1}), 1)
    journal.append(point("a", 7), 1)
    journal.close(remove=False)
    server = MemoryTracking()

    flush(tmp_path, server)

    assert steps(server, "a") == [7]
    assert [one.kind for one in listing(tmp_path).refused] == ["e"]


def test_run_whose_creation_may_still_happen_is_not_made_again_at_once(tmp_path: Path) -> None:
    server = LateTracking()
    journal = journal_in(tmp_path)
    journal.append(began("a", journal.id), 1)
    bringer = courier_of(journal, server)
    chunk = journal.read()
    assert chunk is not None

    for _ in range(2):
        with pytest.raises(AwayError):
            bringer.deliver("k", chunk.lines)
    server.arrive()
    bringer.deliver("k", chunk.lines)

    assert list(server.runs) == ["run0"]


def test_run_that_was_made_twice_after_all_is_there_once_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "SETTLE_S", 0.0)
    server = LateTracking()
    journal = journal_in(tmp_path)
    journal.append(began("a", journal.id), 1)
    journal.append(point("a", 7), 1)
    deliver(journal, courier_of(journal, server))
    server.arrive()

    journal.append(encode_object(END, "a", {"status": "FINISHED", "at": 5}), 1)
    deliver(journal, courier_of(journal, server))

    left = [run for run in server.runs.values() if not run.deleted]
    assert [(run.status, len(run.points)) for run in left] == [("FINISHED", 1)]


class LateTracking(MemoryTracking):
    """The first creation of a run is answered by nobody and happens later."""

    late: Any = None

    def create_run(self, run: Any) -> str:
        if self.late is None:
            self.late = run
            raise LostAnswerError("no answer")
        return super().create_run(run)

    def arrive(self) -> None:
        MemoryTracking.create_run(self, self.late)


def test_memory_of_ended_runs_is_bounded(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    server = MemoryTracking()
    for number in range(3000):
        journal.append(began(f"r{number}", journal.id), 1)
        journal.append(encode_object(END, f"r{number}", {"status": "FINISHED", "at": 5}), 1)

    deliver(journal, courier_of(journal, server))

    kept = Sent.load(journal.folder)
    assert kept.begun == []
    assert len(kept.runs) == len(kept.ended) <= 1000


def refusal(body: str) -> Refusal:
    return Refusal("j", TARGET, "r", "id", "m", body, 1, "no")


def test_refusals_that_differ_are_all_kept(tmp_path: Path) -> None:
    # These two have one CRC-32.
    refusals = Refusals(tmp_path)

    kept = [refusals.add(refusal(body)) for body in ("plumless", "buckeroo", "plumless")]

    assert kept == [True, True, False]


def test_refusals_are_not_lost_when_trying_them_again_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Refusals(tmp_path).add(refusal("{}"))

    def full(*_: object) -> int:
        raise OSError("full")

    with monkeypatch.context() as broken:
        broken.setattr(desk, "_write", full)
        with pytest.raises(OSError, match="full"):
            retry_refused(tmp_path)

    assert len(listing(tmp_path).refused) == 1
    assert retry_refused(tmp_path) == 1
    assert listing(tmp_path).refused == ()


def test_disk_that_was_full_at_the_very_start_is_used_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("full")

    with monkeypatch.context() as broken:
        broken.setattr(Journal, "_next_segment", full)
        journal = journal_in(tmp_path)
    journal.append(began("a", journal.id), 1)
    journal.append(point("a", 1), 1)

    journal.recover()

    assert journal.on_disk
    assert listing(tmp_path).waiting == 2


def test_description_of_a_model_is_whole_at_every_moment(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    file, before = tmp_path / "model" / "MLmodel", tmp_path / "before"
    file.write_text("flavors: {}\n")
    before.hardlink_to(file)

    models._write_ids(file, "m-1", "run", "root")

    assert before.read_text() == "flavors: {}\n"
    assert file.read_text().endswith("model_id: m-1\nrun_id: run\nflavors: {}\n")
    assert [one.name for one in (tmp_path / "model").iterdir()] == ["MLmodel"]


def test_process_with_many_open_files_still_talks_to_its_server() -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= MANY:
        pytest.skip("so many files may not be open here")
    mine, theirs = socket.socketpair()
    line = http.client.HTTPConnection("rain")
    line.sock = socket.socket(fileno=fcntl.fcntl(mine.fileno(), fcntl.F_DUPFD, MANY))

    before = connection._hung_up(line)
    theirs.close()
    after = connection._hung_up(line)

    line.close()
    mine.close()
    assert (before, after) == (False, True)
