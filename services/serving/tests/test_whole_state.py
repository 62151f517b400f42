# SPDX-License-Identifier: Apache-2.0
"""Any order of wishes, moves, approvals, ways back, undeploys, kills and time: the state of a model stays sound."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mlops.serving.model.evidence import Comparison, Counts
from mlops.serving.model.plan import Kind, Plan
from mlops.serving.model.rollout import FINAL, Cause, Phase, Rollout, with_comparison
from mlops.serving.model.state import (
    Package,
    State,
    advance,
    changed,
    drained,
    give_up,
    hold,
    needed,
    packed,
    shadowing,
    told,
    watched,
    weights,
)
from mlops.serving.model.wishes import Wish, undeploy, want, way_back
from mlops.serving.ports import Deployment
from mlops.serving.sources.facts import untold

DRAIN = timedelta(seconds=6)
ORDER = [
    Phase.DESIRED,
    Phase.PACKING,
    Phase.STARTING,
    Phase.WARM,
    Phase.SHADOW,
    Phase.CANARY,
    Phase.COMPLETED,
]


class WholeState(RuleBasedStateMachine):
    """One model's document through everything that can befall it."""

    def __init__(self) -> None:
        super().__init__()
        self.known = Deployment(project="rain", model="rain")
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.causes = 0
        self.steps: dict[str, list[tuple[Phase, int]]] = {}
        self.ends: dict[str, set[str]] = {}

    @property
    def state(self) -> State:
        return self.known.state

    @rule(version=st.integers(1, 3), kind=st.sampled_from(Kind), by_hand=st.booleans())
    def wish(self, version: int, kind: Kind, *, by_hand: bool) -> None:
        steps = (1.0,) if kind in (Kind.DIRECT, Kind.BLUE_GREEN) else (0.1, 0.5, 1.0)
        plan = Plan(steps, kind=kind, keep_warm_s=30.0)
        cause = self._cause()
        wish = Wish(
            version, f"d{cause.id}", cause, self.now, plan, heard_at=self.now, by_hand=by_hand
        )
        self._to(want(self.state, wish, DRAIN))
        self._to(want(self.state, wish, DRAIN))

    @precondition(lambda self: self.state.rollout is not None)
    @rule(times=st.integers(1, 10))
    def move(self, times: int) -> None:
        for _ in range(times):
            self._move()

    @precondition(lambda self: self.state.rollout is not None)
    @rule(phase=st.sampled_from([Phase.FAILED, Phase.REVERTED]), requests=st.integers(0, 50))
    def give_up(self, phase: Phase, requests: int) -> None:
        counts = Counts(requests, requests // 2)
        self._to(give_up(self.state, phase, self.now, "because", DRAIN, counts=counts))

    @rule()
    def hold(self) -> None:
        self._to(hold(self.state, self.now, "it is hot"))

    @precondition(lambda self: shadowing(self.state) is not None)
    @rule()
    def compare(self) -> None:
        rollout = shadowing(self.state)
        assert rollout is not None
        found = Comparison(rollout.previous_version or 1, self.now, requests=7)
        compared = changed(
            self.state,
            rollout.deployment_id,
            lambda one: with_comparison(one, self.now, found),
        )
        self._to(compared)

    @precondition(lambda self: watched(self.state, self.now) is not None)
    @rule()
    def go_back(self) -> None:
        wish = way_back(self.state, self._cause(), self.now, "it fails", own=True)
        assert wish is not None
        self._to(want(self.state, wish, DRAIN))
        assert wish.version in needed(self.state)

    @rule()
    def undeploy(self) -> None:
        self._to(undeploy(self.state, self.now, DRAIN, self._cause(), "over"))
        assert weights(self.state) == {}
        assert all(one.until <= self.now + DRAIN for one in self.state.drains)

    @rule(seconds=st.integers(1, 20))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        for one in self.state.drains:
            if one.until <= self.now:
                self._to(drained(self.state, one.version))

    @rule(is_killed=st.booleans())
    def tell(self, *, is_killed: bool) -> None:
        for rollout, count, message in untold(self.known):
            if rollout.marks[count - 1].phase in FINAL:
                self.ends.setdefault(rollout.deployment_id, set()).add(message.id)
            if is_killed:
                return  # told, but nobody has written so
            self._to(told(self.state, rollout.deployment_id, count))

    @rule()
    def kill(self) -> None:
        again = Deployment.model_validate_json(self.known.model_dump_json())
        assert again == self.known
        self.known = again

    @invariant()
    def all_of_the_traffic_or_none(self) -> None:
        total = sum(weights(self.state).values())
        assert total in (0, pytest.approx(1.0))
        assert set(weights(self.state)) <= set(needed(self.state))

    @invariant()
    def one_version_lives_and_one_is_on_its_way(self) -> None:
        assert [one for one in self.state.rollouts[:-1] if not one.is_final] == []
        assert self.state.live not in {one.version for one in self.state.drains}
        assert len(weights(self.state)) <= 2

    @invariant()
    def what_runs_is_packed(self) -> None:
        assert all(self.state.package(version) for version in needed(self.state))

    @invariant()
    def no_step_is_skipped(self) -> None:
        for seen in self.steps.values():
            phases = [phase for phase, _ in seen if phase not in (Phase.REVERTED, Phase.FAILED)]
            places = [ORDER.index(phase) for phase in phases]
            steps = [step for phase, step in seen if phase is Phase.CANARY]
            assert places == sorted(places)
            assert steps == list(range(len(steps)))
            assert Phase.COMPLETED not in phases or steps

    @invariant()
    def each_rollout_ends_once(self) -> None:
        for one in self.state.rollouts:
            ends = [mark for mark in one.marks if mark.phase in FINAL]
            assert len(ends) == (1 if one.is_final else 0)
            assert not ends or one.marks[-1] is ends[0]

    @invariant()
    def each_end_is_told_as_one_message(self) -> None:
        assert all(len(ids) == 1 for ids in self.ends.values())

    def _move(self) -> None:
        rollout = self.state.rollout
        if rollout is not None and rollout.phase is Phase.PACKING:
            package = Package(rollout.version, f"m:{rollout.version}", "sklearn")
            self._to(packed(self.state, package, self.now))
        else:
            self._to(advance(self.state, self.now, DRAIN, reason="fine"))

    def _cause(self) -> Cause:
        self.causes += 1
        self.now += timedelta(milliseconds=1)
        return Cause(f"c{self.causes}", "story")

    def _to(self, state: State) -> None:
        self.known = self.known.model_copy(update={"state": state})
        for one in state.rollouts:
            self._note(one)

    def _note(self, rollout: Rollout) -> None:
        seen = self.steps.setdefault(rollout.deployment_id, [])
        now = (rollout.phase, rollout.step)
        if not seen or seen[-1] != now:
            seen.append(now)


TestWholeState = WholeState.TestCase
TestWholeState.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
