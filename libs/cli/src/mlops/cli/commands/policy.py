# SPDX-License-Identifier: Apache-2.0
"""policy simulate|show|test: which retrainings the settings of a project let through, and which others would have."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import output, publishing
from mlops.cli.commands.events import beginning
from mlops.cli.commands.policy_views import print_policy, print_verdict
from mlops.cli.errors import InputError
from mlops.cli.gateway import Gateway
from mlops.cli.options import HomeOption, JsonOption, ProjectOption, home_of
from mlops.cli.policy import history, picture, words
from mlops.cli.policy.found import By, news, ranked
from mlops.cli.policy.playing import Asked, played
from mlops.cli.policy.trial import Trial, trials_of
from mlops.cli.progress import Progress
from mlops.cli.project import project_named

app = typer.Typer(
    no_args_is_help=True, help="What starts a retraining, and what other settings would have done."
)
_PICTURE = "timeline.svg"
_MOST_SHOWN = 20
_USUAL = "30d"
_TEST_TYPES = (
    "drift.detected",
    "performance.degraded",
    "performance.measured",
    "cmd.workflow.start",
)

_Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A setting to try, such as retrain.cooldown=1h; values by commas try each. retrain.on takes types joined by +, or `nothing`.",
    ),
]
_Since = Annotated[
    str,
    typer.Option(
        help='How far back: "12h", "all", or a time; default: "30d", and of a file everything.'
    ),
]
_Until = Annotated[str, typer.Option(help="Up to when; default: the last message.")]
_From = Annotated[
    Path | None,
    typer.Option("--from", help="A file of `mlops events tail --json` instead of the bus."),
]
_Settings = Annotated[
    Path | None,
    typer.Option(help="Folder or mlops.toml, where the history does not hold the settings."),
]
_Lasts = Annotated[
    str, typer.Option(help="How long a retraining lasts that never was; default: the median.")
]
_Approval = Annotated[
    str, typer.Option(help="When a person approves one that never was; default: at once.")
]
_Rank = Annotated[By, typer.Option(help="What policies are ranked by; less is better.")]
_Out = Annotated[
    Path | None, typer.Option(help="Folder for report.md, timeline.svg and results.json.")
]


@app.command()
def simulate(
    set_: _Set = None,
    since: _Since = "",
    until: _Until = "",
    from_: _From = None,
    settings: _Settings = None,
    lasts: _Lasts = "",
    approval: _Approval = "",
    rank: _Rank = By.UNANSWERED,
    out: _Out = None,
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Try settings on what was recorded: when it would have retrained, what declined, at what energy; beside what happened."""
    trials = trials_of(set_ or ())
    now = datetime.now(UTC)
    name = project_named(project, Path.cwd())
    since = since or ("all" if from_ else _USUAL)
    begin = beginning(since, now, live=False)
    end = beginning(until, now, live=False, option="--until") if until else None
    _check_length("--lasts", lasts)
    _check_length("--approval", approval)
    if begin and end and begin >= end:
        raise InputError("--since is not before --until", "turn them round")
    _prepare(out)
    with (
        tempfile.TemporaryDirectory(prefix="mlops-policy-") as folder,
        Progress("replaying", quiet=as_json) as progress,
    ):
        file, known = _history(from_, settings, name, home, Path(folder), progress)
        asked = Asked(name, file, trials, begin, end, known, lasts, approval)
        result = played(asked, Path(folder), progress)
    if out is not None:
        source = ["--from", str(from_)] if from_ else []
        period = [*source, "--since", since, *(["--until", until] if until else [])]
        _write(out, result, rank, _command(trials, period, rank, name))
    if as_json:
        output.print_json({**result, "policies": ranked(result, rank)})
        return
    _show(result, rank, out)


