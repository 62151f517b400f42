# SPDX-License-Identifier: Apache-2.0
"""Several workers (`-n 2`): the tests of one file stay together, those that load the machine run one after the other.

What a worker knows at its end, which servers it used and which processes it left, comes to the run's own summary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from servers import choice

# A whole Airflow or Ray: two of them at once on two cores would measure each other.
HEAVY = ("airflow", "ray", "e2e")
HEAVY_FILES = (
    "tests/conformance/test_attempts.py",
    "tests/conformance/test_pipelines.py",
    "tests/conformance/test_rollouts.py",
    "tests/integration/orchestration/",
    "tests/integration/serving/",
    "tests/integration/test_closed_loop.py",
)
_SERVERS = "servers"


class FilesTogether(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Hands out files, for the servers that the tests of a file share; the heavy ones are handed out as one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "heavy" if file.startswith(HEAVY_FILES) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesTogether:
    """Return who hands out the tests."""
    return FilesTogether(config, log)


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Refuse a heavy test that would not be recognised as one by its file."""
    for item in items:
        if _is_heavy(item) and not item.nodeid.startswith(HEAVY_FILES):
            raise pytest.UsageError(
                f"{item.nodeid} is marked {' or '.join(HEAVY)}: name its file in tests/together.py"
            )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send what this worker used to the run."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_SERVERS] = dict(choice.used)


def pytest_testnodedown(node: Any) -> None:
    """Take in what a worker used; one that crashed has told nothing."""
    choice.used.update(getattr(node, "workeroutput", {}).get(_SERVERS, {}))


def _is_heavy(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in HEAVY)
