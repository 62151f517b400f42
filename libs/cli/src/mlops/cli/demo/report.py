# SPDX-License-Identifier: Apache-2.0
"""Report: the demo as one HTML page with its picture, and the same figures as JSON."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path

from mlops.cli.demo.figure import draw
from mlops.cli.demo.outcome import Outcome
from mlops.cli.demo.plan import Plan
from mlops.cli.demo.story import Story
from mlops.contracts.report_paths import PERIODS

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color-scheme: light dark; }
img { width: 100%; background: #fff; border-radius: 6px; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
.good { color: #0b8457; } .bad { color: #c0392b; } code { font-size: .92em; }
"""


def write(
    reports: Path, project: str, until: datetime, plan: Plan, story: Story, outcome: Outcome
) -> Path:
    """Write the page, its figures and its picture among the project's reports over a time; return the page."""
    name = _name(until - timedelta(seconds=outcome.seconds), until)
    folder = reports / PERIODS / project
    picture = folder / name / "loop.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    draw(picture, plan, story, outcome)
    (folder / f"{name}.json").write_text(json.dumps(outcome.as_json(), indent=1) + "\n")
    page = folder / f"{name}.html"
    page.write_text(_page(plan, story, outcome, picture.read_bytes()))
    return page


def _name(since: datetime, until: datetime) -> str:
    """Return what monitoring calls the files of a time, so that the list of reports says which time it was."""
    first, last = (f"{one.astimezone(UTC):%Y-%m-%dT%H%M%S}" for one in (since, until))
    return f"{first}--{last}-demo"


def _page(plan: Plan, story: Story, outcome: Outcome, picture: bytes) -> str:
    verdict = (
        '<b class="good">The loop closed by itself.</b>'
        if outcome.closed
        else f'<b class="bad">The loop did not close: {escape(outcome.why_not)}.</b>'
    )
    image = base64.b64encode(picture).decode()
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Closed loop: {escape(plan.name)} demo</title>
<style>{_STYLE}</style></head><body>
<h1>From drift to a better model in production</h1>
<p>{verdict} {plan.days} days of weather were replayed through the inference door; labels came
{plan.label_delay_days} days later. Retraining listens to labels; input drift is a warning.</p>
<img alt="Accuracy over time, with every event" src="data:image/png;base64,{image}">
<h2>Figures</h2>{_figures(outcome)}
<h2>Episodes</h2>{_episodes(outcome)}
<h2>What happened</h2>{_moments(story)}
</body></html>
"""


def _figures(outcome: Outcome) -> str:
    rows = [
        (
            "accuracy",
            f"{outcome.accuracy_overall:.4f} overall, {outcome.accuracy_last10:.4f} in the last ten windows",
        ),
        *(
            (
                f"{name} retrained",
                f"{line['accuracy_overall']:.4f} overall, {line['accuracy_last10']:.4f}; {line['retrainings']} retrainings",
            )
            for name, line in outcome.baselines.items()
        ),
        (
            "retrainings, promotions, rollouts",
            f"{outcome.retrainings}, {outcome.promotions}, {outcome.rollouts}",
        ),
        (
            "requests",
            f"{outcome.requests} with {outcome.predictions} predictions; {outcome.failed_requests} failed, {outcome.retried_requests} retried",
        ),
        ("lost, done twice", _sound(outcome)),
        *(
            (f"killed {one['component']}", f"kill -9 at {one['event']}, {one['at']}")
            for one in outcome.killed
        ),
        (
            "seconds",
            f"{outcome.seconds:g}: "
            + ", ".join(f"{k} {v:g}" for k, v in outcome.seconds_by_phase.items()),
        ),
    ]
    cells = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows
    )
    return f"<table>{cells}</table>"


def _sound(outcome: Outcome) -> str:
    audit = outcome.audit
    lost = f"{audit['predictions_lost']} predictions and {audit['labels_lost']} labels lost"
    return f"{lost}; {', '.join(audit['repeated']) or 'nothing'} done twice"


def _episodes(outcome: Outcome) -> str:
    rows = "".join(
        f"<tr><td>{episode['day']}</td><td>{escape(episode['kind'])}</td><td>{escape(episode['why'])}</td>"
        f"<td>{escape(episode['outcome'])}</td><td>{episode['version'] or ''}</td>"
        f"<td>{escape(', '.join(f'{name} {seconds:g}' for name, seconds in episode['hops_s'].items()))}</td>"
        f"<td><code>mlops explain {escape(episode['workflow_key'])}</code></td></tr>"
        for episode in outcome.episodes
    )
    head = "<tr><th>day</th><th>kind</th><th>why</th><th>outcome</th><th>version</th><th>hops, seconds</th><th>story</th></tr>"
    return f"<table>{head}{rows}</table>"


def _moments(story: Story) -> str:
    rows = "".join(
        f"<tr><td>{moment.day}</td><td><code>{escape(moment.type)}</code></td><td>{escape(moment.text)}</td></tr>"
        for moment in story.moments
    )
    return f"<table><tr><th>day</th><th>event</th><th></th></tr>{rows}</table>"
