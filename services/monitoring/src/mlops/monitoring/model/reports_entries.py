# SPDX-License-Identifier: Apache-2.0
"""What a report is made of: the recorded events that matter for it, in its own words, each counted once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Lane(StrEnum):
    """The row of the story in which a moment is shown."""

    DEGRADED = "degraded"
    DRIFT = "drift"
    RETRAINING = "retraining"
    DECLINED = "declined"
    VERSION = "version"
    ROLLOUT = "rollout"
    REVERTED = "reverted"
    FAILED = "failed"
    ALERT = "alert"
    HEAT = "heat"


@dataclass(frozen=True)
class Metered:
    """What a version answered and took within a window; None is what nobody could tell."""

    project: str
    model: str
    version: int
    at: datetime
    predictions: int
    requests: int | None = None
    failed: int | None = None
    times: Mapping[str, int] = field(default_factory=dict)
    joules: float | None = None


@dataclass(frozen=True)
class Measured:
    """How a model did in one window of labelled rows."""

    project: str
    model: str
    version: int
    at: datetime
    metric: str
    value: float
    expected: float | None
    degraded: bool
    rows: int
    standard_error: float | None = None


@dataclass(frozen=True)
class Drifted:
    """A window whose rows had left their reference; columns with their effect, the furthest first."""

    project: str
    model: str
    version: int
    at: datetime
    kind: str
    severity: str
    share: float
    columns: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Training:
    """A workflow, or a run outside of any, that has ended."""

    project: str
    name: str
    kind: str
    outcome: str
    at: datetime
    lasted_s: float | None
    joules: float | None


@dataclass(frozen=True)
class AlertOpened:
    """Something wanted a person."""

    project: str
    alert_id: str
    severity: str
    title: str
    at: datetime


@dataclass(frozen=True)
class AlertClosed:
    """What an alert was about is over."""

    project: str
    alert_id: str
    at: datetime
    reason: str


@dataclass(frozen=True)
class Moment:
    """Something that happened at one time, in one sentence; `scope` is a project, of heat a node."""

    scope: str
    at: datetime
    lane: Lane
    text: str
    model: str = ""
    why: str = ""


@dataclass(frozen=True)
class Sample:
    """What a machine did in the window before `at`; None is what it cannot tell."""

    node: str
    at: datetime
    window_s: float
    chip: str = ""
    simulated: bool = False
    level: int | None = None
    temp_c: float | None = None
    watts: float | None = None
    joules: float = 0.0
    busy: float | None = None
    low_power: bool = False
    pressed: bool = False


@dataclass(frozen=True)
class Change:
    """A figure of a period and of the one before it, of a model or of everything together.

    `beyond_noise` is None where nobody can say; then `why` says why.
    """

    project: str | None
    model: str | None
    figure: str
    before: float | None
    now: float | None
    beyond_noise: bool | None = None
    metric: str = ""
    why: str = ""


Entry = Metered | Measured | Drifted | Training | AlertOpened | AlertClosed | Moment
