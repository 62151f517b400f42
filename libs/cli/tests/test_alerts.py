# SPDX-License-Identifier: Apache-2.0
"""alerts: what is open, who has seen it, what is silenced, and whether a channel works."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from libs.cli.tests.conftest import Door, Refuse

from mlops.cli import channels

NOTICE = {"channel": "chat", "why": "raised", "told_at": None, "tries": 3, "error": "chat is away"}
OPEN = {
    "alert_id": "aa-1",
    "project": "rain",
    "model": "rain",
    "severity": "critical",
    "title": "worse",
    "suggestion": "Retrain.",
    "open": True,
    "silenced": False,
    "acknowledged_by": None,
    "notices": [NOTICE],
}
ALERTS = [
    OPEN,
    {**OPEN, "alert_id": "aa-2", "acknowledged_by": "ada"},
    {**OPEN, "alert_id": "ab-3", "silenced": True},
    {**OPEN, "alert_id": "ab-4", "open": False},
]
SILENCE = {
    "silence_id": "ss-1",
    "project": "rain",
    "holds": True,
    "until": "2026-05-01T13:00:00Z",
    "by": "ada",
    "why": "sensor",
}


@pytest.fixture
def watched(door: Door) -> Door:
    door.answers["/api/v1/alerts"] = {"alerts": ALERTS}
    door.answers["/api/v1/alerts/silences"] = {"silences": [SILENCE]}
    door.answers["/api/v1/alerts/channels"] = {
        "channels": [{"name": "chat", "least": "warning", "default": True, "quiet_now": False}],
        "problem": "others can read it",
        "missing": {"rain": ["chatt"]},
    }
    door.answers["/api/v1/alerts/channels/chat/test"] = {"name": "chat", "notice_id": "n-1"}
    return door


def event(type_: str, **said: Any) -> dict[str, Any]:
    return {"type": type_, "subject": "aa-1", "data": said}


def test_open_alerts_are_listed_with_their_state(watched: Door) -> None:
    shown = watched.run("alerts").stdout.splitlines()
    watched.run("alerts", "list", "--all", "-p", "rain")

    states = ["open", "seen by ada", "silenced", "resolved"]
    assert [state in line for state, line in zip(states, shown[1:], strict=True)] == [True] * 4
    assert watched.queries("/api/v1/alerts") == [
        {"open": "true"},
        {"project": "rain"},
    ]


def test_options_before_the_word_are_not_passed_over(watched: Door) -> None:
    found = watched.run("alerts", "--all", "list")

    assert found.exit_code == 2
    assert "mlops alerts list" in found.stderr


def test_an_alert_is_shown_with_what_to_do_and_who_was_told(watched: Door) -> None:
    shown = watched.run("alerts", "show", "aa-1").stdout

    assert "Retrain." in shown
    assert "chat is away" in shown
    assert watched.json("alerts", "show", "aa-1") == OPEN


def test_an_alert_is_acknowledged_by_the_beginning_of_its_id(watched: Door) -> None:
    watched.will_answer(event("alert.acknowledged", alert_id="aa-1", by="ada"))

    found = watched.run("alerts", "ack", "aa-1", "--by", "ada")

    assert found.exit_code == 0, found.output
    assert watched.bodies("/api/v1/commands") == [
        {
            "type": "cmd.alert.acknowledge",
            "project": "rain",
            "data": {"alert_id": "aa-1", "by": "ada"},
        }
    ]


@pytest.mark.parametrize(("words", "said"), [("aa", "2 have"), ("zz", "nothing has")])
def test_an_id_that_does_not_say_which_is_refused(watched: Door, words: str, said: str) -> None:
    found = watched.run("alerts", "ack", words)

    assert found.exit_code == 2
    assert said in found.stderr
    assert watched.bodies("/api/v1/commands") == []


def test_alerts_are_silenced_for_a_while(watched: Door) -> None:
    watched.will_answer(event("alert.silenced", silence_id="ss-1"))
    before = datetime.now(UTC)

    found = watched.run(
        "alerts", "silence", "--for", "2h", "-p", "rain", "-m", "rain", "--why", "sensor"
    )

    assert found.exit_code == 0, found.output
    (wish,) = watched.bodies("/api/v1/commands")
    until = datetime.fromisoformat(wish["data"].pop("until"))
    assert timedelta(0) <= until - before - timedelta(hours=2) < timedelta(minutes=1)
    assert wish["type"] == "cmd.alert.silence"
    assert wish["data"].pop("by")
    assert wish["data"] == {"model": "rain", "kind": None, "why": "sensor"}


@pytest.mark.parametrize("lasts", ["soon", "0s", "-1h"])
def test_a_silence_needs_a_time(watched: Door, lasts: str) -> None:
    found = watched.run("alerts", "silence", "--for", lasts, "-p", "rain")

    assert found.exit_code == 2
    assert "30m" in found.stderr


def test_a_silence_is_ended(watched: Door) -> None:
    watched.will_answer(event("alert.unsilenced", silence_id="ss-1"))

    found = watched.run("alerts", "unsilence", "ss", "--by", "ada")

    assert found.exit_code == 0, found.output
    (wish,) = watched.bodies("/api/v1/commands")
    assert (wish["project"], wish["data"]) == ("rain", {"silence_id": "ss-1", "by": "ada"})


def test_silences_are_listed(watched: Door) -> None:
    assert "sensor" in watched.run("alerts", "silences").stdout
    assert watched.json("alerts", "silences") == [SILENCE]


def test_channels_are_listed_with_what_is_wrong(watched: Door) -> None:
    shown = watched.run("alerts", "channels").stdout

    assert "chat" in shown
    assert "problem: others can read it" in shown
    assert "problem: rain names chatt" in shown


def test_a_channel_is_tried(watched: Door) -> None:
    good = watched.run("alerts", "test", "chat")
    watched.answers["/api/v1/alerts/channels/gone/test"] = Refuse(503, "gone is away")
    bad = watched.run("alerts", "test", "gone")

    assert (good.exit_code, "chat has taken it" in good.stdout) == (0, True)
    assert (bad.exit_code, "gone is away" in bad.stderr) == (1, True)


def test_every_channel_is_tried_although_one_fails(watched: Door) -> None:
    watched.answers["/api/v1/alerts/channels"] = {
        "channels": [{"name": "gone"}, {"name": "chat"}], "problem": None, "missing": {},
    }  # fmt: skip
    watched.answers["/api/v1/alerts/channels/gone/test"] = Refuse(503, "gone is away")

    found = watched.run("alerts", "test")

    assert found.exit_code == 1
    assert "gone: " in found.stdout
    assert "gone is away" in found.stdout
    assert "chat has taken it" in found.stdout


def test_programs_get_a_list_where_no_channel_is_named(watched: Door) -> None:
    watched.answers["/api/v1/alerts/channels"] = {
        "channels": [{"name": "chat"}], "problem": None, "missing": {},
    }  # fmt: skip
    taken = {"name": "chat", "notice_id": "n-1"}

    assert watched.json("alerts", "test") == [taken]
    assert watched.json("alerts", "test", "chat") == taken


def test_what_does_not_fit_into_one_answer_is_said(watched: Door) -> None:
    watched.answers["/api/v1/alerts"] = {"alerts": ALERTS, "left_out": 7}

    assert "7 more" in watched.run("alerts").stdout


@pytest.mark.parametrize(
    ("text", "verdict", "said"),
    [
        (None, "ok", "monitoring's log only"),
        ('[channels.chat]\nurl = "slack://s3cr3t/x"\ndefault = true\n', "ok", "channels: chat"),
        ('[channels.chat]\nurl = "slack://s3cr3t/x"\n', "warn", "none is a default"),
        ('[channels.chat]\nurl = "slack://${NOT_SET}"\n', "warn", "not set here: NOT_SET"),
        ('[channels.chat]\nurl = "s3cr3t\n', "fail", "no TOML"),
        ('[channels.chat]\nuri = "s3cr3t"\n', "fail", "channels.chat.uri: nobody knows this word"),
        ('[channels.Chat]\nurl = "s3cr3t"\n', "fail", "small letters"),
        (
            '[channels.a]\nsecret = "s3cr3t"\n[channels.b]\nurl = "x"\nquiet_hours = "s3cr3t"\n',
            "fail",
            "channels.a: give it either `url` or `webhook`; channels.b: `quiet_hours` are written as",
        ),
    ],
)
def test_doctor_says_what_is_wrong_with_the_channels(
    tmp_path: Path, text: str | None, verdict: str, said: str
) -> None:
    file = tmp_path / "alerts.toml"
    if text is not None:
        file.touch(0o600)
        file.write_text(text)

    found = channels.examine(file, {})

    assert (found[0], said in found[1]) == (verdict, True), found
    assert "s3cr3t" not in "".join(found)
    assert (found[0] == "ok") == (found[2] == "")


def test_doctor_says_how_to_close_a_file_that_others_can_read(tmp_path: Path) -> None:
    file = tmp_path / "alerts.toml"
    file.write_text('[channels.chat]\nurl = "slack://x"\n')
    file.chmod(0o640)

    assert channels.examine(file, {})[0] == "fail"
    assert channels.examine(file, {})[2] == f"chmod 600 {file}"
