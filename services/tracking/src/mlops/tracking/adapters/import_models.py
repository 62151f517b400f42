# SPDX-License-Identifier: Apache-2.0
"""Registered models of an import: versions keep their numbers, and an alias that is set here stays."""

from __future__ import annotations

import time
import uuid
from typing import Any

import sqlalchemy as sa
from mlflow.store.model_registry.dbmodels import models

from mlops.tracking.adapters import outbox
from mlops.tracking.adapters.backup_files import Say
from mlops.tracking.adapters.import_rows import Copier, Rows
from mlops.tracking.adapters.import_runs import DEFAULT
from mlops.tracking.adapters.outbox_body import to_body
from mlops.tracking.model.changes import CHAMPION, ChampionChanged, Why
from mlops.tracking.model.places import folder_of, moved

_MODELS = models.SqlRegisteredModel.__table__
_MODEL_TAGS = models.SqlRegisteredModelTag.__table__
_VERSIONS = models.SqlModelVersion.__table__
_VERSION_TAGS = models.SqlModelVersionTag.__table__
_ALIASES = models.SqlRegisteredModelAlias.__table__
_GATE = "mlops.gate."
_PROMOTION = uuid.UUID("6f6a2f0e-5d8e-4b52-9b0e-0c7c9d3f6f11")


class ImportedModels:
    """Copies models; a version whose number another run has here is left out and counted."""

    def __init__(self, copier: Copier, project: str, places: dict[str, str]) -> None:
        self._copier = copier
        self._project = project
        # The same folder is written in two ways.
        self._places = {**places, **{folder_of(old): new for old, new in places.items()}}
        self._champions: list[tuple[str, int]] = []
        self.counts = dict.fromkeys(
            ("models_new", "versions_new", "versions_of_others", "aliases_kept_here"), 0
        )

    def copy(self, say: Say) -> None:
        """Copy the models of the workspace `default`."""
        found = self._copier.read(_MODELS, _MODELS.c.workspace == DEFAULT)
        for row in found:
            self._model(row)
        say(f"models: {len(found)}")

    def promote(self, source: str) -> list[str]:
        """Tell of every version here that holds the alias champion as the source says; return which."""
        with self._copier.target.begin() as connection:
            for name, version in self._champions:
                change = ChampionChanged(name, version, None, Why(f"imported from {source}"))
                key = str(uuid.uuid5(_PROMOTION, f"{self._project}/{name}/{version}"))
                told = outbox.table.c.id == key
                if connection.execute(sa.select(outbox.table.c.id).where(told)).first():
                    continue
                row = {"id": key, "project": self._project, "body": to_body(change)}
                at = {"written_ms": time.time_ns() // 1_000_000}
                connection.execute(outbox.table.insert().values(**row, **at))
        return [f"{name}/{version}" for name, version in self._champions]

    def _model(self, row: dict[str, Any]) -> None:
        name = row["name"]
        add, here = self._copier.add, {"workspace": self._project}
        tags, versions, version_tags, aliases = (
            self._copier.read(table, table.c.workspace == DEFAULT, table.c.name == name)
            for table in (_MODEL_TAGS, _VERSIONS, _VERSION_TAGS, _ALIASES)
        )
        with self._copier.target.begin() as connection:
            known = self._known(connection, name)
            ours = [it for it in versions if self._is_same(it, known.get(it["version"]))]
            numbers = {version["version"] for version in ours}
            self.counts["models_new"] += 0 if self._is_there(connection, name) else 1
            self.counts["versions_new"] += len([n for n in numbers if n not in known])
            self.counts["versions_of_others"] += len(versions) - len(ours)
            add(connection, _MODELS, [{**row, **here}])
            add(connection, _MODEL_TAGS, [{**tag, **here} for tag in tags])
            add(connection, _VERSIONS, [self._version(version) for version in ours])
            add(connection, _VERSION_TAGS, self._undecided(name, numbers - set(known)))
            kept = [tag for tag in version_tags if tag["version"] in numbers and _may_come(tag)]
            add(connection, _VERSION_TAGS, [{**tag, **here} for tag in kept])
            wanted = [{**alias, **here} for alias in aliases if alias["version"] in numbers]
            add(connection, _ALIASES, wanted)
            self._compare(connection, name, wanted)

    def _undecided(self, name: str, numbers: set[int]) -> Rows:
        # The gate leaves them alone then, also when a run of theirs ends here one day.
        said = {
            "reason": "imported: history; promote it by command",
            "causation_id": "import",
            "decision": "waiting",
        }
        return [
            {
                "workspace": self._project,
                "name": name,
                "version": number,
                "key": f"{_GATE}{key}",
                "value": text,
            }
            for number in sorted(numbers)
            for key, text in said.items()
        ]

    def _version(self, row: dict[str, Any]) -> dict[str, Any]:
        places = {
            key: row[key] and moved(row[key], self._places)
            for key in ("source", "storage_location")
        }
        return {**row, **places, "workspace": self._project}

    def _compare(self, connection: sa.Connection, name: str, wanted: Rows) -> None:
        here = {row.alias: row.version for row in self._of(connection, _ALIASES, name)}
        for alias in wanted:
            if here[alias["alias"]] != alias["version"]:
                self.counts["aliases_kept_here"] += 1
            elif alias["alias"] == CHAMPION:
                self._champions.append((name, int(alias["version"])))

    def _is_same(self, version: dict[str, Any], known: Any) -> bool:
        if known is None:
            return True
        if version["run_id"] or known.run_id:
            return bool(version["run_id"] == known.run_id)
        return bool(self._version(version)["source"] == known.source)

    def _known(self, connection: sa.Connection, name: str) -> dict[int, Any]:
        return {row.version: row for row in self._of(connection, _VERSIONS, name)}

    def _is_there(self, connection: sa.Connection, name: str) -> bool:
        return bool(self._of(connection, _MODELS, name))

    def _of(self, connection: sa.Connection, table: Any, name: str) -> list[Any]:
        ours = (table.c.workspace == self._project, table.c.name == name)
        return list(connection.execute(sa.select(table).where(*ours)))


def _may_come(tag: dict[str, Any]) -> bool:
    # What another gate has decided is not decided here.
    return not str(tag["key"]).startswith(_GATE)
