# SPDX-License-Identifier: Apache-2.0
"""Example messages of monitoring: the thirteenth window, drifted and degraded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mlops.contracts.message import Message
from mlops.contracts.monitoring import (
    AcknowledgeAlert,
    AlertAcknowledged,
    AlertRaised,
    AlertResolved,
    ColumnDrift,
    DriftCleared,
    DriftDetected,
    DriftKind,
    EvaluateWindow,
    PerformanceDegraded,
    PerformanceMeasured,
    PerformanceRecovered,
    ReferenceChosen,
    ReportPublished,
    SetReference,
    Severity,
    Suspect,
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
    ),
    DriftCleared(**_MODEL, **_WINDOW, kind=DriftKind.DATA),
    PerformanceMeasured(
        **_MODEL,
        **_WINDOW,
        metric="accuracy",
        value=0.66,
        expected=0.74,
        degraded=True,
        partial=True,
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
    ReferenceChosen(**_MODEL, origin=_REFERENCE, rows=3000, metric="accuracy", value=0.91),
    ReportPublished(
        project="rainfall",
        kind="drift",
        model="rain",
        uri=_REPORT,
        size_bytes=3_412_008,
        period_from=_FIRST_AT,
        period_to=_LAST_AT,
    ),
    AlertRaised(
        project="rainfall",
        alert_id=_ALERT_ID,
        severity=Severity.CRITICAL,
        title="rain: accuracy 0.66 is below 0.69",
        about_model="rain",
        dedup_key="rain:performance",
        links=(_REPORT,),
    ),
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
    AcknowledgeAlert(project="rainfall", alert_id=_ALERT_ID, by="ada"),
)