@app.command()
def show(
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show the policy in force: what asks for a retraining, who says yes, what holds it back, and what is used up."""
    name = project_named(project, Path.cwd())
    with Gateway(home_of(home)) as gateway:
        known = gateway.query("workspaces", "get", project=name)["project"]
        queues = gateway.query("orchestration_bridge", "queue", project=name)["projects"]
    queue: dict[str, Any] = next((one for one in queues if one["project"] == name), {})
    if as_json:
        output.print_json({"project": name, "settings": known["settings"], "queue": queue})
        return
    print_policy(name, known["settings"], queue)


@app.command("test")
def ask(
    what: Annotated[
        str, typer.Argument(metavar="FILE|-|TYPE", help="An event as JSON, or its type.")
    ],
    fields: Annotated[str, typer.Argument(help="With a TYPE: its fields as JSON.")] = "{}",
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Say what an event would do now, and why. It is not sent, and nothing changes."""
    name = project if publishing.is_stored(what) else project_named(project, Path.cwd())
    events = publishing.messages_in(what, fields, name)
    found = [_verdict(home, event) for event in events]
    if as_json:
        output.print_json(found if len(found) > 1 else found[0])
        return
    for one in found:
        print_verdict(one)


def _verdict(home: Path | None, event: Mapping[str, Any]) -> dict[str, Any]:
    if event["type"] not in _TEST_TYPES:
        raise InputError(
            f"{event['type']} asks for no workflow", f"these may: {', '.join(_TEST_TYPES)}"
        )
    with Gateway(home_of(home)) as gateway:
        found = gateway.query(
            "orchestration_bridge", "verdict", project=event["project"], event=json.dumps(event)
        )
    return {"type": event["type"], **found}


def _history(
    given: Path | None,
    settings: Path | None,
    name: str,
    home: Path | None,
    folder: Path,
    progress: Progress,
) -> tuple[Path, str]:
    if given is not None:
        return history.checked_file(given), history.settings_of(settings) if settings else ""
    file = folder / "history.jsonl"
    count = history.recorded(home_of(home), name, file, progress)
    if not count:
        raise InputError(
            f"nothing is recorded of project {name!r}", "`mlops projects` shows the names"
        )
    known = history.settings_of(settings) if settings else history.settings_now(home_of(home), name)
    return file, known


def _check_length(option: str, text: str) -> None:
    from mlops.contracts.units import parse_duration  # noqa: PLC0415 - slow to import

    if not text:
        return
    try:
        parse_duration(text)
    except ValueError as error:
        raise InputError(f"{option} {text}: {error}", 'write it as "30m", "2h" or "1d"') from error


def _prepare(folder: Path | None) -> None:
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {folder}: {error.strerror}", "change --out") from error


def _command(trials: Sequence[Trial], period: Sequence[str], rank: By, name: str) -> str:
    values: dict[str, list[str]] = {}
    for word in (word for trial in trials for word in trial.words):
        setting, _, value = word.partition("=")
        values.setdefault(setting, []).append(value)
    said = [f"{setting}={','.join(dict.fromkeys(found))}" for setting, found in values.items()]
    said = [part for one in said for part in ("--set", one)]
    return shlex.join(["mlops", "policy", "simulate", "-p", name, *period, *said, "--rank", rank])


def _write(folder: Path, result: dict[str, Any], rank: By, command: str) -> None:
    output.write_text(picture.drawn(result, rank), folder / _PICTURE)
    output.write_text(words.report(result, rank, command, _PICTURE), folder / "report.md")
    output.write_text(json.dumps(result, indent=1) + "\n", folder / "results.json")


def _show(result: dict[str, Any], rank: By, out: Path | None) -> None:
    output.print_rows(words.COLUMNS, words.rows(result, rank), "nothing", ("follow-ups", "time"))
    output.say("")
    for line in (*words.time_lines(result, rank), "", *words.readings(result)):
        output.say(line)
    for one in ranked(result, rank):
        _show_news(one, result["happened"])
    if out is not None:
        output.say(f"{out / 'report.md'} has every decision, {out / _PICTURE} the picture")


def _show_news(policy: Mapping[str, Any], happened: Mapping[str, Any]) -> None:
    different = news(policy, happened) if policy["settings"] else []
    if not different:
        return
    output.say(f"\n{policy['name']}: decided otherwise than what happened")
    columns = ("at", "asked by", "model", "verdict", "why")
    rows = words.decision_rows(different[:_MOST_SHOWN])
    output.print_rows(columns, rows, "nothing", ("model",))
    if len(different) > _MOST_SHOWN:
        output.say(f"and {len(different) - _MOST_SHOWN} more; --out FOLDER writes them all")
