# SPDX-License-Identifier: Apache-2.0
"""No test leaves a process, whichever tests are run: `tests/leftovers.py` looks. No property fails for its time."""

from hypothesis import settings

pytest_plugins = ["leftovers", "together"]

# A machine that is busy with others is slow, and that says nothing of a property.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
