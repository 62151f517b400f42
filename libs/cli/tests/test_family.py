# SPDX-License-Identifier: Apache-2.0
"""Which component a process comes from: by its parents, by what was seen before, by session, by mark, or by nobody."""

from __future__ import annotations

from mlops.cli.supervisor.family import NOBODY, Kin, trace
from mlops.cli.supervisor.processes import Seen

SUPERVISOR = 10
ROOTS = {20: Kin(100.0, "airflow-scheduler"), 30: Kin(100.0, "ray")}


def process(
    pid: int, parent: int, session: int = 0, created: float = 100.0, mark: str = ""
) -> Seen:
    return Seen(pid, parent, session or pid, created, "", component=mark)


def owners(*living: Seen, known: dict[int, Kin] | None = None) -> dict[int, str]:
    machine = {one.pid: one for one in (process(SUPERVISOR, 1), *living)}
    found = trace(machine, SUPERVISOR, ROOTS, known or {})
    return {pid: kin.component for pid, kin in found.items()}


def test_children_and_grandchildren_are_their_components_own() -> None:
    found = owners(
        process(20, SUPERVISOR), process(21, 20), process(22, 21), process(30, SUPERVISOR)
    )

    assert found == {
        20: "airflow-scheduler",
        21: "airflow-scheduler",
        22: "airflow-scheduler",
        30: "ray",
    }


def test_an_orphan_that_stayed_in_the_session_of_its_dead_component_is_its_own() -> None:
    assert owners(process(21, SUPERVISOR, session=20)) == {21: "airflow-scheduler"}


def test_an_orphan_that_was_seen_before_stays_its_components_own_and_so_do_its_children() -> None:
    known = {21: Kin(100.0, "ray")}

    assert owners(process(21, SUPERVISOR), process(22, 21), known=known) == {21: "ray", 22: "ray"}


def test_an_orphan_that_bears_a_mark_is_that_components_own() -> None:
    assert owners(process(21, SUPERVISOR, mark="serving")) == {21: "serving"}


def test_an_orphan_without_any_sign_is_nobodys_until_one_is_seen() -> None:
    nobodys = {21: Kin(100.0, NOBODY)}

    assert owners(process(21, SUPERVISOR)) == {21: NOBODY}
    assert owners(process(21, SUPERVISOR, session=20), known=nobodys) == {21: "airflow-scheduler"}


def test_an_orphan_that_did_not_come_back_is_still_known() -> None:
    assert owners(process(21, 1), known={21: Kin(100.0, "ray")}) == {21: "ray"}


def test_strangers_and_the_supervisor_are_no_family() -> None:
    assert owners(process(40, 1), process(41, 40)) == {}


def test_a_pid_given_to_a_stranger_is_no_family() -> None:
    known = {21: Kin(100.0, "ray")}

    assert owners(process(20, 1, created=9000.0), process(21, 1, created=9000.0), known=known) == {}
