# SPDX-License-Identifier: Apache-2.0
"""The store of packages when things go wrong: killed, raced, damaged, full; and packages that move between stores."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops.cli.errors import CliError, InputError
from mlops.cli.home import Home
from mlops.cli.store_desk import ask

pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(240)]
PROJECT = "moved"
ROW = [0.25, 0.5, 1.0]
DESK = [sys.executable, "-m", "mlops.serving.adapters.packing.desk"]


class Here:
    """A home, and the version that is packed in it."""

    def __init__(self, root: Path, mlflow_url: str, version: int) -> None:
        self.home = Home(root)
        self.store = root / "bentoml"
        self.order = {
            "project": PROJECT,
            "model": PROJECT,
            "version": version,
            "backend": "numpy",
            "mlflow_url": mlflow_url,
            "allow_pickle": False,
        }

    def ask(self, call: str, **given: Any) -> Any:
        return ask(self.home, call, lambda _: None, **given)

    def build(self, **other: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.ask("build", **{**self.order, **other})
        return made

    def tags(self) -> list[str]:
        return [one["bento_tag"] for one in self.ask("list")]

    def begin(self) -> subprocess.Popen[str]:
        program = subprocess.Popen(
            DESK,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert program.stdin is not None
        question = {"call": "build", "home": str(self.home.root), "with": self.order}
        program.stdin.write(json.dumps(question))
        program.stdin.close()
        return program


@pytest.fixture
def here(tmp_path: Path, mlflow_url: str, trainer: Any) -> Here:
    [version] = trainer.log(PROJECT, "layers")
    return Here(tmp_path / "home", mlflow_url, version)


@pytest.fixture(scope="module")
def packed_home(tmp_path_factory: pytest.TempPathFactory, mlflow_url: str, trainer: Any) -> Here:
    [version] = trainer.log(PROJECT, "layers")
    here = Here(tmp_path_factory.mktemp("packed") / "home", mlflow_url, version)
    here.build()
    return here


@pytest.fixture
def packed(packed_home: Here, tmp_path: Path) -> Here:
    """A home of its own, in which the version is packed already."""
    found = Here(tmp_path / "home", "", 0)
    found.order = packed_home.order
    shutil.copytree(packed_home.home.root, found.home.root)
    return found


def answers(home: Home, tag: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(Path(__file__).parent / "answer_bento.py"), tag],
        input=json.dumps([ROW]),
        env=os.environ | {"BENTOML_HOME": str(home.root / "bentoml"), "BENTOML_DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def answer(home: Home, tag: str) -> Any:
    found = answers(home, tag)
    assert found.returncode == 0, found.stderr[-3000:]
    return json.loads(found.stdout.splitlines()[-1])["answers"]


@pytest.mark.parametrize("step", ["fetching", "reading", "packing"])
def test_packing_that_is_killed_leaves_nothing_and_the_next_one_works(
    here: Here, step: str
) -> None:
    program = here.begin()
    assert program.stdout is not None
    next(line for line in program.stdout if step in line)
    program.kill()
    program.wait()
    program.stdout.close()

    assert here.tags() == []
    made = here.build()

    assert here.tags() == [made["bento_tag"]]
    assert answer(here.home, made["bento_tag"]) == [[0.5]]
    assert list((here.store / "making").iterdir()) == []


def test_the_same_version_packed_twice_at_once_is_one_package(here: Here) -> None:
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: here.build(), range(2))

    assert one == other
    assert here.tags() == [one["bento_tag"]]
    assert answer(here.home, one["bento_tag"]) == [[0.5]]


def changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("models/{}/model/weights.safetensors", changed),
        ("models/{}/model/weights.safetensors", Path.unlink),
        ("models/{}/model.yaml", Path.unlink),
        ("bentos/{}/src/packed/packed_rows.py", changed),
        ("bentos/{}/src/packed/packed.json", lambda path: path.write_text("{")),
        ("bentos/{}/bento.yaml", lambda path: path.write_text("")),
    ],
)
def test_a_damaged_package_is_made_anew_when_it_is_wanted_again(
    packed: Here, file: str, damage: Callable[[Path], None]
) -> None:
    tag = packed.tags()[0]
    damage(packed.store / file.format(tag.replace(":", "/")))

    again = packed.build()

    assert again["bento_tag"] == tag
    assert answer(packed.home, tag) == [[0.5]]


def test_a_damaged_model_is_not_loaded_and_says_why(packed: Here) -> None:
    tag = packed.tags()[0]
    changed(packed.store / "models" / tag.replace(":", "/") / "model" / "weights.safetensors")

    found = answers(packed.home, tag)

    assert found.returncode != 0
    assert f"{tag} is damaged since it was packed (weights.safetensors)" in found.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if (
        shutil.which("mount") is None
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine lets nobody mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_nothing_is_left_on_it(here: Here, small_disk: Path) -> None:
    full = Here(small_disk, str(here.order["mlflow_url"]), int(str(here.order["version"])))
    (small_disk / "filler").write_bytes(bytes(4 * 2**20 - 100 * 1024))

    with pytest.raises(CliError, match="the disk of the packages is full"):
        full.build()

    assert full.tags() == []
    (small_disk / "filler").unlink()
    made = full.build()
    assert full.tags() == [made["bento_tag"]]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("nothing", "neither an MLmodel file nor files that are known here"),
        ("odd", "'temperature' of the model's signature has type 'array'"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(
    here: Here, trainer: Any, kind: str, said: str
) -> None:
    [version] = trainer.log(PROJECT, kind)

    with pytest.raises(InputError, match=said):
        here.build(version=version)

    assert here.tags() == []


def test_an_exported_package_answers_the_same_in_an_empty_store(
    packed: Here, tmp_path: Path
) -> None:
    tag = packed.tags()[0]
    file = tmp_path / "model.bento"
    other = Here(tmp_path / "other", "", 0)

    packed.ask("export", tag=tag, target=str(file))
    entered = other.ask("enter", file=str(file), allow_pickle=False)
    again = other.ask("enter", file=str(file), allow_pickle=False)

    assert (entered["bento_tag"], entered["known"], again["known"]) == (tag, False, True)
    assert entered["imported"]
    assert answer(other.home, tag) == answer(packed.home, tag) == [[0.5]]
    with pytest.raises(InputError, match="exists"):
        packed.ask("export", tag=tag, target=str(file))
    other.ask("remove", tag=tag)
    assert other.tags() == []


def test_bentoml_itself_reads_an_exported_package(packed: Here, tmp_path: Path) -> None:
    tag = packed.tags()[0]
    exported = packed.ask("export", tag=tag, target=str(tmp_path))["file"]
    store = tmp_path / "plain" / "bentoml"
    store.mkdir(parents=True)

    run = subprocess.run(
        [sys.executable, "-c", "import bentoml, sys; bentoml.import_bento(sys.argv[1])", exported],
        env=os.environ | {"BENTOML_HOME": str(store), "BENTOML_DO_NOT_TRACK": "1"},
        capture_output=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr.decode()[-2000:]
    assert answer(Home(tmp_path / "plain"), tag) == [[0.5]]


def test_a_package_has_its_containerfile_and_its_openapi(packed: Here) -> None:
    tag = packed.tags()[0]

    made = packed.ask("containerfile", tag=tag)
    told = yaml.safe_load(packed.ask("openapi", tag=tag))

    assert made.startswith("# syntax") or "FROM " in made
    assert "python/install.sh" in made or "pip install" in made
    body = told["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    rows = body["schema"]["properties"]["rows"]
    assert rows["items"]["items"] == {"type": "number"}
    assert (rows["items"]["minItems"], rows["items"]["maxItems"]) == (3, 3)
    requirements = (
        packed.store / "bentos" / tag.replace(":", "/") / "env" / "python" / "requirements.txt"
    ).read_text()
    assert {line.partition("==")[0] for line in requirements.splitlines() if line} <= {
        "numpy",
        "bentoml",
    }


def truncated(file: Path, _: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def noise(file: Path, _: Path) -> None:
    file.write_bytes(os.urandom(2000))


def missing(file: Path, _: Path) -> None:
    file.unlink()


def rewritten(file: Path, folder: Path, change: Callable[[Path], object]) -> None:
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")
    change(folder)
    file.unlink()
    with tarfile.open(file, "w:xz") as archive:
        archive.add(folder, ".")


def foreign(file: Path, folder: Path) -> None:
    rewritten(file, folder, lambda root: shutil.rmtree(root / "src" / "packed"))


def no_bento(file: Path, folder: Path) -> None:
    rewritten(file, folder, lambda root: (root / "bento.yaml").unlink())


def other_weights(file: Path, folder: Path) -> None:
    rewritten(file, folder, lambda root: changed(next(root.rglob("*.safetensors"))))


def other_source(file: Path, folder: Path) -> None:
    rewritten(file, folder, lambda root: changed(root / "src" / "packed" / "packed_service.py"))


def renamed(file: Path, folder: Path) -> None:
    def change(root: Path) -> None:
        told = yaml.safe_load((root / "bento.yaml").read_text())
        (root / "bento.yaml").write_text(yaml.safe_dump({**told, "version": "../../x"}))

    rewritten(file, folder, change)


def climbing(file: Path, folder: Path) -> None:
    with tarfile.open(file, "w:xz") as archive:
        archive.add(Path(__file__).resolve(), "../../climbed")
    folder.mkdir(exist_ok=True)


def linking(file: Path, _: Path) -> None:
    with tarfile.open(file, "w:xz") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)


@pytest.fixture(scope="module")
def exported(packed_home: Here, tmp_path_factory: pytest.TempPathFactory) -> Path:
    [tag] = packed_home.tags()
    folder = tmp_path_factory.mktemp("exported")
    return Path(packed_home.ask("export", tag=tag, target=str(folder))["file"])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (truncated, "is no whole package"),
        (noise, "is no whole package"),
        (missing, "does not exist"),
        (foreign, "is a Bento, but not one of this platform"),
        (no_bento, "its bento.yaml cannot be read"),
        (other_weights, "damaged since it was packed (weights.safetensors)"),
        (other_source, "damaged since it was packed"),
        (renamed, "is no name of a Bento"),
        (climbing, "wants to write outside of its folder"),
        (linking, "'link', which is no plain file"),
    ],
)
def test_a_file_that_is_no_whole_package_changes_nothing(
    exported: Path, tmp_path: Path, spoil: Callable[[Path, Path], None], said: str
) -> None:
    file = tmp_path / "spoilt.bento"
    shutil.copy(exported, file)
    spoil(file, tmp_path / "unpacked")
    other = Here(tmp_path / "other", "", 0)

    with pytest.raises(InputError) as refused:
        other.ask("enter", file=str(file), allow_pickle=False)

    assert said in str(refused.value)
    kept = [path for path in (tmp_path / "other").rglob("*") if path.is_file()]
    assert [path.name for path in kept] == ["moving.lock"]
    assert list(tmp_path.rglob("climbed")) == []


def test_a_package_with_pickles_enters_only_where_that_is_allowed(
    here: Here, trainer: Any, tmp_path: Path
) -> None:
    [version] = trainer.log(PROJECT, "cloudpickle")
    tag = here.build(version=version, backend="auto", allow_pickle=True)["bento_tag"]
    file = here.ask("export", tag=tag, target=str(tmp_path))["file"]
    other = Here(tmp_path / "other", "", 0)

    with pytest.raises(InputError, match=r"holds model\.pkl, which runs whatever code"):
        other.ask("enter", file=file, allow_pickle=False)
    entered = other.ask("enter", file=file, allow_pickle=True)

    assert entered["labels"]["format"] == "sklearn-pickle"
