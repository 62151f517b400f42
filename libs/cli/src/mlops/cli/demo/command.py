# SPDX-License-Identifier: Apache-2.0
"""`mlops demo`: start what is not running, play the closed loop, write the report; 0 only if the loop closed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from mlops.cli.demo import report, stage
from mlops.cli.demo.door import Door
from mlops.cli.demo.kill import Aim, Killer
from mlops.cli.demo.outcome import Outcome
from mlops.cli.demo.plan import EXAMPLE, FAST, FULL, Plan
from mlops.cli.demo.run import Replay
from mlops.cli.demo.show import Show
from mlops.cli.errors import CliError, NotRunningError
from mlops.cli.home import Home, read_json


def play(home: Home, *, fast: bool, as_json: bool, kills: Sequence[str] = ()) -> int:
    """Run the demo; return the exit code."""
    plan = FAST if fast else FULL
    killer = Killer(home, [Aim.read(text) for text in kills])
    with Show(quiet=as_json) as show:
        show.phase("starting the platform")
        _start_platform(home, as_json=as_json)
        show.phase("preparing the example project")
        name = stage.free_name(asyncio.run(_retire_earlier(home)))
        folder = stage.prepare(home, name)
        outcome, page = asyncio.run(_replay(plan, name, folder, show, killer))
    _tell(outcome, page, show, as_json=as_json)
    return 0 if outcome.closed else 1


async def _replay(
    plan: Plan, name: str, folder: Path, show: Show, killer: Killer
) -> tuple[Outcome, Path]:
    story, outcome = await Replay(killer.home, plan, name, folder, show, killer).run()
    reports = killer.home.root / "reports"
    page = report.write(reports, name, datetime.now(UTC), plan, story, outcome)
    return outcome, page


async def _retire_earlier(home: Home) -> set[str]:
    """Archive the projects of earlier demos, so that they leave the machine to this one; return their names."""
    door = _door(home)
    try:
        answer = await door.query("workspaces", "list")
        found = {
            str(entry["project"]): str(entry.get("state")) for entry in answer.get("projects", [])
        }
        mine = {name for name in found if name == EXAMPLE or name.startswith(f"{EXAMPLE}-")}
        for name in sorted(mine):
            if found[name] != "archived":
                await door.command("cmd.project.archive", name, {"reason": "a new demo begins"})
        return mine
    finally:
        await door.close()


def _door(home: Home) -> Door:
    endpoints, credentials = read_json(home.endpoints), read_json(home.credentials)
    if "gateway" not in endpoints or "gateway_token" not in credentials:
        raise NotRunningError(f"{home.endpoints} names no gateway", "mlops up")
    return Door(endpoints["gateway"], credentials["gateway_token"])


def _start_platform(home: Home, *, as_json: bool) -> None:
    command = [sys.executable, "-m", "mlops.cli", "--home", str(home.root), "up"]
    output = sys.stderr if as_json else None
    started = subprocess.run(command, stdout=output, check=False)
    if started.returncode:
        raise CliError(
            "the platform did not start", "see the lines above, `mlops status` and `mlops doctor`"
        )


def _tell(outcome: Outcome, page: Path, show: Show, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(outcome.as_json(), indent=1))
    verdict = (
        "The loop closed by itself."
        if outcome.closed
        else f"The loop did not close: {outcome.why_not}."
    )
    show.console.print(f"\n[bold]{verdict}[/bold]")
    for name, line in outcome.baselines.items():
        show.console.print(
            f"  {name} retrained: accuracy {line['accuracy_overall']:.3f}, last ten windows "
            f"{line['accuracy_last10']:.3f}, {line['retrainings']} retrainings"
        )
    show.console.print(
        f"  the platform: accuracy {outcome.accuracy_overall:.3f}, last ten windows {outcome.accuracy_last10:.3f}, "
        f"{outcome.retrainings} retrainings, {outcome.rollouts} rollouts"
    )
    show.console.print(
        f"  {outcome.failed_requests} of {outcome.requests} requests failed; {outcome.seconds:.0f} s"
    )
    show.console.print(f"  report: {page}")
