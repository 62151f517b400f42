# SPDX-License-Identifier: Apache-2.0
"""What several tests of versioning start from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog.testing

from mlops.versioning.adapters.dvc_files import DvcFiles


@pytest.fixture
def files() -> DvcFiles:
    return DvcFiles({})


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """What is logged, whichever level an earlier test of this process asked for."""
    before = structlog.get_config()
    structlog.reset_defaults()
    with structlog.testing.capture_logs() as lines:
        yield lines
    structlog.configure(**before)
