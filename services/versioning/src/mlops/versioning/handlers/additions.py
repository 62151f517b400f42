# SPDX-License-Identifier: Apache-2.0
"""Which additions were begun by command: one that was killed is not taken for what people have added by hand.

DVC's process may outlive the service, and write the `.dvc` file that the command will be told about when it comes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.versioning import AddData
from mlops.versioning import model
from mlops.versioning.handlers.data import Data
from mlops.versioning.ports import Addition, Place

# A command that was not answered has come again, or was given up, by then.
_COMES_AGAIN = timedelta(minutes=10)


class Additions:
    """Keeps a document for each command that adds, from before its work until it is answered."""

    def __init__(self, documents: Documents[Addition], data: Data, clock: Clock) -> None:
        self._documents = documents
        self._data = data
        self._clock = clock
        self._began = clock()

    async def do_add_data(self, command: AddData) -> Sequence[Message]:
        """Add, known as under way meanwhile, and also afterwards when the command will come again."""
        key, now = follow_up_id(command.id, AddData.type, 0), self._clock()
        fresh = Addition(project=command.project, path=command.path, at=now)
        await self._documents.change(key, lambda _: fresh, applied=f"{command.id}:{now}")
        try:
            told = await self._data.do_add_data(command)
        except RejectedError:
            await self._documents.delete(key)
            raise
        await self._documents.delete(key)
        return told

    async def is_under_way(self, place: Place, path: str) -> bool:
        """Tell whether a command adds *path*, or will when it comes again."""
        found = False
        for key, one in (await self._documents.all()).items():
            if self._clock() - max(one.at, self._began) > _COMES_AGAIN:
                await self._documents.delete(key)
            elif one.project == place.project and model.tidy(one.path, place.folder) == path:
                found = True
        return found
