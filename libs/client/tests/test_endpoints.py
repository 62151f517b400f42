# SPDX-License-Identifier: Apache-2.0
"""Endpoints: the environment wins, then the home folder; what is missing is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops.client import endpoints
from mlops.client.errors import BadInputError, NotRunningError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / ".mlops"
    folder.mkdir()
    addresses = {"gateway": "http://127.0.0.1:8090/", "mlflow": "http://127.0.0.1:5000", "pid": 3}
    (folder / "endpoints.json").write_text(json.dumps(addresses))
    (folder / "credentials.json").write_text(json.dumps({"gateway_token": "secret"}))
    return folder


def test_home_is_found_from_a_folder_below(home: Path) -> None:
    below = home.parent / "project" / "src"
    below.mkdir(parents=True)

    found = endpoints.load(below, {})

    assert (found.gateway, found.token, found.home) == ("http://127.0.0.1:8090", "secret", home)
    assert found.address("mlflow") == "http://127.0.0.1:5000"


def test_variable_names_another_home(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    assert endpoints.load(elsewhere, {"MLOPS_HOME": str(home)}).token == "secret"


def test_variables_win_over_the_home(home: Path) -> None:
    env = {"MLOPS_GATEWAY_URL": "http://far:1", "MLOPS_TOKEN": "t"}

    found = endpoints.load(home.parent, env)

    assert (found.gateway, found.token) == ("http://far:1", "t")


def test_the_token_of_a_home_is_not_sent_elsewhere(home: Path) -> None:
    with pytest.raises(NotRunningError, match="find the token"):
        endpoints.load(home.parent, {"MLOPS_GATEWAY_URL": "http://far:1"})
    own = {"MLOPS_GATEWAY_URL": "http://127.0.0.1:8090/"}
    assert endpoints.load(home.parent, own).token == "secret"


def test_token_is_not_shown(home: Path) -> None:
    assert "secret" not in repr(endpoints.load(home.parent, {}))


def test_nothing_running_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match="mlops up"):
        endpoints.load(tmp_path, {"MLOPS_HOME": str(tmp_path)})


def test_missing_token_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match="find the token"):
        endpoints.load(tmp_path, {"MLOPS_GATEWAY_URL": "http://far:1", "MLOPS_HOME": str(tmp_path)})


def test_unknown_address_names_the_known_ones(home: Path) -> None:
    with pytest.raises(NotRunningError, match="known are: gateway, mlflow"):
        endpoints.load(home.parent, {}).address("spark")


def test_broken_file_is_named(home: Path) -> None:
    (home / "endpoints.json").write_text("{")

    with pytest.raises(NotRunningError, match=r"endpoints\.json"):
        endpoints.load(home.parent, {})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"MLOPS_GATEWAY_URL": "far:1"}, "'far:1' is no address"),
        ({"MLOPS_TOKEN": "se\ncret"}, "cannot be sent"),
        ({"MLOPS_TOKEN": "sécret"}, "cannot be sent"),
    ],
)
def test_what_cannot_be_used_is_said_and_the_token_is_not_shown(
    home: Path, wrong: dict[str, str], says: str
) -> None:
    env = {"MLOPS_GATEWAY_URL": "http://far:1", "MLOPS_TOKEN": "t", **wrong}

    with pytest.raises(BadInputError, match=says) as told:
        endpoints.load(home.parent, env)

    assert "cret" not in str(told.value)
