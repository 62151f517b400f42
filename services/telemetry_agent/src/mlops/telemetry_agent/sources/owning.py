# SPDX-License-Identifier: Apache-2.0
"""Owning: one agent tells for a node; a second one under the same name says so, tells nothing, and waits its turn."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable

import structlog
from pydantic import BaseModel

from mlops.chassis.bus import Documents
from mlops.chassis.errors import ChassisError
from mlops.contracts.message import NodeEvent
from mlops.telemetry_agent.model import claims
from mlops.telemetry_agent.model.claims import Claim, Held

BUCKET = "telemetry_agent_nodes"
_RELEASE_S = 0.8
_FIX = (
    "set TELEMETRY_AGENT_NODE to another name on one of the two, or delete state/telemetry_agent/"
    "{node_id,owner} of a copied installation"
)


class ClaimDocument(BaseModel):
    """Who tells for a node, as it is stored."""

    owner: str
    boot: str
    beat: int = 0


class Owning:
    """The claim of this agent on its node's name."""

    def __init__(
        self,
        documents: Documents[ClaimDocument],
        node: str,
        me: Claim,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._documents = documents
        self._node = node
        self._me = me
        self._monotonic = monotonic
        self._sleep = sleep
        self._held = Held()
        self._log = structlog.get_logger("telemetry").bind(node=node)

    @property
    def tells(self) -> bool:
        """Return whether this agent may tell: yes, unless another one is known to."""
        return self._held.mine is not False

    async def reason(self) -> str | None:
        """Return why this agent is not ready, or None."""
        if self.tells:
            return None
        return f"another agent tells for {self._node}; this one tells nothing. {_FIX}"

    async def keep(self) -> AsyncGenerator[NodeEvent, None]:
        """Look after the claim without end; it yields nothing."""
        try:
            while True:
                await self.check()
                await self._sleep(claims.RENEW_S if self.tells else claims.LOOK_S)
            yield  # a source is a generator
        finally:
            with contextlib.suppress(ChassisError, TimeoutError):
                async with asyncio.timeout(_RELEASE_S):
                    await self.release()

    async def check(self) -> None:
        """Read the claim; renew it where it is ours, free, or of one that stopped living."""
        before = self._held.mine
        try:
            found = _claim(await self._documents.get(self._node))
            self._held, write = claims.judge(self._held, found, self._me, self._monotonic())
            if write:
                await self._write(found)
        except ChassisError as error:
            self._log.info("claim.unknown", error=str(error))
            return
        if self._held.mine is False and before is not False:
            self._log.error("claim.taken", what=await self.reason())
        elif self._held.mine and before is False:
            self._log.warning(
                "claim.taken_over", what="the other agent is gone; this one tells now"
            )

    async def release(self) -> None:
        """Give the name free at the end, so that the next start need not wait."""
        if self._held.mine:
            await self._documents.delete(self._node)

    async def _write(self, seen: Claim | None) -> None:
        def change(now: ClaimDocument | None) -> ClaimDocument:
            found = _claim(now)
            # Somebody else may have written between our look and our change: then it is theirs.
            mine = found is None or (found.owner, found.boot) == (self._me.owner, self._me.boot)
            theirs = not mine and found != seen
            kept = found if theirs and found is not None else claims.renewed(found, self._me)
            return ClaimDocument(owner=kept.owner, boot=kept.boot, beat=kept.beat)

        stored = _claim(await self._documents.change(self._node, change, applied=uuid.uuid4().hex))
        if stored is not None and (stored.owner, stored.boot) != (self._me.owner, self._me.boot):
            self._held = Held(mine=False, other=stored, still_since_s=self._monotonic())


def _claim(document: ClaimDocument | None) -> Claim | None:
    return None if document is None else Claim(document.owner, document.boot, document.beat)
