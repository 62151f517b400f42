# SPDX-License-Identifier: Apache-2.0
"""The packer: packs versions beside everything else, because one may take minutes and nobody is to wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

import structlog

from mlops.chassis.errors import UnavailableError
from mlops.serving.model.state import Package
from mlops.serving.ports import Packages

# What is known already is packed in no time, and need not wait for another round.
_MOMENT_S = 0.05


class Packer:
    """Whoever wants a package asks again and again; *done* is called when asking again pays."""

    def __init__(self, packages: Packages, done: Callable[[], None]) -> None:
        self._packages = packages
        self._done = done
        self._packing: dict[str, asyncio.Task[Package]] = {}
        self._tidying: set[asyncio.Task[None]] = set()
        self._of_model: dict[str, tuple[str, str]] = {}
        self._log = structlog.get_logger("packer")

    async def prepare(self) -> None:
        """Make what the first package would wait for; without it that waits."""
        try:
            await self._packages.prepare()
        except UnavailableError as error:
            self._log.warning("packages.unprepared", reason=str(error))

    async def pack(
        self,
        order: str,
        project: str,
        model: str,
        version: int,
        backend: str,
        *,
        allow_pickle: bool = False,
    ) -> Package | None:
        """Return the package of an order, None while it is being made; raises what `Packages.pack` raises."""
        task = self._packing.get(order)
        if task is None:
            packing = self._packages.pack(
                project, model, version, backend, allow_pickle=allow_pickle
            )
            task = asyncio.create_task(packing)
            task.add_done_callback(lambda _: self._done())
            self._packing[order] = task
            self._of_model[order] = (project, model)
        await asyncio.wait([task], timeout=_MOMENT_S)
        if not task.done():
            return None
        self._forget(order)
        return task.result()

    def give_up(self, besides: AbstractSet[str]) -> None:
        """Stop packing everything besides these orders: nobody wants the rest any more."""
        for order in self._packing.keys() - besides:
            self._packing[order].cancel()
            self._forget(order)

    def tidy(self, project: str, model: str, bento_tags: Sequence[str]) -> None:
        """Forget the packages of a model that nobody needs, unless one of it is being made."""
        if (project, model) in self._of_model.values():
            return
        task = asyncio.create_task(self._keep_only(project, model, bento_tags))
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)

    async def close(self) -> None:
        """Stop everything."""
        tasks = [*self._packing.values(), *self._tidying]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, order: str) -> None:
        del self._packing[order], self._of_model[order]

    async def _keep_only(self, project: str, model: str, bento_tags: Sequence[str]) -> None:
        try:
            await self._packages.keep_only(project, model, bento_tags)
        except UnavailableError as error:
            self._log.warning("packages.not_tidied", model=model, reason=str(error))
