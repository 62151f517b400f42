# SPDX-License-Identifier: Apache-2.0
"""A service's process holds what a service needs: optional libraries stay out, and come when they are asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlops.chassis.lean import without

PROGRAM = """
import sys
import mlops.chassis.service
print(sorted({"rich", "aiohttp", "watchfiles", "fastapi", "opentelemetry.sdk"} & sys.modules.keys()))
import aiohttp, rich, watchfiles
"""


def test_a_service_takes_no_optional_library_along_and_may_still_import_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )

    assert done.stderr == ""
    assert done.stdout == "[]\n"


def test_what_is_left_out_looks_not_installed_and_comes_back() -> None:
    sys.modules.pop("this", None)

    with without("this", "json"):
        with pytest.raises(ModuleNotFoundError):
            __import__("this.part")
        assert __import__("json").loads("1") == 1  # imported before, so it stays

    assert "this" not in sys.modules
