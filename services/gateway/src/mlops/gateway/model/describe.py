# SPDX-License-Identifier: Apache-2.0
"""describe: one line of plain English for any message of the bus."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlops.gateway.model.fields import Fields
from mlops.gateway.model.ledger import in_words

_MOST = 240


def describe(envelope: Mapping[str, object]) -> str:
    """Return what happened, in one line; for a type without words of its own, the type and its subject."""
    outer = Fields(dict(envelope))
    type_ = outer.text("type")
    words = _WORDS.get(type_)
    if words is not None:
        line = words(outer.inner("data"))
    elif type_.startswith("cmd."):
        line = f"asked for {type_.removeprefix('cmd.').replace('.', ' ')} {outer.text('subject')}"
    else:
        line = f"{type_} {outer.text('subject')}"
    line = " ".join(line.split())
    return line if len(line) <= _MOST else f"{line[: _MOST - 1]}…"


def _model(data: Fields) -> str:
    name = data.text("model") or data.text("name")
    version = data.whole("version")
    return f"{name} v{version}" if version is not None else name


def _figure(value: float | None, unit: str = "") -> str:
    return "?" if value is None else f"{value:.3g}{unit}"


def _percent(value: float | None) -> str:
    return "?" if value is None else f"{value:.0%}"


def _measured(data: Fields) -> str:
    expected = data.number("expected")
    against = "" if expected is None else f" (expected {_figure(expected)})"
    return f"{data.text('metric')} {_figure(data.number('value'))}{against}"


def _beside(data: Fields) -> str:
    other = data.whole("against_version")
    return f", beside version {other}" if other else ""


def _seconds(data: Fields) -> str:
    value = data.number("duration_s")
    return "" if value is None else f" after {value:.1f} s"


def _joules(data: Fields) -> str:
    taken = data.inner("energy").number("joules")
    return "" if taken is None else f", {in_words(taken)}"


def _drift(data: Fields) -> str:
    share = _percent(data.number("share_drifted_ratio"))
    return (
        f"{data.text('kind')} drift on {_model(data)}: {share} of the columns ({data.text('severity')}"
        f"), window {_window(data)}"
    )


def _window(data: Fields) -> str:
    index = data.inner("window").whole("index")
    return "?" if index is None else str(index)


def _gate(data: Fields) -> str:
    metric = data.text("metric")
    candidate = data.inner("candidate_metrics").number(metric)
    champion = data.inner("champion_metrics").number(metric)
    figures = "" if candidate is None else f", {metric} {_figure(candidate)}"
    against = "" if champion is None else f" against {_figure(champion)}"
    reason = data.text("reason")
    return f"{figures}{against}" + (f": {reason}" if reason else "")


def _run(verb: str) -> Callable[[Fields], str]:
    def words(data: Fields) -> str:
        name = data.text("run_name") or data.text("run_id")[:12]
        reason = data.text("reason")
        done = "goes on" if data.flag("resumed") else verb
        return f"run {name} {done}" + (f": {reason}" if reason else "")

    return words


def _workflow(data: Fields) -> str:
    return f"{data.text('kind')} {data.text('workflow_key')}"


def _failed_workflow(data: Fields) -> str:
    last = (data.text("diagnosis").strip().splitlines() or [""])[-1]
    step = data.text("step")
    seen, do = [one.text("text") for one in data.inners("hardware")], data.text("suggestion")
    # Where the hardware is to blame there is something to change; what it did besides is told elsewhere.
    told = f"{seen[0]}; try: {do}" if seen and do else last
    return f"{_workflow(data)} failed" + (f" in {step}" if step else "") + f": {told}"


def _start(data: Fields) -> str:
    attempt, node = data.whole("attempt") or 1, data.text("node")
    where = f" on {node}" if node else ""
    return f" again ({attempt}){where}" if attempt > 1 else where


def _rescheduled(data: Fields) -> str:
    if not data.says("from_checkpoint"):
        return f"{_workflow(data)} waits: {data.text('reason')}"
    ways = (data.text("from_node"), data.text("to_node"))
    way = f" from {ways[0]}" * bool(ways[0]) + f" to {ways[1]}" * bool(ways[1])
    goes_on = "with what it saved" if data.flag("from_checkpoint") else "to begin anew"
    return f"{_workflow(data)} moves{way}, {goes_on}: {data.text('reason')}"


def _progress(data: Fields) -> str:
    ratio = data.number("traffic_ratio") or 0.0
    share = f", {_percent(ratio)} of the traffic" if ratio else ""
    reason = f": {data.text('reason')}" if data.text("reason") else ""
    at_once = data.whole("concurrency")
    if at_once is not None:  # heat, whether it is being rolled out or has long answered
        return f"{_model(data)} {data.text('phase')} to {at_once} at once{reason}"
    return f"rollout of {_model(data)}: {data.text('phase')}{share}{reason}"


def _project(verb: str) -> Callable[[Fields], str]:
    def words(data: Fields) -> str:
        name = data.inner("settings").text("name")
        revision = data.whole("revision")
        return f"project {name} {verb}" + (f", revision {revision}" if revision else "")

    return words


def _dataset(verb: str) -> Callable[[Fields], str]:
    return lambda data: (
        f"data {data.text('name')} version {data.whole('version')} {verb} ({data.text('hash')[:8]})"
    )


def _heat(data: Fields) -> str:
    return f"heat level {data.whole('level')}: {data.text('reason')}"


_WORDS: dict[str, Callable[[Fields], str]] = {
    "project.registered": _project("registered"),
    "project.updated": _project("updated"),
    "project.archived": lambda data: (
        f"project archived: {data.text('reason') or 'no reason given'}"
    ),
    "workspace.provisioned": lambda data: f"{data.text('component')} made its part",
    "workspace.refused": lambda data: f"{data.text('component')} refused: {data.text('reason')}",
    "run.started": _run("started"),
    "run.completed": _run("completed"),
    "run.failed": _run("failed"),
    "run.stale": _run("gave no more signs of life"),
    "model.registered": lambda data: f"{_model(data)} registered",
    "model.promoted": lambda data: f"{_model(data)} promoted{_gate(data)}",
    "model.nominated": lambda data: f"{_model(data)} waits for a person{_gate(data)}",
    "model.rejected": lambda data: f"{_model(data)} rejected{_gate(data)}",
    "data.versioned": _dataset("stored"),
    "data.pushed": _dataset("pushed"),
    "data.restored": _dataset("restored"),
    "data.aliased": lambda data: f"{_dataset('named')(data)} {data.text('alias')}",
    "data.unaliased": lambda data: f"{_dataset('no longer named')(data)} {data.text('alias')}",
    "data.tagged": _dataset("tagged"),
    "data.removed": _dataset("given up"),
    "data.verified": lambda data: (
        f"data {data.text('name') or 'of all datasets'} read again: {data.whole('versions')} versions, "
        f"{data.whole('repaired')} objects repaired, {data.whole('damaged_versions')} versions not whole"
    ),
    "data.collected": lambda data: (
        f"{data.whole('objects')} objects of removed versions "
        f"{'counted' if data.flag('dry_run') else 'deleted'}"
    ),
    "remote.lost": lambda data: f"data remote {data.text('remote')} lost: {data.text('reason')}",
    "remote.regained": lambda data: f"data remote {data.text('remote')} can be used again",
    "workflow.queued": lambda data: f"{_workflow(data)} queued: {data.text('why')}",
    "workflow.declined": lambda data: f"{data.text('kind')} declined: {data.text('reason')}",
    "workflow.approved": lambda data: (
        f"{_workflow(data)} approved: {data.inner('decision').text('reason')}"
    ),
    "workflow.started": lambda data: (
        f"{_workflow(data)} started{_start(data)}, waited {_figure(data.number('waited_s'), ' s')}"
    ),
    "workflow.completed": lambda data: (
        f"{_workflow(data)} completed{_seconds(data)}{_joules(data)}"
    ),
    "workflow.failed": _failed_workflow,
    "workflow.rescheduled": _rescheduled,
    "checkpoint.requested": lambda data: (
        f"{_workflow(data)} asked to {data.text('ask')}: {data.text('reason')}"
    ),
    "workflow.cancelled": lambda data: f"{_workflow(data)} cancelled: {data.text('reason')}",
    "deployment.started": lambda data: f"rollout of {_model(data)} started {data.text('why')}",
    "deployment.progressed": _progress,
    "deployment.completed": lambda data: f"{_model(data)} answers all requests{_seconds(data)}",
    "deployment.failed": lambda data: f"rollout of {_model(data)} failed: {data.text('reason')}",
    "deployment.reverted": lambda data: (
        f"rollout of {_model(data)} reverted: {data.text('reason')}"
    ),
    "deployment.metered": lambda data: (
        f"{_model(data)} answered {data.whole('predictions')} rows{_joules(data)}"
    ),
    "deployment.removed": lambda data: f"{_model(data)} no longer runs",
    "prediction.logged": lambda data: f"{data.count('predictions')} predictions of {_model(data)}",
    "label.recorded": lambda data: f"{data.count('labels')} labels for {data.text('model')}",
    "drift.detected": _drift,
    "drift.cleared": lambda data: f"{data.text('kind')} drift on {_model(data)} cleared",
    "performance.measured": lambda data: (
        f"{_model(data)}: {_measured(data)}, window {_window(data)}"
    ),
    "performance.unmeasured": lambda data: (
        f"{_model(data)}: window {_window(data)} given up: {data.text('reason')}"
    ),
    "change.suspected": lambda data: (
        f"{_model(data)}: level of {data.text('series')} changed over {data.whole('rows')} rows"
    ),
    "performance.degraded": lambda data: (
        f"{_model(data)} degraded: {_measured(data)}{_beside(data)}"
    ),
    "performance.recovered": lambda data: f"{_model(data)} recovered: {_measured(data)}",
    "report.published": lambda data: f"{data.text('kind')} report {data.text('uri')}",
    "alert.raised": lambda data: f"alert, {data.text('severity')}: {data.text('title')}",
    "alert.acknowledged": lambda data: f"alert seen by {data.text('by') or 'somebody'}",
    "alert.notified": lambda data: f"alert {data.text('why')}: {data.text('channel')} was told",
    "alert.silenced": lambda data: (
        f"alerts silenced until {data.text('until')[:16]} by {data.text('by') or 'somebody'}: {data.text('why')}"
    ),
    "alert.unsilenced": lambda data: f"silence ended by {data.text('by') or 'somebody'}",
    "alert.resolved": lambda data: f"alert resolved {data.text('reason')}",
    "telemetry.sampled": lambda data: (
        f"processors {_percent(data.inner('sample').number('cpu_busy_ratio'))} busy"
    ),
    "thermal.throttled": _heat,
    "thermal.recovered": lambda data: (
        f"cool again{_seconds(data)} (peak level {data.whole('peak_level')})"
    ),
    "validation.finished": lambda data: (
        f"check {data.text('suite')}/{data.text('check')} {data.text('outcome')} {data.text('note')}"
    ),
    "command.refused": lambda data: (
        f"{data.text('command_type')} refused by {data.text('refused_by')}: {data.text('reason')}"
    ),
}
