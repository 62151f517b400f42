# SPDX-License-Identifier: Apache-2.0
"""Gate: a registered version is judged once; the winner gets the alias, whose change tells `model.promoted`.

The decision is written to the version's tags before the alias moves. A redelivered message finds it there and
repeats what follows from it, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlops.chassis.bus import Documents
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.contracts.tracking import (
    ModelNominated,
    ModelRegistered,
    ModelRejected,
    PromoteModel,
    RunCompleted,
    RunFailed,
    RunStale,
)
from mlops.tracking.errors import UnknownModelError
from mlops.tracking.handlers import decisions
from mlops.tracking.handlers.projects import TrackedProject
from mlops.tracking.model import gate
from mlops.tracking.model.changes import CHALLENGER, CHAMPION, Why
from mlops.tracking.model.facts import known_run_id, registry_tags, short_metrics
from mlops.tracking.model.gate import Contender, Outcome, Rule, Verdict
from mlops.tracking.ports import Catalogue, Registry, Version


class Gate:
    """Judges versions of registered projects; one at a time, so that each meets the newest champion."""

    def __init__(
        self, registry: Registry, catalogue: Catalogue, projects: Documents[TrackedProject]
    ) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._projects = projects

    async def on_model_registered(self, event: ModelRegistered) -> Sequence[Message]:
        """Judge the new version."""
        async with self._registry.turn():
            project = await self._projects.get(event.project)
            version = await self._registry.version(event.project, event.name, event.version)
            if version is None:
                return []
            await self._label(event, version)
            if project is None:
                return []
            return await self._decide(event, project, version)

    async def on_run_ended(self, event: RunCompleted | RunFailed | RunStale) -> Sequence[Message]:
        """Judge the versions that waited for a metric of this run."""
        async with self._registry.turn():
            project = await self._projects.get(event.project)
            if project is None:
                return []
            versions = await self._registry.of_run(event.project, event.run_id)
            found = [await self._decide(event, project, version) for version in versions]
            return [message for messages in found for message in messages]

    async def do_promote_model(self, command: PromoteModel) -> Sequence[Message]:
        """Give a version the alias, whatever the gate would say; RejectedError names what exists."""
        async with self._registry.turn():
            await self._check_open(command.project)
            version = await self._registry.version(command.project, command.name, command.version)
            if version is None:
                raise UnknownModelError(await self._unknown(command))
            champion = await self._registry.champion(command.project, command.name)
            decided = decisions.read(version.tags)
            if decided is not None and decisions.is_done(decided, command):
                return await self._repeat(command, version, champion, decided)
            if champion is not None and champion.version == version.version:
                raise RejectedError(
                    f"version {version.version} of {version.name!r} is the champion already; "
                    "nothing to promote"
                )
            reason = f"promoted by command: {command.reason or 'no reason given'}"
            metric = (await self._projects.get(command.project) or TrackedProject()).evaluate.metric
            verdict = Verdict(
                Outcome.PROMOTE,
                reason,
                metric,
                champion_version=champion.version if champion else None,
            )
            return await self._carry_out(command, version, champion, verdict)

    async def _label(self, event: ModelRegistered, version: Version) -> None:
        wanted = registry_tags(event.project, event.apple_compatibility)
        missing = {key: text for key, text in wanted.items() if key not in version.tags}
        if missing:
            await self._registry.annotate(event.project, event.name, event.version, missing)

    async def _decide(
        self,
        event: ModelRegistered | RunCompleted | RunFailed | RunStale,
        project: TrackedProject,
        version: Version,
    ) -> Sequence[Message]:
        champion = await self._registry.champion(event.project, version.name)
        decided = decisions.read(version.tags)
        if decided is not None and not decisions.is_open_again(decided, event):
            return await self._repeat(event, version, champion, decided)
        if champion is not None and champion.version == version.version:
            return []  # a client was faster
        verdict = _judge(project, version, champion)
        if verdict.outcome is Outcome.WAIT:
            return []
        if decided is not None:
            if verdict.candidate is None:
                return []  # as was said before
            # Half of the new tags among the old ones must not look like a decision.
            undecided = decisions.undecided()
            await self._registry.annotate(event.scope, version.name, version.version, undecided)
        return await self._carry_out(event, version, champion, verdict)

    async def _repeat(
        self,
        event: Message,
        version: Version,
        champion: Version | None,
        decided: decisions.Decision,
    ) -> Sequence[Message]:
        verdict = decided.verdict
        if decided.causation_id != event.id:
            return []  # decided because of another message, which also tells it
        if verdict.outcome is Outcome.REJECT:
            return [await self._told_again(event.scope, version, verdict)]
        if (champion.version if champion else None) != verdict.champion_version:
            return []  # done, or another version has won meanwhile
        if verdict.outcome is Outcome.CHALLENGE and await self._is_overtaken(event.scope, version):
            return []
        return await self._carry_out(event, version, champion, verdict)

    async def _is_overtaken(self, project: str, version: Version) -> bool:
        challenger = await self._registry.champion(project, version.name, CHALLENGER)
        return challenger is not None and challenger.version > version.version

    async def _told_again(self, project: str, version: Version, verdict: Verdict) -> Message:
        stays = verdict.champion_version
        champion = await self._registry.version(project, version.name, stays) if stays else None
        return _rejected(project, version, champion, verdict)

    async def _carry_out(
        self, cause: Message, version: Version, champion: Version | None, verdict: Verdict
    ) -> Sequence[Message]:
        scope, name, number = cause.scope, version.name, version.version
        await self._registry.annotate(scope, name, number, decisions.tags(verdict, cause.id))
        if verdict.outcome is Outcome.REJECT:
            return [_rejected(scope, version, champion, verdict)]
        alias = CHAMPION if verdict.outcome is Outcome.PROMOTE else CHALLENGER
        await self._registry.point(scope, name, alias, number, _why(cause, champion, verdict))
        if verdict.outcome is Outcome.CHALLENGE:
            return [_nominated(scope, version, champion, verdict)]
        return []

    async def _check_open(self, project: str) -> None:
        known = await self._projects.get(project)
        if known is not None and known.archived:
            raise RejectedError(
                f"project {project!r} is archived; register it again to promote models"
            )

    async def _unknown(self, command: PromoteModel) -> str:
        models = await self._catalogue.models(command.project)
        if command.name in models:
            versions = ", ".join(str(number) for number in models[command.name])
            return f"model {command.name!r} has no version {command.version}; it has {versions or 'none'}"
        names = ", ".join(sorted(models)) or "none; register one first"
        return f"project {command.project!r} has no model {command.name!r}; it has {names}"


def _judge(project: TrackedProject, version: Version, champion: Version | None) -> Verdict:
    wanted = project.evaluate
    stays = champion.version if champion else None
    if project.archived:
        return Verdict(
            Outcome.REJECT, "the project is archived", wanted.metric, champion_version=stays
        )
    rule = Rule(wanted.metric, wanted.goal.value, wanted.min_gain, wanted.promote.value)
    return gate.judge(rule, _contender(version), _contender(champion) if champion else None)


def _contender(version: Version) -> Contender:
    return Contender(version.version, version.metrics, version.run_id, version.running)


def _why(cause: Message, champion: Version | None, verdict: Verdict) -> Why:
    return Why(
        reason=verdict.reason,
        metric=verdict.metric,
        champion_metrics=_champion_metrics(champion, verdict),
        correlation_id=cause.story_id,
        causation_id=cause.id,
        traceparent=cause.traceparent,
    )


def _champion_metrics(champion: Version | None, verdict: Verdict) -> dict[str, float]:
    own = dict(champion.metrics) if champion else {}
    if verdict.champion is not None:
        own[verdict.metric] = verdict.champion
    return short_metrics(own, first=verdict.metric)


def _rejected(
    project: str, version: Version, champion: Version | None, verdict: Verdict
) -> Message:
    return ModelRejected(
        project=project,
        name=version.name,
        version=version.version,
        run_id=known_run_id(version.run_id),
        champion_version=verdict.champion_version,
        metric=verdict.metric,
        candidate_metrics=short_metrics(version.metrics, first=verdict.metric),
        champion_metrics=_champion_metrics(champion, verdict),
        reason=verdict.reason[:1000],
    )


def _nominated(
    project: str, version: Version, champion: Version | None, verdict: Verdict
) -> Message:
    return ModelNominated(
        project=project,
        name=version.name,
        version=version.version,
        run_id=known_run_id(version.run_id),
        alias=CHALLENGER,
        answer=PromoteModel.type,
        champion_version=verdict.champion_version,
        metric=verdict.metric,
        candidate_metrics=short_metrics(version.metrics, first=verdict.metric),
        champion_metrics=_champion_metrics(champion, verdict),
        reason=verdict.reason[:1000],
    )
