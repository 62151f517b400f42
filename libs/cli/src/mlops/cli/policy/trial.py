# SPDX-License-Identifier: Apache-2.0
"""Trial: the settings that `--set` asks for, checked, and every combination of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product

from mlops.cli.errors import InputError

RETRAIN = (
    "retrain.on",
    "retrain.mode",
    "retrain.cooldown",
    "retrain.max_per_day",
    "retrain.max_causation_depth",
    "retrain.follow_up_windows",
)
JUDGED = ("monitor.accuracy.drop", "monitor.accuracy.min")
MOST_TRIALS = 64
_WHY_NOT = {
    "monitor.drift": "of drift it holds what was told, not what each window showed that told nothing",
    "monitor.window": "it holds windows that were judged and no rows of which others could be made",
}
_ELSE = "nothing in it says what that would have changed"
_NOTHING = ("none", "nothing")
_FORM = "write it as --set retrain.cooldown=1h; several values by commas: --set retrain.cooldown=10m,1h,6h"


@dataclass(frozen=True)
class Trial:
    """One policy to try, by the dotted names of its settings. `judged` are those by which windows are judged."""

    settings: Mapping[str, object]
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return what the policy is called."""
        return " ".join(self.words)

    @property
    def judged(self) -> dict[str, object]:
        """Return the settings that belong to monitoring."""
        return {name: value for name, value in self.settings.items() if name in JUDGED}


def trials_of(words: Sequence[str]) -> list[Trial]:
    """Return one trial for each combination of the values that are given; InputError says what does not fit."""
    grid: dict[str, list[str]] = {}
    for word in words:
        name, values = _read(word)
        if name in grid:
            raise InputError(f"--set names {name} twice", _FORM)
        grid[name] = values
    count = 1
    for values in grid.values():
        count *= len(values)
    if count > MOST_TRIALS:
        raise InputError(f"{count} combinations, at most {MOST_TRIALS} are tried", "name fewer")
    checked = [[(name, text, _checked(name, text)) for text in grid[name]] for name in grid]
    return [
        Trial(
            {name: value for name, _, value in one},
            tuple(f"{name}={text}" for name, text, _ in one),
        )
        for one in product(*checked)
        if one
    ]


def _read(word: str) -> tuple[str, list[str]]:
    name, sign, values = word.partition("=")
    name = name.strip()
    if not sign or not name:
        raise InputError(f"cannot read --set {word!r}", _FORM)
    if name not in (*RETRAIN, *JUDGED):
        raise _unknown(name)
    found = [one.strip() for one in values.split(",")]
    if not all(found):
        raise InputError(f"--set {word!r} holds an empty value", _FORM)
    return name, list(dict.fromkeys(found))


def _unknown(name: str) -> InputError:
    if name in _all_settings():
        reason = next((why for begins, why in _WHY_NOT.items() if name.startswith(begins)), _ELSE)
        return InputError(
            f"{name} cannot be tried on a recorded history: {reason}",
            f"these can: {', '.join((*RETRAIN, *JUDGED))}",
        )
    near = get_close_matches(name, (*RETRAIN, *JUDGED), 1, 0.4)
    nearest = f"; the nearest is {near[0]}" if near else ""
    return InputError(
        f"no setting {name!r}{nearest}", f"these can be tried: {', '.join((*RETRAIN, *JUDGED))}"
    )


def _checked(name: str, text: str) -> object:
    """Return the value as JSON has it; the settings' own types say whether it fits."""
    from pydantic import ValidationError  # noqa: PLC0415 - slow to import; help does without

    from mlops.contracts.monitor_settings import PerformanceSettings  # noqa: PLC0415 - as above
    from mlops.contracts.settings import RetrainSettings  # noqa: PLC0415 - as above
    from mlops.contracts.units import unknown_words  # noqa: PLC0415 - as above

    field = name.rpartition(".")[2]
    value: object = _value(field, text)
    kind = RetrainSettings if name in RETRAIN else PerformanceSettings
    try:
        found = kind.model_validate({field: value}).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        said = str(first["msg"]).removeprefix("Value error, ")
        raise InputError(f"{name}={text}: {said}", "correct the value") from error
    for _, words in unknown_words({field: found[field]}):
        raise InputError(f"{name}={text}: no such word", f"there are {words}")
    return value


def _value(field: str, text: str) -> object:
    if field == "on":
        return [] if text in _NOTHING else [one.strip() for one in text.split("+")]
    return None if text == "none" and field in ("drop", "min") else text


def _all_settings() -> frozenset[str]:
    from mlops.contracts.settings import (  # noqa: PLC0415 - slow to import; help does without
        ProjectSettings,
    )

    tree = ProjectSettings(name="any").model_dump(mode="json")
    return frozenset(_names(tree))


def _names(tree: Mapping[str, object], before: str = "") -> list[str]:
    found: list[str] = []
    for name, value in tree.items():
        found.append(f"{before}{name}")
        if isinstance(value, Mapping):
            found += _names(value, f"{before}{name}.")
    return found
