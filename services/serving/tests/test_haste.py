# SPDX-License-Identifier: Apache-2.0
"""Which calls of a model are made in the loop itself: short ones, of models that only compute."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.serving.adapters.calls import Calls
from mlops.serving.adapters.counters import Counters
from mlops.serving.adapters.replies import RefusedError
from mlops.serving.adapters.turns import Turns
from mlops.serving.model.haste import LONG_S, PROOFS, SHORT_S, Haste, only_computes

SHORT, LONG = SHORT_S / 10, SHORT_S * 10


def proved(rows: int) -> Haste:
    haste = Haste()
    for _ in range(PROOFS):
        haste.proves(rows, SHORT)
    return haste


@pytest.fixture
def haste() -> Haste:
    return Haste()


@pytest.fixture
def calls(tmp_path: Path, haste: Haste) -> Calls:
    counters = Counters({"home": str(tmp_path), "model": "rain", "version": 3})
    return Calls(Turns(2), counters, 2, 20, haste=haste)


@pytest.mark.parametrize(
    ("backend", "kept", "may"),
    [
        ("sklearn", "sklearn-skops", True),
        ("onnxruntime", "onnx", True),
        ("numpy", "layers", True),
        ("sklearn", "sklearn-pickle", False),
        ("pyfunc", "pyfunc", False),
        ("torch-cpu", "torch", False),
        ("mlx-lm", "mlx-lm", False),
    ],
)
def test_only_what_does_nothing_but_compute_may_hold_up_the_loop(
    backend: str, kept: str, *, may: bool
) -> None:
    assert only_computes({"backend": backend, "format": kept}) is may


def test_a_number_of_rows_has_to_prove_itself() -> None:
    haste = Haste()
    for _ in range(PROOFS - 1):
        haste.proves(4, SHORT)
    assert not haste.is_short(4)

    haste.proves(9, SHORT)

    assert haste.is_short(4)
    assert not haste.is_short(9)


def test_one_call_that_holds_up_the_loop_ends_it_for_as_many_rows() -> None:
    haste = proved(8)
    haste.held_up(5, LONG_S / 2)
    assert haste.is_short(8)

    haste.held_up(5, LONG_S * 2)

    assert haste.is_short(4)
    assert not haste.is_short(5)


def test_a_long_call_begins_the_proof_anew() -> None:
    haste = Haste()
    for took_s in (*[SHORT] * (PROOFS - 1), LONG, *[SHORT] * (PROOFS - 1)):
        haste.proves(1, took_s)

    assert not haste.is_short(1)


def test_what_may_not_and_what_nobody_counted_never_proves_itself() -> None:
    haste = Haste(may=False)
    for _ in range(2 * PROOFS):
        haste.proves(1, SHORT)

    assert not haste.is_short(1)
    assert not proved(3).is_short(0)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=200))
def test_nothing_is_short_that_took_long_when_it_was_last_tried(
    told: list[tuple[int, bool]],
) -> None:
    haste = Haste()
    for rows, short in told:
        haste.proves(rows, SHORT if short else LONG)
        assert short or not haste.is_short(rows)


async def test_short_calls_leave_the_threads(calls: Calls, haste: Haste) -> None:
    here = threading.get_ident()
    assert await calls.run(threading.get_ident, rows=1) != here

    haste.rows = 1

    assert await calls.run(threading.get_ident, rows=1) == here
    assert await calls.run(threading.get_ident, rows=2) != here
    assert await calls.run(threading.get_ident) != here


async def test_a_short_call_that_was_long_goes_back_to_the_threads(
    calls: Calls, haste: Haste
) -> None:
    haste.rows = 1

    def work() -> int:
        began_s = time.perf_counter()
        while time.perf_counter() - began_s < 2 * LONG_S:
            pass
        return threading.get_ident()

    assert await calls.run(work, rows=1) == threading.get_ident()
    assert await calls.run(work, rows=1) != threading.get_ident()


async def test_a_short_call_that_fails_gives_its_turn_back(calls: Calls, haste: Haste) -> None:
    haste.rows = 1

    for _ in range(5):
        with pytest.raises(RefusedError, match="ZeroDivisionError"):
            await calls.run(lambda: 1 / 0, rows=1)

    assert await calls.run(lambda: 7, rows=1) == 7
