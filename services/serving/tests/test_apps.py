# SPDX-License-Identifier: Apache-2.0
"""What applications are called."""

from __future__ import annotations

import pytest

from mlops.serving.model.apps import app_name, is_ours, route_of


@pytest.mark.parametrize("model", ["rain", "rain.v2", "a.b.c"])
def test_a_versions_application_is_known_as_ours_by_its_name(model: str) -> None:
    name = app_name("weather", model, 7)

    assert is_ours(name)
    assert route_of(name) == f"/weather/{model}/v7"


@pytest.mark.parametrize("name", ["default", "theirs.app", "theirs.app.version", ".a.v1", "a..v1x"])
def test_applications_of_others_are_not_ours(name: str) -> None:
    assert not is_ours(name)
