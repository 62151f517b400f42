# SPDX-License-Identifier: Apache-2.0
"""token: the command signs what the gateway and the replicas then open, and says what a token is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from libs.cli.tests.conftest import TOKEN, Door
from typer.testing import CliRunner

from mlops.chassis.tokens import Tokens
from mlops.cli.main import app

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def test_a_token_opens_what_it_was_made_for_and_needs_no_platform(door: Door) -> None:
    (door.home / "endpoints.json").unlink()

    made = door.run("token", "create", "-p", "fraud", "-p", "rain", "--can", "infer", "--can", "read")  # fmt: skip

    assert made.exit_code == 0, made.output
    caller = Tokens(TOKEN).judge(made.stdout.strip(), datetime.now(UTC))
    assert caller.projects == frozenset({"fraud", "rain"})
    assert caller.acts == {"infer", "read"}
    assert door.asked == []


def test_a_token_lasts_as_long_as_was_said_thirty_days_unless_said(door: Door) -> None:
    usual = door.json("token", "create", "-p", "fraud", "--name", "ci")
    short = door.json("token", "create", "-p", "fraud", "--expires", "12h")

    assert (usual["name"], usual["can"]) == ("ci", ["infer"])
    assert _lasts(usual) == timedelta(days=30)
    assert _lasts(short) == timedelta(hours=12)


def test_inspect_says_whose_a_token_is_and_what_it_opens(door: Door) -> None:
    made = door.json("token", "create", "-p", "fraud", "--name", "ci")

    found = door.json("token", "inspect", made["token"])
    shown = door.run("token", "inspect", made["token"])
    own = door.run("token", "inspect", TOKEN)

    del made["token"]
    assert found == {**made, "state": "active"}
    assert "fraud" in shown.stdout
    assert "all, and the platform itself" in own.stdout


def test_inspect_reads_a_token_from_standard_input(door: Door) -> None:
    token = Tokens(TOKEN).sign("ann", ["fraud"], ["infer"], datetime.now(UTC), timedelta(days=1))
    words = ["--home", str(door.home), "token", "inspect", "-", "--json"]
    found = CliRunner().invoke(app, words, input=f"{token}\n")

    assert json.loads(found.stdout)["name"] == "ann"


def test_inspect_shows_that_a_token_has_expired(door: Door) -> None:
    token = Tokens(TOKEN).sign("ann", ["fraud"], ["infer"], LONG_AGO, timedelta(days=1))

    assert door.json("token", "inspect", token)["state"] == "expired"


def test_a_token_of_another_installation_is_refused(door: Door) -> None:
    token = Tokens("x" * 24).sign("ann", ["fraud"], ["infer"], LONG_AGO, timedelta(days=1))

    found = door.run("token", "inspect", token)

    assert found.exit_code == 2
    assert "the token is wrong" in found.stderr
    assert "mlops token create" in found.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("-p", "Fraud!"),
        ("-p", ""),
        ("-p", "fraud", "--can", "fly"),
        ("-p", "fraud", "--expires", "soon"),
        ("-p", "fraud", "--expires", "0s"),
        ("-p", "fraud", "--expires", "99999d"),
        (),
    ],
)
def test_what_makes_no_token_is_refused(door: Door, words: tuple[str, ...]) -> None:
    found = door.run("token", "create", *words)

    assert found.exit_code == 2
    assert found.stdout == ""


def test_without_the_installations_token_nothing_is_signed(door: Door) -> None:
    (door.home / "credentials.json").unlink()

    found = door.run("token", "create", "-p", "fraud")

    assert found.exit_code == 2
    assert "mlops up" in found.stderr


def _lasts(made: dict[str, str]) -> timedelta:
    return datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["issued_at"])
