# SPDX-License-Identifier: Apache-2.0
"""The promises about runs that nobody ends, each held by the memory fake and by the real MLflow."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from mlops.tracking.model.changes import RunBegan, RunEnded, RunWentStale, Why
from mlops.tracking.model.signs import ENDED_BY, HEARTBEAT, RESUMED, STALE, WORKFLOW, Heard, Stale
from servers.tracking import Lab, MemoryLab, changes

pytestmark = pytest.mark.timeout(120)

SOON = timedelta(seconds=2)


async def signs(lab: Lab, *run_ids: str) -> list[Any]:
    return [sign for sign in await lab.lives.signs() if sign.run_id in run_ids]


async def test_each_running_run_gives_a_sign(lab: Lab, project: str) -> None:
    beats = await lab.start_run(project, tags={HEARTBEAT: "5000 a"})
    plain = await lab.start_run(project)
    ended = await lab.start_run(project)
    await lab.end_run(project, ended)

    found = {sign.run_id: sign for sign in await signs(lab, beats, plain, ended)}

    assert found.keys() == {beats, plain}
    assert (found[beats].beat, found[beats].last_ms) == ("5000 a", 5000)
    assert (found[plain].beat, found[plain].started_ms) == (None, 1000)


async def test_whatever_a_run_does_changes_its_mark(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project, tags={HEARTBEAT: "5000 a"})
    marks = [(await signs(lab, run_id))[0].mark]

    await lab.log(project, run_id, {"loss": 1.0})
    marks.append((await signs(lab, run_id))[0].mark)
    await lab.log(project, run_id, {"loss": 1.0})
    marks.append((await signs(lab, run_id))[0].mark)
    await lab.tag(project, run_id, HEARTBEAT, "4000 a")
    marks.append((await signs(lab, run_id))[0].mark)
    again = (await signs(lab, run_id))[0].mark

    assert len(set(marks)) == 4
    assert again == marks[-1]


async def test_a_stale_run_is_ended_and_told_in_one(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project, tags={HEARTBEAT: "5000 a"})
    now = datetime.now(UTC)

    assert await lab.lives.end_stale(Stale(run_id, "5000 a", 5000, "silent"), now)
    assert not await lab.lives.end_stale(Stale(run_id, "5000 a", 5000, "silent"), now)

    status, ended_ms, tags = await lab.status(project, run_id)
    assert (status, ended_ms, tags[STALE]) == ("KILLED", 5000, "silent")
    _, stale = await lab.rows.pending(1000)
    assert stale.project == project
    assert isinstance(stale.change, RunWentStale)
    assert (stale.change.run_id, stale.change.last_seen_ms) == (run_id, 5000)
    assert (stale.change.reason, stale.change.again) == ("silent", False)
    assert await signs(lab, run_id) == []


async def test_a_stale_run_that_had_been_opened_again_has_ended_again(
    lab: Lab, project: str
) -> None:
    run_id = await lab.start_run(project)
    for status in ("FINISHED", "RUNNING"):
        await lab.end_run(project, run_id, status)
    await lab.tag(project, run_id, HEARTBEAT, "5000 a")

    assert await lab.lives.end_stale(Stale(run_id, "5000 a", 5000, "silent"), datetime.now(UTC))

    stale = (await changes(lab))[-1]
    assert isinstance(stale, RunWentStale)
    assert stale.again


async def test_a_run_that_logged_meanwhile_is_left_alone(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project)
    (sign,) = await signs(lab, run_id)
    await lab.log(project, run_id, {"loss": 1.0})
    silent = Stale(run_id, None, None, "silent", sign.mark)

    assert not await lab.lives.end_stale(silent, datetime.now(UTC))
    assert (await lab.status(project, run_id))[:2] == ("RUNNING", None)
    (sign,) = await signs(lab, run_id)
    assert await lab.lives.end_stale(replace(silent, mark=sign.mark), datetime.now(UTC))


async def test_what_a_run_logs_is_a_sign_beside_the_longest_beat(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project, tags={HEARTBEAT: "5000 " + "a" * 400})
    (before,) = await signs(lab, run_id)

    await lab.log(project, run_id, {"loss": 1.0})

    (after,) = await signs(lab, run_id)
    assert before.mark != after.mark


@pytest.mark.parametrize("kind", [RunWentStale, RunEnded])
async def test_an_end_that_crosses_with_ours_is_the_last_word(
    lab: Lab, project: str, kind: type[RunWentStale | RunEnded]
) -> None:
    if isinstance(lab, MemoryLab):
        pytest.skip("one thing at a time happens in memory")
    from mlflow.store.tracking.dbmodels.models import SqlRun  # noqa: PLC0415 - it takes seconds

    key = f"{project}-w3"
    run_id = await lab.start_run(project, tags={HEARTBEAT: "5000 a", WORKFLOW: key})
    ours: list[bool] = []

    def crossing(*_: object) -> None:
        # The client has read RUNNING, and has written nothing yet.
        now = datetime.now(UTC)
        if kind is RunEnded:
            over = lab.lives.end_workflow(project, key, now, Why("cancelled"))
            ours.append(asyncio.run(over) == [run_id])
            return
        stale = Stale(run_id, "5000 a", 5000, "silent")
        ours.append(asyncio.run(lab.lives.end_stale(stale, now)))

    sa.event.listen(SqlRun, "before_update", crossing)
    try:
        await lab.end_run(project, run_id)
    finally:
        sa.event.remove(SqlRun, "before_update", crossing)

    status, ended_ms, tags = await lab.status(project, run_id)
    _, first, ended = await changes(lab)
    assert ours == [True]
    assert (status, ended_ms) == ("FINISHED", 2000)
    assert not {STALE, ENDED_BY} & tags.keys()
    assert isinstance(first, kind)
    assert isinstance(ended, RunEnded)
    assert ended.again


async def test_a_run_that_beat_meanwhile_is_left_alone(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project, tags={HEARTBEAT: "5000 a"})
    await lab.tag(project, run_id, HEARTBEAT, "6000 a")

    assert not await lab.lives.end_stale(Stale(run_id, "5000 a", 5000, "silent"), datetime.now(UTC))

    assert (await lab.status(project, run_id))[0] == "RUNNING"
    assert len(await changes(lab)) == 1


async def test_a_beat_opens_a_stale_run_again(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project, tags={HEARTBEAT: "5000 a"})
    await lab.lives.end_stale(Stale(run_id, "5000 a", 5000, "silent"), datetime.now(UTC))

    await lab.tag(project, run_id, HEARTBEAT, "5000 a")
    assert (await lab.status(project, run_id))[0] == "KILLED"
    await lab.tag(project, run_id, HEARTBEAT, "6000 a")
    await lab.tag(project, run_id, HEARTBEAT, "7000 a")

    status, ended_ms, tags = await lab.status(project, run_id)
    assert (status, ended_ms) == ("RUNNING", None)
    assert STALE not in tags
    assert "silent" in tags[RESUMED]
    *_, stale, began = await changes(lab)
    assert isinstance(stale, RunWentStale)
    assert isinstance(began, RunBegan)
    assert (began.run_id, began.resumed, began.started_ms) == (run_id, True, 1000)


@pytest.mark.parametrize("status", ["RUNNING", "FINISHED"])
async def test_a_client_that_comes_back_with_a_status_has_the_last_word(
    lab: Lab, project: str, status: str
) -> None:
    run_id = await lab.start_run(project, tags={HEARTBEAT: "5000 a"})
    await lab.lives.end_stale(Stale(run_id, "5000 a", 5000, "silent"), datetime.now(UTC))

    await lab.end_run(project, run_id, status)
    found, _, tags = await lab.status(project, run_id)
    last = (await changes(lab))[-1]

    assert (found, STALE in tags) == (status, False)
    assert (getattr(last, "resumed", None), getattr(last, "again", None)) == (
        (True, None) if status == "RUNNING" else (None, True)
    )


async def test_who_opens_a_run_again_need_not_beat_because_another_did(
    lab: Lab, project: str
) -> None:
    run_id = await lab.start_run(project, tags={HEARTBEAT: "5000 a"})
    await lab.end_run(project, run_id)

    await lab.end_run(project, run_id, "RUNNING")
    (plain,) = await signs(lab, run_id)
    await lab.tag(project, run_id, HEARTBEAT, "5000 a")
    (beating,) = await signs(lab, run_id)

    assert (plain.beat, beating.beat) == (None, "5000 a")
    assert len(await changes(lab)) == 3


async def test_an_end_after_an_end_says_so(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project)
    for status in ("FINISHED", "RUNNING", "FINISHED"):
        await lab.end_run(project, run_id, status)

    _, first, resumed, second = await changes(lab)

    assert (first.again, resumed.resumed, second.again) == (False, True, True)


async def test_the_runs_of_an_ended_workflow_are_ended_with_the_reason(
    lab: Lab, project: str
) -> None:
    key = f"{project}-w1"
    mine = await lab.start_run(project, tags={WORKFLOW: key})
    other = await lab.start_run(project, tags={WORKFLOW: f"{key}0"})
    why = Why("cancelled", correlation_id="story", causation_id="cause")
    at = datetime(2026, 1, 1, tzinfo=UTC)

    ended = await lab.lives.end_workflow(project, key, at, why)
    again = await lab.lives.end_workflow(project, key, at, why)
    elsewhere = await lab.lives.end_workflow("default", f"{key}0", at, why)

    assert (ended, again, elsewhere) == ([mine], [], [])
    change = (await changes(lab))[-1]
    assert isinstance(change, RunEnded)
    assert (change.run_id, change.status, change.why) == (mine, "KILLED", why)
    assert change.ended_ms == int(at.timestamp() * 1000)
    status, _, tags = await lab.status(project, mine)
    assert (status, tags[ENDED_BY]) == ("KILLED", "cancelled")
    assert (await lab.status(project, other))[0] == "RUNNING"


async def test_a_run_that_waits_to_go_on_gives_no_sign_and_ends_with_its_workflow(
    lab: Lab, project: str
) -> None:
    run_id = await lab.start_run(project, tags={WORKFLOW: f"{project}-w3"})
    await lab.end_run(project, run_id, "SCHEDULED")
    told = len(await changes(lab))

    signs = [sign.run_id for sign in await lab.lives.signs()]
    why = Why("cancelled")
    ended = await lab.lives.end_workflow(project, f"{project}-w3", datetime.now(UTC), why)

    assert run_id not in signs
    assert ended == [run_id]
    assert [change.status for change in (await changes(lab))[told:]] == ["KILLED"]


async def test_a_run_that_waited_goes_on_without_a_word(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project)
    told = await changes(lab)
    for status in ("SCHEDULED", "RUNNING"):
        await lab.end_run(project, run_id, status)

    assert await changes(lab) == told
    assert (await lab.status(project, run_id))[0] == "RUNNING"


async def test_a_run_that_goes_on_after_its_workflow_ended_says_so_no_more(
    lab: Lab, project: str
) -> None:
    run_id = await lab.start_run(project, tags={WORKFLOW: f"{project}-w2"})
    await lab.lives.end_workflow(project, f"{project}-w2", datetime.now(UTC), Why("cancelled"))

    await lab.end_run(project, run_id, "RUNNING")

    status, _, tags = await lab.status(project, run_id)
    assert (status, ENDED_BY in tags) == ("RUNNING", False)


async def test_silence_is_remembered_and_replaced(lab: Lab) -> None:
    await lab.lives.remember({"a": Heard("m", 5.0, 5.0), "b": Heard("n", 6.0)})
    await lab.lives.remember({"a": Heard("m", 7.0, 7.0)})

    assert await lab.lives.remembered() == {"a": Heard("m", 7.0, 0.0)}


async def test_ending_a_run_wakes_who_waits(lab: Lab, project: str) -> None:
    run_id = await lab.start_run(project, tags={HEARTBEAT: "5000 a"})
    await lab.rows.pending(1000)
    waiting = asyncio.create_task(lab.rows.wait(timedelta(seconds=60)))

    await lab.lives.end_stale(Stale(run_id, "5000 a", 5000, "silent"), datetime.now(UTC))

    async with asyncio.timeout(SOON.total_seconds()):
        await waiting
