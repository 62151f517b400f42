# SPDX-License-Identifier: Apache-2.0
"""Times, texts and vectors are compared by what is read off them; clean ones stay quiet, changed ones are named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from mlops.monitoring.model.bins import Values
from mlops.monitoring.model.drift import WindowVerdict, judge
from mlops.monitoring.model.readings import Moments, Texts, Vectors, plain, readings_of
from mlops.monitoring.model.reference import freeze

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
ROWS = 500
WIDTH = 256
WORDS = [f"word{i}" for i in range(400)]

Columns = dict[str, Values]
Make = Callable[[np.random.Generator, int], Columns]


def sentences(words: int = 8, among: int = 400, spoken: str = "word") -> Make:
    def make(rng: np.random.Generator, rows: int) -> Columns:
        lengths = 3 + rng.poisson(words, rows)
        return {
            "comment": [
                " ".join(f"{spoken}{int(i)}" for i in rng.zipf(1.3, length) % among)
                for length in lengths
            ]
        }

    return make


def births(age_days: float = 20.0, hour: int = 12) -> Make:
    def make(rng: np.random.Generator, rows: int) -> Columns:
        ages = rng.exponential(age_days, rows)
        hours = rng.normal(hour, 2, rows) % 24
        return {
            "born": [
                ((MONDAY - timedelta(days=int(age))) + timedelta(hours=at)).isoformat()
                for age, at in zip(ages, hours, strict=True)
            ]
        }

    return make


def embeddings(shift: float = 0.0, scale: float = 1.0) -> Make:
    directions = np.random.default_rng(99).standard_normal((4, WIDTH))

    def make(rng: np.random.Generator, rows: int) -> Columns:
        topics = rng.standard_normal((rows, 4))
        topics[:, 0] += shift
        found = topics @ directions + scale * 2 * rng.standard_normal((rows, WIDTH))
        return {f"e{i}": found[:, i] for i in range(WIDTH)}

    return make


def windows(made: Make, changed: Make, count: int = 1) -> list[WindowVerdict]:
    rng = np.random.default_rng(1)
    times = [MONDAY] * 3000
    reference = freeze(made(rng, 3000), [None] * 3000, ROWS, times)
    return [
        judge(reference, changed(rng, ROWS), [None] * ROWS, times=times[:ROWS])
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    "made", [sentences(), births(), embeddings()], ids=["text", "time", "vector"]
)
def test_clean_windows_are_quiet(made: Make) -> None:
    verdicts = windows(made, made, 60)

    assert all(len(v.columns) >= 3 for v in verdicts)
    assert sum(bool(v.moved or v.gone or v.together or v.pairs) for v in verdicts) <= 2


@pytest.mark.parametrize(
    ("made", "changed", "named"),
    [
        (sentences(), sentences(words=16), "comment (length)"),
        (sentences(), sentences(spoken="mot"), "comment (unknown words)"),
        (sentences(), sentences(spoken="w0r"), "comment (digits)"),
        (births(), births(age_days=40.0), "born (age)"),
        (births(), births(hour=18), "born (hour)"),
        (embeddings(), embeddings(shift=0.5), "e (axis"),
        (embeddings(), embeddings(scale=1.2), "e (distance)"),
    ],
    ids=["longer", "another tongue", "digits", "older", "later", "another topic", "noisier"],
)
def test_what_changed_is_named(made: Make, changed: Make, named: str) -> None:
    (verdict,) = windows(made, changed)

    assert [c.name for c in verdict.moved if c.name.startswith(named)]


def test_a_column_of_texts_that_no_longer_comes_is_absent_in_all_that_was_read_off_it() -> None:
    (verdict,) = windows(sentences(), lambda rng, rows: {"other": rng.standard_normal(rows)})

    assert {(c.name, c.test) for c in verdict.gone} == {
        (f"comment ({what})", "absent") for what in ("digits", "length", "letters", "unknown words")
    } - {(c.name, c.test) for c in verdict.columns if not c.missing_moved}
    assert verdict.unexpected == ("other",)


def test_the_words_of_the_reference_are_no_better_known_than_those_of_a_window() -> None:
    rng = np.random.default_rng(2)
    own = sentences(among=4000)(rng, 3000)
    readings = readings_of(own)

    (of_reference,) = [plain(own, readings, own=True)["comment (unknown words)"]]
    (of_window,) = [plain(sentences(among=4000)(rng, 3000), readings)["comment (unknown words)"]]

    assert isinstance(readings[0], Texts)
    mine, theirs = np.array(of_reference, float).mean(), np.array(of_window, float).mean()
    assert mine == pytest.approx(theirs, rel=0.1)


def test_identifiers_names_and_numbers_are_read_as_they_are() -> None:
    columns: Columns = {
        "id": [f"row-{i}" for i in range(600)],
        "sky": ["a blue sky today", "a grey sky today"] * 300,
        "year": ["2026", "2025"] * 300,
        "size": list(range(600)),
        **{f"x{i}": np.zeros(600) for i in range(100)},
    }

    assert readings_of(columns) == ()


def test_broken_times_and_vectors_are_missing() -> None:
    rng = np.random.default_rng(3)
    columns = {**births()(rng, 600), **embeddings()(rng, 600)}
    readings = readings_of(columns)
    broken: Columns = {name: list(values)[:2] for name, values in columns.items()}
    broken["born"] = ["2026-01-05T06:30:00", "once upon a time"]
    broken["e7"] = [1.0, None]

    found = plain(broken, readings)

    assert {type(one) for one in readings} == {Moments, Vectors}
    assert list(found["born (hour)"]) == [6.5, None]
    assert np.isnan(np.array(found["e (length)"], float)).tolist() == [False, True]
