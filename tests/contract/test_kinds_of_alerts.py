# SPDX-License-Identifier: Apache-2.0
"""The kinds of alerts that monitoring raises are those that the gateway's page lets people silence, and that the guide tells of."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.gateway.http import silence_cells
from mlops.monitoring.handlers.kinds import KINDS

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "get-alerts.md"


def test_the_page_offers_every_kind() -> None:
    assert set(silence_cells.KINDS) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_guide_tells_of_every_kind(kind: str) -> None:
    assert f"`{kind}`" in GUIDE.read_text(encoding="utf-8")
