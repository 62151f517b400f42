# SPDX-License-Identifier: Apache-2.0
"""`$MLOPS_HOME/alerts.toml`: the channels of an installation, what each takes, and in words what is wrong with the file.

The addresses in it are secrets: no text that is made here repeats one, nor a `secret`, wherever in the file it stands.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from datetime import UTC, time, tzinfo
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from mlops.contracts.alerts import ChannelName
from mlops.contracts.verdicts import Severity

OTHERS = 0o077
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_WORD = re.compile(r"[A-Za-z_]{1,20}")
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


class ChannelsError(ValueError):
    """The file cannot be used; *problems* says everything that is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class ChannelEntry(BaseModel):
    """`[channels.<name>]`: either `url`, an address of apprise, or `webhook`, an address that gets JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr | None = None
    webhook: SecretStr | None = None
    secret: SecretStr | None = None
    least: Severity = Severity.WARNING
    quiet_hours: str = ""
    timezone: str = "UTC"
    default: bool = False

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.url is None) == (self.webhook is None):
            raise ValueError("give it either `url` or `webhook`")
        if self.secret is not None and self.webhook is None:
            raise ValueError("`secret` signs what a `webhook` gets; an `url` has none")
        if self.least is Severity.UNKNOWN:
            raise ValueError("`least` is info, warning or critical")
        self.quiet()
        return self

    def quiet(self) -> tuple[time, time, tzinfo] | None:
        """Return when its quiet hours begin and end, and where; ValueError when they cannot be read."""
        if not self.quiet_hours:
            return None
        found = _HOURS.fullmatch(self.quiet_hours)
        if found is None:
            raise ValueError('`quiet_hours` are written as "22:00-07:00"')
        hours = [int(part) for part in found.groups()]
        try:
            zone = UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("no such `timezone` is known; one is Europe/Berlin") from error
        return time(hours[0], hours[1]), time(hours[2], hours[3]), zone

    def variables(self) -> set[str]:
        """Return the variables of the environment that its address and its secret name."""
        given = [one.get_secret_value() for one in (self.url, self.webhook, self.secret) if one]
        return {name for text in given for name in VARIABLE.findall(text)}


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: dict[ChannelName, ChannelEntry] = Field(default_factory=dict)


def channels_of(text: str) -> dict[str, ChannelEntry]:
    """Return the channels that a file names; ChannelsError with all that is wrong with it."""
    try:
        return dict(_Written.model_validate(tomllib.loads(text)).channels)
    except ValidationError as error:
        raise ChannelsError(list(_problems(error))) from None  # its text repeats what was given
    except tomllib.TOMLDecodeError as error:
        raise ChannelsError([f"it is no TOML: {_unreadable(str(error))}"]) from None


def _problems(error: ValidationError) -> Iterator[str]:
    # Without the input: it may be a secret.
    for found in error.errors(include_url=False, include_input=False, include_context=False):
        yield f"{_where(found['loc'])}: {_said(found['type'], found['msg'])}"


def _where(steps: Sequence[int | str]) -> str:
    # Somebody may have written an address where a name belongs.
    names = [str(step) for step in steps if step != "[key]"]
    known = [(_NAME if place == 1 else _WORD).fullmatch(name) for place, name in enumerate(names)]
    return ".".join(found[0] if found else "(a name)" for found in known)


def _unreadable(message: str) -> str:
    # The parser repeats the names that are given twice.
    twice = message.startswith(("Cannot", "Duplicate"))
    return f"a name is given twice {message[message.rfind('(at ') :]}" if twice else message


def _said(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        known = ", ".join(ChannelEntry.model_fields)
        return f"nobody knows this word; a table [channels.NAME] takes {known}"
    if kind == "string_pattern_mismatch":
        return "names of channels are small letters, digits and dashes, as in team-chat"
    return message.removeprefix("Value error, ")
