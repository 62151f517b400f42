# SPDX-License-Identifier: Apache-2.0
"""The page about alerts names the kinds of drift that raise one, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from mlops.monitoring.model.alarm import Kind

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "get-alerts.md"


def test_the_page_names_every_kind_of_drift_that_raises_an_alert() -> None:
    rows = [line.split("|") for line in PAGE.read_text("utf-8").splitlines()]
    [kinds] = [row[1] for row in rows if len(row) > 2 and row[2].strip() == "`drift.detected`"]

    # That of a concept is told by the loss that shows it.
    told = {kind.value for kind in Kind if kind is not Kind.CONCEPT}
    assert set(re.findall(r"`([a-z]+)`", kinds)) == told
