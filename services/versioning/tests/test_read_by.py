# SPDX-License-Identifier: Apache-2.0
"""Which version a run has read, from what it says: a number, an address, or only a name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mlops.versioning.model import Content, Version, read_by

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def version(number: int, oid: str) -> Version:
    at = NOON + number * HOUR
    return Version("p", "days", number, "days", Content(oid, 1, 1, ""), "/r", None, None, at)


KNOWN = [version(1, "a" * 32), version(2, "b" * 32 + ".dir"), version(3, "a" * 32)]


@pytest.mark.parametrize(
    ("number", "digest", "meant"),
    [
        (2, None, 2),
        (9, "a" * 32, None),
        (None, "b" * 32, 2),
        (None, "b" * 32 + ".dir", 2),
        (None, "a" * 8, 3),
        (None, "a" * 7, None),
        (None, "1234abcd", None),
        (None, None, None),
    ],
)
def test_a_run_has_read(number: int | None, digest: str | None, meant: int | None) -> None:
    found = read_by(KNOWN, number, digest)

    assert (found.version if found else None) == meant
