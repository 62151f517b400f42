# SPDX-License-Identifier: Apache-2.0
"""What versioning does with messages: `projects`, `data`, `lineage`."""
