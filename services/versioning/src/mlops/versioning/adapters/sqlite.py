# SPDX-License-Identifier: Apache-2.0
"""SqliteVersions: the registry of versions in one SQLite file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mlops.versioning.adapters.sqlite_file import SqliteFile
from mlops.versioning.model import Alias, Content, Use, Version, newest, same

_COLUMNS = (
    "project, name, version, path, oid, size_bytes, files, dvc_text, remote, parent, run_id, "
    "created_at, tags, description, removed_at, stage"
)
_KEY = "project = ? AND name = ? AND version = ?"


class SqliteVersions:
    """Versions, what people say about them and who has read them."""

    def __init__(self, file: Path, patience_s: float = 5.0) -> None:
        self._file = SqliteFile(file, patience_s)
        self._connection = self._file.connection

    async def remember(self, wished: Version, command_id: str) -> Version:
        """Number the version, or find the one it is, and note the command, in one transaction."""
        return await self._file.do(lambda: self._remember(wished, command_id))

    async def note(self, version: Version, command_id: str) -> None:
        """Keep what a command was about."""
        await self._file.do(lambda: self._note(version, command_id))

    async def of_command(self, command_id: str) -> Version | None:
        """Return what a command got, as it is now."""
        return await self._file.do(lambda: self._of_command(command_id))

    async def known(
        self, project: str, name: str | None = None, *, removed: bool = False
    ) -> list[Version]:
        """Return versions by name and number."""
        return await self._file.do(lambda: self._known(project, name, removed=removed))

    async def point(self, version: Version, alias: str, command_id: str) -> None:
        """Move the alias."""
        row = (version.project, version.name, alias, version.version)
        await self._once(
            version,
            command_id,
            lambda: self._execute("INSERT OR REPLACE INTO dataset_alias VALUES (?, ?, ?, ?)", row),
        )

    async def unpoint(self, version: Version, alias: str, command_id: str) -> None:
        """Take the alias away."""
        row = (version.project, version.name, alias)
        await self._once(
            version,
            command_id,
            lambda: self._execute(
                "DELETE FROM dataset_alias WHERE project = ? AND name = ? AND alias = ?", row
            ),
        )

    async def aliases(self, project: str, name: str | None = None) -> list[Alias]:
        """Return aliases by dataset and name."""
        return await self._file.do(lambda: self._aliases(project, name))

    async def say(
        self, version: Version, tags: Sequence[str], description: str, command_id: str
    ) -> None:
        """Replace tags and description."""
        row = (json.dumps(list(tags), ensure_ascii=False), description, *_key(version))
        await self._once(
            version,
            command_id,
            lambda: self._execute(
                f"UPDATE dataset_version SET tags = ?, description = ? WHERE {_KEY}",  # noqa: S608 - a constant
                row,
            ),
        )

    async def remove(self, version: Version, at: datetime, command_id: str) -> None:
        """Give the version up."""

        def change() -> None:
            self._execute(
                f"UPDATE dataset_version SET removed_at = ? WHERE {_KEY}",  # noqa: S608 - a constant
                (_text(at), *_key(version)),
            )
            self._execute(f"DELETE FROM dataset_alias WHERE {_KEY}", _key(version))  # noqa: S608 - a constant

        await self._once(version, command_id, change)

    async def live(self) -> list[str]:
        """Return contents that versions name."""
        return await self._file.do(self._live)

    async def moved(self, project: str, remote: str) -> None:
        """Keep the new remote."""
        row = (remote, project)
        await self._file.do(
            lambda: self._execute("UPDATE dataset_version SET remote = ? WHERE project = ?", row)
        )

    async def record_uses(self, project: str, uses: Sequence[Use], at: datetime) -> None:
        """Keep the uses once."""
        rows = [(project, u.run_id, u.name, u.version, u.oid, _text(at)) for u in uses]
        await self._file.do(lambda: self._record(rows))

    async def uses(self, project: str) -> list[Use]:
        """Return the uses of a project."""
        return await self._file.do(lambda: self._uses(project))

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()

    async def _once(self, version: Version, command_id: str, change: Callable[[], None]) -> None:
        def work() -> None:
            with self._file.transaction():
                if self._of_command(command_id) is None:
                    change()
                    self._note(version, command_id)

        await self._file.do(work)

    def _remember(self, wished: Version, command_id: str) -> Version:
        with self._file.transaction():
            if earlier := self._of_command(command_id):
                return earlier
            known = self._known(wished.project, wished.name, removed=True)
            live = [version for version in known if version.removed_at is None]
            version = same(live, wished.content, wished.path)
            if version is None:
                last = newest(known)
                parent = last.version if last else None
                version = replace(wished, version=(parent or 0) + 1, parent=parent)
                self._insert(version)
            self._note(version, command_id)
            return version

    def _note(self, version: Version, command_id: str) -> None:
        self._execute(
            "INSERT OR IGNORE INTO applied_command VALUES (?, ?, ?, ?)",
            (command_id, *_key(version)),
        )

    def _insert(self, version: Version) -> None:
        held = version.content
        self._execute(
            "INSERT INTO dataset_version (project, name, version, path, oid, size_bytes, files, "
            "dvc_text, remote, parent, run_id, created_at, stage) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(*_key(version), version.path),
                *(held.oid, held.size_bytes, held.files, held.dvc_text),
                *(version.remote, version.parent, version.run_id, _text(version.created_at)),
                version.stage,
            ),
        )

    def _of_command(self, command_id: str) -> Version | None:
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM dataset_version JOIN applied_command "  # noqa: S608 - a constant
            "USING (project, name, version) WHERE command_id = ?",
            (command_id,),
        ).fetchone()
        return _version(row) if row else None

    def _known(self, project: str, name: str | None, *, removed: bool) -> list[Version]:
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM dataset_version "  # noqa: S608 - a constant
            "WHERE project = ? AND name = ifnull(?, name) AND (? OR removed_at IS NULL) "
            "ORDER BY name, version",
            (project, name, removed),
        )
        return [_version(row) for row in rows]

    def _aliases(self, project: str, name: str | None) -> list[Alias]:
        rows = self._connection.execute(
            "SELECT name, alias, version FROM dataset_alias "
            "WHERE project = ? AND name = ifnull(?, name) ORDER BY name, alias",
            (project, name),
        )
        return [Alias(*row) for row in rows]

    def _live(self) -> list[str]:
        rows = self._connection.execute(
            "SELECT DISTINCT oid FROM dataset_version WHERE removed_at IS NULL ORDER BY oid"
        )
        return [str(oid) for (oid,) in rows]

    def _record(self, rows: Sequence[tuple[object, ...]]) -> None:
        with self._file.transaction():
            self._connection.executemany(
                "INSERT OR IGNORE INTO dataset_use VALUES (?, ?, ?, ?, ?, ?)", rows
            )

    def _uses(self, project: str) -> list[Use]:
        rows = self._connection.execute(
            "SELECT run_id, name, version, oid FROM dataset_use WHERE project = ? ORDER BY run_id, name",
            (project,),
        )
        return [Use(*row) for row in rows]

    def _execute(self, statement: str, row: Sequence[object]) -> None:
        self._connection.execute(statement, tuple(row))


def _key(version: Version) -> tuple[str, str, int]:
    return version.project, version.name, version.version


def _version(row: Sequence[object]) -> Version:
    # In the order of `_COLUMNS`.
    project, name, number, path, oid, size, files, dvc_text, remote, parent, run_id, at = row[:12]
    tags, description, removed_at, stage = row[12:]
    return Version(
        project=str(project),
        name=str(name),
        version=int(str(number)),
        path=str(path),
        content=Content(str(oid), int(str(size)), int(str(files)), str(dvc_text)),
        remote=str(remote),
        parent=None if parent is None else int(str(parent)),
        run_id=None if run_id is None else str(run_id),
        created_at=datetime.fromisoformat(str(at)),
        tags=tuple(json.loads(str(tags))),
        description=str(description),
        removed_at=None if removed_at is None else datetime.fromisoformat(str(removed_at)),
        stage=str(stage),
    )


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
