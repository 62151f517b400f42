# SPDX-License-Identifier: Apache-2.0
"""Served: what serving says of a model's versions and rollouts, in words and rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlops.cli.runs import day, size

HEADS = (
    "project",
    "model",
    "version",
    "state",
    "traffic",
    "replicas",
    "per s",
    "p50/p95/p99 ms",
    "errors",
    "shed",
    "memory",
    "backend",
    "at once",
    "J/1000",
    "slowed by",
    "replica",
)
SPARE = ("replica", "slowed by", "shed", "J/1000", "backend", "memory", "at once", "replicas")
JOURNEY = ("at", "version", "kind", "step", "traffic", "said")


def versions(
    routes: Iterable[Mapping[str, Any]], states: Iterable[Mapping[str, Any]]
) -> list[tuple[object, ...]]:
    """Return a row of each version that runs, also of those that the gateway sends nothing."""
    urls = {
        (route["project"], route["model"], one["version"]): (one["weight"], one["url"])
        for route in routes
        for one in route["versions"]
    }
    known = {(one["project"], one["model"]): one for one in states}
    told = {(*name, one["version"]): one for name, state in known.items() for one in _each(state)}
    return [
        (*key, *_figures(told.get(key, {}), urls.get(key), known.get(key[:2], {}), str(key[2])))
        for key in sorted(urls.keys() | told.keys())
    ]


def standing(state: Mapping[str, Any]) -> str:
    """Return how far a model's rollout is and why it stands there, empty without one."""
    rollout = state.get("rollout") or {}
    if not rollout:
        return ""
    return f"version {rollout['version']} of {state['model']} {pulse(rollout)}".rstrip()


def pulse(rollout: Mapping[str, Any]) -> str:
    """Return where a rollout stands: its phase and share, and what holds it or was seen last."""
    why = rollout.get("held") or rollout.get("why") or ""
    if not rollout.get("phase"):
        return str(why)
    share = f" {rollout['traffic_ratio']:.0%}" if rollout.get("traffic_ratio") else ""
    stands = f"{rollout.get('kind', 'rollout')}: {rollout['phase']}{share}"
    return f"{stands}; {why}" if why else stands


def rate_of(state: Mapping[str, Any], version: object) -> str:
    """Return what a version answers each second and how fast, empty where nobody has told."""
    one = next((one for one in _each(state) if one["version"] == version), {})
    if one.get("rate") is None:
        return ""
    return f"{one['rate']:.3g}/s, p95 {_ms(one.get('p95_ms'))} ms, {_errors(one)} errors"


def going(state: Mapping[str, Any]) -> str:
    """Return what still runs of a model that is undeployed."""
    left = [f"version {one['version']} {one.get('state', '')}" for one in _each(state)]
    return ", ".join(left) or "nothing runs any more"


def journeys(rollouts: Iterable[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    """Return a row of each step of each rollout."""
    return [
        (
            day(mark.get("at")),
            one["version"],
            one.get("kind"),
            mark.get("stage") or mark.get("phase"),
            f"{mark['traffic_ratio']:.0%}" if mark.get("traffic_ratio") else None,
            _said(mark),
        )
        for one in rollouts
        for mark in one.get("marks", ())
    ]


def _said(mark: Mapping[str, Any]) -> str:
    found = mark.get("comparison") or {}
    if not found:
        return str(mark.get("reason") or "")
    agreed = found.get("agreement_ratio")
    words = "nothing compared" if agreed is None else f"{agreed:.1%} agree"
    return (
        f"{found['requests']} answers beside version {found['against_version']}'s: {words}; "
        f"p95 {_ms(found.get('latency_p95_ms'))} against {_ms(found.get('against_latency_p95_ms'))} ms; "
        f"{found.get('failed', 0)} failed, {found.get('dropped', 0)} not sent"
    )


def _each(state: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return state.get("versions") or ()


def _figures(
    one: Mapping[str, Any],
    routed: tuple[float, str] | None,
    state: Mapping[str, Any],
    version: str,
) -> tuple[object, ...]:
    weight, url = routed or (one.get("traffic_ratio") or 0.0, None)
    heat = (state.get("heat") or {}).get(version) or {}
    at_once = f"{heat['concurrency']} of {heat['full']}" if heat else None
    memory = one.get("memory_bytes")
    return (
        one.get("state"),
        f"{weight:.0%}",
        one.get("replicas"),
        None if one.get("rate") is None else f"{one['rate']:.3g}",
        "/".join(_ms(one.get(f"{name}_ms")) for name in ("p50", "p95", "p99")),
        _errors(one),
        one.get("shed"),
        None if memory is None else size(memory),
        _backend(one),
        at_once,
        _joules(state, version),
        heat.get("why") or None,
        url,
    )


def _joules(state: Mapping[str, Any], version: str) -> str | None:
    energy = (state.get("energy") or {}).get(version) or {}
    joules = energy.get("joules_per_1000")
    known = "measured" if energy.get("measured") else "estimated"
    return None if joules is None else f"{joules:.3g} {known}"


def _backend(one: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (one.get("backend"), one.get("format"))))


def _errors(one: Mapping[str, Any]) -> str | None:
    if one.get("requests") is None:
        return None
    return f"{one.get('errors', 0)} of {one['requests']}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
