# SPDX-License-Identifier: Apache-2.0
"""The promises of monitoring's ledger, each held by the memory fake and by SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.message import Message
from mlops.contracts.monitoring import AlertResolved
from mlops.monitoring.adapters.sqlite import SqliteLedger
from mlops.monitoring.model.adwin import Adwin
from mlops.monitoring.model.alarm import Alarm
from mlops.monitoring.model.early import Watch
from mlops.monitoring.model.windows import ModelKey, Phase, Row, Summary, Truth, Watched, Window
from mlops.monitoring.ports import Baseline, Ledger, Made, Page, Pair, ReportJob

RAIN = ModelKey("rainfall", "rain")
SNOW = ModelKey("rainfall", "snow")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def row(request_id: str, prediction: int = 1) -> Row:
    return Row(
        request_id, NOON, {"wind": 0.5, "sky": "grey", "calm": True, "gone": None}, prediction
    )


def truth(request_id: str, label: int, minutes: int = 0) -> Truth:
    return Truth(request_id, label, NOON + timedelta(minutes=minutes))


async def write(ledger: Ledger, message_id: str, *rows: Row, window: int = 0) -> None:
    def change(page: Page) -> Sequence[Message]:
        page.rows.add(RAIN, window, rows)
        return []

    await ledger.apply(message_id, change)


async def rows_of(ledger: Ledger, window: int = 0) -> list[Row]:
    return await ledger.look(lambda page: list(page.rows.of(RAIN, window)))


async def label(ledger: Ledger, message_id: str, *truths: Truth) -> dict[int, list[Pair]]:
    counted: dict[int, list[Pair]] = {}

    def change(page: Page) -> Sequence[Message]:
        counted.update(page.rows.label(RAIN, truths))
        return []

    await ledger.apply(message_id, change)
    return counted


async def test_a_repeated_id_changes_nothing(ledger: Ledger) -> None:
    await write(ledger, "m1", row("a"))

    await write(ledger, "m1", row("b"))

    assert [kept.request_id for kept in await rows_of(ledger)] == ["a"]


async def test_a_repeated_id_returns_the_same_follow_ups(ledger: Ledger) -> None:
    resolved = AlertResolved(project="rainfall", alert_id="1", reason="over")
    first = await ledger.apply("m1", lambda _: [resolved])

    again = await ledger.apply("m1", lambda _: [])

    assert again == first == (resolved,)


async def test_a_failed_change_leaves_no_trace(ledger: Ledger) -> None:
    def change(page: Page) -> Sequence[Message]:
        page.rows.add(RAIN, 0, [row("a")])
        page.models.put(Watched(RAIN, version=1))
        raise RejectedError("not this one")

    with pytest.raises(RejectedError, match="not this one"):
        await ledger.apply("m1", change)

    assert await rows_of(ledger) == []
    assert await ledger.look(lambda page: page.models.all()) == []
    await write(ledger, "m1", row("b"))
    assert [kept.request_id for kept in await rows_of(ledger)] == ["b"]


async def test_rows_come_back_in_order_and_as_they_were(ledger: Ledger) -> None:
    await write(ledger, "m1", row("b", prediction=0), row("a"))
    await write(ledger, "m2", row("c"))

    kept = await rows_of(ledger)

    assert kept == [row("b", prediction=0), row("a"), row("c")]
    assert isinstance(kept[0].features["calm"], bool)


async def test_only_unknown_request_ids_are_new(ledger: Ledger) -> None:
    await write(ledger, "m1", row("a"))

    unknown = await ledger.look(lambda page: page.rows.unknown(RAIN, ["a", "b"]))

    assert unknown == {"b"}
    assert await ledger.look(lambda page: page.rows.unknown(SNOW, ["a"])) == {"a"}


async def test_a_label_finds_its_row(ledger: Ledger) -> None:
    await write(ledger, "m1", row("a"), row("b"), window=3)

    counted = await label(ledger, "m2", truth("b", 0))

    assert counted == {3: [(1, 0)]}
    assert [(kept.labelled, kept.label) for kept in await rows_of(ledger, 3)] == [
        (False, None),
        (True, 0),
    ]


async def test_a_label_may_come_before_its_prediction(ledger: Ledger) -> None:
    counted = await label(ledger, "m1", truth("a", 1))

    added: list[list[Pair]] = []

    def change(page: Page) -> Sequence[Message]:
        added.append(page.rows.add(RAIN, 0, [row("a"), row("b")]))
        return []

    await ledger.apply("m2", change)
    assert counted == {}
    assert added == [[(1, 1)]]
    assert [kept.labelled for kept in await rows_of(ledger)] == [True, False]


async def test_a_second_label_counts_once_and_the_later_known_holds(ledger: Ledger) -> None:
    await write(ledger, "m1", row("a"))
    await label(ledger, "m2", truth("a", 1, minutes=5))

    later = await label(ledger, "m3", truth("a", 0, minutes=9))
    earlier = await label(ledger, "m4", truth("a", 1, minutes=7))

    assert later == earlier == {}
    assert [kept.label for kept in await rows_of(ledger)] == [0]


async def test_a_label_of_nothing_is_still_a_label(ledger: Ledger) -> None:
    await write(ledger, "m1", row("a"))

    await label(ledger, "m2", Truth("a", None, NOON))

    assert [(kept.labelled, kept.label) for kept in await rows_of(ledger)] == [(True, None)]


async def test_models_do_not_share_labels(ledger: Ledger) -> None:
    await write(ledger, "m1", row("a"))

    def change(page: Page) -> Sequence[Message]:
        page.rows.label(SNOW, [truth("a", 0)])
        return []

    await ledger.apply("m2", change)

    assert [kept.labelled for kept in await rows_of(ledger)] == [False]


async def test_cleared_rows_take_their_labels_with_them(ledger: Ledger) -> None:
    await write(ledger, "m1", row("a"), window=0)
    await write(ledger, "m2", row("b"), window=1)
    await label(ledger, "m3", truth("a", 1), truth("b", 1))

    def change(page: Page) -> Sequence[Message]:
        page.rows.clear(RAIN, [0])
        return []

    await ledger.apply("m4", change)

    assert await rows_of(ledger, 0) == []
    assert [kept.labelled for kept in await rows_of(ledger, 1)] == [True]
    assert await ledger.look(lambda page: page.rows.unknown(RAIN, ["a"])) == {"a"}
    assert await label(ledger, "m5", truth("a", 0)) == {}


async def test_windows_come_back_by_phase_and_age(ledger: Ledger) -> None:
    done = Window(0, 1, 500, phase=Phase.MEASURED, index=0, value=0.8, inputs=Summary(share=0.5))
    full = Window(1, 1, 500, rows=500, phase=Phase.FULL, index=1, first_at=NOON, last_at=NOON)
    opened = Window(2, 2, 500, rows=3, labelled=1)

    def change(page: Page) -> Sequence[Message]:
        for window in (opened, done, full):
            page.windows.put(RAIN, window)
        page.windows.put(SNOW, Window(0, 1, 50))
        return []

    await ledger.apply("m1", change)

    assert await ledger.look(lambda page: page.windows.open(RAIN)) == [opened]
    assert await ledger.look(lambda page: page.windows.unfinished(RAIN)) == [full, opened]
    assert await ledger.look(lambda page: page.windows.latest(RAIN, 2)) == [full, opened]
    assert await ledger.look(lambda page: page.windows.latest(RAIN, 9)) == [done, full, opened]


async def test_a_dropped_window_is_gone_with_its_rows(ledger: Ledger) -> None:
    await write(ledger, "m1", row("a"), window=0)

    def change(page: Page) -> Sequence[Message]:
        page.windows.put(RAIN, Window(0, 1, 500, rows=1))
        page.windows.drop(RAIN, [0])
        return []

    await ledger.apply("m2", change)

    assert await ledger.look(lambda page: page.windows.latest(RAIN, 9)) == []
    assert await rows_of(ledger) == []


async def test_a_model_is_kept_whole(ledger: Ledger) -> None:
    model = Watched(
        RAIN,
        version=2,
        deployed_at=NOON,
        expected={1: {"accuracy": 0.7}, 2: {"accuracy": 0.8}},
        windows_made=4,
        windows_full=3,
        measured_up_to=2,
        degraded=True,
        alarms={"data": Alarm((True, False), on=True, told=("wind",), critical=True, quiet=1)},
        reference_from=2,
    )

    def change(page: Page) -> Sequence[Message]:
        page.models.put(replaced)
        page.models.put(model)
        return []

    replaced = Watched(RAIN)
    await ledger.apply("m1", change)

    assert await ledger.look(lambda page: page.models.get(RAIN)) == model
    assert await ledger.look(lambda page: page.models.get(SNOW)) is None
    assert await ledger.look(lambda page: page.models.all()) == [model]


async def test_an_early_warning_is_kept_whole(ledger: Ledger) -> None:
    watch = Watch(2, {"error": Adwin().after([0.1, 0.7, 1e50] * 20)[0], "label": Adwin()})

    def change(page: Page) -> Sequence[Message]:
        page.watches.put(RAIN, Watch(1))
        page.watches.put(RAIN, watch)
        return []

    await ledger.apply("m1", change)

    assert await ledger.look(lambda page: page.watches.get(RAIN)) == watch
    assert await ledger.look(lambda page: page.watches.get(SNOW)) is None


async def test_a_baseline_belongs_to_its_version(ledger: Ledger) -> None:
    first = Baseline(
        1,
        NOON,
        "windows 0 to 1",
        500,
        {"wind": [0.5, None], "sky": ["a", "b"]},
        [1, 0],
        [NOON, NOON + timedelta(seconds=1)],
    )
    second = Baseline(2, NOON, "a.csv", 500, {"wind": [1.0]}, [None])

    def change(page: Page) -> Sequence[Message]:
        page.baselines.put(RAIN, first)
        page.baselines.put(RAIN, second)
        page.baselines.drop(RAIN, 2)
        return []

    await ledger.apply("m1", change)

    assert await ledger.look(lambda page: page.baselines.get(RAIN, 1)) == first
    assert await ledger.look(lambda page: page.baselines.get(RAIN, 2)) is None
    assert await ledger.look(lambda page: page.baselines.get(SNOW, 1)) is None
    made = await ledger.look(lambda page: [page.baselines.made(RAIN, v) for v in (1, 2)])
    assert made == [Made(NOON, "windows 0 to 1", 2), None]


async def test_what_is_known_of_a_baseline_is_that_of_the_last_one(ledger: Ledger) -> None:
    first = Baseline(1, NOON, "windows 0 to 1", 500, {"wind": [0.5, None]}, [1, 0])

    def change(page: Page) -> Sequence[Message]:
        page.baselines.put(RAIN, first)
        page.baselines.put(RAIN, replace(first, origin="a.csv", predictions=[1, 0, 1]))
        return []

    await ledger.apply("m1", change)

    made = await ledger.look(lambda page: page.baselines.made(RAIN, 1))
    assert made == Made(NOON, "a.csv", 3)


async def test_a_baseline_of_an_older_release_is_known_too(tmp_path: Path) -> None:
    baseline = Baseline(1, NOON, "windows 0 to 1", 500, {"wind": [0.5, None]}, [1, 0])

    def change(page: Page) -> Sequence[Message]:
        page.baselines.put(RAIN, baseline)
        return []

    before = SqliteLedger(tmp_path / "l.db")
    await before.apply("m1", change)
    await before.close()
    with closing(sqlite3.connect(tmp_path / "l.db")) as db:
        db.execute("DROP TABLE made")
        db.commit()

    after = SqliteLedger(tmp_path / "l.db")
    found = [await after.look(lambda page: page.baselines.made(RAIN, 1)) for _ in range(2)]
    await after.close()

    assert found == [baseline.made] * 2


async def test_truths_are_of_the_reference_of_their_version(ledger: Ledger) -> None:
    baseline = Baseline(1, NOON, "a.csv", 500, {"wind": [1.0]}, [None])

    def change(page: Page) -> Sequence[Message]:
        for version in (1, 2, 3):
            page.baselines.put(RAIN, replace(baseline, version=version))
            page.baselines.keep_truths(RAIN, version, [1, "a"])
        page.baselines.keep_truths(RAIN, 1, [1, 0.5, "a", None, True])
        page.baselines.drop(RAIN, 2)
        page.baselines.put(RAIN, replace(baseline, version=3))
        return []

    await ledger.apply("m1", change)

    found = await ledger.look(
        lambda page: [page.baselines.truths(RAIN, version) for version in (1, 2, 3)]
    )
    assert found == [[1, 0.5, "a", None, True], [], []]


async def test_jobs_wait_in_turn_and_failed_ones_behind(ledger: Ledger) -> None:
    first = ReportJob("1", "s", RAIN, 1, 0, "drift", "v1-w00000-drift", tries=1)
    second = ReportJob("2", "s", RAIN, 1, 1, "drift", "v1-w00001-drift")

    def change(page: Page) -> Sequence[Message]:
        page.jobs.put(first)
        page.jobs.put(second)
        return []

    await ledger.apply("m1", change)
    waiting = await ledger.look(lambda page: page.jobs.first())

    def finish(page: Page) -> Sequence[Message]:
        page.jobs.done("2")
        return []

    await ledger.apply("m2", finish)

    assert waiting == second
    assert await ledger.look(lambda page: page.jobs.first()) == first


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    before = SqliteLedger(tmp_path / "l.db")
    await write(before, "m1", row("a"))
    await label(before, "m2", truth("a", 1))
    await before.close()

    after = SqliteLedger(tmp_path / "l.db")
    await write(after, "m1", row("b"))

    assert [(kept.request_id, kept.label) for kept in await rows_of(after)] == [("a", 1)]
    await after.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UnavailableError, match=r"file/l\.db cannot be written.*check the disk"):
        SqliteLedger(tmp_path / "file" / "l.db")
