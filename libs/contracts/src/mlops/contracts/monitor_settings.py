# SPDX-License-Identifier: Apache-2.0
"""`[monitor]` of a project's settings: what its models are compared with, and when that counts as worse."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from mlops.contracts.message import Part
from mlops.contracts.units import Duration, Ratio


class DriftSettings(Part):
    """`drift` of `[monitor]`: when a window counts as drifted."""

    share: Ratio = Field(
        default=0.5,
        description="Share of columns whose drift makes the whole window a drifted one.",
    )
    alpha: float = Field(
        default=0.05, gt=0, lt=1, description="False-discovery rate over the columns of a window."
    )
    persist_windows: int = Field(
        default=2, ge=1, le=20, description="Windows that must alarm before the event goes out."
    )
    cycle: str = Field(
        default="auto",
        pattern=r"^(auto|none|[1-9][0-9]{0,2}[hd])$",
        description="Rhythm of the rows, `24h` or `7d`: windows are compared with the same hours of the reference. "
        "`auto` takes the day or the week where the reference shows it, `none` forbids it.",
    )


class ReferenceSettings(Part):
    """`reference` of `[monitor]`: the rows that each version is compared with from its deployment on."""

    file: str | None = Field(
        default=None,
        max_length=1024,
        description="CSV or Parquet file of the project's folder, rows in time order, read when a version is deployed for the first "
        "time: its training data, or what it answered out of fold. None: the first requests are the reference.",
    )
    prediction: str | None = Field(
        default=None,
        max_length=256,
        description="Column of the file with the model's answers, made out of fold; None means `prediction`, where it is there.",
    )
    target: str | None = Field(
        default=None, max_length=256, description="Column of the file with the truth."
    )


class PerformanceSettings(Part):
    """`accuracy` of `[monitor]`: when labelled performance counts as degraded."""

    min: float | None = Field(
        default=None, description="Absolute floor of the metric of [evaluate]."
    )
    drop: float | None = Field(
        default=0.05,
        gt=0,
        description="Allowed loss against the metric the version was promoted with, or showed in its first windows if that was better.",
    )
    label_horizon: Duration | None = Field(
        default=None,
        description="How long the labels of a full window are waited for; then it is measured with those there are, or "
        "given up. None: until 80 % are there, for as long as its rows are kept.",
    )


class MonitorSettings(Part):
    """`[monitor]`: windows and thresholds."""

    window: int = Field(default=500, ge=50, le=1_000_000, description="Predictions per window.")
    window_max_age: Duration | None = Field(
        default=timedelta(days=1),
        description="A window that has been open for so long is judged as it is, once it has 200 rows; only time in "
        "which the service runs counts. None: however long it takes to fill.",
    )
    reference: ReferenceSettings = Field(
        default=ReferenceSettings(), description="What each version is compared with."
    )
    drift: DriftSettings = Field(
        default=DriftSettings(), description="When a window counts as drifted."
    )
    accuracy: PerformanceSettings = Field(
        default=PerformanceSettings(), description="When labelled performance counts as degraded."
    )
