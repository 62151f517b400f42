# SPDX-License-Identifier: Apache-2.0
"""Run: the acts of the demo, in order; each says what it waits for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.chassis.errors import ChassisError
from mlops.cli.bus import open_bus
from mlops.cli.demo import stage
from mlops.cli.demo.audit import AUDITED, Audit
from mlops.cli.demo.door import Door
from mlops.cli.demo.kill import Killer
from mlops.cli.demo.outcome import Outcome, judge
from mlops.cli.demo.plan import MODEL, Plan
from mlops.cli.demo.show import Show
from mlops.cli.demo.story import FOLLOWED, Story
from mlops.cli.demo.world import Days, World
from mlops.cli.errors import CliError
from mlops.cli.home import Home, read_json

if TYPE_CHECKING:
    from mlops.chassis.bus_nats import NatsBus

_FIRST_MODEL_S = 240.0
_LAST_EPISODE_S = 120.0
_AUDITS = 10


@dataclass
class Replay:
    """One demo from a running platform to its outcome."""

    home: Home
    plan: Plan
    project: str
    folder: Path
    show: Show
    killer: Killer

    def __post_init__(self) -> None:
        """Begin now: what was said before belongs to others."""
        self._since = datetime.now(UTC)

    async def run(self) -> tuple[Story, Outcome]:
        """Play all acts."""
        endpoints, credentials = read_json(self.home.endpoints), read_json(self.home.credentials)
        door = Door(endpoints["gateway"], credentials["gateway_token"])
        story = Story()
        world = World(
            plan=self.plan,
            days=Days.read(self.folder / "data" / "rainfall.csv.xz"),
            door=door,
            observations=self.folder / "data" / "observations.csv",
            under_way=lambda: story.under_way,
            project=self.project,
            name=secrets.token_hex(3),
        )
        try:
            async with open_bus(self.home) as bus, self._listening(bus, story, world):
                return story, await self._acts(bus, door, story, world)
        finally:
            await door.close()

    async def _acts(self, bus: NatsBus, door: Door, story: Story, world: World) -> Outcome:
        self.show.phase(f"registering project {self.project}")
        await stage.register(door, self.project, self.folder, story)
        self.show.phase("versioning the first data, training and deploying the first model")
        await self._first_model(door, story)
        lines = asyncio.create_task(
            stage.baselines(
                self.home, self.folder, self.plan.first_day, self.plan.last_day, self.plan.window
            )
        )
        try:
            self.show.phase(f"replaying {self.plan.days} days")
            await self._live(story, world)
            self.show.phase("report")
            baselines = json.loads(await lines)
            audit = await self._audit(bus, world)
        finally:
            lines.cancel()
        self.show.phase("")
        return judge(
            self.plan,
            story,
            door.tally,
            world.correct,
            seconds=self.show.seconds,
            baselines=baselines,
            audit=audit,
            killed=self.killer.done,
        )

    async def _first_model(self, door: Door, story: Story) -> None:
        data = {"name": "observations", "path": "data/observations.csv"}
        await door.command("cmd.data.add", self.project, data)
        why = "the first model"
        await door.command(
            "cmd.workflow.start", self.project, {"kind": "train", "model": MODEL, "why": why}
        )

        def answering() -> bool:
            _stop_at(story)
            self.show.story(story)
            return bool(story.deployed())

        await stage.until(answering, _FIRST_MODEL_S, lambda: "no first model answers")

    async def _live(self, story: Story, world: World) -> None:
        self.show.days(self.plan.days)
        living = asyncio.create_task(world.run())
        while not living.done():
            await asyncio.wait([living], timeout=0.5)
            text = "slow: a retraining is under way" if story.under_way else "quick"
            self.show.day(world.day - self.plan.first_day, text)
            self.show.story(story)
        living.result()
        with contextlib.suppress(CliError):  # the outcome says it when an episode stays open
            await stage.until(
                lambda: not story.under_way, _LAST_EPISODE_S, lambda: "an episode is open"
            )
        self.show.story(story)

    async def _audit(self, bus: NatsBus, world: World) -> dict[str, Any]:
        """Compare what was answered and told with what the bus holds, once the last of it has arrived."""
        figures: dict[str, Any] = {}
        for _ in range(_AUDITS):
            audit = Audit(world.answered, world.told)
            async for recorded in bus.follow(AUDITED, self.project, since=self._since, live=False):
                audit.add(recorded.envelope)
            figures = audit.figures()
            if not figures["predictions_lost"] and not figures["labels_lost"]:
                break
            await asyncio.sleep(1)
        return figures

    @contextlib.asynccontextmanager
    async def _listening(self, bus: NatsBus, story: Story, world: World) -> AsyncIterator[None]:
        async def listen() -> None:
            seen: set[str] = set()
            while True:
                with contextlib.suppress(ChassisError):
                    async for recorded in bus.follow(FOLLOWED, self.project, since=self._since):
                        if (message_id := str(recorded.envelope.get("id"))) not in seen:
                            seen.add(message_id)
                            story.add(recorded.envelope, world.day)
                            replaying = world.day > self.plan.first_day
                            self.killer.hear(
                                str(recorded.envelope.get("type")), replaying=replaying
                            )
                await asyncio.sleep(0.5)

        listening = asyncio.create_task(listen())
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


def _stop_at(story: Story) -> None:
    if story.refused:
        raise CliError(story.refused[0], "see `mlops events dlq list` and `mlops projects`")
    failed = [
        moment
        for moment in story.moments
        if moment.type in ("workflow.failed", "deployment.failed")
    ]
    if failed:
        raise CliError(
            f"{failed[0].type}: {failed[0].text}",
            "see `mlops logs orchestration_bridge` or serving",
        )
