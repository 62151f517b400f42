# SPDX-License-Identifier: Apache-2.0
"""The figures of a report, and what they say in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mlops.monitoring.model.reports import Answers, Report, report
from mlops.monitoring.model.reports_entries import (
    AlertClosed,
    AlertOpened,
    Entry,
    Lane,
    Measured,
    Metered,
    Moment,
    Sample,
    Training,
)
from mlops.monitoring.model.reports_machines import Machines
from mlops.monitoring.model.reports_period import Period
from mlops.monitoring.model.reports_words import headline

DAY = Period("day", datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))
EDGES = [1.0, 2.0, 4.0, 8.0]
HOUR = timedelta(hours=1)


def after(hours: float) -> datetime:
    return DAY.since + hours * HOUR


def metered(hours: float = 1, **more: object) -> Metered:
    plain = Metered("rain", "rain", 1, after(hours), 100, 50, 2, {"1": 90, "3": 10}, 5.0)
    return replace(plain, **more)  # type: ignore[arg-type]  # tests name real fields


def measured(hours: float, value: float, *, degraded: bool = False, rows: int = 100) -> Measured:
    return Measured("rain", "rain", 1, after(hours), "accuracy", value, 0.9, degraded, rows)


def figures(*entries: Entry, project: str | None = "rain") -> Report:
    return report(entries, [], DAY, project, Answers(EDGES))


def test_traffic_adds_up_and_quantiles_are_of_all_answers() -> None:
    found = figures(metered(1), metered(2, predictions=300, failed=None, joules=15.0)).traffic

    assert (found.predictions, found.requests, found.failed) == (400, 100, 2)
    assert (found.p50_ms, found.p95_ms) == (2.0, 8.0)
    assert (found.joules, found.joules_per_1000) == (20.0, 50.0)


def test_what_nobody_can_tell_is_none_and_no_zero() -> None:
    found = figures(metered(requests=None, failed=None, times={}, joules=None)).traffic

    assert (found.requests, found.failed, found.p95_ms) == (None, None, None)
    assert (found.joules, found.joules_per_1000) == (None, None)


def test_joules_per_1000_counts_only_predictions_whose_energy_is_known() -> None:
    found = figures(metered(joules=5.0), metered(2, predictions=900, joules=None)).traffic

    assert found.joules_per_1000 == 50.0


def test_the_end_of_a_period_belongs_to_the_next() -> None:
    found = figures(metered(0), metered(24), metered(-0.01))

    assert found.traffic.predictions == 100


def test_quality_is_weighed_by_labelled_rows() -> None:
    [model] = figures(measured(1, 0.9, rows=300), measured(2, 0.5, degraded=True)).models

    [quality] = model.quality
    assert (quality.value, quality.rows, quality.degraded_windows) == (0.8, 400, 1)


def test_other_projects_are_left_out_and_all_projects_have_them() -> None:
    entries = (metered(), metered(project="lora", model="chat"))

    assert [one.model for one in figures(*entries).models] == ["rain"]
    assert [one.model for one in figures(*entries, project=None).models] == ["chat", "rain"]


def test_a_project_that_is_called_as_a_machine_is_left_out_of_other_reports() -> None:
    machines = Machines(DAY)
    machines.add(Sample("mac", after(1), 60.0))
    rollout = Moment("mac", after(2), Lane.ROLLOUT, "mac v2 answers")

    found = report([metered(project="mac"), rollout], machines.found(), DAY, "rain", Answers(EDGES))

    assert (found.models, found.moments) == ((), ())


def test_heat_is_told_of_machines_without_samples() -> None:
    hot = Moment("old-mac", after(1), Lane.HEAT, "old-mac slows down")

    assert figures(hot).moments == (hot,)


def test_the_newest_thousand_windows_are_listed_and_all_are_counted() -> None:
    found = figures(*(measured(n / 100, 1.0 if n else 0.0, rows=1) for n in range(1004)))

    [quality] = found.models[0].quality
    assert (len(quality.windows), quality.windows_left_out, quality.rows) == (1000, 4, 1004)
    assert quality.windows[-1].at == after(10.03)


def test_an_alert_that_was_told_again_is_one_and_open_when_it_came_back() -> None:
    first = AlertOpened("rain", "a", "warning", "it is bad", after(1))
    over = AlertClosed("rain", "a", after(2), "better")

    [once] = figures(first, over).alerts
    [back] = figures(first, over, replace(first, severity="critical", at=after(3))).alerts

    assert once.closed == over
    assert (back.opened, back.closed) == (first, None)


def test_an_empty_period_says_so() -> None:
    hot = Moment("mac", after(1), Lane.HEAT, "mac slows down")

    found = report([hot], [], DAY, None, Answers(EDGES))

    assert found.empty
    assert headline(found) == ("Nothing was recorded in this period.",)


def test_words_name_what_did_worse_than_promised_first() -> None:
    training = Training("rain", "w", "retrain", "completed", after(3), 60.0, 100.0)
    rollout = Moment("rain", after(4), Lane.ROLLOUT, "rain v2 answers", "rain")

    told = headline(figures(metered(), measured(1, 0.5, degraded=True), training, rollout))

    assert told == (
        "Worse than promised: rain in 1 of 1 measured windows.",
        "100 predictions, 2 of 50 requests failed, for 5 J.",
        "1 retraining, 1 rollout.",
    )


def test_words_say_when_every_promise_was_kept_and_when_nobody_can_tell() -> None:
    assert (
        headline(figures(measured(1, 0.9)))[0] == "The one measured window did as well as promised."
    )
    assert headline(figures(metered()))[0].startswith("No labels came")


@given(st.permutations([metered(1), metered(2), measured(3, 0.8), measured(4, 0.9)]))
def test_the_order_in_which_events_are_read_changes_nothing(entries: list[Entry]) -> None:
    assert figures(*entries) == figures(metered(1), metered(2), measured(3, 0.8), measured(4, 0.9))


def test_machines_add_up_by_time() -> None:
    machines = Machines(DAY)
    machines.add(Sample("mac", after(1), 60.0, "M4", level=2, temp_c=90.0, watts=30.0, joules=9.0))
    machines.add(Sample("mac", after(1.2), 180.0, "M4", level=0, watts=10.0, low_power=True))
    machines.add(Sample("mac", after(30), 999.0, "M4", level=4))

    [mac] = machines.found()

    assert (mac.worst_level, mac.throttled_s, mac.low_power_s, mac.known_s) == (
        2,
        60.0,
        180.0,
        240.0,
    )
    assert (mac.watts, mac.joules, mac.worst_temp_c) == (15.0, 9.0, 90.0)
    assert [step.at for step in mac.steps] == [after(1)]


def test_a_machine_that_tells_no_power_has_none() -> None:
    machines = Machines(DAY)
    machines.add(Sample("lab", after(1), 60.0))

    [lab] = machines.found()

    assert (lab.watts, lab.worst_level, lab.steps[0].busy) == (None, None, None)
