# SPDX-License-Identifier: Apache-2.0
"""Every message of the platform, typed; depends on pydantic only.

Start with `catalogue` for the list and `message` for the envelope.
"""
