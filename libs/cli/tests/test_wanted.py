# SPDX-License-Identifier: Apache-2.0
"""What runs beyond the usual: off by default, kept from start to start, and never guessed from a wrong file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops.cli.home import Home, read_json
from mlops.cli.supervisor import wanted
from mlops.cli.supervisor.parts.nats import config_text
from mlops.cli.supervisor.plan import settle


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    shutil.rmtree(home.short, ignore_errors=True)


def test_nobody_gets_mqtt_without_asking(home: Home) -> None:
    plan = settle(home, {}, ["nats"], [])

    assert "mqtt" not in read_json(home.endpoints)
    assert "mqtt {" not in config_text(plan.site)


def test_mqtt_listens_on_loopback_at_a_port_that_is_kept(home: Home) -> None:
    wanted.keep(home, mqtt=True)

    first, second = (settle(home, {}, ["nats"], []) for _ in range(2))

    port = first.site.ports["mqtt"]
    assert second.site.ports["mqtt"] == port
    assert read_json(home.endpoints)["mqtt"] == f"mqtt://127.0.0.1:{port}"
    assert f'mqtt {{ listen: "127.0.0.1:{port}" }}' in config_text(second.site)


def test_mqtt_goes_when_it_is_not_wanted_any_more(home: Home) -> None:
    wanted.keep(home, mqtt=True)
    settle(home, {}, ["nats"], [])

    wanted.keep(home, mqtt=False)
    plan = settle(home, {}, ["nats"], [])

    assert "mqtt" not in read_json(home.endpoints)
    assert plan.site.mqtt is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no object"),
        ('{"mqtt": "yes"}', "mqtt is neither true nor false"),
        ('{"mqqt": true}', "knows no mqqt"),
    ],
)
def test_a_wrong_file_is_named_and_neither_used_nor_overwritten(
    home: Home, text: str, reason: str
) -> None:
    home.settings.write_text(text)

    with pytest.raises(wanted.SettingsError, match=reason) as raised:
        wanted.read(home)
    with pytest.raises(wanted.SettingsError):
        wanted.keep(home, mqtt=True)

    assert json.dumps({"mqtt": True}) in str(raised.value)
    assert home.settings.read_text() == text


def test_a_file_that_cannot_be_read_is_named(home: Home) -> None:
    home.settings.mkdir()

    with pytest.raises(wanted.SettingsError, match="cannot be read"):
        wanted.read(home)
