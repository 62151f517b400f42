# SPDX-License-Identifier: Apache-2.0
"""No test leaves a process, whichever tests are run: `tests/leftovers.py` looks."""

pytest_plugins = ["leftovers", "together"]
