# SPDX-License-Identifier: Apache-2.0
"""Project files: found here or above, read strictly, and every fault named with its fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.client.project_file import ProjectFileError, find_project_file, load_project_file


def write(folder: Path, text: str, name: str = "mlops.toml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_only_the_name_is_needed(tmp_path: Path) -> None:
    write(tmp_path, 'name = "rainfall"')

    found = load_project_file(tmp_path)

    assert (found.name, found.folder, found.settings.monitor.window) == ("rainfall", tmp_path, 500)


def test_file_is_found_from_a_folder_below(tmp_path: Path) -> None:
    file = write(tmp_path, 'name = "rainfall"')
    below = tmp_path / "src" / "deep"
    below.mkdir(parents=True)

    assert find_project_file(below) == file


def test_pyproject_is_read_when_it_has_our_table(tmp_path: Path) -> None:
    text = '[project]\nname = "x"\n[tool.mlops]\nname = "rainfall"\n[tool.mlops.retrain]\ncooldown = "5m"\n'
    write(tmp_path, text, "pyproject.toml")

    found = load_project_file(tmp_path)

    assert found.name == "rainfall"
    assert found.settings.retrain.cooldown.total_seconds() == 300


def test_pyproject_without_our_table_is_passed_over(tmp_path: Path) -> None:
    file = write(tmp_path, 'name = "rainfall"')
    below = tmp_path / "package"
    below.mkdir()
    write(below, '[project]\nname = "x"\n', "pyproject.toml")

    assert find_project_file(below) == file


def test_own_file_wins_over_pyproject(tmp_path: Path) -> None:
    write(tmp_path, '[tool.mlops]\nname = "other"\n', "pyproject.toml")
    write(tmp_path, 'name = "rainfall"')

    assert load_project_file(tmp_path).name == "rainfall"


def test_no_file_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(ProjectFileError, match=r'write mlops\.toml with name = "my-project"'):
        load_project_file(tmp_path)


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("", "name", "is missing"),
        ('name = "Rain Fall"', "name", "a-z, 0-9 and -"),
        ('name = "r"\ntrian = {}', "trian", "did you mean train?"),
        ('name = "r"\n[train]\ncomand = "x"', "train.comand", "did you mean command?"),
        ('name = "r"\n[train.resources]\ngpu = 1', "train.resources.gpu", "known here are"),
        ('name = "r"\n[serve]\nsteps = [0.5, 0.1]', "serve", "steps must rise"),
        ('name = "r"\n[serve]\nstep_hold = "soon"', "serve.step_hold", "must be a duration"),
        ('name = "r"\n[monitor]\nwindow = 3', "monitor.window", "greater than or equal to 50"),
        ('name = "r"\n[evaluate]\npromote = "atuo"', "evaluate.promote", "use one of: auto"),
    ],
)
def test_fault_is_named_with_its_fix(tmp_path: Path, text: str, field: str, words: str) -> None:
    file = write(tmp_path, text)

    with pytest.raises(ProjectFileError) as caught:
        load_project_file(tmp_path)

    assert [one.field for one in caught.value.problems] == [field]
    assert words in str(caught.value)
    assert str(file) in str(caught.value)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    write(tmp_path, 'name = "r"\n[monitor]\nwindow = 3\n[share]\nwheight = 2\n')

    with pytest.raises(ProjectFileError) as caught:
        load_project_file(tmp_path)

    assert {one.field for one in caught.value.problems} == {"monitor.window", "share.wheight"}


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    write(tmp_path, 'name = "rainfall\n')

    with pytest.raises(ProjectFileError, match="line 1"):
        load_project_file(tmp_path)


@pytest.mark.parametrize("remote", ["azure://c?sig=hunter2", "s3://key:hunter2@bucket"])
def test_credentials_in_the_remote_are_refused_and_not_repeated(
    tmp_path: Path, remote: str
) -> None:
    write(tmp_path, f'name = "rainfall"\n[data]\nremote = "{remote}"\n')

    with pytest.raises(ProjectFileError, match="must hold no credentials") as refused:
        load_project_file(tmp_path)

    assert "data.remote" in str(refused.value)
    assert "hunter2" not in str(refused.value)
