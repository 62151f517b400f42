# SPDX-License-Identifier: Apache-2.0
"""alerts.toml: which channels it names, and what is said of a file that cannot be used."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from mlops.chassis.errors import UnavailableError
from mlops.monitoring.adapters.channels_file import ChannelsFile, rules_of
from mlops.monitoring.model.notices import Channel, Quiet

SECRET = "hush-hush-99"


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "alerts.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def read(folder: Path, text: str, mode: int = 0o600) -> str | None:
    return ChannelsFile(write(folder, text, mode), {}).read().problem


def test_without_a_file_there_are_no_channels_and_no_problem(tmp_path: Path) -> None:
    found = ChannelsFile(tmp_path / "alerts.toml", {}).read()

    assert (found.channels, found.problem) == ({}, None)


def test_a_channel_has_a_least_severity_and_quiet_hours(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[channels.chat]\nurl = "slack://x"\ndefault = true\n'
        '[channels.phone]\nurl = "pover://x"\nleast = "critical"\n'
        'quiet_hours = "22:00-07:30"\ntimezone = "Europe/Berlin"\n',
    )

    found = ChannelsFile(path, {}).read().channels

    assert {name: rules_of(entry) for name, entry in found.items()} == {
        "chat": Channel(least=2, bundles=True),
        "phone": Channel(3, Quiet(time(22), time(7, 30), ZoneInfo("Europe/Berlin")), bundles=True),
    }
    assert [name for name, entry in found.items() if entry.default] == ["chat"]


def test_a_secret_comes_from_the_environment(tmp_path: Path) -> None:
    path = write(tmp_path, '[channels.chat]\nurl = "slack://${TOKEN}/${ROOM}"')
    file = ChannelsFile(path, {"TOKEN": SECRET})
    url = file.read().channels["chat"].url
    assert url is not None

    with pytest.raises(UnavailableError, match="variable ROOM is not set") as error:
        file.filled(url)

    assert SECRET not in str(error.value)
    assert ChannelsFile(path, {"TOKEN": "a", "ROOM": "b"}).filled(url) == "slack://a/b"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_not_used(tmp_path: Path, mode: int) -> None:
    problem = read(tmp_path, '[channels.chat]\nurl = "slack://x"', mode)

    assert problem == (
        f"others on this machine can read {tmp_path}/alerts.toml, and channels' addresses are "
        f"secrets: chmod 600 {tmp_path}/alerts.toml"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[channels.chat", "it is no TOML"),
        ("[channels.chat]", "give it either `url` or `webhook`"),
        (f'[channels.chat]\nurl = "{SECRET}"\nwebhook = "http://x"', "either `url` or `webhook`"),
        (f'[channels.chat]\nurl = "x://"\nsecret = "{SECRET}"', "signs what a `webhook` gets"),
        (f'[channels.chat]\nurl = "{SECRET}"\nleast = "loud"', "info, warning or critical"),
        (f'[channels.chat]\nurl = "{SECRET}"\nquiet_hours = "10pm"', '"22:00-07:00"'),
        (
            f'[channels.chat]\nurl = "{SECRET}"\nquiet_hours = "22:00-07:00"\ntimezone = "Moon"',
            "no such `timezone` is known",
        ),
        (f'[channels."{SECRET}/x"]\nurl = "x://"', "small letters, digits and dashes"),
        (f'[channels.chat]\nurl = "{SECRET}"\ncolour = "red"', "channels.chat.colour"),
    ],
)
def test_a_file_that_makes_no_sense_says_what_is_wrong(
    tmp_path: Path, text: str, said: str
) -> None:
    assert said in (read(tmp_path, text) or "")


@pytest.mark.parametrize(
    "text",
    [
        f'[channels.chat]\nurl = "{SECRET}"\nwebhook = "{SECRET}"',
        f'[channels."slack://{SECRET}"]\nurl = "x://"',
        f'[channels.chat]\nurl = "x://"\n"slack://{SECRET}" = 1',
        f'"slack://{SECRET}" = 1',
        f'[channels.chat]\nurl = "x://"\nquiet_hours = "22:00-07:00"\ntimezone = "{SECRET}"',
        f'[channels."slack://{SECRET}"]\n[channels."slack://{SECRET}"]',
        f'[channels.chat]\nurl = {{"{SECRET}" = 1, "{SECRET}" = 2}}',
    ],
)
def test_no_problem_says_an_address(tmp_path: Path, text: str) -> None:
    problem = read(tmp_path, text)

    assert problem is not None
    assert SECRET not in problem


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = ChannelsFile(write(tmp_path, '[channels.chat]\nurl = "slack://x"'), {})
    before = list(file.read().channels)

    write(tmp_path, '[channels.mail]\nurl = "mailto://longer"')

    assert (before, list(file.read().channels)) == (["chat"], ["mail"])


def test_quiet_hours_without_a_zone_are_those_of_utc(tmp_path: Path) -> None:
    path = write(tmp_path, '[channels.chat]\nurl = "slack://x"\nquiet_hours = "22:00-07:00"')
    quiet = rules_of(ChannelsFile(path, {}).read().channels["chat"]).quiet
    assert quiet is not None

    assert quiet.covers(datetime(2026, 5, 1, 23, tzinfo=UTC))
    assert not quiet.covers(datetime(2026, 5, 1, 12, tzinfo=UTC))
