# SPDX-License-Identifier: Apache-2.0
"""The promises about who runs where, and what it took, each held by the memory fake and by the real MLflow."""

from __future__ import annotations

import pytest

from mlops.tracking.model.energy import NODE, Present
from servers.tracking import Lab, changes

pytestmark = pytest.mark.timeout(120)


async def present(lab: Lab, *run_ids: str) -> list[Present]:
    return [one for one in await lab.presences.running() if one.run_id in run_ids]


async def test_who_runs_is_there_with_the_machine_it_names(lab: Lab, project: str) -> None:
    named = await lab.start_run(project, tags={NODE: "n1", "other": "x"})
    nameless = await lab.start_run(project)
    ended = await lab.start_run(project)
    await lab.end_run(project, ended)

    found = {one.run_id: one for one in await present(lab, named, nameless, ended)}

    assert found == {named: Present(named, 1000, "n1"), nameless: Present(nameless, 1000)}


async def test_tags_are_set_on_a_run_that_has_ended_and_tell_nothing(
    lab: Lab, project: str
) -> None:
    run_id = await lab.start_run(project, tags={"hw.energy_j": "1", "own": "stays"})
    await lab.end_run(project, run_id)
    before = len(await changes(lab))

    for _ in range(2):
        await lab.presences.note(run_id, {"hw.energy_j": "450", "hw.energy_source": "estimated"})

    status, _, tags = await lab.status(project, run_id)
    kept = {name: value for name, value in tags.items() if not name.startswith("mlflow.")}
    assert status == "FINISHED"
    assert kept == {"hw.energy_j": "450", "hw.energy_source": "estimated", "own": "stays"}
    assert len(await changes(lab)) == before


async def test_a_run_that_is_gone_has_no_tags(lab: Lab) -> None:
    await lab.presences.note("0" * 32, {"hw.energy_j": "450"})

    assert await present(lab, "0" * 32) == []
