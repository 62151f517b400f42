# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that no linter knows: members, their places in the root's tables, the lock."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("libs", "services")
MEMBERS = sorted(path.parent for each in FOLDERS for path in ROOT.glob(f"{each}/*/pyproject.toml"))
SERVICES = [member.name for member in MEMBERS if member.parent.name == "services"]
each_member = pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
HIDDEN = {".venv", ".mlops", ".git", "node_modules", "__pycache__", "build", "dist"}
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
MOST_LINES = 400


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def _distribution(member: Path) -> str:
    return f"mlops-{member.name.replace('_', '-')}"


def _python_files() -> list[Path]:
    return [
        path
        for path in sorted(ROOT.rglob("*.py"))
        if not HIDDEN.intersection(path.relative_to(ROOT).parts)
    ]


def _linter(id_: str) -> dict[str, Any]:
    contracts = _toml(ROOT / "pyproject.toml")["tool"]["importlinter"]["contracts"]
    found: dict[str, Any] = next(each for each in contracts if each["id"] == id_)
    return found


def test_there_are_four_libraries_and_eight_services() -> None:
    assert [member.name for member in MEMBERS if member.parent.name == "libs"] == [
        "chassis",
        "cli",
        "client",
        "contracts",
    ]
    assert len(SERVICES) == 8


def test_every_folder_of_members_is_one() -> None:
    folders = [path for each in FOLDERS for path in (ROOT / each).iterdir() if path.is_dir()]

    assert [path for path in folders if path.name not in HIDDEN and path not in MEMBERS] == []


@each_member
def test_member_is_exactly_one_package_of_the_namespace(member: Path) -> None:
    namespace = member / "src" / "mlops"

    assert [path.name for path in (member / "src").iterdir() if path.name not in HIDDEN] == [
        "mlops"
    ]
    assert [path.name for path in namespace.iterdir() if path.name not in HIDDEN] == [member.name]
    assert (namespace / member.name / "__init__.py").exists()
    assert (namespace / member.name / "py.typed").exists()


@each_member
def test_member_is_named_after_its_folder(member: Path) -> None:
    project = _toml(member / "pyproject.toml")

    assert project["project"]["name"] == _distribution(member)
    assert project["tool"]["uv"]["build-backend"]["module-name"] == f"mlops.{member.name}"


@each_member
def test_member_has_a_readme_of_more_than_its_name(member: Path) -> None:
    lines = [line for line in (member / "README.md").read_text().splitlines() if line.strip()]

    assert len(lines) >= 3, f"{member.name}: say in five lines what it does and what it reads"


def _imported_members(member: Path) -> Iterator[str]:
    for path in (member / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module
            elif isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)


@each_member
def test_member_depends_on_the_members_it_imports(member: Path) -> None:
    imported = {
        name.split(".")[1] for name in _imported_members(member) if name.startswith("mlops.")
    }
    needed = {f"mlops-{name.replace('_', '-')}" for name in imported - {member.name}}

    declared = {Requirement(each).name for each in _declared(member / "pyproject.toml")}

    assert needed <= declared


def test_root_depends_on_every_member() -> None:
    root = _toml(ROOT / "pyproject.toml")
    names = {_distribution(member) for member in MEMBERS}

    assert set(root["project"]["dependencies"]) == names
    assert set(root["tool"]["uv"]["sources"]) == names


def test_type_checker_knows_every_member() -> None:
    paths = _toml(ROOT / "pyproject.toml")["tool"]["mypy"]["mypy_path"]

    assert {str((member / "src").relative_to(ROOT)) for member in MEMBERS} <= set(paths)


def test_every_service_has_rooms() -> None:
    assert set(_linter("rooms")["containers"]) == {f"mlops.{name}" for name in SERVICES}


@pytest.mark.parametrize("rule", ["light-client", "cli"])
def test_no_service_may_be_imported_by_the_command_or_the_client(rule: str) -> None:
    assert {f"mlops.{name}" for name in SERVICES} <= set(_linter(rule)["forbidden_modules"])


def _declared(path: Path) -> list[str]:
    project = _toml(path)
    groups = project.get("dependency-groups", {}).values()
    lists = [project["project"].get("dependencies", []), *groups]
    return [text for texts in lists for text in texts]


def _optional(path: Path) -> list[str]:
    extras = _toml(path)["project"].get("optional-dependencies", {})
    return [text for texts in extras.values() for text in texts]


@pytest.fixture(scope="module")
def locked() -> dict[str, set[Version]]:
    found: dict[str, set[Version]] = {}
    for name, version in LOCKED.findall((ROOT / "requirements.lock").read_text()):
        found.setdefault(canonicalize_name(name), set()).add(Version(version))
    return found


@pytest.mark.parametrize(
    "path",
    [ROOT / "pyproject.toml", *(member / "pyproject.toml" for member in MEMBERS)],
    ids=lambda path: path.parent.name,
)
def test_lock_satisfies_the_floors(path: Path, locked: dict[str, set[Version]]) -> None:
    ours = {_distribution(member) for member in MEMBERS}
    wanted = [Requirement(text) for text in _declared(path)]

    unsatisfied = [
        f"{want}: locked {sorted(map(str, locked.get(canonicalize_name(want.name), ())))}"
        for want in wanted
        if want.name not in ours
        and not any(
            want.specifier.contains(at) for at in locked.get(canonicalize_name(want.name), ())
        )
    ]

    assert unsatisfied == [], "run `just lock`"


@pytest.mark.parametrize(
    "path",
    [ROOT / "pyproject.toml", *(member / "pyproject.toml" for member in MEMBERS)],
    ids=lambda path: path.parent.name,
)
def test_every_dependency_has_a_floor(path: Path) -> None:
    ours = {_distribution(member) for member in MEMBERS}
    wanted = [Requirement(text) for text in (*_declared(path), *_optional(path))]

    floors = {">=", "==", "~="}
    open_ = [str(want) for want in wanted if not floors & {it.operator for it in want.specifier}]

    assert [text for text in open_ if text not in ours] == []


def test_lock_names_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()

    assert [line for line in text.splitlines() if "://" in line or line.startswith("-")] == []


def test_lock_is_hashed_and_holds_none_of_us(locked: dict[str, set[Version]]) -> None:
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=\S)", text.strip())

    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert [name for name in locked if name.startswith("mlops-")] == []


def test_every_python_file_begins_with_its_licence() -> None:
    expected = "# SPDX-License-Identifier: Apache-2.0\n"

    bare = [path for path in _python_files() if not path.read_text().startswith(expected)]

    assert [str(path.relative_to(ROOT)) for path in bare] == []


def test_no_python_file_is_too_long() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in _python_files()}

    assert [f"{path}: {n}" for path, n in lengths.items() if n > MOST_LINES] == []


def test_no_package_hides_the_namespace() -> None:
    assert [path for path in _python_files() if path.parent.name == "mlops"] == []
