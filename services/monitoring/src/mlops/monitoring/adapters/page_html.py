# SPDX-License-Identifier: Apache-2.0
"""The page of a report: one HTML file without anything from outside, for screens by day and night and for paper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from html import escape
from typing import Any

from mlops.monitoring.adapters import page_before
from mlops.monitoring.adapters import page_charts as charts
from mlops.monitoring.model.reports_words import energy, span

Found = dict[str, Any]

_DARK = {
    "ink": "#e8ecf2", "muted": "#95a1b2", "grid": "#2c3542", "paper": "#171d26", "blue": "#6ea0ff",
    "green": "#3fca95", "red": "#f0727b", "amber": "#f0b04a", "violet": "#ac92f0",
}  # fmt: skip
_STYLE = """
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:76rem;margin:0 auto;padding:2.4rem 1.4rem 3rem}
header p.when{color:var(--muted);margin:0}h1{font-size:2rem;line-height:1.2;margin:.1rem 0 .6rem;letter-spacing:-.02em}
.lead{font-size:1.16rem;max-width:52rem;margin:.2rem 0 1.6rem}.lead b{font-weight:600}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));gap:.8rem;margin:0 0 1.6rem}
.tile,.card{background:var(--paper);border:1px solid var(--grid);border-radius:12px;padding:.9rem 1.1rem}
.tile small{color:var(--muted);display:block}.tile strong{font-size:1.65rem;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.good strong{color:var(--green)}.bad strong{color:var(--red)}.warn strong{color:var(--amber)}
h2{font-size:1.22rem;margin:2.2rem 0 .8rem}h2 span{color:var(--muted);font-weight:400}h3{font-size:.95rem;margin:0 0 .3rem}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(30rem,100%),1fr));gap:.9rem}
.card svg{display:block;width:100%;height:auto;font-family:inherit}.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{color:var(--muted);font-weight:500;text-align:left}th,td{padding:.38rem .9rem .38rem 0;border-bottom:1px solid var(--grid);vertical-align:top}
tr:last-child td{border-bottom:0}td.n,th.n{text-align:right}.pill{border-radius:99px;padding:.05rem .55rem;font-size:.82rem;border:1px solid currentColor;white-space:nowrap}
.c-good{color:var(--green)}.c-bad{color:var(--red)}.c-warn{color:var(--amber)}.c-mute,.none,footer{color:var(--muted)}
footer{margin-top:2.6rem;font-size:.88rem}a{color:var(--blue)}
@media print{body{background:#fff;font-size:10.5pt}main{max-width:none;padding:0}.card,.tile,tr{break-inside:avoid}h2{break-after:avoid}}
"""
_MODELS_DRAWN = 12
_ROWS = 60
_GOOD = {"completed": "c-good", "failed": "c-bad", "stale": "c-bad", "cancelled": "c-mute"}


def page(report: Found, drawn: charts.Pictures, figures_name: str, zone: tzinfo) -> str:
    """Return the page; pictures are drawn on the way."""
    return _Page(report, drawn, zone).whole(figures_name)


class _Page:
    def __init__(self, report: Found, drawn: charts.Pictures, zone: tzinfo) -> None:
        self.report, self.drawn, self.zone = report, drawn, zone
        self.since = datetime.fromisoformat(report["period"]["since"])
        self.width = (datetime.fromisoformat(report["period"]["until"]) - self.since) / max(
            1, report["steps"]
        )

    def whole(self, figures_name: str) -> str:
        title = self.report["project"] or "All projects"
        sections = [] if self.report["empty"] else self._sections()
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">'
            f"<title>{escape(title)}: {escape(self._when())}</title><style>{_colours()}{_STYLE}</style></head><body><main>"
            f'<header><p class="when">{escape(self._name())} · {escape(self._when())}</p><h1>{escape(title)}</h1>'
            f"{self._lead()}</header>{''.join(sections)}"
            f'<footer>Times are {escape(str(self.zone))}. The same figures as JSON: <a href="{escape(figures_name)}">{escape(figures_name)}</a>. '
            "Energy of answers and trainings is their share of what their machines took.</footer></main></body></html>\n"
        )

    def _sections(self) -> list[str]:
        return [
            self._tiles(),
            self._before(),
            self._story(),
            self._projects(),
            *(
                self._model(one, index)
                for index, one in enumerate(self._drawn_first()[:_MODELS_DRAWN])
            ),
            self._not_drawn(),
            self._trainings(),
            self._changes(),
            self._alerts(),
            self._energy(),
            self._machines(),
        ]

    def _name(self) -> str:
        return {"day": "Daily report", "week": "Weekly report"}.get(
            self.report["period"]["name"], "Report"
        )

    def _when(self) -> str:
        first, last = (self._local(self.report["period"][end]) for end in ("since", "until"))
        return f"{first:%a %d %b %Y %H:%M} to {last:%a %d %b %Y %H:%M}"

    def _local(self, text: str) -> datetime:
        return datetime.fromisoformat(text).astimezone(self.zone)

    def _at(self, text: str) -> str:
        return f"{self._local(text):%d %b %H:%M}"

    def _lead(self) -> str:
        first, *rest = self.report["headline"]
        return f'<p class="lead"><b>{escape(first)}</b> {escape(" ".join(rest))}</p>'

    def _tiles(self) -> str:
        return f'<div class="tiles">{"".join(_tiles(self.report))}</div>'

    def _before(self) -> str:
        if not self.report["changes"]:
            return ""
        rows, said = page_before.rows(self.report)
        more = f'<p class="none">{escape(said)}</p>' if said else ""
        title = f"Against the {self.report['period']['name']} before"
        return f'<h2>{title}</h2><div class="card wide">{_table(page_before.HEAD, rows, "")}{more}</div>'

    def _story(self) -> str:
        moments = self.report["moments"]
        if not moments:
            return ""
        left_out = self.report["moments_left_out"]
        more = f" <span>{left_out} earlier ones are not drawn</span>" if left_out else ""
        svg = self.drawn.draw("story", "Everything that happened, by kind and time", charts.story(moments), charts.story_size(moments))  # fmt: skip
        return f'<h2>What happened{more}</h2><div class="card wide">{svg}</div>'

    def _by_traffic(self) -> list[Found]:
        return sorted(self.report["models"], key=lambda one: -one["traffic"]["predictions"])

    def _drawn_first(self) -> list[Found]:
        """Return the models: those that did worse than promised first, of each kind the busiest."""
        return sorted(
            self._by_traffic(),
            key=lambda one: not any(q["degraded_windows"] for q in one["quality"]),
        )

    def _not_drawn(self) -> str:
        others = len(self.report["models"]) - _MODELS_DRAWN
        said = f"{others} more models answered; their figures stand in the file named below."
        return f'<p class="none">{said}</p>' if others > 0 else ""

    def _projects(self) -> str:
        if self.report["project"] or not self.report["models"]:
            return ""
        rows = [
            (
                escape(one["project"]), escape(one["model"]), _versions(one), _promise(one),
                _number(one["traffic"]["predictions"]), _failed(one["traffic"]), _ms(one["traffic"]["p95_ms"]), _joules(one["traffic"]["joules_per_1000"]),
            )
            for one in self._by_traffic()
        ]  # fmt: skip
        head = ("project", "model", "versions", "by labels", "#predictions", "#failed", "#95 % within", "#J per 1000")  # fmt: skip
        return f'<h2>Models</h2><div class="card wide">{_table(head, rows, "No model answered.")}</div>'

    def _model(self, one: Found, index: int) -> str:
        project = "" if self.report["project"] else f"{one['project']} · "
        cards = [*self._quality_cards(one, index), *self._traffic_cards(one, index)]
        if any(found["columns"] for found in one["drifts"]):
            svg = self.drawn.draw(f"drift-{index}", f"Columns of {one['model']} away from their reference", charts.drift(one["drifts"]))  # fmt: skip
            cards.append(_card("Drift: columns away from their reference", svg))
        return (
            f"<h2>{escape(project + one['model'])} <span>{_versions(one)}</span></h2>"
            f'<div class="grid">{"".join(cards)}</div>'
        )

    def _quality_cards(self, one: Found, index: int) -> Iterable[str]:
        if not one["quality"]:
            yield _card("By labels", '<p class="none">No labels came for the windows of this period.</p>')  # fmt: skip
        for number, found in enumerate(one["quality"]):
            name = f"quality-{index}-{number}"
            svg = self.drawn.draw(name, f"{found['metric']} of {one['model']} by window", charts.quality(found))  # fmt: skip
            told = f"{found['metric']} {found['value']:.4g}"
            promised = "" if found["expected"] is None else f", promised {found['expected']:.4g}"
            left_out = found["windows_left_out"]
            more = f", {left_out} earlier windows are not drawn" if left_out else ""
            yield _card(f"{told}{promised}{more}", svg)

    def _traffic_cards(self, one: Found, index: int) -> Iterable[str]:
        if not one["steps"]:
            return
        svg = self.drawn.draw(f"traffic-{index}", f"Predictions of {one['model']}", charts.traffic(one["steps"], self.width))  # fmt: skip
        yield _card(f"{one['traffic']['predictions']:,} predictions, {_failed(one['traffic'])} requests failed", svg)  # fmt: skip
        if one["traffic"]["p95_ms"] is not None:
            svg = self.drawn.draw(f"latency-{index}", f"Answer times of {one['model']}", charts.latency(one["steps"], self.width))  # fmt: skip
            yield _card(f"Answer times: 95 % within {_ms(one['traffic']['p95_ms'])}", svg)

    def _trainings(self) -> str:
        why = [one for one in self.report["moments"] if one["lane"] in ("retraining", "declined")]
        asked = [(self._at(one["at"]), _project(self.report, one["scope"]), escape(one["text"]), escape(one["why"])) for one in why[-_ROWS:]]  # fmt: skip
        ended = [
            (self._at(one["at"]), _project(self.report, one["project"]), escape(one["kind"]), _pill(one["outcome"]), _span(one["lasted_s"]), energy(one["joules"]))
            for one in self.report["trainings"][-_ROWS:]
        ]  # fmt: skip
        return (
            f'<h2>Trainings</h2><div class="card wide">{_table(("ended", "", "kind", "outcome", "#took", "#energy"), ended, "No training ended in this period.")}</div>'
            + (
                f'<div class="card wide" style="margin-top:.9rem">{_table(("asked", "", "what", "why"), asked, "")}</div>'
                if asked
                else ""
            )
        )

    def _changes(self) -> str:
        lanes = ("version", "rollout", "reverted", "failed")
        rows = [
            (self._at(one["at"]), _project(self.report, one["scope"]), escape(one["text"]), escape(one["why"]))
            for one in self.report["moments"]
            if one["lane"] in lanes
        ]  # fmt: skip
        return f'<h2>Versions and rollouts</h2><div class="card wide">{_table(("when", "", "what", "why"), rows[-_ROWS:], "No version changed.")}</div>'

    def _alerts(self) -> str:
        rows = [
            (
                self._at(one["opened"]["at"]), _project(self.report, one["opened"]["project"]), _pill(one["opened"]["severity"]), escape(one["opened"]["title"]),
                self._at(one["closed"]["at"]) if one["closed"] else '<span class="c-bad">open</span>',
            )
            for one in self.report["alerts"][-_ROWS:]
        ]  # fmt: skip
        return f'<h2>Alerts</h2><div class="card wide">{_table(("raised", "", "", "what", "over"), rows, "No alert was raised.")}</div>'

    def _energy(self) -> str:
        models, trainings = self.report["models"], self.report["trainings"]
        known = [one["joules"] for one in trainings] + [one["traffic"]["joules"] for one in models]
        if not any(known):
            return '<h2>Energy</h2><p class="none">No machine here tells what it draws, so no energy is known.</p>'
        svg = self.drawn.draw("energy", "Energy of answers and trainings", charts.energy(models, trainings, self.since, self.width), (13.0, 2.4))  # fmt: skip
        per = self.report["traffic"]["joules_per_1000"]
        told = "" if per is None else f" <span>{_joules(per)} per 1000 predictions</span>"
        return f'<h2>Energy{told}</h2><div class="card">{svg}</div>'

    def _machines(self) -> str:
        cards = []
        for index, one in enumerate(self.report["machines"][:_MODELS_DRAWN]):
            svg = self.drawn.draw(f"machine-{index}", f"Power and heat of {one['node']}", charts.machine(one, self.width))  # fmt: skip
            cards.append(_card(_machine(one), svg))
        none = '<p class="none">No machine told anything.</p>'
        return f'<h2>Machines</h2><div class="grid">{"".join(cards) or none}</div>'


def _tiles(report: Found) -> Iterable[str]:
    done = report["traffic"]
    quality = [found for model in report["models"] for found in model["quality"]]
    bad = sum(found["degraded_windows"] for found in quality)
    if len(quality) == 1:
        [found] = quality
        said = [] if found["expected"] is None else [f"promised {found['expected']:.4g}"]
        if bad:  # the mean may be as promised all the same
            measured = len(found["windows"]) + found["windows_left_out"]
            said.append(f"worse in {bad} of {measured} windows")
        tone = "bad" if bad else "" if found["expected"] is None else "good"
        yield _tile(found["metric"], f"{found['value']:.4g}", "; ".join(said), tone)
    elif quality:
        kept = sum(not found["degraded_windows"] for found in quality)
        yield _tile("models that kept their promise", f"{kept} of {len(quality)}", "", "bad" if bad else "good")  # fmt: skip
    yield _tile("predictions", _number(done["predictions"]), "")
    if done["p95_ms"] is not None:
        yield _tile("95 % of answers within", _ms(done["p95_ms"]), f"half within {_ms(done['p50_ms'])}")  # fmt: skip
    if done["requests"] and done["failed"] is not None:
        ratio = done["failed"] / done["requests"]
        yield _tile("requests failed", f"{ratio:.2%}", f"{done['failed']:,} of {done['requests']:,}", "bad" if ratio > 0.01 else "good")  # fmt: skip  # noqa: PLR2004 - a hundredth
    if done["joules_per_1000"] is not None:
        yield _tile("per 1000 predictions", _joules(done["joules_per_1000"]), f"{energy(done['joules'])} in all")  # fmt: skip
    still = sum(one["closed"] is None for one in report["alerts"])
    yield _tile("alerts", f"{len(report['alerts'])}", f"{still} open", "warn" if still else "good")


def _tile(name: str, value: str, note: str, tone: str = "") -> str:
    return f'<div class="tile {tone}"><small>{escape(name)}</small><strong>{escape(value)}</strong><small>{escape(note)}</small></div>'


def _card(title: str, inner: str) -> str:
    return f'<div class="card"><h3>{escape(title)}</h3>{inner}</div>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], none: str) -> str:
    """Return a table; heads that begin with # are of numbers, cells are HTML."""
    if not rows:
        return f'<span class="none">{escape(none)}</span>'
    marks = [' class="n"' if name.startswith("#") else "" for name in head]
    top = "".join(f"<th{mark}>{escape(name.removeprefix('#'))}</th>" for name, mark in zip(head, marks, strict=True))  # fmt: skip
    body = "".join(
        "<tr>" + "".join(f"<td{mark}>{cell}</td>" for cell, mark in zip(row, marks, strict=True)) + "</tr>"
        for row in rows
    )  # fmt: skip
    return f"<table><tr>{top}</tr>{body}</table>"


def _pill(word: str) -> str:
    tone = _GOOD.get(word) or {"critical": "c-bad", "warning": "c-warn"}.get(word, "c-mute")
    return f'<span class="pill {tone}">{escape(word)}</span>'


def _project(report: Found, scope: str) -> str:
    return "" if report["project"] == scope else escape(scope)


def _promise(one: Found) -> str:
    if not one["quality"]:
        return '<span class="c-mute">no labels</span>'
    return ", ".join(
        f'<span class="{"c-bad" if found["degraded_windows"] else "c-good"}">{escape(found["metric"])} {found["value"]:.4g}</span>'
        for found in one["quality"]
    )


def _versions(one: Found) -> str:
    return ", ".join(f"v{version}" for version in one["versions"])


def _machine(one: Found) -> str:
    heat = "never throttled" if not one["throttled_s"] else f"throttled {_span(one['throttled_s'])}"
    parts = [one["node"], one["chip"], heat]
    if one["worst_temp_c"] is not None:
        parts.append(f"up to {one['worst_temp_c']:.0f} °C")
    if one["watts"] is not None:
        parts.append(f"{one['watts']:.3g} W on average")
    if one["low_power_s"]:
        parts.append(f"low power mode {_span(one['low_power_s'])}")
    if one["pressed_s"]:
        parts.append(f"short of memory {_span(one['pressed_s'])}")
    if one["simulated"]:
        parts.append("simulated")
    return " · ".join(part for part in parts if part)


def _failed(traffic: Found) -> str:
    return "—" if traffic["failed"] is None else f"{traffic['failed']:,}"


def _number(count: int) -> str:
    return f"{count:,}"


def _ms(value: float | None) -> str:
    return "—" if value is None else f"{value:.3g} ms"


def _joules(value: float | None) -> str:
    return "—" if value is None else f"{value:.3g} J"


def _span(seconds: float | None) -> str:
    return "—" if seconds is None else span(seconds)


def _colours() -> str:
    light = "".join(f"--{name}:{colour};" for colour, name in charts.VARIABLES.items())
    dark = "".join(f"--{name}:{colour};" for name, colour in _DARK.items())
    return (
        f":root{{{light}--ground:#f4f6f9}}@media (prefers-color-scheme:dark){{:root{{{dark}--ground:#10151c}}}}"
        f"@media print{{:root{{{light}--ground:#fff}}}}"
    )
