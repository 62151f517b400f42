# SPDX-License-Identifier: Apache-2.0
"""What a report says of its window is what was decided: with what it was compared, what was allowed for, what is new."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlops.monitoring.model.growth import Growth, State
from mlops.monitoring.model.window_words import remarks
from mlops.monitoring.model.windows import Summary, Window

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
REFERENCE = "windows 0 to 3, 1000 rows"
SEEN = "seen 1 of 24 hours, no weekend yet"
FIRST = f"Window 7, 250 rows; the reference: {REFERENCE}."


def window(inputs: Summary | None) -> Window:
    return Window(7, 1, 250, 250, first_at=NOON, last_at=NOON, index=7, inputs=inputs)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (None, ["Its inputs are not judged yet."]),
        (Summary("too few rows"), ["Its inputs were not judged: too few rows."]),
        (Summary(), ["No drift was seen."]),
        (Summary(None, 0.5, ("wind",), ("data",)), ["Drift (data) in 50% of the columns: wind."]),
        (
            Summary(allowed="It may be the clock.", unexpected=("tide",)),
            ["No drift was seen.", "It may be the clock.", "Columns that the reference does not have: tide."],
        ),
    ],
)  # fmt: skip
def test_the_verdict_is_told_in_sentences(inputs: Summary | None, said: list[str]) -> None:
    assert list(remarks(window(inputs), REFERENCE, None)) == [FIRST, *said]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (State.NEEDLESS, []),
        (State.GROWS, [f"A second reference, of quiet windows, still grows: {SEEN}."]),
        (
            State.WHOLE,
            [f"A second reference, of quiet windows, has grown: {SEEN}; what the first one finds quiet is compared with it, too."],
        ),
    ],
)  # fmt: skip
def test_a_second_reference_is_told_with_what_it_is_for(state: State, said: list[str]) -> None:
    growth = Growth(state=state).with_rows([NOON])

    assert list(remarks(window(Summary()), REFERENCE, growth)) == [FIRST, *said, "No drift was seen."]  # fmt: skip
