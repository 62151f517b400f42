# SPDX-License-Identifier: Apache-2.0
"""Words: a replay as a table, a time line of letters, and sentences about what it can and cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from mlops.cli.amounts import amount, span
from mlops.cli.policy.found import Bar, By, bars, declines, period, shown

COLUMNS = ("", "policy", "retrained", "follow-ups", "declined", "energy", "time", "unanswered")
RAN, ASSUMED, DECLINED, NOTHING = "█", "▒", "x", "·"
_WIDE = 60
_SURE = 0.02
_FEW = 5
CAVEAT = (
    "The windows are those that were recorded: what a retraining that never was would have changed is not known. "
    "It is taken to last as long as recorded ones, and to complete."
)


def rows(result: Mapping[str, Any], by: By) -> Iterator[tuple[object, ...]]:
    """Yield a row for reality and for each policy, the best first."""
    for one in shown(result, by):
        yield (
            one.get("place", ""),
            one["name"],
            one["retrainings"],
            one["follow_ups"],
            _declined(one),
            _ranging(one, "energy_j", amount),
            _ranging(one, "ran_s", span),
            f"{one['unanswered_windows']} of {one['degraded_windows']}",
        )


def time_lines(result: Mapping[str, Any], by: By) -> Iterator[str]:
    """Yield a line of letters for reality and for each policy, and the time below them."""
    since, until = period(result)
    found = shown(result, by)
    wide = max(len(str(one["name"])) for one in found)
    for one in found:
        line = _letters(bars(one, until), declines(one), since, until)
        yield f"{one['name']:<{wide}}  {line}"
    begin, end = (f"{at:%d %b %H:%M}" for at in (since, until))
    yield f"{'':<{wide}}  {begin}{end:>{_WIDE - len(begin)}}"
    yield f"{'':<{wide}}  {RAN} retraining  {ASSUMED} one that never was  {DECLINED} declined"


def readings(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a reader should know: how well the replay fits what happened, what is assumed, what is missing."""
    told = result["recorded"]
    yield (
        f"Unchanged, the policy makes {told['agreed']} of {told['decisions']} recorded decisions again."
        if told["decisions"]
        else "No decision is recorded in this period."
    )
    for one in told["differences"][:_FEW]:
        yield f"  {one['at']}: recorded {one['recorded']}; replayed {one['replayed']}"
    if told["different"] > _FEW:
        yield f"  and {told['different'] - _FEW} more that differ."
    yield _usual(result["usual"])
    yield from (f"Note: {note}." for note in result["notes"])
    if any(one["assumed"] for one in result["policies"]):
        yield CAVEAT


def report(result: Mapping[str, Any], by: By, command: str, picture: str) -> str:
    """Return everything as Markdown."""
    since, until = period(result)
    lines = [f"{_cell(one)}" for one in COLUMNS]
    table = ["| " + " | ".join(lines) + " |", "|" + "---|" * len(COLUMNS)]
    table += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows(result, by)]
    parts = [
        f"# Policies of {result['project']}, tried on what was recorded",
        f"From {since.isoformat(timespec='minutes')} to {until.isoformat(timespec='minutes')}, ranked by {by.value}. Made by:",
        f"```\n{command}\n```",
        "\n".join(table),
        f"![time line]({picture})",
        *(line.strip() for line in readings(result)),
        *(_decisions(one) for one in shown(result, by)),
    ]
    return "\n\n".join(parts) + "\n"


def decision_rows(decisions: Sequence[Mapping[str, Any]]) -> Iterator[tuple[object, ...]]:
    """Yield a row for each decision."""
    for one in decisions:
        at = datetime.fromisoformat(one["at"]).astimezone()
        verdict = "retrain" if one["accepted"] else "declined"
        yield f"{at:%d %b %H:%M:%S}", one["trigger_type"], one["model"], verdict, one["reason"]


def _decisions(policy: Mapping[str, Any]) -> str:
    found = [
        f"| {' | '.join(_cell(cell) for cell in row)} |"
        for row in decision_rows(policy["decisions"])
    ]
    left = policy["decisions_left_out"]
    more = f"\n\n{left} earlier ones are left out." if left else ""
    head = "| at | asked by | model | verdict | why |\n|---|---|---|---|---|\n"
    return f"## {policy['name']}\n\n" + (
        head + "\n".join(found) + more if found else "No decision."
    )


def _declined(policy: Mapping[str, Any]) -> str:
    by = policy["declined_by"]
    why = ", ".join(f"{name} {count}" for name, count in sorted(by.items()))
    return f"{policy['declined']} ({why})" if why else str(policy["declined"])


def _ranging(policy: Mapping[str, Any], key: str, said: Any) -> str:
    middle, low, high = policy[key], policy[f"{key}_low"], policy[f"{key}_high"]
    if middle is None or high - low <= _SURE * max(middle, 1e-9):
        return str(said(middle))
    return f"{said(middle)} ({said(low)} to {said(high)})"


def _usual(usual: Mapping[str, Any]) -> str:
    energy, lasts = usual["energy_j"], span(usual["lasts_s"])
    if energy is None:
        return f"A retraining is taken to last {lasts}; its energy is not known."
    return (
        f"A retraining that never was is taken to last {lasts} and to take {amount(energy['median'])} "
        f"(middle half {amount(energy['low'])} to {amount(energy['high'])}, {energy['count']} recorded)."
    )


def _letters(
    found: Sequence[Bar], declined: Sequence[datetime], since: datetime, until: datetime
) -> str:
    line = [NOTHING] * _WIDE
    for at in declined:
        line[_place(at, since, until)] = DECLINED
    for bar in found:
        first, last = _place(bar.since, since, until), _place(bar.until, since, until)
        for place in range(first, last + 1):
            line[place] = ASSUMED if bar.assumed else RAN
    return "".join(line)


def _place(at: datetime, since: datetime, until: datetime) -> int:
    whole = max(until - since, timedelta(seconds=1))
    return min(_WIDE - 1, max(0, int((at - since) / whole * _WIDE)))


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
