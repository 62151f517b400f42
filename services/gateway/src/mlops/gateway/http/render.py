# SPDX-License-Identifier: Apache-2.0
"""render: the status page as HTML. Every value from outside goes through `escape`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from mlops.contracts.monitoring import ALL_PROJECTS
from mlops.gateway.http import alert_cells, frame, silence_cells
from mlops.gateway.http.chart import chart
from mlops.gateway.http.report_page import link
from mlops.gateway.model.facts import Fact
from mlops.gateway.model.ledger import in_words
from mlops.gateway.model.routing import Route, Table
from mlops.gateway.model.views import DriftView, Part, ProjectView, WorkflowView
from mlops.gateway.model.world import World

_WORKFLOWS = 12
_FINDINGS = 3


def page(
    world: World,
    table: Table,
    health: Mapping[str, Mapping[str, object]] | None,
    facts: Sequence[Fact],
    silences: Sequence[Mapping[str, object]] | None,
    *,
    writes: bool = True,
) -> str:
    """Return the whole page; health None stands for a visitor of some projects, who sees what is of them.

    Who does not *write* is offered nothing that would be refused.
    """
    now = (
        "" if health is None else _section("Services", _services(health), _nodes(world)),
        _section("Projects", *(_project(one, world, table) for one in _projects(world))),
        _section(
            "Alerts", alert_cells.alerts(world.alerts.values(), silences or (), writes=writes)
        ),
    )
    events = "".join(_event(fact) for fact in reversed(facts))
    names = [*_active(world), *(() if health is None else (ALL_PROJECTS,))]
    form = silence_cells.form(names) if writes else ""
    return frame.framed(
        f"{frame.fresh('state', *now)}{silence_cells.section(silences, form)}"
        f"{frame.fresh('work', _section('Workflows', _workflows(world)))}"
        f'<section><h2>Live events <small id="live">connecting…</small></h2><ol id="events">{events}</ol></section>'
    )


def _section(title: str, *parts: str) -> str:
    content = "".join(parts) or '<p class="none">none yet</p>'
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _services(health: Mapping[str, Mapping[str, object]]) -> str:
    cells = []
    for name, told in health.items():
        checks = told.get("checks")
        pairs = checks.items() if isinstance(checks, Mapping) else ()
        troubles = "; ".join(f"{key}: {value}" for key, value in pairs if value != "ok")
        word = "ready" if told.get("ready") is True else "away"
        cells.append(
            f'<li title="{escape(troubles)}">{frame.badge(word)} {escape(name)}'
            f"<small>{escape(troubles)}</small></li>"
        )
    return f'<ul class="services">{"".join(cells)}</ul>'


def _nodes(world: World) -> str:
    hot = [node for node in world.nodes.values() if node.level]
    lines = "".join(
        f"<li>{frame.badge('warning')} {escape(one.node)}: heat level {one.level} {escape(one.reason)}</li>"
        for one in hot
    )
    return f"<ul>{lines}</ul>" if lines else ""


def _active(world: World) -> list[str]:
    return [one.project for one in _projects(world) if one.state == "active"]


def _projects(world: World) -> list[ProjectView]:
    return sorted(world.projects.values(), key=lambda one: (one.state != "active", one.project))


def _project(view: ProjectView, world: World, table: Table) -> str:
    routes = [route for route in table.routes.values() if route.project == view.project]
    made = [item for item in sorted(view.provisioned.items()) if not item[1].reason]
    parts = frame.table(("service", "made"), (_part(*item) for item in made))
    return (
        f"<article><h3>{escape(view.project)} {frame.badge(view.state)} "
        f'<small><a href="/reports?project={escape(view.project)}">reports</a></small></h3><p class="path">'
        f"{escape(view.description)} <code>{escape(view.path)}</code></p>{_refused(view)}"
        f"{''.join(_traffic(route) for route in routes)}{_performance(view, world)}"
        f"{_models(view, world)}{_energy(view, world)}<details><summary>provisioned: "
        f"{escape(', '.join(name for name, _ in made)) or 'nothing yet'}</summary>{parts}</details>"
        "</article>"
    )


def _energy(view: ProjectView, world: World) -> str:
    known = world.energy.days.items()
    days = {day: one for (name, day), one in known if name == view.project and one.told}
    if not days:
        return ""
    day = max(days)
    amount = days[day].amount
    measured = amount.measured_j / amount.joules if amount.joules else 0.0
    return f"<p>Energy on {escape(day)}: {in_words(amount.joules)}, {measured:.0%} measured</p>"


def _refused(view: ProjectView) -> str:
    lines = "".join(
        f"<li>{frame.badge('refused')} {escape(service)}: {escape(part.reason)}</li>"
        for service, part in sorted(view.provisioned.items())
        if part.reason
    )
    return f"<ul>{lines}</ul>" if lines else ""


def _part(service: str, part: Part) -> tuple[str, str]:
    names = "<br>".join(
        f"{escape(key)}: <code>{escape(value)}</code>" for key, value in part.names.items()
    )
    return escape(service), names or "—"


def _traffic(route: Route) -> str:
    total = sum(target.weight for target in route.targets) or 1.0
    lines = "".join(
        f'<li>v{one.version} <progress max="1" value="{one.weight / total:.3f}"></progress> '
        f"{one.weight / total:.0%}</li>"
        for one in route.targets
    )
    none = "" if lines else "no version answers"
    return f'<h4>{escape(route.model)} traffic</h4><ul class="traffic">{lines}{none}</ul>'


def _performance(view: ProjectView, world: World) -> str:
    found = []
    for (project, model), measures in world.measures.items():
        if project != view.project or not measures:
            continue
        last = measures[-1]
        expected = "" if last.expected is None else f", expected {last.expected:.3f}"
        found.append(
            f"<h4>{escape(model)} {escape(last.metric)} {last.value:.3f}{expected} "
            f"{frame.badge('degraded') if last.degraded else ''}</h4>{chart(measures)}"
        )
    return "".join(found) + _drifts(view, world)


def _drifts(view: ProjectView, world: World) -> str:
    lines = "".join(
        f"<li>{frame.badge(one.severity)} {escape(one.kind)} drift on {escape(one.model)}: "
        f"{0 if one.share_drifted_ratio is None else one.share_drifted_ratio:.0%} of the columns{_new(one)} "
        f"{link(one.report_uri)}</li>"
        for one in world.drifts.values()
        if one.open and one.project == view.project
    )
    return f"<ul>{lines}</ul>" if lines else ""


def _new(drift: DriftView) -> str:
    names = drift.unexpected_columns
    return escape(f", and columns that its reference lacks: {', '.join(names)}") if names else ""


def _models(view: ProjectView, world: World) -> str:
    mine = [one for one in world.versions.values() if one.project == view.project]
    rows = [
        (
            escape(f"{one.model} v{one.version}"),
            frame.badge(one.state),
            "" if one.metric not in one.metrics else f"{one.metrics[one.metric]:.3f}",
            escape(one.reason),
        )
        for one in sorted(mine, key=lambda one: (one.model, -one.version))[:8]
    ]
    return frame.table(("version", "", "metric", "why"), rows) if rows else ""


def _workflows(world: World) -> str:
    shown: list[WorkflowView] = list(world.workflows.values())[-_WORKFLOWS:][::-1]
    return frame.table(
        ("project", "kind", "", "why", "outcome", "when"),
        (
            (
                escape(one.project),
                escape(one.kind),
                frame.badge(one.state),
                escape(one.why),
                _outcome(one),
                _time(one.at),
            )
            for one in shown
        ),
    )


def _outcome(view: WorkflowView) -> str:
    if view.diagnosis:
        last = view.diagnosis.strip().splitlines()[-1]
        seen = "".join(f"<li>{escape(text[:200])}</li>" for text in view.hardware[:_FINDINGS])
        do = f"<p>{escape(view.suggestion)}</p>" if view.suggestion else ""
        found = f"<ul>{seen}</ul>" if seen else ""
        told = f'<span title="{escape(view.diagnosis)}">{escape(last[:160])}</span>'
        return f"{told}{found}{do}"
    if view.asked is not None:
        return escape(f"asked to {view.asked.ask}: {view.asked.reason[:160]}")
    took = "" if view.duration_s is None else f"{view.duration_s:.0f} s{_joules(view.energy_j)}"
    return escape(took or ("waits for approval" if view.awaits_approval else view.decision))


def _joules(joules: float | None) -> str:
    return "" if joules is None else f", {in_words(joules)}"


def _event(fact: Fact) -> str:
    return (
        f'<li data-id="{escape(fact.id)}">{_time(fact.time)} <b>{escape(fact.type)}</b> '
        f"<i>{escape(fact.scope)}</i> {escape(fact.summary)}</li>"
    )


def _time(text: str) -> str:
    return f'<time datetime="{escape(text)}">{escape(text[11:19])}</time>'
