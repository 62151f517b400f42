# SPDX-License-Identifier: Apache-2.0
"""Messages of serving: what is deployed, how its rollout goes, and what it answered."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime, Field

from mlops.contracts.energy import EnergyUse
from mlops.contracts.message import Part, ProjectCommand, ProjectEvent
from mlops.contracts.settings import RolloutKind
from mlops.contracts.units import Ratio

Scalar = float | int | bool | str | None


class _DeploymentEvent(ProjectEvent):
    about: ClassVar[str | None] = "deployment_id"

    deployment_id: str = Field(max_length=128, description="Names this rollout of this version.")
    model: str = Field(max_length=256, description="Registered model.")
    version: int = Field(ge=1, description="Version in the registry.")


class DeploymentStarted(_DeploymentEvent):
    """A version is wanted in production; packaging begins."""

    type: ClassVar[str] = "deployment.started"

    endpoint: str = Field(max_length=1024, description="Path at the gateway.")
    previous_version: int | None = Field(
        default=None, ge=1, description="The version that answers now."
    )
    why: str = Field(default="", max_length=500, description="Why this version is wanted.")


class DeploymentProgressed(_DeploymentEvent):
    """A phase of the rollout has begun, or heat holds it up or changed how much the version computes at once."""

    type: ClassVar[str] = "deployment.progressed"

    phase: str = Field(
        max_length=32,
        description="packed, warm, shadow, canary; held; slowed, restored; lost, recovered; asleep, awake; scaled.",
    )
    replicas: int | None = Field(
        default=None, ge=0, description="Replicas from now on; None where that is unchanged."
    )
    bento_tag: str = Field(default="", max_length=256, description="The Bento that is run.")
    backend: str = Field(
        default="",
        max_length=32,
        description="What runs the model: sklearn, onnx, pyfunc, torch-cpu, torch-mps, mlx.",
    )
    traffic_ratio: Ratio = Field(
        default=0.0, description="Share of the traffic that the new version gets."
    )
    error_ratio: Ratio | None = Field(
        default=None, description="Failed requests of the new version."
    )
    latency_ms: float | None = Field(
        default=None, ge=0, description="Median answer time of the new version."
    )
    concurrency: int | None = Field(
        default=None,
        ge=1,
        description="Predictions that each replica computes at once from now on; None where that is unchanged.",
    )
    reason: str = Field(
        default="",
        max_length=500,
        description="Why it is held, slowed, restored, lost, asleep, awake or scaled; what was seen of the step before.",
    )


class DeploymentCompleted(_DeploymentEvent):
    """The version answers all requests; the one before is drained."""

    type: ClassVar[str] = "deployment.completed"

    bento_tag: str = Field(default="", max_length=256, description="The Bento that is run.")
    backend: str = Field(
        default="",
        max_length=32,
        description="What runs the model: sklearn, onnx, pyfunc, torch-cpu, torch-mps, mlx.",
    )
    endpoint: str = Field(max_length=1024, description="Path at the gateway.")
    replicas: int = Field(default=1, ge=0, description="Replicas that answer.")
    previous_version: int | None = Field(
        default=None, ge=1, description="The version that answered before."
    )
    metric: str = Field(default="", max_length=128, description="The metric it was promoted by.")
    metrics: dict[str, float] = Field(
        default_factory=dict, description="What it was promoted with."
    )
    error_ratio: Ratio | None = Field(
        default=None, description="Failed requests during the rollout."
    )
    latency_ms: float | None = Field(
        default=None, ge=0, description="Median answer time during the rollout."
    )
    duration_s: float | None = Field(default=None, ge=0, description="From start to completion.")


class DeploymentFailed(_DeploymentEvent):
    """The version could not be brought up; the one before still answers."""

    type: ClassVar[str] = "deployment.failed"

    phase: str = Field(default="", max_length=32, description="The phase that failed.")
    reason: str = Field(max_length=4000, description="What failed, and the fix where known.")


class DeploymentReverted(_DeploymentEvent):
    """The rollout was taken back; the version before answers all requests again."""

    type: ClassVar[str] = "deployment.reverted"

    to_version: int | None = Field(default=None, ge=1, description="The version that answers.")
    reason: str = Field(max_length=1000, description="Why it was taken back.")
    error_ratio: Ratio | None = Field(
        default=None, description="Failed requests of the version taken back."
    )


class DeploymentRemoved(_DeploymentEvent):
    """A version no longer runs."""

    type: ClassVar[str] = "deployment.removed"

    reason: str = Field(default="", max_length=500, description="Why it runs no more.")


class DeploymentCompared(_DeploymentEvent):
    """What a shadow answered to copies of requests, against the version that answered the callers."""

    type: ClassVar[str] = "deployment.compared"

    against_version: int = Field(ge=1, description="The version that answered the callers.")
    requests: int = Field(ge=0, description="Requests whose answers were compared.")
    dropped: int = Field(
        default=0, ge=0, description="Copies not sent, because too many were under way."
    )
    failed: int = Field(default=0, ge=0, description="Copies the shadow failed to answer.")
    agreement_ratio: Ratio | None = Field(
        default=None, description="Share of equal answers; None without any."
    )
    mean_difference: float | None = Field(
        default=None, ge=0, description="Mean absolute difference of numeric answers."
    )
    latency_p95_ms: float | None = Field(
        default=None, ge=0, description="95th percentile of the shadow's answer times."
    )
    against_latency_p95_ms: float | None = Field(
        default=None, ge=0, description="The same of the version that answered the callers."
    )
    since: AwareDatetime = Field(description="Beginning of the comparison.")


class DeploymentMetered(_DeploymentEvent):
    """What a served version answered and took within one window."""

    type: ClassVar[str] = "deployment.metered"

    since: AwareDatetime = Field(description="Beginning of the window.")
    until: AwareDatetime = Field(description="End of the window.")
    predictions: int = Field(ge=0, description="Rows it answered.")
    energy: EnergyUse | None = Field(
        default=None, description="What it took of its machine; None where nobody can tell."
    )
    joules_per_1000: float | None = Field(
        default=None, ge=0, description="Joules per 1000 predictions; None without predictions."
    )
    requests: int | None = Field(
        default=None,
        ge=0,
        description="Requests it was asked, several rows each; None when unknown.",
    )
    failed: int | None = Field(
        default=None, ge=0, description="Requests that ended in an error; None when unknown."
    )
    latency_counts: dict[str, int] = Field(
        default_factory=dict,
        max_length=81,
        description="Answers by place of the edge in ms that they did not exceed: edge n is 0.125 * 2**(n/4).",
    )
    latency_p50_ms: float | None = Field(
        default=None, ge=0, description="Median answer time in the replicas; None without answers."
    )
    latency_p95_ms: float | None = Field(
        default=None, ge=0, description="95th percentile of the answer times; None without answers."
    )
    replicas: int | None = Field(
        default=None, ge=0, description="Replicas that spoke in its last minute."
    )


MOST_OF_A_VECTOR = 128


class Vector(Part):
    """Numbers of one row that belong together: an embedding, or the probability of each class.

    A longer one travels as a sketch, which keeps lengths and distances about as they are: number i, counted from 0, is
    added to sum i mod 128, or taken from it where the CRC-32 of i, written in decimal, is odd.
    """

    values: tuple[float | None, ...] = Field(
        min_length=1,
        max_length=MOST_OF_A_VECTOR,
        description="The numbers, or the sums of a sketch; None where one is missing or not finite.",
    )
    length: int | None = Field(
        default=None,
        gt=MOST_OF_A_VECTOR,
        description="How many numbers the values are a sketch of; None where they are all of them.",
    )
    largest: int | None = Field(
        default=None,
        ge=0,
        description="Of a sketch of probabilities, the place of the largest one: the class that was said.",
    )


class Prediction(Part):
    """One row that was answered."""

    request_id: str = Field(
        max_length=128, description="The caller's id; `<id>:<row>` when a request had several rows."
    )
    at: AwareDatetime = Field(description="When it was answered.")
    features: dict[str, Scalar] = Field(
        default_factory=dict, description="Column to value, as the caller sent it."
    )
    prediction: Scalar = Field(description="The answer; None where it is not one value.")
    vectors: dict[str, Vector] = Field(
        default_factory=dict,
        description="Inputs that are vectors of more than 16 numbers, by name.",
    )
    answer: Vector | None = Field(
        default=None,
        description="The answer where it is several numbers, or has several beside it.",
    )
    latency_ms: float | None = Field(default=None, ge=0, description="Time in the replica.")


class PredictionLogged(ProjectEvent):
    """A batch of predictions of one version."""

    type: ClassVar[str] = "prediction.logged"
    about: ClassVar[str | None] = "model"

    model: str = Field(max_length=256, description="Registered model.")
    version: int = Field(ge=1, description="Version in the registry.")
    predictions: tuple[Prediction, ...] = Field(
        min_length=1, max_length=500, description="The rows of the batch."
    )
    dropped: int = Field(
        default=0,
        ge=0,
        description="Predictions lost since the batch before, because the log was full.",
    )


class DeployModel(ProjectCommand):
    """Roll out a version of a model."""

    type: ClassVar[str] = "cmd.model.deploy"
    about: ClassVar[str | None] = "model"

    model: str = Field(max_length=256, description="Registered model.")
    version: int = Field(ge=1, description="Version in the registry.")
    why: str = Field(default="", max_length=500, description="Why this version is wanted.")
    rollout: RolloutKind | None = Field(
        default=None, description="How it takes over; None as the project's settings say."
    )


class UndeployModel(ProjectCommand):
    """Stop serving a model."""

    type: ClassVar[str] = "cmd.model.undeploy"
    about: ClassVar[str | None] = "model"

    model: str = Field(max_length=256, description="Registered model.")


class RollbackModel(ProjectCommand):
    """Serve the version before again, or the one named."""

    type: ClassVar[str] = "cmd.model.rollback"
    about: ClassVar[str | None] = "model"

    model: str = Field(max_length=256, description="Registered model.")
    to_version: int | None = Field(
        default=None, ge=1, description="The version to serve; None means the one before."
    )
