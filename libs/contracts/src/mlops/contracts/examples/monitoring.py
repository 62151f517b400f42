# SPDX-License-Identifier: Apache-2.0
"""Example messages of monitoring: the thirteenth window, drifted and degraded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mlops.contracts.message import Message
from mlops.contracts.monitoring import (
    AcknowledgeAlert,
    AdvanceWindows,
    AlertAcknowledged,
    AlertNotified,
    AlertRaised,
    AlertResolved,
    AlertSilenced,
    AlertUnsilenced,
    ChangeSuspected,
    ColumnDrift,
    DriftCleared,
    DriftDetected,
    DriftKind,
    EvaluateWindow,
    MakeReport,
    PerformanceDegraded,
    PerformanceMeasured,
    PerformanceRecovered,
    PerformanceUnmeasured,
    ReferenceChosen,
    ReportPublished,
    Series,
    SetReference,
    Severity,
    SilenceAlerts,
    Suspect,
    UnsilenceAlerts,
    Window,
)

_FIRST_AT = datetime(2026, 3, 1, 11, 50, 0, tzinfo=UTC)
_LAST_AT = datetime(2026, 3, 1, 11, 59, 59, tzinfo=UTC)
_REPORT = "file:///home/ada/.mlops/reports/rainfall/rain-12.html"
_REFERENCE = "file:///home/ada/rainfall/reference.csv"
_ALERT_ID = "rainfall-rain-performance"
_MODEL: dict[str, Any] = {"project": "rainfall", "model": "rain", "version": 3}
_WINDOW: dict[str, Any] = {
    "window": Window(index=12, rows=500, labelled=480, first_at=_FIRST_AT, last_at=_LAST_AT)
}
_SILENCE: dict[str, Any] = {
    "project": "rainfall",
    "model": "rain",
    "kind": "data",
    "until": datetime(2026, 3, 2, 8, 0, 0, tzinfo=UTC),
    "why": "the sensor is being replaced",
    "by": "ada",
}

EXAMPLES: tuple[Message, ...] = (
    DriftDetected(
        **_MODEL,
        **_WINDOW,
        kind=DriftKind.DATA,
        severity=Severity.WARNING,
        columns=(
            ColumnDrift(
                name="temperature",
                test="kolmogorov-smirnov",
                score=0.31,
                threshold=0.1,
                p_value=0.001,
                drifted=True,
            ),
        ),
        share_drifted_ratio=0.625,
        report_uri=_REPORT,
        suggestion="Watch the labels; retrain when accuracy falls.",
        unexpected_columns=("dew_point",),
    ),
    DriftCleared(**_MODEL, **_WINDOW, kind=DriftKind.DATA),
    PerformanceMeasured(
        **_MODEL,
        **_WINDOW,
        metric="accuracy",
        value=0.66,
        standard_error=0.021,
        expected=0.74,
        degraded=True,
        partial=True,
    ),
    PerformanceUnmeasured(
        **_MODEL,
        **_WINDOW,
        metric="accuracy",
        reason="41 of 500 labels came within 7 days; 50 are needed",
    ),
    ChangeSuspected(
        **_MODEL,
        series=Series.ERROR,
        before=0.21,
        after=0.38,
        rows=96,
        suggestion="Wait for the window to be measured.",
    ),
    PerformanceDegraded(
        **_MODEL,
        **_WINDOW,
        metric="accuracy",
        value=0.66,
        expected=0.74,
        threshold=0.69,
        against_version=2,
        suspects=(Suspect(cause="data", evidence="5 of 8 columns drifted in the same window"),),
        report_uri=_REPORT,
        suggestion="Retrain on the newest rows.",
    ),
    PerformanceRecovered(**_MODEL, **_WINDOW, metric="accuracy", value=0.78, threshold=0.69),
    ReferenceChosen(
        **_MODEL,
        origin=_REFERENCE,
        rows=3000,
        metric="accuracy",
        value=0.91,
        problem="'held_out.csv' has 100 rows; a reference needs 500, in time order",
    ),
    ReportPublished(
        project="rainfall",
        kind="drift",
        model="rain",
        uri=_REPORT,
        size_bytes=3_412_008,
        period_from=_FIRST_AT,
        period_to=_LAST_AT,
        figures_uri="file:///home/ada/.mlops/reports/_periods/rainfall/2026-03-01--2026-03-02-day.json",
        picture_uris=(
            "file:///home/ada/.mlops/reports/_periods/rainfall/2026-03-01--2026-03-02-day/story.png",
        ),
        page_url="https://mlops.example.org/reports/rainfall/rain/v6-w00012-drift.html",
    ),
    AlertRaised(
        project="rainfall",
        alert_id=_ALERT_ID,
        severity=Severity.CRITICAL,
        title="rain: accuracy 0.66 is below 0.69",
        about_model="rain",
        dedup_key="rain:performance",
        links=(_REPORT,),
        kind="performance",
        suggestion="Retrain on the newest rows. A retraining takes about 42 s and 310 J (as the last one did).",
        count=2,
    ),
    AlertNotified(
        project="rainfall",
        alert_id=_ALERT_ID,
        channel="team-chat",
        why="raised",
        notice_id="0b8e7a44-7e0c-5d4f-9a53-6a3c5a1f2b10",
        tries=2,
    ),
    AlertSilenced(**_SILENCE, silence_id="s-1"),
    AlertUnsilenced(project="rainfall", silence_id="s-1", by="ada"),
    AlertAcknowledged(project="rainfall", alert_id=_ALERT_ID, by="ada"),
    AlertResolved(project="rainfall", alert_id=_ALERT_ID, reason="accuracy is 0.78 again"),
    SetReference(
        project="rainfall",
        model="rain",
        uri=_REFERENCE,
        prediction="answer",
        target="rain_tomorrow",
    ),
    EvaluateWindow(project="rainfall", model="rain"),
    AdvanceWindows(project="rainfall", model="rain"),
    MakeReport(project="rainfall", period="2026-03-01..2026-03-08"),
    AcknowledgeAlert(project="rainfall", alert_id=_ALERT_ID, by="ada"),
    SilenceAlerts(**_SILENCE),
    UnsilenceAlerts(project="rainfall", silence_id="s-1", by="ada"),
)
