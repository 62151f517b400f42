# SPDX-License-Identifier: Apache-2.0
"""What this installation runs beyond the usual, as `settings.json` in its home says; it counts at every start."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from mlops.cli.errors import InputError
from mlops.cli.home import Home, write_json

_FORM = 'write {"mqtt": true} or {"mqtt": false}, the same for "nodes", or remove the file'


class SettingsError(InputError, ValueError):
    """The file of settings cannot be used."""


@dataclass(frozen=True)
class Wanted:
    """The parts that are off unless somebody wants them; `nodes` lets other machines run steps, too."""

    mqtt: bool = False
    nodes: bool = False


def read(home: Home) -> Wanted:
    """Return what is wanted; SettingsError names the line to correct, for a wrong word must not pass for a no."""
    found = _content(home)
    known = {field.name for field in fields(Wanted)}
    if unknown := sorted(found.keys() - known):
        raise SettingsError(f"{home.settings} knows no {', '.join(unknown)}; {_FORM}")
    if wrong := sorted(name for name, value in found.items() if not isinstance(value, bool)):
        raise SettingsError(
            f"{home.settings}: {', '.join(wrong)} is neither true nor false; {_FORM}"
        )
    return Wanted(**found)


def keep(home: Home, **wishes: bool | None) -> None:
    """Write down what is wanted, for this start and all later ones; None leaves a wish as it was."""
    said = {name: wish for name, wish in wishes.items() if wish is not None}
    if said:
        write_json(home.settings, {**asdict(read(home)), **said})


def _content(home: Home) -> dict[str, bool]:
    try:
        found = json.loads(home.settings.read_text())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"{home.settings} cannot be read: {error.strerror}; {_FORM}") from error
    except ValueError as error:
        raise SettingsError(f"{home.settings} is not JSON: {error}; {_FORM}") from error
    if not isinstance(found, dict):
        raise SettingsError(f"{home.settings} holds no object; {_FORM}")
    return found
