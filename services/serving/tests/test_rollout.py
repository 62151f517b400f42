# SPDX-License-Identifier: Apache-2.0
"""The rollout's rules, and that no history of moves breaks them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mlops.serving.model.apps import App, app_name, bento_tag, route_of
from mlops.serving.model.evidence import Counts, Seen
from mlops.serving.model.judging import Verdict, judge
from mlops.serving.model.plan import Plan
from mlops.serving.model.rollout import FINAL, Cause, Phase, Rollout, advanced, ended
from mlops.serving.model.state import (
    Package,
    State,
    advance,
    drained,
    give_up,
    needed,
    packed,
    weights,
)
from mlops.serving.model.wishes import Wish, rollback_target, undeploy, want

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DRAIN = timedelta(seconds=6)
PLAN = Plan(steps=(0.1, 0.5, 1.0), hold_s=2.0, max_error_ratio=0.02)


def wish(version: int, cause: str, at: datetime = NOON) -> Wish:
    return Wish(version, f"m-v{version}-{cause}", Cause(cause, "story"), at, PLAN)


def live(version: int) -> State:
    return State(live=version, packages=(Package(version, f"m:{version}", "sklearn"),))


def grown(state: State, times: int) -> State:
    for _ in range(times):
        rollout = state.rollout
        if rollout is not None and rollout.phase is Phase.PACKING:
            state = packed(state, Package(rollout.version, "m:x", "sklearn"), NOON)
        else:
            state = advance(state, NOON, DRAIN)
    return state


@pytest.mark.parametrize(
    ("seen", "held_s", "verdict"),
    [
        (Seen(), 1.9, Verdict.HOLD),
        (Seen(), 2.0, Verdict.ADVANCE),
        (Seen(Counts(100, 2)), 0.0, Verdict.HOLD),
        (Seen(Counts(100, 3)), 0.0, Verdict.REVERT),
        (Seen(Counts(1, 1)), 2.0, Verdict.ADVANCE),
        (Seen(unready_s=5.0, other_ready=True), 9.0, Verdict.HOLD),
        (Seen(unready_s=20.0, other_ready=True), 9.0, Verdict.REVERT),
        (Seen(unready_s=90.0, other_ready=False), 9.0, Verdict.HOLD),
    ],
)
def test_a_step_is_held_then_passed_and_taken_back_for_errors_or_absence(
    seen: Seen, held_s: float, verdict: Verdict
) -> None:
    assert judge(PLAN, seen, held_s)[0] is verdict


def test_where_no_error_is_allowed_one_is_too_many() -> None:
    verdict, why = judge(replace(PLAN, max_error_ratio=0.0), Seen(Counts(50, 1)), 9.0)

    assert verdict is Verdict.REVERT
    assert why == "1 of 50 requests failed (2.0%), 0.0% are allowed"


def test_a_gateway_that_began_again_counts_from_zero() -> None:
    assert Counts(10, 1).since(Counts(900, 4)) == Counts(10, 1)
    assert Counts(910, 5).since(Counts(900, 4)) == Counts(10, 1)


def test_a_rollout_takes_every_step_then_the_old_version_drains() -> None:
    state = want(live(1), wish(2, "a"), DRAIN)

    shares = []
    while state.rollout is not None:
        state = grown(state, 1)
        shares.append(weights(state))

    assert shares == [
        {1: 1.0},  # packing
        {1: 1.0},  # starting
        {1: 1.0},  # warm
        {2: 0.1, 1: 0.9},
        {2: 0.5, 1: 0.5},
        {2: 1.0},
        {2: 1.0},  # completed
    ]
    assert (state.live, state.before, needed(state)) == (2, 1, (1, 2))
    assert needed(drained(state, 1)) == (2,)


def test_the_first_version_of_all_needs_no_canary() -> None:
    state = grown(want(State(), wish(1, "a"), DRAIN), 5)

    assert (state.live, weights(state), state.drains) == (1, {1: 1.0}, ())


def test_the_newest_wish_takes_the_place_of_an_unfinished_one() -> None:
    half = grown(want(live(1), wish(2, "a"), DRAIN), 4)

    state = want(half, wish(3, "b", NOON + DRAIN), DRAIN)

    assert [(one.version, one.phase) for one in state.rollouts] == [
        (2, Phase.REVERTED),
        (3, Phase.DESIRED),
    ]
    assert weights(state) == {1: 1.0}
    assert [one.version for one in state.drains] == [2]


def test_a_late_wish_changes_nothing() -> None:
    newer = want(live(1), wish(3, "b", NOON + DRAIN), DRAIN)

    assert want(newer, wish(2, "a", NOON), DRAIN) == newer


def test_the_same_wish_again_changes_nothing() -> None:
    once = want(live(1), wish(2, "a"), DRAIN)

    assert want(once, wish(2, "a"), DRAIN) == once
    assert want(once, wish(2, "again"), DRAIN) == once


def test_a_version_that_is_wanted_again_while_it_drains_stays() -> None:
    done = grown(want(live(1), wish(2, "a"), DRAIN), 7)

    state = want(done, wish(1, "back", NOON + DRAIN), DRAIN)

    assert state.drains == ()
    assert state.rollout is not None
    assert (state.rollout.version, state.rollout.previous_version) == (1, 2)


def test_a_rollback_gives_up_what_is_under_way_before_it_goes_further_back() -> None:
    under_way = grown(want(live(1), wish(2, "a"), DRAIN), 4)
    done = grown(under_way, 3)

    assert rollback_target(under_way) == 1
    assert rollback_target(done) == 1
    assert rollback_target(live(1)) is None


def test_a_failed_version_is_stopped_at_once_and_the_old_one_answers() -> None:
    starting = grown(want(live(1), wish(2, "a"), DRAIN), 2)

    state = give_up(starting, Phase.FAILED, NOON, "no such file", DRAIN)

    assert weights(state) == {1: 1.0}
    assert [(one.version, one.until, one.quiet) for one in state.drains] == [(2, NOON, True)]
    assert state.rollouts[-1].marks[-1].stage == "starting"


def test_undeploying_drains_everything() -> None:
    half = grown(want(live(1), wish(2, "a"), DRAIN), 4)

    state = undeploy(half, NOON, DRAIN, Cause("u", "u"), "undeployed")

    assert weights(state) == {}
    assert sorted(one.version for one in state.drains) == [1, 2]
    assert state.has_heard("u")


def test_packages_of_versions_in_use_are_never_forgotten() -> None:
    state = live(1)
    for version in range(2, 40):
        state = grown(want(state, wish(version, f"c{version}"), DRAIN), 2)
        state = give_up(state, Phase.FAILED, NOON, "broken", timedelta(0))
        state = drained(state, version)

    assert state.package(1) is not None
    assert len(state.packages) <= 11


def test_a_bento_of_another_registry_has_another_tag() -> None:
    assert bento_tag("rain", "rain", 3, "m-1") == bento_tag("rain", "rain", 3, "m-1")
    assert bento_tag("rain", "rain", 3, "m-1") != bento_tag("rain", "rain", 3, "m-2")
    assert bento_tag("rain", "Rain", 3, "m-1") != bento_tag("rain", "rain", 3, "m-1")


def test_names_and_routes_of_a_model_with_dots() -> None:
    app = App("rain", "rain.v2.x", 7, "t:1")

    assert app.name == app_name("rain", "rain.v2.x", 7) == "rain.rain.v2.x.v7"
    assert app.route == route_of(app.name) == "/rain/rain.v2.x/v7"


class Histories(RuleBasedStateMachine):
    """Any order of moves on one rollout: no step is skipped, nothing leaves a final phase."""

    @initialize(
        steps=st.lists(st.floats(0.01, 0.99, allow_nan=False), max_size=4, unique=True).map(
            lambda found: (*sorted(found), 1.0)
        )
    )
    def begin(self, steps: tuple[float, ...]) -> None:
        self.rollout = Rollout("d", 2, 1, Cause("c", "s"), Plan(steps), NOON, NOON)
        self.seen: list[tuple[Phase, int]] = [(Phase.DESIRED, 0)]
        self.final: Rollout | None = None

    @rule()
    def advance(self) -> None:
        self._moved(advanced(self.rollout, NOON))

    @rule(phase=st.sampled_from([Phase.FAILED, Phase.REVERTED]))
    def end(self, phase: Phase) -> None:
        self._moved(ended(self.rollout, phase, NOON, "because"))

    def _moved(self, rollout: Rollout) -> None:
        self.rollout = rollout
        if self.seen[-1] != (rollout.phase, rollout.step):
            self.seen.append((rollout.phase, rollout.step))
        if self.final is None and rollout.is_final:
            self.final = rollout

    @invariant()
    def no_step_is_skipped(self) -> None:
        steps = [step for phase, step in self.seen if phase is Phase.CANARY]
        assert steps == list(range(len(steps)))
        if self.rollout.phase is Phase.COMPLETED:
            assert len(steps) == len(self.rollout.plan.steps)

    @invariant()
    def shares_only_rise(self) -> None:
        shares = [mark.traffic_ratio for mark in self.rollout.marks if mark.phase not in FINAL]
        assert shares == sorted(shares)

    @invariant()
    def what_is_final_stays(self) -> None:
        assert self.final is None or self.rollout == self.final


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


class Wishes(RuleBasedStateMachine):
    """Any order of wishes and moves on one model: the traffic always goes to versions that run."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.now = NOON
        self.wished = 0

    @rule(version=st.integers(1, 5))
    def wish(self, version: int) -> None:
        self.wished += 1
        self.now += timedelta(seconds=1)
        self.state = want(self.state, wish(version, f"c{self.wished}", self.now), DRAIN)

    @rule()
    def move(self) -> None:
        self.state = grown(self.state, 1)

    @rule(phase=st.sampled_from([Phase.FAILED, Phase.REVERTED]))
    def give_up(self, phase: Phase) -> None:
        self.state = give_up(self.state, phase, self.now, "because", DRAIN)

    @rule()
    def undeploy(self) -> None:
        cause = Cause(f"u{self.wished}", "s")
        self.state = undeploy(self.state, self.now, DRAIN, cause, "over")

    @rule()
    def drain(self) -> None:
        for one in self.state.drains:
            self.state = drained(self.state, one.version)

    @invariant()
    def all_of_the_traffic_or_none(self) -> None:
        total = sum(weights(self.state).values())
        assert total in (0, pytest.approx(1.0))
        assert (total == 0) == (self.state.live is None and not weights(self.state))

    @invariant()
    def traffic_goes_only_where_something_runs(self) -> None:
        assert set(weights(self.state)) <= set(needed(self.state))

    @invariant()
    def what_answers_does_not_drain(self) -> None:
        assert self.state.live not in {one.version for one in self.state.drains}

    @invariant()
    def what_runs_is_packed(self) -> None:
        assert all(self.state.package(version) for version in needed(self.state))


TestWishes = Wishes.TestCase
TestWishes.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
