# SPDX-License-Identifier: Apache-2.0
"""What monitoring does when something happens; one file per kind of thing."""
