# SPDX-License-Identifier: Apache-2.0
"""The servers that tests want, where they come from, and how floats are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st

from servers import choice
from servers.nats import NatsServer, start_nats
from servers.postgres import PostgresServer, start_postgres
from servers.s3 import S3Server, start_s3
from servers.serving import mlflow_url, ray, serving_home, trainer

__all__ = ["mlflow_url", "ray", "serving_home", "trainer"]

st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))


def pytest_report_header() -> str:
    return choice.header()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lines := choice.summary():
        terminalreporter.section("test servers")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def shared_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for all tests that neither mind what others said before nor that others kill it."""
    server = start_nats(tmp_path_factory.mktemp("nats"))
    yield server
    server.close()


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server of this test alone; it may be killed and started again."""
    server = start_nats(tmp_path)
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests; each makes a database of its own."""
    server = start_postgres()
    yield server
    server.close()


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    """A server of this test alone, without any bucket."""
    server = start_s3(tmp_path)
    yield server
    server.close()
