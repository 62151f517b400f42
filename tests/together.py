# SPDX-License-Identifier: Apache-2.0
"""Several workers (`-n 3`): the tests of one file stay together, those that load the machine run in two chains.

Each chain has one Ray or one Airflow, for its files only. Both wait much of their time, so with three workers they run
beside each other and what is light fills the cores; with two, the chain with Airflow follows the one with Ray.
What a worker knows at its end, which servers it used and which processes it left, comes to the run's own summary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from servers import choice

HEAVY = ("airflow", "ray", "e2e")
FIRST, NEXT, LIGHT = "with ray", "with airflow", ""
CHAINS = {
    "tests/conformance/test_rollouts.py": FIRST,
    "tests/integration/serving/test_packing": LIGHT,
    "tests/integration/serving/": FIRST,
    "tests/integration/test_closed_loop.py": FIRST,
    "tests/conformance/test_attempts.py": NEXT,
    "tests/conformance/test_pipelines.py": NEXT,
    "tests/integration/orchestration/": NEXT,
}
# Of more workers than so many, one has the chain with Airflow from the beginning.
_BESIDE = 2
_SERVERS = "servers"


class FilesTogether(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Hands out files, for the servers that the tests of a file share; each chain is handed out as one."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        # As collected, integration comes before units: no long file is left for the end. By the number of tests, which
        # says nothing of how long they take, it would be the other way round.
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return _chain_of(nodeid) or nodeid.partition("::")[0]

    def _assign_work_unit(self, node: Any) -> None:
        if FIRST in self.workqueue:
            self.workqueue.move_to_end(FIRST, last=False)
        elif NEXT in self.workqueue:
            begins = FIRST in self.assigned_work[node] or len(self.nodes) > _BESIDE
            self.workqueue.move_to_end(NEXT, last=not begins)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesTogether:
    """Return who hands out the tests."""
    return FilesTogether(config, log)


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Refuse a heavy test that would not be recognised as one by its file."""
    for item in items:
        if _is_heavy(item) and not _chain_of(item.nodeid):
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


def _chain_of(nodeid: str) -> str:
    """Return the chain that a test belongs to, "" for none."""
    return next((chain for start, chain in CHAINS.items() if nodeid.startswith(start)), "")


def _is_heavy(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in HEAVY)
