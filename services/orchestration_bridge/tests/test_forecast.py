# SPDX-License-Identifier: Apache-2.0
"""Seconds to throttle and to cool: learnt from a machine of two thermal masses, and never made up."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.orchestration_bridge.model.forecast import Fit, Forecast, Seen, forecast, learnt

# A fanless laptop as two masses: watts at work and at rest, levels by its temperature.
_CD, _RDC, _CC, _RCA, _AMBIENT_C = 10.4, 7.08, 100.0, 3.97, 25.0


def laptop(seconds: int, *, thermometer: bool = True, every: int = 5) -> list[Seen]:
    die, case, level, rng, found = 45.0, 35.0, 0, random.Random(1), []  # noqa: S311 - noise
    for second in range(seconds):
        works = second % 300 < 100
        power = 15.0 if works else 2.0
        die += (power - (die - case) / _RDC) / _CD
        case += ((die - case) / _RDC - (case - _AMBIENT_C) / _RCA) / _CC
        level = 2 if die > 91.8 else 0 if die < 79 else level
        if second % every == 0:
            measured = die + rng.gauss(0, 0.3) if thermometer else None
            found.append(Seen(float(second), level, power, measured, None, works))
    return found


def fitted(samples: list[Seen]) -> Fit:
    fit = Fit()
    for seen in samples:
        fit = learnt(fit, seen)
    return fit


def onsets(samples: list[Seen]) -> list[tuple[float, float]]:
    """Return what was said 20 s into each spell of work, and what came."""
    fit, said, found = Fit(), None, []
    for seen in samples:
        was_hot = fit.last is not None and fit.last.hot
        fit = learnt(fit, seen)
        if seen.at_s % 300 == 20 and not seen.hot:
            said = (seen.at_s, forecast(fit, seen.at_s).throttle_s)
        if seen.hot and not was_hot and said is not None:
            if said[1] is not None:
                found.append((said[1], seen.at_s - said[0]))
            said = None
    return found


def test_the_time_to_throttle_is_learnt_within_a_few_seconds() -> None:
    found = onsets(laptop(3000))

    assert len(found) >= 5
    assert all(abs(said - came) < 15 for said, came in found[2:])


def test_it_says_how_far_it_was_off_so_far() -> None:
    fit = fitted(laptop(3000))

    found = forecast(fit, 3000)

    assert found.throttle_error_s is not None
    assert 0 < found.throttle_error_s < 40
    assert found.cool_error_s is not None


def test_without_a_thermometer_earlier_episodes_say_how_long_it_takes() -> None:
    samples = laptop(1500, thermometer=False)

    fit = fitted(samples)

    hot = next(seen for seen in reversed(samples) if seen.hot)
    assert fit.onset.took.count >= 2
    assert forecast(fit, 1500.0).throttle_s is not None
    again = learnt(fit, Seen(1501.0, 2, 15.0, None, None, busy=True))
    cool_s = forecast(again, 1501.0).cool_s
    assert cool_s is not None
    assert 20 < cool_s < 200
    assert hot.temp_c is None


def test_too_little_is_said_and_not_guessed() -> None:
    assert forecast(Fit(), 0.0) == Forecast(reason="it has told nothing yet")
    few = fitted(laptop(20))
    assert forecast(few, 20.0).throttle_s is None
    assert "too few" in forecast(few, 20.0).reason


def test_a_machine_that_stays_cool_under_its_load_is_said_to() -> None:
    fit, temp = Fit(), 30.0
    for second in range(0, 2000, 5):
        power = 10.0 if second % 400 < 200 else 3.0
        temp += 5 * (0.02 * power - 0.004 * (temp - 25))
        fit = learnt(fit, Seen(float(second), 0, power, temp, 95.0 - temp, busy=power > 5))

    found = forecast(fit, 2000.0)

    assert found.never
    assert "would settle at" in found.reason


def test_an_older_sample_changes_nothing() -> None:
    fit = fitted(laptop(100))

    assert learnt(fit, Seen(50.0, 4, 99.0, 149.0)) is fit


_VALUES = st.none() | st.floats(-20, 150)


@settings(max_examples=60)
@given(
    samples=st.lists(
        st.tuples(st.floats(0, 500), st.integers(0, 4), st.none() | st.floats(0, 2000), _VALUES),
        max_size=60,
    )
)
def test_whatever_is_told_the_forecast_stays_bounded(
    samples: list[tuple[float, int, float | None, float | None]],
) -> None:
    fit, at_s = Fit(), 0.0
    for gap_s, level, power_w, temp_c in samples:
        at_s += gap_s
        fit = learnt(fit, Seen(at_s, level, power_w, temp_c))
        found = forecast(fit, at_s)
        assert found.throttle_s is None or 0 <= found.throttle_s <= 3600
        assert found.cool_s is None or 0 <= found.cool_s <= 3600
        assert found.throttle_s is None or found.cool_s is None
        assert found.throttle_s is not None or found.cool_s is not None or found.reason


@pytest.mark.parametrize("missing", ["power", "temperature"])
def test_a_gap_in_the_samples_is_survived(missing: str) -> None:
    samples = [
        seen
        if place % 3
        else Seen(
            seen.at_s,
            seen.level,
            None if missing == "power" else seen.power_w,
            None if missing == "temperature" else seen.temp_c,
            None,
            seen.busy,
        )
        for place, seen in enumerate(laptop(3000))
    ]

    assert fitted(samples).model.count > 12
