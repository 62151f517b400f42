# SPDX-License-Identifier: Apache-2.0
"""channels: what is wrong with alerts.toml, and how to mend it; without the platform, and without telling a secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mlops.contracts.channels import OTHERS, ChannelEntry, ChannelsError, channels_of

OK, WARN, FAIL = "ok", "warn", "fail"
Said = tuple[str, str, str]
"""The verdict, what was found, and what mends it."""


def examine(file: Path, environment: Mapping[str, str]) -> Said:
    """Return what is to be said of the file."""
    try:
        mode, text = file.stat().st_mode, file.read_text("utf-8")
    except FileNotFoundError:
        return OK, "no alerts.toml: alerts are told in monitoring's log only", ""
    except (OSError, UnicodeDecodeError) as error:
        return FAIL, f"{file} cannot be read: {error}", "make it a text file of yours, in UTF-8"
    if os.name == "posix" and mode & OTHERS:
        found = f"{file} is not used: others on this machine can read it (mode {mode & 0o777:o})"
        return FAIL, found, f"chmod 600 {file}"
    try:
        channels = channels_of(text)
    except ChannelsError as error:
        fix = "correct it; it is read again by itself, and until then nobody is told of alerts"
        return FAIL, f"{file}: {error}", fix
    return _of_channels(channels, environment)


def _of_channels(channels: Mapping[str, ChannelEntry], environment: Mapping[str, str]) -> Said:
    names = ", ".join(channels) or "none"
    unset = sorted(
        {name for one in channels.values() for name in one.variables()} - environment.keys()
    )
    if unset:
        found = f"channels: {names}; not set here: {', '.join(unset)}"
        return (
            WARN,
            found,
            "export them before `mlops up`: monitoring has the variables of that shell",
        )
    if not any(one.default for one in channels.values()):
        found = f"channels: {names}; none is a default"
        fix = "`default = true` in one; else projects without [alerts] notify are told in the log only"
        return WARN, found, fix
    return OK, f"channels: {names} (`mlops alerts test` tries them)", ""
