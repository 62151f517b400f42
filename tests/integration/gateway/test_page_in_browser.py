# SPDX-License-Identifier: Apache-2.0
"""Every button about alerts, clicked in a real browser: the page, the door, the bus and monitoring are real, too."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from integration.gateway.conftest import Platform
from mlops.chassis.bus_nats import NatsBus
from mlops.chassis.clock import utc_now
from mlops.chassis.tokens import Tokens
from mlops.contracts.orchestration_bridge import WorkflowCompleted, WorkflowFailed, WorkflowKind
from mlops.contracts.serving import DeploymentProgressed
from servers.browser import Tab, open_tab

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]
HOUR = timedelta(hours=1)
_SECTION = "[...document.querySelectorAll('main section')].find((one) => one.innerText.startsWith('{}')).innerText"
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
        await tab.click("#silences button", "End")
        await tab.until(f"{SILENCES}.includes('nothing is silenced')")
        await tab.click("#state button", "Quiet for 1 h")
        await tab.until(f"{SILENCES}.includes('quiet for an hour')")

        await tab.click("summary", "Silence alerts for a while")
        await tab.type("input[name=why]", "<i>the sensor</i> is replaced")
        await tab.type("input[name=kind]", "data")
        await tab.click("form button", "Silence")
        await tab.until("document.querySelector('output').textContent === 'silenced'")
        await tab.until(f"{SILENCES}.includes('<i>the sensor</i> is replaced')")

        await tab.until(f"{ALERTS}.includes('silenced until')")
        await tab.click("summary", "Silence alerts for a while")
        await _one_alert_ends_and_another_begins(tab, bus)
        await _fits_its_window(tab, tmp_path)
        await _a_project_sees_its_own(tab, platform)


async def _one_alert_ends_and_another_begins(tab: Tab, bus: NatsBus) -> None:
    await bus.publish(
        WorkflowCompleted(
            project="rainfall",
            workflow_key="rainfall-8",
            kind=WorkflowKind.RETRAIN,
            model="rain",
            dag_id="rainfall__retrain",
            dag_run_id="run-8",
            duration_s=3.0,
        )
    )
    await tab.until(f"{ALERTS}.includes('no alert is open')")
    await tab.click("summary", "over: 1")
    await tab.until(f"{ALERTS}.includes('workflow rainfall-8 completed')")
    await bus.publish(
        DeploymentProgressed(
            project="rainfall",
            deployment_id="d-2",
            model="rain",
            version=2,
            phase="held",
            reason="waits for a person",
        )
    )
    await tab.until(f"{ALERTS}.includes('rain v2 is held: waits for a person')")
    await tab.until(f"{ALERTS}.includes('workflow rainfall-8 completed')")  # it stays unfolded


async def _fits_its_window(tab: Tab, folder: Path) -> None:
    for name, width, dark in (("wide", 1280, False), ("narrow", 390, True)):
        await tab.picture(folder / f"{name}.png", width, dark=dark)
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await tab.run(overflow) == 0, f"the page is wider than a {name} window"
        assert await tab.run(HIDDEN) == 0, f"buttons are out of sight in a {name} window"


async def _a_project_sees_its_own(tab: Tab, platform: Platform) -> None:
    token = Tokens(platform.token).sign("ada", ["sunshine"], ["read"], utc_now(), HOUR)
    await tab.call("Network.clearBrowserCookies")  # that of the installation would be kept
    await tab.open(f"{platform.url}/?token={token}&next=/reports")
    await tab.until("document.body.innerText.includes('There is no report yet')")
    assert await tab.run("location.href") == f"{platform.url}/reports"
    await tab.open(platform.url)
    await tab.until("document.getElementById('live').textContent === 'live'")
    text = await tab.run("document.body.innerText")
    assert ("Alerts" in text, "rainfall" in text, "Services" in text) == (True, False, False)
    await tab.call("Network.clearBrowserCookies")
    await tab.run("refresh()")
    assert (await tab.run("live.textContent")).startswith("no longer let in")
