# SPDX-License-Identifier: Apache-2.0
"""What tracking tells on its own: relay.py reads the outbox, messages.py makes messages of its rows."""
