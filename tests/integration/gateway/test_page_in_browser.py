# SPDX-License-Identifier: Apache-2.0
"""Every button about alerts, clicked in a real browser: the page, the door, the bus and monitoring are real, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.gateway.conftest import Platform
from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.orchestration_bridge import WorkflowFailed, WorkflowKind
from servers.browser import open_tab

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]
_SECTION = "[...document.querySelectorAll('#state section')].find((one) => one.innerText.startsWith('{}')).innerText"
ALERTS, SILENCES = _SECTION.format("Alerts"), _SECTION.format("Silences")

HIDDEN = """[...document.querySelectorAll('button')].filter((one) => {
  const box = one.getBoundingClientRect();
  return box.right > document.documentElement.clientWidth || box.width === 0;
}).length"""


async def test_a_person_sees_an_alert_silences_it_and_ends_the_silence(
    platform: Platform, bus: NatsBus, tmp_path: Path
) -> None:
    platform.start("monitoring")
    await bus.start()
    await bus.publish(
        WorkflowFailed(
            project="rainfall",
            workflow_key="rainfall-7",
            kind=WorkflowKind.RETRAIN,
            model="rain",
            diagnosis="out of memory",
        )
    )
    async with open_tab(tmp_path / "browser") as tab:
        await tab.open(f"{platform.url}/?token={platform.token}")
        await tab.until(f"{ALERTS}.includes('retrain failed: out of memory')")
        await tab.until(f"{SILENCES}.includes('nothing is silenced')")

        await tab.click("#state button", "Seen")
        await tab.until(f"{ALERTS}.includes('seen by the status page')")
        await tab.click("#state button", "1 d")
        await tab.until(f"{SILENCES}.includes('rain, training')")
        await tab.click("#state button", "End")
        await tab.until(f"{SILENCES}.includes('nothing is silenced')")
        await tab.click("#state button", "Quiet for 1 h")
        await tab.until(f"{SILENCES}.includes('quiet for an hour')")

        await tab.click("summary", "Silence alerts for a while")
        await tab.type("input[name=why]", "<i>the sensor</i> is replaced")
        await tab.type("input[name=kind]", "data")
        await tab.click("form button", "Silence")
        await tab.until("document.querySelector('output').textContent === 'silenced'")
        await tab.until(f"{SILENCES}.includes('<i>the sensor</i> is replaced')")

        for name, width, dark in (("wide", 1280, False), ("narrow", 390, True)):
            await tab.picture(tmp_path / f"{name}.png", width, dark=dark)
            overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert await tab.run(overflow) == 0, f"the page is wider than a {name} window"
            assert await tab.run(HIDDEN) == 0, f"buttons are out of sight in a {name} window"
