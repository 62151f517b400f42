# SPDX-License-Identifier: Apache-2.0
"""What a message keeps of a run."""

from __future__ import annotations

from mlops.tracking.model.facts import (
    Dataset,
    RunFacts,
    apple_compatibility,
    datasets,
    hardware,
    short_metrics,
    short_params,
    short_tags,
)


def test_tagged_datasets_come_before_logged_inputs_of_the_same_name() -> None:
    run = RunFacts(
        tags={"mlops.dataset.rain": "3@abc", "mlops.dataset.odd": "main@xyz"},
        inputs=(Dataset("rain", None, "digest"), Dataset("snow", None, "digest")),
    )

    assert datasets(run) == (
        Dataset("odd", None, "xyz"),
        Dataset("rain", 3, "abc"),
        Dataset("snow", None, "digest"),
    )


def test_params_are_at_most_a_hundred_of_at_most_250_characters() -> None:
    run = RunFacts(params={f"p{number:04}": "x" * 6000 for number in range(2000)})

    short = short_params(run)

    assert len(short) == 100
    assert set(map(len, short.values())) == {250}


def test_tags_of_mlflow_are_left_out() -> None:
    run = RunFacts(tags={"mlflow.user": "me", "own": "yes", "hw.chip": "M4"})

    assert short_tags(run) == {"own": "yes", "hw.chip": "M4"}
    assert hardware(run) == {"chip": "M4"}


def test_metrics_are_finite_bounded_and_keep_the_one_that_matters() -> None:
    many = {f"a{number:04}": float(number) for number in range(500)}

    short = short_metrics(
        {**many, "z": 1.0, "nan": float("nan"), "inf": 1.7976931348623157e308}, first="z"
    )

    assert len(short) == 200
    assert short["z"] == 1.0
    assert "nan" not in short
    assert "inf" not in short


def test_long_metric_names_are_bounded_in_bytes() -> None:
    short = short_metrics({f"{number:03}" + "指" * 240: 1.0 for number in range(200)})

    assert 0 < sum(len(name.encode()) for name in short) < 20_000


def test_what_files_claim_of_apples_backends_is_bounded() -> None:
    found = apple_compatibility({f"backend-{number}": "yes" * 1000 for number in range(1000)})

    assert len(found) == 16
    assert {len(text) for text in found.values()} == {250}
    assert apple_compatibility({"mlx": False, "x" * 33: "yes", "a.b": "yes"}) == {"mlx": "no"}
